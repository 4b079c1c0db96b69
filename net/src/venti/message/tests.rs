//! Messages against captured ones, and against noise.

use super::*;
use proptest::prelude::*;
use std::vec;

fn frame_of(tagged: &Tagged, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(lump) = tagged.encode(version, &mut out) {
        out.extend_from_slice(&lump);
    }
    out
}

fn parse(frame: &[u8]) -> Result<Tagged, Malformed> {
    Tagged::parse(Bytes::copy_from_slice(frame))
}

fn hello(version: &str) -> Tagged {
    let hello = Hello {
        version: Text::new(version),
        uid: Text::new("anonymous"),
        strength: 0,
        crypto: Bytes::new(),
        codec: Bytes::new(),
    };
    Tagged { tag: 0, message: Message::Thello(hello) }
}

#[test]
fn the_worked_example_of_the_manual_holds() {
    assert_eq!(frame_of(&hello("04"), Version::V04), b"\0\0\0\x14\x04\0\0\x0204\0\x09anonymous\0\0\0");
    assert_eq!(frame_of(&hello("02"), Version::V02), b"\0\x14\x04\0\0\x0202\0\x09anonymous\0\0\0");
    let read = Message::Tread { score: Score::ZERO, block_type: 13, count: 8192 };
    let frame = frame_of(&Tagged { tag: 1, message: read }, Version::V04);
    assert_eq!(&frame[..6], b"\0\0\0\x1a\x0c\x01");
    assert_eq!(&frame[26..], b"\x0d\0\x20\0");
}

#[test]
fn a_count_takes_four_bytes_only_where_it_must() {
    for (count, length) in [(0, 26), (65_535, 26), (65_536, 28), (u32::MAX, 28)] {
        let read = Tagged { tag: 9, message: Message::Tread { score: Score::NULL, block_type: 1, count } };
        let frame = frame_of(&read, Version::V02);
        assert_eq!(frame.len(), length + 2);
        assert_eq!(parse(&frame[2..]), Ok(read));
    }
}

#[test]
fn pads_are_ignored_and_lumps_are_parts_of_the_frame() {
    let frame = Bytes::from_static(b"\x0e\x05\x0d\x01\x02\x03lump");
    let Ok(Tagged { message: Message::Twrite { lump, .. }, .. }) = Tagged::parse(frame.clone()) else {
        panic!()
    };
    assert_eq!(lump.as_ptr(), frame[6..].as_ptr());
    assert_eq!(&lump[..], b"lump");
}

#[test]
fn frames_must_be_used_up_exactly() {
    for (frame, tag) in [
        (&b""[..], None),
        (b"\x02", None),
        (b"\x10\x2b\x00", Some(0x2b)),
        (b"\x0e\x2d\x0d", Some(0x2d)),
        (b"\x08\x2e", Some(0x2e)),
        (b"\x63\x2f", Some(0x2f)),
        (b"\x07\x30", Some(0x30)),
    ] {
        assert_eq!(parse(frame).unwrap_err().tag(), tag, "{frame:?}");
    }
    for counts in [1usize, 3, 5] {
        let mut frame = vec![12, 1];
        frame.extend(vec![0; 22 + counts]);
        assert!(parse(&frame).is_err(), "{counts} count bytes");
    }
}

#[test]
fn strings_end_at_1024_bytes() {
    for (length, good) in [(1024u16, true), (1025, false)] {
        let mut frame = vec![1, 0];
        frame.extend(length.to_be_bytes());
        frame.extend(vec![b'u'; usize::from(length)]);
        assert_eq!(parse(&frame).is_ok(), good);
    }
    assert_eq!(Text::new("x".repeat(2000)).as_bytes().len(), MAX_TEXT);
}

#[test]
fn a_text_cannot_steer_a_terminal() {
    let frame = b"\x01\x00\x00\x05a\x1b[\xff\x00";
    let Ok(Tagged { message: Message::Rerror(text), .. }) = parse(frame) else { panic!() };
    assert_eq!(text.to_string(), "a\u{fffd}[\u{fffd}\u{fffd}");
}

fn any_bytes(limit: usize) -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..=limit).prop_map(Bytes::from)
}

fn any_message() -> impl Strategy<Value = Message> {
    let text = || any_bytes(40).prop_map(Text);
    let score = || any::<[u8; 20]>().prop_map(Score);
    prop_oneof![
        text().prop_map(Message::Rerror),
        Just(Message::Tping),
        Just(Message::Rping),
        (text(), text(), any::<u8>(), any_bytes(255), any_bytes(9)).prop_map(
            |(version, uid, strength, crypto, codec)| {
                Message::Thello(Hello { version, uid, strength, crypto, codec })
            }
        ),
        (text(), any::<u8>(), any::<u8>()).prop_map(|(sid, crypto, codec)| Message::Rhello {
            sid,
            crypto,
            codec
        }),
        Just(Message::Tgoodbye),
        (score(), any::<u8>(), any::<u32>()).prop_map(|(score, block_type, count)| Message::Tread {
            score,
            block_type,
            count
        }),
        any_bytes(99).prop_map(Message::Rread),
        (any::<u8>(), any_bytes(99)).prop_map(|(block_type, lump)| Message::Twrite { block_type, lump }),
        score().prop_map(Message::Rwrite),
        Just(Message::Tsync),
        Just(Message::Rsync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_message_survives_the_trip(message in any_message(), tag in any::<u8>()) {
        let tagged = Tagged { tag, message };
        prop_assert_eq!(parse(&frame_of(&tagged, Version::V02)[2..]), Ok(tagged.clone()));
        prop_assert_eq!(parse(&frame_of(&tagged, Version::V04)[4..]), Ok(tagged));
    }

    #[test]
    fn damaged_frames_are_messages_or_malformed(
        message in any_message(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in 0usize..400
    ) {
        let mut frame = frame_of(&Tagged { tag: 3, message }, Version::V04).split_off(4);
        let at = at.index(frame.len());
        frame[at] = byte;
        frame.truncate(cut);
        if let Ok(tagged) = parse(&frame) {
            prop_assert_eq!(tagged.message.code(), frame[0]);
        }
    }
}
