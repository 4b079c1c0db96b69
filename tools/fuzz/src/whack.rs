//! Packing and unpacking.

use crate::Input;
use std::cell::RefCell;
use storage::format::clump::LUMP_LEN_MAX;
use storage::whack::{Encoder, decode, decode_into};

thread_local! {
    /// Has packed everything before: its tables are full of other blocks.
    static USED: RefCell<Encoder> = RefCell::new(Encoder::new());
}

/// Any bytes as a packed block of any size.
pub fn whack_decode(data: &[u8]) {
    let mut input = Input(data);
    let len = usize::from(input.short()) % (LUMP_LEN_MAX + 1);
    let unpacked = decode(input.0, len);
    let mut target = vec![0xa5; len];
    let into = decode_into(input.0, &mut target);
    match unpacked {
        Ok(plain) => assert!(into.is_ok() && plain == target && plain.len() == len),
        Err(error) => assert_eq!(into, Err(error)),
    }
}

/// Any bytes packed and unpacked. What comes out is shorter than what goes in, or is not used.
pub fn whack_round_trip(data: &[u8]) {
    let mut input = Input(data);
    // Repeated, so that far matches are found without large inputs.
    let times = usize::from(input.byte()) % 24 + 1;
    let mut plain = input.0.repeat(times);
    plain.truncate(LUMP_LEN_MAX);
    let mut packed = vec![1, 2, 3];
    let len = USED.with_borrow_mut(|encoder| encoder.encode(&plain, &mut packed));
    let mut fresh = vec![1, 2, 3];
    assert_eq!(Encoder::new().encode(&plain, &mut fresh), len);
    assert!(fresh == packed, "an encoder remembers the block before");
    match len {
        None => assert_eq!(packed, [1, 2, 3]),
        Some(len) => {
            assert!(len < plain.len() && packed.len() == 3 + len);
            assert!(decode(&packed[3..], plain.len()).as_ref() == Ok(&plain), "it unpacks to something else");
        }
    }
}
