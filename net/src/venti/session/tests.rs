//! The rules of order, one test each.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const HELLO: &[u8] = b"\0\0\0\x14\x04\0\0\x0204\0\x09anonymous\0\0\0";

fn events(session: &mut ServerSession, mut input: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = session.receive(&mut input) {
        events.push(event);
    }
    assert!(input.is_empty());
    events
}

fn open(greeting: &[u8], hello: &[u8]) -> (ServerSession, Vec<Event>) {
    let mut session = ServerSession::default();
    let stream = [greeting, hello].concat();
    let got = events(&mut session, &stream);
    (session, got)
}

fn serving() -> ServerSession {
    let (session, got) = open(b"venti-04:02-libventi\n", HELLO);
    assert!(matches!(got[..], [Event::Welcome(_)]));
    session
}

fn rerror(tag: u8, text: &str) -> Event {
    Event::Reply(Tagged { tag, message: Message::Rerror(Text::new(text)) })
}

#[test]
fn a_client_that_lists_both_versions_chooses_by_its_hello() {
    let hello_02 = b"\0\x14\x04\0\0\x0202\0\x09anonymous\0\0\0";
    for greeting in [&b"venti-04:02-x\n"[..], b"venti-02:04-x\n"] {
        let (session, _) = open(greeting, HELLO);
        assert_eq!(session.version(), Some(Version::V04));
        let (session, _) = open(greeting, hello_02);
        assert_eq!(session.version(), Some(Version::V02));
    }
    let (session, got) = open(b"venti-02-x\n", HELLO);
    assert_eq!((session.version(), &got[..]), (None, &[Event::Close(Closing::BadHello)][..]));
}

#[test]
fn nothing_but_a_hello_opens_a_session() {
    for first in [
        &b"\0\0\0\x02\x02\0"[..],
        b"\0\0\0\x14\x04\x05\0\x0204\0\x09anonymous\0\0\0",
        b"\0\0\0\x14\x04\0\0\x0202\0\x09anonymous\0\0\0",
        b"\0\0\0\x15\x04\0\0\x0204\0\x09anonymous\0\0\0\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff\x04\0",
    ] {
        let (mut session, got) = open(b"venti-04-x\n", first);
        assert_eq!(got, [Event::Close(Closing::BadHello)], "{first:?}");
        assert_eq!(events(&mut session, HELLO), [], "nothing more is read");
    }
}

#[test]
fn odd_requests_are_answered_and_the_session_goes_on() {
    let mut session = serving();
    assert_eq!(events(&mut session, HELLO), [rerror(0, "unknown request")]);
    assert_eq!(events(&mut session, b"\0\0\0\x02\x11\x32"), [rerror(0x32, "unknown request")]);
    assert_eq!(events(&mut session, b"\0\0\0\x02\x63\x2f"), [rerror(0x2f, "unknown request")]);
    assert_eq!(events(&mut session, b"\0\0\0\x03\x10\x2b\0"), [rerror(0x2b, "malformed message of type 16")]);
    assert_eq!(events(&mut session, b"\0\0\0\0\0\0\0\x01\x02"), []);
    let rping = Event::Reply(Tagged { tag: 7, message: Message::Rping });
    assert_eq!(events(&mut session, b"\0\0\0\x02\x02\x07"), [rping]);
    assert_eq!(events(&mut session, b"\0\0\0\x02\x06\x07"), [Event::Close(Closing::Goodbye)]);
}

fn frame(tag: u8, message: Message) -> Vec<u8> {
    let mut out = Vec::new();
    let lump = Tagged { tag, message }.encode(Version::V04, &mut out).unwrap_or_default();
    out.extend_from_slice(&lump);
    out
}

#[test]
fn lumps_beyond_56k_are_refused_by_name_and_longer_frames_end_the_session() {
    let write = |length| Message::Twrite { block_type: 13, lump: Bytes::from(std::vec![b'x'; length]) };
    let mut session = serving();
    assert!(matches!(
        events(&mut session, &frame(1, write(MAX_LUMP)))[..],
        [Event::Job(1, Job::Write { .. })]
    ));
    for length in [MAX_LUMP + 1, 65_529, 65_535] {
        assert_eq!(events(&mut session, &frame(2, write(length))), [rerror(2, "lump too large")]);
    }
    let longer = (65_542u32).to_be_bytes();
    assert_eq!(
        events(&mut session, &[&longer[..], &[14, 3, 13]].concat()),
        [rerror(3, "lump too large"), Event::Close(Closing::FrameTooLong)]
    );
}

#[test]
fn illegal_types_reach_no_store() {
    let mut session = serving();
    for block_type in [0, 10, 11, 12, 14, 255] {
        let write = Message::Twrite { block_type, lump: Bytes::from_static(b"bad") };
        let refusal = alloc::format!("illegal block type {block_type}");
        assert_eq!(events(&mut session, &frame(4, write)), [rerror(4, &refusal)]);
        let score = Score([0x12; 20]);
        let read = Message::Tread { score, block_type, count: 100 };
        let miss = alloc::format!("no block with score {score}/255 exists");
        assert_eq!(events(&mut session, &frame(5, read)), [rerror(5, &miss)]);
    }
}

#[test]
fn the_empty_block_needs_no_store() {
    let mut session = serving();
    let rwrite = Event::Reply(Tagged { tag: 1, message: Message::Rwrite(Score::ZERO) });
    let write = Message::Twrite { block_type: 13, lump: Bytes::new() };
    assert_eq!(events(&mut session, &frame(1, write)), [rwrite]);
    for score in [Score::ZERO, Score::NULL] {
        let rread = Event::Reply(Tagged { tag: 2, message: Message::Rread(Bytes::new()) });
        let read = Message::Tread { score, block_type: 13, count: 0 };
        assert_eq!(events(&mut session, &frame(2, read)), [rread]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_bytes_after_the_hello_mean_the_same_in_any_pieces(
        bytes in proptest::collection::vec(prop_oneof![Just(0u8), 0u8..40, any::<u8>()], 0..300),
        piece in 1usize..50,
    ) {
        let whole = events(&mut serving(), &bytes);
        let mut session = serving();
        let pieces: Vec<Event> = bytes.chunks(piece).flat_map(|part| events(&mut session, part)).collect();
        // A reply to a frame that is too long needs its type and tag at hand.
        let lasting = |events: &[Event]| -> Vec<Event> {
            events.iter().filter(|event| !too_long(event)).cloned().collect()
        };
        prop_assert_eq!(lasting(&whole), lasting(&pieces));
    }
}

fn too_long(event: &Event) -> bool {
    let Event::Reply(Tagged { message: Message::Rerror(text), .. }) = event else { return false };
    let text = text.as_bytes();
    text.starts_with(b"frame of") || text == b"lump too large"
}
