//! HMAC of a record whose padding hides how long it is, in a time that does not tell.
//!
//! The MAC comes before the padding, so whoever could measure how long a refused record takes would learn about its
//! last bytes (the attack called Lucky Thirteen). Everything here depends on the length of the record alone.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater, ConstantTimeLess};
use zeroize::Zeroize;

/// Bytes of the longest MAC.
pub(super) const MAC_MAX: usize = 32;
/// Bytes of the prefix: number, kind, version, length.
pub(super) const PREFIX_LEN: usize = 13;
const BLOCK: usize = 64;

/// The hash beneath the MAC. Both take in blocks of 64 bytes and end alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

/// What a hash has come to. SHA-1 uses the first five words.
type State = [u32; 8];

impl Hash {
    /// Bytes of its MAC.
    pub(super) const fn len(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }

    /// Before any input (FIPS 180-4, section 5.3).
    const fn start(self) -> State {
        match self {
            Hash::Sha1 => [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0],
            Hash::Sha256 => [
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ],
        }
    }

    fn compress(self, state: &mut State, block: [u8; BLOCK]) {
        match self {
            Hash::Sha1 => {
                let mut five = [0; 5];
                five.copy_from_slice(&state[..5]);
                sha1::block_api::compress(&mut five, &[block]);
                state[..5].copy_from_slice(&five);
            }
            Hash::Sha256 => sha2::block_api::compress256(state, &[block]),
        }
    }
}

/// A key, as the states of the two hashes that have taken it in.
pub(super) struct PaddedMac {
    hash: Hash,
    inner: State,
    outer: State,
}

impl PaddedMac {
    /// With a key as long as the MAC.
    pub(super) fn new(hash: Hash, key: &[u8]) -> PaddedMac {
        let state = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = hash.start();
            hash.compress(&mut state, block);
            block.zeroize();
            state
        };
        PaddedMac { hash, inner: state(0x36), outer: state(0x5c) }
    }

    /// How many bytes of `record` (content, MAC, padding) are content. `None`: MAC or padding are wrong; which of
    /// them, nobody learns. `prefix` stands before the content, all but its last two bytes: they are its length.
    pub(super) fn check(&self, prefix: [u8; PREFIX_LEN - 2], record: &[u8]) -> Option<usize> {
        let mac_len = self.hash.len();
        // The MAC and one byte that counts the padding.
        let longest = record.len().checked_sub(mac_len + 1)?;
        let (padding, good) = padding(record, longest);
        let len = (longest as u64 - u64::from(padding)) as usize;
        let wanted = self.hash(&prefix, &record[..longest], len);
        let mut same = Choice::from(0);
        for candidate in 0..=longest.min(usize::from(u8::MAX)) {
            let at = longest - candidate;
            same |= record[at..at + mac_len].ct_eq(&wanted[..mac_len]) & (candidate as u8).ct_eq(&padding);
        }
        bool::from(good & same).then_some(len)
    }

    /// The MAC over prefix, length, and the first `len` bytes of `content`. `len` is secret: no more than 255 bytes
    /// less than there are.
    fn hash(&self, prefix: &[u8; PREFIX_LEN - 2], content: &[u8], len: usize) -> [u8; MAC_MAX] {
        let length = (len as u16).to_be_bytes();
        let byte_at = |at: usize| match at {
            0..11 => prefix[at],
            11 => length[0],
            12 => length[1],
            _ => content.get(at - PREFIX_LEN).copied().unwrap_or(0),
        };
        let block_at = |index: usize| core::array::from_fn::<u8, BLOCK, _>(|at| byte_at(index * BLOCK + at));
        let shortest = PREFIX_LEN + content.len().saturating_sub(usize::from(u8::MAX));
        let mut state = self.inner;
        let mut index = 0;
        while index < shortest / BLOCK {
            self.hash.compress(&mut state, block_at(index));
            index += 1;
        }
        // One of the blocks that follow is the last; all are hashed, and the state after the last is kept.
        let end = (PREFIX_LEN + len) as u64;
        let last = (end + 8) / BLOCK as u64;
        let bits = ((BLOCK as u64 + end) * 8).to_be_bytes();
        let mut kept = [0; 8];
        while index <= (PREFIX_LEN + content.len() + 8) / BLOCK {
            let is_last = (index as u64).ct_eq(&last);
            let mut block = block_at(index);
            for (at, byte) in block.iter_mut().enumerate() {
                let position = (index * BLOCK + at) as u64;
                *byte = u8::conditional_select(&0, byte, position.ct_lt(&end));
                byte.conditional_assign(&0x80, position.ct_eq(&end));
            }
            for (byte, bits) in block[BLOCK - 8..].iter_mut().zip(bits) {
                byte.conditional_assign(&bits, is_last);
            }
            self.hash.compress(&mut state, block);
            for (kept, word) in kept.iter_mut().zip(state) {
                kept.conditional_assign(&word, is_last);
            }
            index += 1;
        }
        self.finish(kept)
    }

    /// The MAC, at the beginning of what is returned.
    fn finish(&self, inner: State) -> [u8; MAC_MAX] {
        let mac_len = self.hash.len();
        let mut block = [0; BLOCK];
        block[..mac_len].copy_from_slice(&bytes(inner)[..mac_len]);
        block[mac_len] = 0x80;
        block[BLOCK - 8..].copy_from_slice(&(8 * (BLOCK + mac_len) as u64).to_be_bytes());
        let mut state = self.outer;
        self.hash.compress(&mut state, block);
        bytes(state)
    }
}

impl Drop for PaddedMac {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// The last byte of a record counts the padding before it, each byte of which equals it. Zero, and not good, where
/// that is not so.
fn padding(record: &[u8], longest: usize) -> (u8, Choice) {
    let padding = record.last().copied().unwrap_or(0);
    let mut good = !u64::from(padding).ct_gt(&(longest as u64));
    for (distance, byte) in record.iter().rev().take(usize::from(u8::MAX) + 1).enumerate() {
        let belongs = !(distance as u64).ct_gt(&u64::from(padding));
        good &= !belongs | byte.ct_eq(&padding);
    }
    (u8::conditional_select(&0, &padding, good), good)
}

fn bytes(state: State) -> [u8; MAC_MAX] {
    let mut bytes = [0; MAC_MAX];
    for (target, word) in bytes.chunks_exact_mut(4).zip(state) {
        target.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Hash, MAC_MAX, PREFIX_LEN, PaddedMac};
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha1::Sha1;
    use sha2::Sha256;
    use std::vec::Vec;

    const PREFIX: [u8; PREFIX_LEN - 2] = [0, 0, 0, 0, 0, 0, 0, 9, 23, 3, 3];

    const HASHES: [Hash; 2] = [Hash::Sha1, Hash::Sha256];

    /// Content, MAC and padding, the MAC by the ordinary HMAC.
    fn record(hash: Hash, key: &[u8; MAC_MAX], content: &[u8], padding: u8) -> Vec<u8> {
        let said = [&PREFIX[..], &(content.len() as u16).to_be_bytes(), content].concat();
        let key = &key[..hash.len()];
        let mut record = content.to_vec();
        match hash {
            Hash::Sha1 => {
                let hmac = Hmac::<Sha1>::new_from_slice(key).unwrap().chain_update(said);
                record.extend_from_slice(&hmac.finalize().into_bytes());
            }
            Hash::Sha256 => {
                let hmac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(said);
                record.extend_from_slice(&hmac.finalize().into_bytes());
            }
        }
        record.extend(core::iter::repeat_n(padding, usize::from(padding) + 1));
        record
    }

    #[test]
    fn every_length_around_the_ends_of_blocks_is_understood() {
        let key = [7; MAC_MAX];
        let content: Vec<u8> = (0..=255).cycle().take(700).collect();
        for hash in HASHES {
            let mac = PaddedMac::new(hash, &key[..hash.len()]);
            for len in (0..200).chain(600..700) {
                for padding in [0, 1, 15, 16, 63, 64, 127, 254, 255] {
                    let record = record(hash, &key, &content[..len], padding);
                    assert_eq!(mac.check(PREFIX, &record), Some(len), "{hash:?} {len} {padding}");
                }
            }
        }
    }

    #[test]
    fn records_too_short_for_a_mac_are_refused() {
        for hash in HASHES {
            let mac = PaddedMac::new(hash, &[7; MAC_MAX][..hash.len()]);
            for len in 0..=hash.len() + 1 {
                assert_eq!(mac.check(PREFIX, &std::vec![0; len]), None, "{hash:?} {len}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_altered_bit_is_noticed(
            hash in prop::sample::select(&HASHES),
            key in any::<[u8; MAC_MAX]>(),
            content in prop::collection::vec(any::<u8>(), 0..600),
            padding in any::<u8>(),
            bit in any::<usize>(),
        ) {
            let mac = PaddedMac::new(hash, &key[..hash.len()]);
            let mut record = record(hash, &key, &content, padding);
            prop_assert_eq!(mac.check(PREFIX, &record), Some(content.len()));
            let bit = bit % (record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(mac.check(PREFIX, &record), None);
        }

        #[test]
        fn any_bytes_are_refused(record in prop::collection::vec(any::<u8>(), 0..600)) {
            for hash in HASHES {
                let mac = PaddedMac::new(hash, &[7; MAC_MAX][..hash.len()]);
                prop_assert_eq!(mac.check(PREFIX, &record), None);
            }
        }
    }
}
