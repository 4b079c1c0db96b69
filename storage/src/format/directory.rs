//! One record of an arena's directory: what the log says of a clump, in 25 bytes, without its place.
//!
//! Places are sums of sizes; where the records themselves lie is [`super::geometry`]'s business.

use super::clump::{CLUMP_HEADER_LEN, ClumpHeader, LUMP_LEN_MAX};
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a record.
pub const RECORD_LEN: usize = size_of::<RawRecord>();

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    block_type: u8,
    stored_len: U16,
    lump_len: U16,
    score: [u8; SCORE_LEN],
}
const _: () = assert!(size_of::<RawRecord>() == 25 && offset_of!(RawRecord, score) == 5);

/// What the directory says of one clump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryRecord {
    /// The lump's type.
    pub block_type: BlockType,
    /// Bytes that follow the clump's header.
    pub stored_len: u16,
    /// Bytes of the lump; more than `stored_len` when the clump is compressed.
    pub lump_len: u16,
    /// SHA-1 of the lump.
    pub score: Score,
}

/// Why 25 bytes are no record of a good clump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than a record has.
    #[error("directory record needs {RECORD_LEN} bytes, has {0}")]
    TooShort(usize),
    /// All zero: no record was ever written here.
    #[error("directory record was never written")]
    Unwritten,
    /// Of a type that no block has (0xff: a clump marked corrupt), or of impossible sizes.
    #[error("directory record has illegal type {block_type} or sizes {stored_len} and {lump_len}")]
    Illegal {
        /// The type's number.
        block_type: u8,
        /// Bytes that follow the clump's header, as far as that can be believed.
        stored_len: u16,
        /// Bytes that the lump was to have.
        lump_len: u16,
    },
}

impl DirectoryRecord {
    /// Reads the record at the front of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<DirectoryRecord, RecordError> {
        let (raw, _) = RawRecord::ref_from_prefix(bytes).map_err(|_| RecordError::TooShort(bytes.len()))?;
        if raw.as_bytes() == [0; RECORD_LEN] {
            return Err(RecordError::Unwritten);
        }
        let (stored_len, lump_len) = (raw.stored_len.get(), raw.lump_len.get());
        let possible = stored_len > 0 && stored_len <= lump_len && usize::from(lump_len) <= LUMP_LEN_MAX;
        match BlockType::from_disk(raw.block_type).filter(|_| possible) {
            Some(block_type) => {
                Ok(DirectoryRecord { block_type, stored_len, lump_len, score: Score(raw.score) })
            }
            None => Err(RecordError::Illegal { block_type: raw.block_type, stored_len, lump_len }),
        }
    }

    /// The record as it stands on disk.
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        zerocopy::transmute!(RawRecord {
            block_type: self.block_type.to_disk(),
            stored_len: self.stored_len.into(),
            lump_len: self.lump_len.into(),
            score: self.score.0,
        })
    }

    /// Bytes of the whole clump, header included.
    pub fn clump_len(&self) -> usize {
        CLUMP_HEADER_LEN + usize::from(self.stored_len)
    }

    /// Whether the clump is compressed.
    pub fn is_compressed(&self) -> bool {
        self.stored_len < self.lump_len
    }
}

impl From<&ClumpHeader> for DirectoryRecord {
    fn from(header: &ClumpHeader) -> DirectoryRecord {
        DirectoryRecord {
            block_type: header.block_type,
            stored_len: header.stored_len,
            lump_len: header.lump_len,
            score: header.score,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;

    fn record() -> DirectoryRecord {
        DirectoryRecord {
            block_type: BlockType::ROOT,
            stored_len: 63,
            lump_len: 300,
            score: Score::of(b"root"),
        }
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(DirectoryRecord::parse(&record().encode()), Ok(record()));
    }

    #[test]
    fn tells_an_unwritten_record_from_an_illegal_one() {
        assert_eq!(DirectoryRecord::parse(&[0; 25]), Err(RecordError::Unwritten));
        assert_eq!(DirectoryRecord::parse(&[0; 24]), Err(RecordError::TooShort(24)));
        let mut bytes = record().encode();
        bytes[0] = 0xff;
        let expected = RecordError::Illegal { block_type: 0xff, stored_len: 63, lump_len: 300 };
        assert_eq!(DirectoryRecord::parse(&bytes), Err(expected));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(&record().encode(), |bytes| {
            if let Ok(record) = DirectoryRecord::parse(bytes) {
                assert_eq!(record.encode(), bytes[..RECORD_LEN]);
            }
        });
    }
}
