//! An arena partition's header; its map of arenas is a [`RangeMap`] of byte offsets. Knows nothing inside an arena.

use super::error::{Fault, FormatError, Structure};
use super::prelude;
use super::range_map::{NamedRange, RangeMap};
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: u32 = 0xa9e4_a5e7;
const VERSION: u32 = 3;
const IT: Structure = Structure::ArenaPartition;

/// At [`prelude::PRELUDE_LEN`]; the rest of the sector is zero.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    version: U32,
    block_size: U32,
    arena_base: U32,
}
const _: () = assert!(size_of::<RawHeader>() == 16 && offset_of!(RawHeader, arena_base) == 12);

/// The header of an arena partition: where its map and its arenas lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaPartitionHeader {
    /// Bytes in a block of every arena here.
    pub block_size: u32,
    /// Offset of the first arena; the map lies before it.
    pub arena_base: u32,
}

impl ArenaPartitionHeader {
    /// The header that `fmtarenas` writes. `block_size` satisfies [`prelude::is_block_size`].
    pub fn fresh(block_size: u32) -> ArenaPartitionHeader {
        assert!(prelude::is_block_size(block_size));
        // At most 256 KiB + 64 KiB + 512 KiB + 64 KiB.
        ArenaPartitionHeader { block_size, arena_base: prelude::block_base(block_size) as u32 }
    }

    /// Reads the sector at [`prelude::PRELUDE_LEN`].
    pub fn parse(sector: &[u8]) -> Result<ArenaPartitionHeader, FormatError> {
        let (raw, _) = IT.take::<RawHeader>(sector)?;
        IT.require_magic(raw.magic.get(), MAGIC)?;
        if raw.version.get() != VERSION {
            return Err(IT.fault(Fault::Version(raw.version.get())));
        }
        let header =
            ArenaPartitionHeader { block_size: raw.block_size.get(), arena_base: raw.arena_base.get() };
        IT.require_block_size(header.block_size)?;
        let base_is_good = u64::from(header.arena_base) > header.map_base()
            && header.arena_base.is_multiple_of(header.block_size);
        IT.require(base_is_good, "arena base", header.arena_base, "a whole block behind the map's start")?;
        Ok(header)
    }

    /// The sector as it stands on disk.
    pub fn encode(&self) -> [u8; prelude::HEADER_LEN as usize] {
        let raw = RawHeader {
            magic: MAGIC.into(),
            version: VERSION.into(),
            block_size: self.block_size.into(),
            arena_base: self.arena_base.into(),
        };
        let mut sector = [0; prelude::HEADER_LEN as usize];
        sector[..size_of::<RawHeader>()].copy_from_slice(raw.as_bytes());
        sector
    }

    /// Offset of the map's text.
    pub fn map_base(&self) -> u64 {
        prelude::text_base(self.block_size)
    }

    /// Bytes that the map's text may take.
    pub fn map_len(&self) -> u64 {
        u64::from(self.arena_base).saturating_sub(self.map_base())
    }

    /// Checks that the arenas of `map` lie behind the map and inside a partition of `partition_len` bytes, in whole
    /// blocks; names the one that does not.
    pub fn check_map(&self, map: &RangeMap, partition_len: u64) -> Result<(), MisplacedArena> {
        let usable = prelude::usable_len(partition_len, self.block_size);
        let block_size = u64::from(self.block_size);
        let good = |range: &NamedRange| {
            range.start >= u64::from(self.arena_base)
                && range.stop <= usable
                && range.start.is_multiple_of(block_size)
                && range.stop.is_multiple_of(block_size)
        };
        match map.ranges().iter().find(|range| !good(range)) {
            None => Ok(()),
            Some(&range) => Err(MisplacedArena { range, arena_base: self.arena_base, usable }),
        }
    }
}

/// An arena that the map puts outside its partition, or not on block borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "arena {} at {}..{} is not whole blocks inside {arena_base}..{usable}: the partition shrank, or its map is damaged",
    range.name, range.start, range.stop
)]
pub struct MisplacedArena {
    /// The arena as the map has it.
    pub range: NamedRange,
    /// Offset of the first arena.
    pub arena_base: u32,
    /// Bytes of the partition that are whole blocks.
    pub usable: u64,
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_fresh_header_reads_back() {
        for block_size in [512, 8192, 65536] {
            let header = ArenaPartitionHeader::fresh(block_size);
            assert_eq!(ArenaPartitionHeader::parse(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let good = ArenaPartitionHeader::fresh(8192).encode();
        for (at, value, expected) in [
            (0, 0, "arena partition header: magic number is 0x00e4a5e7, not 0xa9e4a5e7"),
            (7, 4, "arena partition header: version 4 is unknown"),
            (11, 1, "arena partition header: block size is 8193, must be a power of two"),
            (13, 0, "arena partition header: arena base is 8192, must be a whole block behind"),
        ] {
            let mut bad = good;
            bad[at] = value;
            let found = ArenaPartitionHeader::parse(&bad).unwrap_err().to_string();
            assert!(found.starts_with(expected), "{found}");
        }
        let short = ArenaPartitionHeader::parse(&good[..15]).unwrap_err();
        assert_eq!(short.fault, Fault::TooShort { need: 16, have: 15 });
    }

    #[test]
    fn refuses_a_map_that_leaves_the_partition() {
        let header = ArenaPartitionHeader::fresh(8192);
        let map = RangeMap::parse(b"1\narenas0\t794624\t1843200\n").unwrap();
        assert_eq!(header.check_map(&map, 1_843_200 + 511), Ok(()));
        assert!(header.check_map(&map, 1_843_199).is_err());
        for bad in ["1\na\t794623\t1843200\n", "1\na\t802815\t1843200\n", "1\na\t802816\t1843201\n"] {
            let map = RangeMap::parse(bad.as_bytes()).unwrap();
            assert!(header.check_map(&map, 1 << 30).is_err());
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(&ArenaPartitionHeader::fresh(8192).encode(), |bytes| {
            if let Ok(header) = ArenaPartitionHeader::parse(bytes) {
                assert_eq!(&header.encode()[..16], &bytes[..16]);
            }
        });
    }
}
