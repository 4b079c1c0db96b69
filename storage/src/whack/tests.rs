//! Packing and unpacking: round trips, and input that is no packed block.

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Packs, if it gets smaller, and unpacks again.
fn round_trip(encoder: &mut Encoder, plain: &[u8]) {
    let mut packed = vec![1, 2, 3];
    match encoder.encode(plain, &mut packed) {
        Some(len) => {
            assert!(len < plain.len());
            assert_eq!(packed.len(), 3 + len);
            assert_eq!(decode(&packed[3..], plain.len()).as_deref(), Ok(plain));
        }
        None => assert_eq!(packed, [1, 2, 3]),
    }
}

#[test]
fn lengths_have_the_codes_of_the_table() {
    for (length, bits, code) in
        [(3, 2, 0b10), (4, 3, 0b110), (11, 8, 0b1111_1001), (12, 9, 0b1_1111_0100), (15, 9, 0b1_1111_0111)]
    {
        let found = lengths::length_code(length);
        assert_eq!((found.len, found.bits), (bits, code), "{length}");
    }
    for (length, bits) in [(16, 10), (27, 11), (35, 12), (36, 13), (67, 14), (131, 16), (259, 18), (515, 20)]
    {
        assert_eq!(lengths::length_code(length).len, bits, "{length}");
    }
    assert_eq!((lengths::length_code(1027).len, lengths::length_code(2051).len), (22, 24));
}

#[test]
fn every_length_and_offset_survives() {
    let noise: Vec<u8> = (0..OFFSET_MAX + 1).map(|i| (i * i / 7 + i / 251) as u8).collect();
    let mut encoder = Encoder::new();
    for length in (3..100).chain([515, 516, 1027, 1028, 2050, 2051, 2052, 4103]) {
        let mut plain = vec![b'a'; length + 1];
        plain.extend_from_slice(b"xyz");
        round_trip(&mut encoder, &plain);
    }
    for offset in [3, 32, 33, 64, 65, 4096, 4097, 8192, 8193, 16383, 16384, 16385] {
        let mut plain = vec![0; 8000];
        plain.extend_from_slice(&noise[..offset.min(noise.len())]);
        plain.extend_from_slice(&noise[..200.min(offset)]);
        round_trip(&mut encoder, &plain);
    }
}

#[test]
fn an_encoder_forgets_the_block_before() {
    let text: Vec<u8> = b"the quick brown fox jumps over the lazy dog; ".repeat(300);
    let other: Vec<u8> = text.iter().rev().copied().collect();
    let mut used = Encoder::new();
    let mut first = Vec::new();
    used.encode(&text, &mut first).unwrap();
    for plain in [&other, &text] {
        let (mut with_used, mut with_new) = (Vec::new(), Vec::new());
        used.encode(plain, &mut with_used).unwrap();
        Encoder::new().encode(plain, &mut with_new).unwrap();
        assert_eq!(with_used, with_new);
    }
}

#[test]
fn says_what_is_wrong_with_a_stream() {
    // Nine zero bits are the literal 0, while the history is rare.
    assert_eq!(decode(&[0, 0], 1), Ok(vec![0]));
    assert_eq!(decode(&[0, 0], 0), Err(DecodeError::TooMuchOutput));
    assert_eq!(decode(&[0, 0], 2), Err(DecodeError::Partial(1)));
    assert_eq!(decode(&[], 1), Err(DecodeError::Partial(0)));
    assert_eq!(decode(&[], 0), Ok(vec![]));
    assert_eq!(decode(&[0], 1), Err(DecodeError::Overrun));
    // 10 is length 3, 0000 and 00000 offset 1: nothing is there to be repeated.
    assert_eq!(decode(&[0x80, 0], 3), Err(DecodeError::OffsetOutOfRange { offset: 1, at: 0 }));
    assert_eq!(decode(&[0xff; 8], 3), Err(DecodeError::LengthOutOfRange(0)));
    // Literal 0, then 3 times offset 1.
    assert_eq!(decode(&[0x00, 0x40, 0x00], 4), Ok(vec![0; 4]));
    assert_eq!(decode(&[0x00, 0x40, 0x00], 3), Err(DecodeError::LengthOutOfRange(1)));
}

#[test]
fn leaves_short_and_random_blocks_alone() {
    let mut encoder = Encoder::new();
    let random: Vec<u8> = (0..2000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for plain in [&b""[..], b"a", b"aa", b"aaa", &random[..20]] {
        assert_eq!(encoder.encode(plain, &mut Vec::new()), None);
    }
}

fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let runs = (any::<u8>(), 1usize..60).prop_map(|(byte, len)| vec![byte; len]);
    let words = prop::sample::select(vec!["granary ", "venti ", "score", "\u{e9}\u{e9}", "0123456789"]);
    let words = words.prop_map(|word| word.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec(prop_oneof![runs, words, noise], 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_packed_unpacks(plain in blocks(), times in 1usize..40) {
        let plain = plain.repeat(times);
        round_trip(&mut Encoder::new(), &plain[..plain.len().min(57344)]);
    }

    #[test]
    fn no_stream_makes_the_decoder_panic(packed in prop::collection::vec(any::<u8>(), 0..400), len in 0usize..4000) {
        if let Ok(plain) = decode(&packed, len) {
            prop_assert_eq!(plain.len(), len);
        }
    }

    #[test]
    fn no_damage_makes_the_decoder_panic(plain in blocks(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut packed = Vec::new();
        if Encoder::new().encode(&plain, &mut packed).is_some() {
            let at = at.index(packed.len());
            packed[at] ^= flip;
            let _ = decode(&packed, plain.len());
            let _ = decode(&packed[..at], plain.len());
        }
    }
}
