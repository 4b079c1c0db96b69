//! The first sector of a disk that is being laid out, which says so until everything else stands.
//!
//! Knows the sector's bytes. Must not know what is laid out, nor in which order. The sector that replaces it at the end is
//! the one that protects the partition table: one write turns a disk in the making into one that is made.

use super::gpt::Guid;
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a person sees who looks at the sector.
const TITLE: &[u8; 128] =
    b"Granary began to lay out this disk and was interrupted. A node that is started with it finishes; \
    nothing else is on it yet.\n\0\0\0\0";

/// Partitions that such a disk gets.
pub const PARTITIONS: usize = 3;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    title: [u8; 128],
    sectors: U64,
    arena_len: U64,
    disk: [u8; 16],
    partitions: [[u8; 16]; PARTITIONS],
    reserved: [u8; 300],
    sum: U32,
}
const _: () = assert!(size_of::<Raw>() == 512);

/// What was begun. With it everything that is written around the partitions is known byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Sectors of the disk: a copy of the sector on another disk means nothing.
    pub sectors: u64,
    /// Bytes of an arena.
    pub arena_len: u64,
    /// The disk's GUID.
    pub disk: Guid,
    /// Those of its partitions.
    pub partitions: [Guid; PARTITIONS],
}

impl Unfinished {
    /// Reads a disk's first sector; `None` where it says something else.
    pub fn parse(sector: &[u8]) -> Option<Unfinished> {
        let (raw, _) = Raw::read_from_prefix(sector).ok()?;
        let good = raw.title == *TITLE && raw.sum.get() == checksum(&raw);
        good.then(|| Unfinished {
            sectors: raw.sectors.get(),
            arena_len: raw.arena_len.get(),
            disk: Guid(raw.disk),
            partitions: raw.partitions.map(Guid),
        })
    }

    /// The first 512 bytes of the sector.
    pub fn encode(&self) -> [u8; 512] {
        let mut raw = Raw {
            title: *TITLE,
            sectors: self.sectors.into(),
            arena_len: self.arena_len.into(),
            disk: self.disk.0,
            partitions: self.partitions.map(|guid| guid.0),
            reserved: [0; 300],
            sum: U32::new(0),
        };
        raw.sum = checksum(&raw).into();
        zerocopy::transmute!(raw)
    }
}

fn checksum(raw: &Raw) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(&raw.as_bytes()[..508])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_is_read_as_it_was_written_and_no_other_is() {
        let unfinished = Unfinished {
            sectors: 1 << 40,
            arena_len: 512 << 20,
            disk: Guid::PLAN9,
            partitions: [Guid::BIOS_BOOT, Guid::EFI_SYSTEM, Guid::PLAN9],
        };
        let sector = unfinished.encode();
        assert_eq!(Unfinished::parse(&sector), Some(unfinished));
        for at in 0..sector.len() {
            let mut other = sector;
            other[at] ^= 4;
            assert_eq!(Unfinished::parse(&other), None, "byte {at}");
        }
        assert_eq!(Unfinished::parse(&sector[..511]), None);
        assert!(super::super::mbr::parse(&sector).is_none(), "no reader of tables may see one here");
    }
}
