//! The header in front of each clump of an arena's log. Knows nothing of the bytes that follow it.

use crate::Timestamp;
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a clump's header.
pub const CLUMP_HEADER_LEN: usize = size_of::<RawClump>();

/// Largest lump, in bytes (`VtMaxLumpSize`).
pub const LUMP_LEN_MAX: usize = 56 * 1024;

/// Largest clump: header and a lump that did not shrink.
pub const CLUMP_LEN_MAX: usize = CLUMP_HEADER_LEN + LUMP_LEN_MAX;

/// The type of a clump that somebody found rotten, or that was written with an illegal type.
pub(super) const TYPE_CORRUPT: u8 = 0xff;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawClump {
    magic: U32, // chosen per arena, so that a stale clump of an earlier life never looks current
    block_type: u8,
    stored_len: U16, // after compression, without this header
    lump_len: U16,
    score: [u8; SCORE_LEN],
    encoding: u8,
    creator: U32,
    written_at: U32,
}
const _: () = assert!(size_of::<RawClump>() == 38 && offset_of!(RawClump, score) == 9);

/// How a clump holds its lump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Compressed with [`crate::whack`], and smaller for it.
    Whack,
}

/// What a clump says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClumpHeader {
    /// The lump's type.
    pub block_type: BlockType,
    /// Bytes that follow the header.
    pub stored_len: u16,
    /// Bytes of the lump, 1 to [`LUMP_LEN_MAX`].
    pub lump_len: u16,
    /// SHA-1 of the lump.
    pub score: Score,
    /// How the lump is held; whack means `stored_len < lump_len`, plain that they are equal.
    pub encoding: Encoding,
    /// Always 0 so far.
    pub creator: u32,
    /// When the clump was written.
    pub written_at: Timestamp,
}

/// Why bytes in a log are no clump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClumpError {
    /// Fewer bytes than a header has.
    #[error("clump header needs {CLUMP_HEADER_LEN} bytes, has {0}")]
    TooShort(usize),
    /// The mark behind the last clump: the log ends here.
    #[error("the log ends here")]
    EndOfLog,
    /// Not a clump of this arena.
    #[error("clump has bad magic number={found:#010x} != {expected:#010x}")]
    BadMagic {
        /// The number that stands there.
        found: u32,
        /// The arena's.
        expected: u32,
    },
    /// Somebody gave it up: venti found a wrong hash here, or was made to write an illegal type.
    #[error("clump is marked corrupt")]
    MarkedCorrupt {
        /// Bytes that follow the header, as far as that can be believed: the next clump should stand behind them.
        stored_len: u16,
    },
    /// A type that no block has.
    #[error("clump has illegal block type {number}")]
    IllegalType {
        /// The number that stands there.
        number: u8,
        /// Bytes that follow the header, as far as that can be believed.
        stored_len: u16,
    },
    /// Encoding and sizes contradict each other, or a size is impossible.
    #[error("clump has illegal encoding {encoding} or inconsistent sizes {stored_len} and {lump_len}")]
    Inconsistent {
        /// The encoding's number.
        encoding: u8,
        /// Bytes that were to follow the header.
        stored_len: u16,
        /// Bytes that the lump was to have.
        lump_len: u16,
    },
}

impl Encoding {
    fn number(self) -> u8 {
        match self {
            Encoding::Plain => 1,
            Encoding::Whack => 2,
        }
    }
}

impl ClumpHeader {
    /// Reads the header at the front of `bytes`, a clump of the arena with this clump magic number.
    pub fn parse(bytes: &[u8], magic: u32) -> Result<ClumpHeader, ClumpError> {
        let (raw, _) = RawClump::ref_from_prefix(bytes).map_err(|_| ClumpError::TooShort(bytes.len()))?;
        let found = raw.magic.get();
        if found != magic {
            let error = ClumpError::BadMagic { found, expected: magic };
            return Err(if found == 0 { ClumpError::EndOfLog } else { error });
        }
        raw.check()
    }

    /// The header as it stands in an arena with this clump magic number.
    pub fn encode(&self, magic: u32) -> [u8; CLUMP_HEADER_LEN] {
        zerocopy::transmute!(RawClump {
            magic: magic.into(),
            block_type: self.block_type.to_disk(),
            stored_len: self.stored_len.into(),
            lump_len: self.lump_len.into(),
            score: self.score.0,
            encoding: self.encoding.number(),
            creator: self.creator.into(),
            written_at: self.written_at.0.into(),
        })
    }

    /// Bytes of the whole clump: from its header to where the next one stands.
    pub fn clump_len(&self) -> usize {
        CLUMP_HEADER_LEN + usize::from(self.stored_len)
    }
}

impl RawClump {
    fn check(&self) -> Result<ClumpHeader, ClumpError> {
        let (stored_len, lump_len) = (self.stored_len.get(), self.lump_len.get());
        let Some(block_type) = BlockType::from_disk(self.block_type) else {
            return Err(match self.block_type {
                TYPE_CORRUPT => ClumpError::MarkedCorrupt { stored_len },
                number => ClumpError::IllegalType { number, stored_len },
            });
        };
        let encoding = match self.encoding {
            1 if stored_len == lump_len => Some(Encoding::Plain),
            2 if stored_len < lump_len => Some(Encoding::Whack),
            _ => None,
        };
        let possible = stored_len > 0 && usize::from(lump_len) <= LUMP_LEN_MAX;
        let Some(encoding) = encoding.filter(|_| possible) else {
            return Err(ClumpError::Inconsistent { encoding: self.encoding, stored_len, lump_len });
        };
        Ok(ClumpHeader {
            block_type,
            stored_len,
            lump_len,
            score: Score(self.score),
            encoding,
            creator: self.creator.get(),
            written_at: Timestamp(self.written_at.get()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;

    const MAGIC: u32 = 0x43dd_7c46;

    fn header() -> ClumpHeader {
        ClumpHeader {
            block_type: BlockType::DATA,
            stored_len: 100,
            lump_len: 200,
            score: Score::of(b"lump"),
            encoding: Encoding::Whack,
            creator: 0,
            written_at: Timestamp(1_795_380_824),
        }
    }

    fn changed(at: usize, value: u8) -> Result<ClumpHeader, ClumpError> {
        let mut bytes = header().encode(MAGIC);
        bytes[at] = value;
        ClumpHeader::parse(&bytes, MAGIC)
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(ClumpHeader::parse(&header().encode(MAGIC), MAGIC), Ok(header()));
        assert_eq!(header().clump_len(), 138);
    }

    #[test]
    fn tells_the_end_of_the_log_from_another_life() {
        let bytes = header().encode(0);
        assert_eq!(ClumpHeader::parse(&bytes, MAGIC), Err(ClumpError::EndOfLog));
        let bytes = header().encode(7);
        assert_eq!(
            ClumpHeader::parse(&bytes, MAGIC),
            Err(ClumpError::BadMagic { found: 7, expected: MAGIC })
        );
        assert_eq!(ClumpHeader::parse(&bytes[..37], MAGIC), Err(ClumpError::TooShort(37)));
    }

    #[test]
    fn tells_a_clump_marked_corrupt_from_an_illegal_type() {
        assert_eq!(changed(4, 0xff), Err(ClumpError::MarkedCorrupt { stored_len: 100 }));
        assert_eq!(changed(4, 0), Err(ClumpError::IllegalType { number: 0, stored_len: 100 }));
    }

    #[test]
    fn refuses_sizes_that_contradict_the_encoding() {
        for (at, value) in [(29, 1), (29, 0), (29, 3), (6, 200), (6, 201), (6, 0), (7, 0xff)] {
            assert!(matches!(changed(at, value), Err(ClumpError::Inconsistent { .. })), "{at} {value}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(&header().encode(MAGIC), |bytes| {
            if let Ok(header) = ClumpHeader::parse(bytes, MAGIC) {
                assert_eq!(header.encode(MAGIC), bytes[..CLUMP_HEADER_LEN]);
            }
        });
    }
}
