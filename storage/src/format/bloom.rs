//! The bloom filter: its header, and which bits a score sets. Knows nothing of when it is consulted or written.
//!
//! Positions are computed as little-endian machines running venti do it. In filters below 512 MiB a position can fall
//! into the header's own bits; venti sets it there and loses it with the next header. So a reader takes those bits as
//! set, and a writer leaves the header alone.

use super::error::{Fault, FormatError, Structure};
use crate::score::Score;
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header, which takes the place of the filter's first bits.
pub const BLOOM_HEADER_LEN: usize = size_of::<RawHeader>();

/// Most hashes per score (`BloomMaxHash`).
pub const HASHES_MAX: u32 = 32;

/// Largest filter, in bytes (`MaxBloomSize`).
pub const BLOOM_SIZE_MAX: u32 = 512 * 1024 * 1024;

/// Smallest filter taken, in bytes: one sector. `fmtbloom` makes none below 1 MiB.
pub const BLOOM_SIZE_MIN: u32 = 512;

const MAGIC: u32 = 0xb100_4ead;
const VERSION: u32 = 1;
const HEADER_BITS: u32 = 8 * BLOOM_HEADER_LEN as u32;
const IT: Structure = Structure::Bloom;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    version: U32,
    hashes: U32,
    size: U32,
}
const _: () = assert!(size_of::<RawHeader>() == 16 && offset_of!(RawHeader, size) == 12);

/// A filter's header, which stands at byte 0 of its partition: there is no prelude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BloomHeader {
    hashes: u32,
    size: u32,
}

impl BloomHeader {
    /// A filter of `size` bytes, header included, with `hashes` bits per score.
    pub fn new(hashes: u32, size: u32) -> Result<BloomHeader, FormatError> {
        IT.require((1..=HASHES_MAX).contains(&hashes), "hashes", hashes, "1 to 32")?;
        let good = size.is_power_of_two() && (BLOOM_SIZE_MIN..=BLOOM_SIZE_MAX).contains(&size);
        IT.require(good, "size", size, "a power of two from 512 bytes to 512 MiB")?;
        Ok(BloomHeader { hashes, size })
    }

    /// Reads the header from the partition's first bytes.
    pub fn parse(bytes: &[u8]) -> Result<BloomHeader, FormatError> {
        let (raw, _) = IT.take::<RawHeader>(bytes)?;
        IT.require_magic(raw.magic.get(), MAGIC)?;
        if raw.version.get() != VERSION {
            return Err(IT.fault(Fault::Version(raw.version.get())));
        }
        BloomHeader::new(raw.hashes.get(), raw.size.get())
    }

    /// The header as it stands on disk.
    pub fn encode(&self) -> [u8; BLOOM_HEADER_LEN] {
        zerocopy::transmute!(RawHeader {
            magic: MAGIC.into(),
            version: VERSION.into(),
            hashes: self.hashes.into(),
            size: self.size.into(),
        })
    }

    /// Bits per score.
    pub fn hashes(&self) -> u32 {
        self.hashes
    }

    /// Bytes of the whole filter, header included.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The score's bits. Bit `n` is bit `n % 8` of byte `n / 8`, counted from the header's first byte.
    pub fn positions(&self, score: &Score) -> Positions {
        let word =
            |at: usize| u32::from_le_bytes([score.0[at], score.0[at + 1], score.0[at + 2], score.0[at + 3]]);
        Positions {
            next: word(4) ^ word(12),
            step: word(8) ^ word(16),
            left: self.hashes,
            // 8 * 512 MiB is 2^32: the mask is all ones then.
            mask: (u64::from(self.size) * 8 - 1) as u32,
        }
    }

    /// Whether the score may be in `filter`, which is the whole filter with its header. `false` is certain, on
    /// filters of venti's, too.
    pub fn may_contain(&self, filter: &[u8], score: &Score) -> bool {
        self.positions(score).all(|bit| is_in_header(bit) || test(filter, 0, bit) != Some(false))
    }

    /// Sets the score's bits in `filter`, the whole filter with its header, and returns how many were not set yet.
    pub fn mark(&self, filter: &mut [u8], score: &Score) -> u32 {
        self.positions(score).map(|bit| u32::from(set(filter, 0, bit))).sum()
    }
}

/// The bits of one score; see [`BloomHeader::positions`].
#[derive(Clone, Debug)]
pub struct Positions {
    next: u32,
    step: u32,
    left: u32,
    mask: u32,
}

impl Iterator for Positions {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        // Venti keeps clear of the header before it reduces to the filter's size, not after.
        let clamped = self.next.max(HEADER_BITS);
        self.next = self.next.wrapping_add(self.step);
        Some(clamped & self.mask)
    }
}

/// Whether a bit belongs to the header: it cannot be set, and must count as set.
pub fn is_in_header(bit: u32) -> bool {
    bit < HEADER_BITS
}

/// The bit, if it lies in `piece`, which begins at byte `piece_offset` of the filter.
pub fn test(piece: &[u8], piece_offset: u64, bit: u32) -> Option<bool> {
    let at = u64::from(bit / 8).checked_sub(piece_offset)?;
    let byte = piece.get(usize::try_from(at).ok()?)?;
    Some(byte & (1 << (bit % 8)) != 0)
}

/// Sets the bit, if it lies in `piece`, which begins at byte `piece_offset` of the filter, and not in the header.
/// Returns whether that changed it.
pub fn set(piece: &mut [u8], piece_offset: u64, bit: u32) -> bool {
    let at = u64::from(bit / 8).checked_sub(piece_offset).and_then(|at| usize::try_from(at).ok());
    let Some(byte) = at.filter(|_| !is_in_header(bit)).and_then(|at| piece.get_mut(at)) else {
        return false;
    };
    let before = *byte;
    *byte |= 1 << (bit % 8);
    *byte != before
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn positions_are_those_of_venti() {
        let header = BloomHeader::new(32, 1 << 20).unwrap();
        let score: Score = "bd99126ad6d3f1be5754bde2b2932d4d819183cc".parse().unwrap();
        let positions: Vec<u32> = header.positions(&score).collect();
        assert_eq!(positions[..3], [6_045_796, 1_771_066, 5_884_944]);
        assert_eq!(positions.len(), 32);
    }

    #[test]
    fn a_position_can_fall_into_the_header_of_a_small_filter_only() {
        let blind: Score = "fa3f878dac3b12b62a18ebbfa1b80ff913dde5b4".parse().unwrap();
        let small = BloomHeader::new(32, 1 << 20).unwrap();
        assert!(small.positions(&blind).any(|bit| bit == 101));
        let largest = BloomHeader::new(32, BLOOM_SIZE_MAX).unwrap();
        assert!(!largest.positions(&blind).any(is_in_header));
        assert!(!largest.positions(&Score::NULL).any(is_in_header));
    }

    #[test]
    fn what_is_marked_is_found_and_the_header_stays() {
        let header = BloomHeader::new(32, 1 << 20).unwrap();
        let mut filter = vec![0; 1 << 20];
        filter[..16].copy_from_slice(&header.encode());
        for text in ["bd99126ad6d3f1be5754bde2b2932d4d819183cc", "fa3f878dac3b12b62a18ebbfa1b80ff913dde5b4"] {
            let score: Score = text.parse().unwrap();
            assert!(!header.may_contain(&filter, &score));
            assert!(header.mark(&mut filter, &score) >= 31);
            assert_eq!(header.mark(&mut filter, &score), 0);
            assert!(header.may_contain(&filter, &score));
        }
        assert_eq!(BloomHeader::parse(&filter), Ok(header));
    }

    #[test]
    fn a_piece_answers_for_its_own_bits_only() {
        let mut piece = vec![0; 4];
        assert!(set(&mut piece, 100, 8 * 101 + 3));
        assert!(!set(&mut piece, 100, 8 * 101 + 3));
        assert_eq!(piece, [0, 8, 0, 0]);
        assert_eq!(test(&piece, 100, 8 * 101 + 3), Some(true));
        assert_eq!(test(&piece, 100, 8 * 101 + 4), Some(false));
        assert_eq!(test(&piece, 100, 8 * 99), None);
        assert_eq!(test(&piece, 100, 8 * 104), None);
        assert!(!set(&mut piece, 100, 8 * 104));
    }

    #[test]
    fn refuses_sizes_and_hashes_that_venti_cannot_have() {
        for (hashes, size) in [(0, 1 << 20), (33, 1 << 20), (32, 3 << 20), (32, 1 << 30), (32, 0), (32, 256)]
        {
            assert!(BloomHeader::new(hashes, size).is_err(), "{hashes} {size}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(&BloomHeader::new(32, 1 << 20).unwrap().encode(), |bytes| {
            if let Ok(header) = BloomHeader::parse(bytes) {
                assert_eq!(header.encode(), bytes[..16]);
                header.may_contain(bytes, &Score::ZERO);
            }
        });
    }
}
