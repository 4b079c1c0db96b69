//! An arena's last block: its counters, twice, and at the very end its seal.
//!
//! The *indexed* counters say how far the index sections are complete, the *written* ones how far log and directory
//! are. The block has room for the written set only as an extension, present when the two differ; otherwise those
//! bytes must be zero, since the seal is computed without them and old readers trust them.

use super::arena_head::{ArenaVersion, CLUMP_MAGIC_V4};
use super::error::{Fault, FormatError, Structure};
use super::name::{NAME_FIELD_LEN, Name};
use crate::Timestamp;
use crate::score::{SCORE_LEN, Score};
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: u32 = 0xf2a1_4ead;
const IT: Structure = Structure::ArenaTail;

/// Both versions begin so; version 5 goes on with a U32, the clump magic number, then both with [`RawIndexed`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawStart {
    magic: U32,
    version: U32,
    name: [u8; NAME_FIELD_LEN],
    clumps: U32,
    compressed_clumps: U32,
    created_at: U32,
    written_at: U32,
}
const _: () = assert!(size_of::<RawStart>() == 88 && offset_of!(RawStart, created_at) == 80);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIndexed {
    used: U64,
    uncompressed_size: U64,
    sealed: u8,
    extension: u8, // 1 when a RawWritten follows
}
const _: () = assert!(size_of::<RawIndexed>() == 18 && offset_of!(RawIndexed, sealed) == 16);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawWritten {
    clumps: U32,
    compressed_clumps: U32,
    used: U64,
    uncompressed_size: U64,
    sealed: u8,
}
const _: () = assert!(size_of::<RawWritten>() == 25 && offset_of!(RawWritten, used) == 8);

/// What an arena holds, or as much of it as is indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clumps in the log.
    pub clumps: u32,
    /// Those of them that are compressed.
    pub compressed_clumps: u32,
    /// Bytes of log, clump headers included, end mark not.
    pub used: u64,
    /// Sum of the lumps' plain sizes.
    pub uncompressed_size: u64,
    /// No clump will be added.
    pub sealed: bool,
}

/// An arena's tail block, without the seal's score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaTail {
    /// Format of head and tail.
    pub version: ArenaVersion,
    /// The arena's name; must agree with the map's.
    pub name: Name,
    /// What every clump of the arena begins with; [`CLUMP_MAGIC_V4`] in version 4, and there not on the disk.
    pub clump_magic: u32,
    /// Time of the first clump; 0 before there is one.
    pub created_at: Timestamp,
    /// Time of the last clump.
    pub written_at: Timestamp,
    /// Clumps whose entries are in the index sections.
    pub indexed: Counters,
    /// Clumps in log and directory.
    pub written: Counters,
}

impl ArenaTail {
    /// The tail of an arena without clumps.
    pub fn fresh(version: ArenaVersion, name: Name, clump_magic: u32) -> ArenaTail {
        ArenaTail {
            version,
            name,
            clump_magic,
            created_at: Timestamp(0),
            written_at: Timestamp(0),
            indexed: Counters::default(),
            written: Counters::default(),
        }
    }

    /// Reads a tail block. Where the extension lacks a seal that the indexed set has (venti wrote such tails until
    /// 2008), the arena counts as sealed, as in venti.
    pub fn parse(block: &[u8]) -> Result<ArenaTail, FormatError> {
        let (start, rest) = IT.take::<RawStart>(block)?;
        IT.require_magic(start.magic.get(), MAGIC)?;
        let version = start.version.get();
        let version = ArenaVersion::from_disk(version).ok_or(IT.fault(Fault::Version(version)))?;
        let (clump_magic, rest) = match version {
            ArenaVersion::V4 => (CLUMP_MAGIC_V4, rest),
            ArenaVersion::V5 => {
                let (magic, rest) = IT.take::<U32>(rest)?;
                (magic.get(), rest)
            }
        };
        IT.require(clump_magic != 0, "clump magic", clump_magic, "anything but 0, which ends a log")?;
        let (raw, rest) = IT.take::<RawIndexed>(rest)?;
        let indexed = Counters {
            clumps: start.clumps.get(),
            compressed_clumps: start.compressed_clumps.get(),
            used: raw.used.get(),
            uncompressed_size: raw.uncompressed_size.get(),
            sealed: flag("sealed", raw.sealed)?,
        };
        let written = if flag("extension flag", raw.extension)? {
            read_written(rest, indexed.sealed)?
        } else {
            indexed
        };
        Ok(ArenaTail {
            version,
            name: IT.name("name", start.name)?,
            clump_magic,
            created_at: Timestamp(start.created_at.get()),
            written_at: Timestamp(start.written_at.get()),
            indexed,
            written,
        })
    }

    /// Writes the tail into `block`, a whole block of the arena, and zeroes the rest of it up to the seal's score,
    /// which stays as it is.
    pub fn encode_into(&self, block: &mut [u8]) {
        assert!(block.len() >= super::prelude::BLOCK_SIZE_MIN as usize);
        let seal = block.len() - SCORE_LEN;
        block[..seal].fill(0);
        let start = RawStart {
            magic: MAGIC.into(),
            version: self.version.number().into(),
            name: self.name.to_field(),
            clumps: self.indexed.clumps.into(),
            compressed_clumps: self.indexed.compressed_clumps.into(),
            created_at: self.created_at.0.into(),
            written_at: self.written_at.0.into(),
        };
        let extended = self.indexed != self.written;
        let indexed = RawIndexed {
            used: self.indexed.used.into(),
            uncompressed_size: self.indexed.uncompressed_size.into(),
            sealed: self.indexed.sealed.into(),
            extension: extended.into(),
        };
        let mut rest = put(block, start.as_bytes());
        if self.version == ArenaVersion::V5 {
            rest = put(rest, &self.clump_magic.to_be_bytes());
        }
        rest = put(rest, indexed.as_bytes());
        if extended {
            let written = RawWritten {
                clumps: self.written.clumps.into(),
                compressed_clumps: self.written.compressed_clumps.into(),
                used: self.written.used.into(),
                uncompressed_size: self.written.uncompressed_size.into(),
                sealed: self.written.sealed.into(),
            };
            put(rest, written.as_bytes());
        }
    }
}

/// The seal at the end of a tail block: the arena's SHA-1, [`Score::NULL`] before it is summed. `None` for a block
/// too short to have one.
pub fn seal_of(block: &[u8]) -> Option<Score> {
    block.last_chunk().copied().map(Score)
}

/// Puts a seal at the end of a tail block.
pub fn set_seal(block: &mut [u8], score: Score) {
    let end = block.last_chunk_mut();
    assert!(end.is_some(), "a block is longer than a score");
    if let Some(end) = end {
        *end = score.0;
    }
}

fn put<'a>(target: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (front, rest) = target.split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    rest
}

fn read_written(bytes: &[u8], indexed_sealed: bool) -> Result<Counters, FormatError> {
    let (raw, _) = IT.take::<RawWritten>(bytes)?;
    Ok(Counters {
        clumps: raw.clumps.get(),
        compressed_clumps: raw.compressed_clumps.get(),
        used: raw.used.get(),
        uncompressed_size: raw.uncompressed_size.get(),
        sealed: flag("sealed (extension)", raw.sealed)? || indexed_sealed,
    })
}

fn flag(field: &'static str, byte: u8) -> Result<bool, FormatError> {
    IT.require(byte <= 1, field, byte, "0 or 1").map(|()| byte == 1)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use std::vec;

    fn tail(version: ArenaVersion) -> ArenaTail {
        let magic = if version == ArenaVersion::V4 { CLUMP_MAGIC_V4 } else { 0x1234_5678 };
        let mut tail = ArenaTail::fresh(version, Name::new("arenas0").unwrap(), magic);
        tail.indexed =
            Counters { clumps: 3, compressed_clumps: 1, used: 1000, uncompressed_size: 2000, sealed: false };
        tail.written = tail.indexed;
        tail
    }

    #[test]
    fn the_extension_stands_only_where_the_counters_differ() {
        for (version, flag_at) in [(ArenaVersion::V5, 109), (ArenaVersion::V4, 105)] {
            let mut block = vec![0xee; 512];
            let mut it = tail(version);
            it.written.clumps = 4;
            it.encode_into(&mut block);
            assert_eq!(block[flag_at], 1);
            assert_eq!(ArenaTail::parse(&block), Ok(it));

            it.written = it.indexed;
            it.encode_into(&mut block);
            assert!(block[flag_at..492].iter().all(|&byte| byte == 0));
            assert_eq!(ArenaTail::parse(&block), Ok(it));
        }
    }

    #[test]
    fn the_seal_stays_when_the_tail_is_written() {
        let mut block = vec![0; 512];
        let score = Score::of(b"an arena");
        set_seal(&mut block, score);
        tail(ArenaVersion::V5).encode_into(&mut block);
        assert_eq!(seal_of(&block), Some(score));
        assert_eq!(seal_of(&block[..19]), None);
    }

    #[test]
    fn indexed_as_sealed_means_sealed() {
        let mut block = vec![0; 512];
        let mut it = tail(ArenaVersion::V5);
        it.written.clumps = 4;
        it.indexed.sealed = true;
        it.encode_into(&mut block);
        assert!(ArenaTail::parse(&block).unwrap().written.sealed);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut block = vec![0; 512];
        let mut it = tail(ArenaVersion::V5);
        it.written.clumps = 4;
        it.encode_into(&mut block);
        never_panics(&block[..160], |bytes| {
            if let Ok(tail) = ArenaTail::parse(bytes) {
                let mut block = vec![0; 512];
                tail.encode_into(&mut block);
                assert_eq!(ArenaTail::parse(&block), Ok(tail));
            }
        });
    }
}
