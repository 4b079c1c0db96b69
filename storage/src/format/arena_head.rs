//! An arena's first block. It says again what map and tail say, so that an arena can be found without the map.

use super::error::{Fault, FormatError, Structure};
use super::name::{NAME_FIELD_LEN, Name};
use alloc::vec;
use alloc::vec::Vec;
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: u32 = 0xd15c_4ead;
const IT: Structure = Structure::ArenaHead;

/// The clump magic number of every version 4 arena.
pub const CLUMP_MAGIC_V4: u32 = 0xd15c_b10c;

/// An arena's version, the same in its head and its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArenaVersion {
    /// The older: one clump magic number for all arenas, so formatting has to zero the partition.
    V4,
    /// The present one: every arena has a clump magic number of its own.
    V5,
}

impl ArenaVersion {
    pub(super) fn from_disk(number: u32) -> Option<ArenaVersion> {
        match number {
            4 => Some(ArenaVersion::V4),
            5 => Some(ArenaVersion::V5),
            _ => None,
        }
    }

    /// The number on disk.
    pub fn number(self) -> u32 {
        match self {
            ArenaVersion::V4 => 4,
            ArenaVersion::V5 => 5,
        }
    }
}

/// Both versions begin so; version 5 goes on with a U32, the clump magic number.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHead {
    magic: U32,
    version: U32,
    name: [u8; NAME_FIELD_LEN],
    block_size: U32,
    arena_len: U64,
}
const _: () = assert!(size_of::<RawHead>() == 84 && offset_of!(RawHead, arena_len) == 76);

/// An arena's head block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaHead {
    /// Format of head and tail.
    pub version: ArenaVersion,
    /// The arena's name, unique in its server.
    pub name: Name,
    /// Bytes in a block.
    pub block_size: u32,
    /// Bytes from this block to the end of the tail block.
    pub arena_len: u64,
    /// What every clump of the arena begins with; [`CLUMP_MAGIC_V4`] in version 4, and there not on the disk.
    pub clump_magic: u32,
}

impl ArenaHead {
    /// Reads a head from the front of `block`.
    pub fn parse(block: &[u8]) -> Result<ArenaHead, FormatError> {
        let (raw, rest) = IT.take::<RawHead>(block)?;
        IT.require_magic(raw.magic.get(), MAGIC)?;
        let version = raw.version.get();
        let version = ArenaVersion::from_disk(version).ok_or(IT.fault(Fault::Version(version)))?;
        let clump_magic = match version {
            ArenaVersion::V4 => CLUMP_MAGIC_V4,
            ArenaVersion::V5 => IT.take::<U32>(rest)?.0.get(),
        };
        let block_size = raw.block_size.get();
        IT.require_block_size(block_size)?;
        IT.require(clump_magic != 0, "clump magic", clump_magic, "anything but 0, which ends a log")?;
        let name = IT.name("name", raw.name)?;
        Ok(ArenaHead { version, name, block_size, arena_len: raw.arena_len.get(), clump_magic })
    }

    /// The block as it stands on disk, `block_size` bytes long.
    pub fn encode(&self) -> Vec<u8> {
        let raw = RawHead {
            magic: MAGIC.into(),
            version: self.version.number().into(),
            name: self.name.to_field(),
            block_size: self.block_size.into(),
            arena_len: self.arena_len.into(),
        };
        let mut block = vec![0; self.block_size as usize];
        let (head, rest) = block.split_at_mut(size_of::<RawHead>());
        head.copy_from_slice(raw.as_bytes());
        if self.version == ArenaVersion::V5 {
            rest[..4].copy_from_slice(&self.clump_magic.to_be_bytes());
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use std::string::ToString;

    fn head(version: ArenaVersion, clump_magic: u32) -> ArenaHead {
        let name = Name::new("arenas0").unwrap();
        ArenaHead { version, name, block_size: 512, arena_len: 1 << 20, clump_magic }
    }

    #[test]
    fn reads_what_it_writes_in_both_versions() {
        for head in [head(ArenaVersion::V5, 7), head(ArenaVersion::V4, CLUMP_MAGIC_V4)] {
            assert_eq!(ArenaHead::parse(&head.encode()), Ok(head));
        }
        let v4 = head(ArenaVersion::V4, CLUMP_MAGIC_V4).encode();
        assert!(v4[84..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn says_what_is_wrong() {
        let good = head(ArenaVersion::V5, 7).encode();
        for (at, value, expected) in [
            (0, 0, "arena head: magic number is 0x005c4ead, not 0xd15c4ead"),
            (7, 6, "arena head: version 6 is unknown"),
            (8, 0, "arena head: name: a name has at least one character"),
            (75, 1, "arena head: block size is 513, must be a power of two"),
            (87, 0, "arena head: clump magic is 0, must be anything but 0"),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            let found = ArenaHead::parse(&bad).unwrap_err().to_string();
            assert!(found.starts_with(expected), "{found}");
        }
        assert!(ArenaHead::parse(&good[..87]).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(&head(ArenaVersion::V5, 7).encode(), |bytes| {
            if let Ok(head) = ArenaHead::parse(bytes) {
                assert_eq!(ArenaHead::parse(&head.encode()), Ok(head));
            }
        });
    }
}
