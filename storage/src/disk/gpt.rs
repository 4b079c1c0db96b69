//! The GUID partition table.
//!
//! Knows headers, entries and their checksums (UEFI specification, chapter 5). Must not know what a partition holds,
//! nor how sectors are read.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

const SIGNATURE: [u8; 8] = *b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const NAME_UNITS: usize = 36;
/// Entries that every table we make has, as the specification wants at least.
const ENTRY_COUNT: u32 = 128;
/// A table with more entries than this is taken for a damaged one.
const ENTRIES_MAX: u32 = 4096;
/// An entry larger than this likewise.
const ENTRY_LEN_MAX: u32 = 1024;

/// The header of the first table stands here; its last copy in the disk's last sector.
pub const PRIMARY_AT: u64 = 1;

/// A GUID in the order of its bytes on disk (its first three groups are little-endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// An entry with this type is unused.
    pub const NONE: Guid = Guid([0; 16]);
    /// Plan 9: what holds a table of prep(8).
    pub const PLAN9: Guid = Guid::new(0xc918_18f9, 0x8025, 0x47af, *b"\x89\xd2\xf0\x30\xd7\x00\x0c\x2c");
    /// Where a BIOS loader keeps its second stage.
    pub const BIOS_BOOT: Guid = Guid::new(0x2168_6148, 0x6449, 0x6e6f, *b"\x74\x4e\x65\x65\x64\x45\x46\x49");
    /// The FAT partition that UEFI firmware starts programs from.
    pub const EFI_SYSTEM: Guid = Guid::new(0xc12a_7328, 0xf81f, 0x11d2, *b"\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b");

    const fn new(a: u32, b: u16, c: u16, rest: [u8; 8]) -> Guid {
        let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        let [r0, r1, r2, r3, r4, r5, r6, r7] = rest;
        Guid([a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], r0, r1, r2, r3, r4, r5, r6, r7])
    }

    /// A version 4 GUID made of 16 random bytes.
    pub const fn random(mut bytes: [u8; 16]) -> Guid {
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Guid(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, rest @ ..] = self.0;
        write!(f, "{:08X}", u32::from_le_bytes([a0, a1, a2, a3]))?;
        write!(f, "-{:04X}-{:04X}-", u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1]))?;
        for (index, byte) in rest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 2 { "-" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    signature: [u8; 8],
    revision: U32,
    header_len: U32,
    header_sum: U32,
    reserved: U32,
    own_sector: U64,
    other_sector: U64,
    first_usable: U64,
    last_usable: U64,
    disk: [u8; 16],
    entries_at: U64,
    entry_count: U32,
    entry_len: U32,
    entries_sum: U32,
}
const _: () = assert!(size_of::<RawHeader>() == 92);

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    kind: [u8; 16],
    unique: [u8; 16],
    first: U64,
    last: U64,
    attributes: U64,
    name: [U16; NAME_UNITS],
}
const _: () = assert!(size_of::<RawEntry>() == 128);

/// Why a sector or an array of entries is not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    /// No table begins here.
    #[error("no GPT header")]
    NoSignature,
    /// A header with lengths or counts that no tool makes.
    #[error("its header makes no sense")]
    BadHeader,
    /// A header that stands elsewhere than it says.
    #[error("its header belongs to another sector")]
    Misplaced,
    /// The header's checksum is wrong.
    #[error("the checksum of its header is wrong")]
    HeaderSum,
    /// The checksum of the entries is wrong.
    #[error("the checksum of its entries is wrong")]
    EntriesSum,
}

/// A header that passed its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the other copy of the table has its header.
    pub other_sector: u64,
    /// First sector a partition may use.
    pub first_usable: u64,
    /// Last sector a partition may use.
    pub last_usable: u64,
    /// The disk's own GUID.
    pub disk: Guid,
    /// First sector of the array of entries.
    pub entries_at: u64,
    entry_count: u32,
    entry_len: u32,
    entries_sum: u32,
}

impl Header {
    /// Reads the header in this sector, which was read from `own_sector`.
    pub fn parse(sector: &[u8], own_sector: u64) -> Result<Header, GptError> {
        let (raw, _) = RawHeader::read_from_prefix(sector).map_err(|_| GptError::NoSignature)?;
        if raw.signature != SIGNATURE {
            return Err(GptError::NoSignature);
        }
        let header_len = usize::try_from(raw.header_len.get()).map_err(|_| GptError::BadHeader)?;
        let (entry_count, entry_len) = (raw.entry_count.get(), raw.entry_len.get());
        let plausible = header_len >= size_of::<RawHeader>()
            && (size_of::<RawEntry>() as u32..=ENTRY_LEN_MAX).contains(&entry_len)
            && entry_len.is_multiple_of(8)
            && entry_count <= ENTRIES_MAX;
        let Some(summed) = sector.get(..header_len).filter(|_| plausible) else {
            return Err(GptError::BadHeader);
        };
        let mut summed = summed.to_vec();
        summed[16..20].fill(0);
        if checksum(&summed) != raw.header_sum.get() {
            return Err(GptError::HeaderSum);
        }
        if raw.own_sector.get() != own_sector {
            return Err(GptError::Misplaced);
        }
        Ok(Header {
            other_sector: raw.other_sector.get(),
            first_usable: raw.first_usable.get(),
            last_usable: raw.last_usable.get(),
            disk: Guid(raw.disk),
            entries_at: raw.entries_at.get(),
            entry_count,
            entry_len,
            entries_sum: raw.entries_sum.get(),
        })
    }

    /// Bytes of the array of entries; at most 4 MiB.
    pub const fn entries_len(&self) -> u32 {
        self.entry_count * self.entry_len
    }

    /// Reads the array of entries: the used ones, in the order of the array. `bytes` may run on behind the array.
    pub fn entries(&self, bytes: &[u8]) -> Result<Vec<Entry>, GptError> {
        let array = bytes.get(..self.entries_len() as usize).ok_or(GptError::EntriesSum)?;
        if checksum(array) != self.entries_sum {
            return Err(GptError::EntriesSum);
        }
        let raw = array.chunks_exact(self.entry_len as usize).filter_map(|one| {
            let (raw, _) = RawEntry::read_from_prefix(one).ok()?;
            (raw.kind != Guid::NONE.0).then_some(raw)
        });
        Ok(raw.map(Entry::from_raw).collect())
    }
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the partition is for.
    pub kind: Guid,
    /// The partition's own name, never used twice.
    pub unique: Guid,
    /// First sector.
    pub first: u64,
    /// Last sector, inclusive.
    pub last: u64,
    /// A label for people: at most 36 units of UTF-16.
    pub label: String,
}

impl Entry {
    fn from_raw(raw: RawEntry) -> Entry {
        let units = raw.name.iter().map(|unit| unit.get()).take_while(|unit| *unit != 0);
        Entry {
            kind: Guid(raw.kind),
            unique: Guid(raw.unique),
            first: raw.first.get(),
            last: raw.last.get(),
            label: char::decode_utf16(units)
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect(),
        }
    }

    fn to_raw(&self) -> RawEntry {
        let mut raw = RawEntry::new_zeroed();
        raw.kind = self.kind.0;
        raw.unique = self.unique.0;
        raw.first = U64::new(self.first);
        raw.last = U64::new(self.last);
        for (unit, value) in raw.name.iter_mut().zip(self.label.encode_utf16()) {
            *unit = U16::new(value);
        }
        raw
    }
}

/// The two copies of a table as they stand on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Header and entries, for the sectors from [`PRIMARY_AT`] on.
    pub primary: Vec<u8>,
    /// Entries and header, for the disk's last sectors.
    pub backup: Vec<u8>,
}

/// Sectors that a table takes at each end of a disk, the protective sector in front not counted.
pub const fn table_sectors(sector_size: u32) -> u64 {
    1 + (ENTRY_COUNT * size_of::<RawEntry>() as u32).div_ceil(sector_size) as u64
}

/// Makes both copies of a table for a disk of this many sectors.
///
/// # Panics
/// If there are more than 128 entries, or the disk has no room for two tables.
pub fn encode(disk: Guid, disk_sectors: u64, sector_size: u32, entries: &[Entry]) -> Encoded {
    assert!(entries.len() <= ENTRY_COUNT as usize, "a table has 128 entries");
    assert!(disk_sectors > 2 * table_sectors(sector_size) + 1, "a disk must hold two tables");
    let entry_sectors = table_sectors(sector_size) - 1;
    let mut array = vec![0; entry_sectors as usize * sector_size as usize];
    for (place, entry) in array.chunks_exact_mut(size_of::<RawEntry>()).zip(entries) {
        place.copy_from_slice(entry.to_raw().as_bytes());
    }
    let last = disk_sectors - 1;
    let header = |own_sector, other_sector, entries_at| {
        let mut raw = RawHeader {
            signature: SIGNATURE,
            revision: U32::new(REVISION),
            header_len: U32::new(size_of::<RawHeader>() as u32),
            header_sum: U32::new(0),
            reserved: U32::new(0),
            own_sector: U64::new(own_sector),
            other_sector: U64::new(other_sector),
            first_usable: U64::new(PRIMARY_AT + 1 + entry_sectors),
            last_usable: U64::new(last - 1 - entry_sectors),
            disk: disk.0,
            entries_at: U64::new(entries_at),
            entry_count: U32::new(ENTRY_COUNT),
            entry_len: U32::new(size_of::<RawEntry>() as u32),
            entries_sum: U32::new(checksum(&array)),
        };
        raw.header_sum = U32::new(checksum(raw.as_bytes()));
        let mut sector = vec![0; sector_size as usize];
        sector[..size_of::<RawHeader>()].copy_from_slice(raw.as_bytes());
        sector
    };
    let primary = [header(PRIMARY_AT, last, PRIMARY_AT + 1), array.clone()].concat();
    let backup = [array.clone(), header(last, PRIMARY_AT, last - entry_sectors)].concat();
    Encoded { primary, backup }
}

/// Both copies of the table of `header` and `entries`, as a disk of `disk_sectors` sectors wants them. `header` is the
/// sector at [`PRIMARY_AT`], whole; `entries` may run on behind the array. Nothing but the places and sums changes.
///
/// # Errors
/// If this is no table in its usual place, or the disk ends before the last of its partitions does.
pub fn moved(header: &[u8], entries: &[u8], disk_sectors: u64) -> Result<Encoded, GptError> {
    let parsed = Header::parse(header, PRIMARY_AT)?;
    let sector_size = header.len();
    let mut array = entries.get(..parsed.entries_len() as usize).ok_or(GptError::EntriesSum)?.to_vec();
    array.resize(array.len().next_multiple_of(sector_size), 0);
    let last = disk_sectors.checked_sub(1).ok_or(GptError::BadHeader)?;
    let backup_at = last.checked_sub((array.len() / sector_size) as u64).ok_or(GptError::BadHeader)?;
    let fits = |entry: &Entry| entry.last < backup_at;
    let usual = parsed.entries_at == PRIMARY_AT + 1 && parsed.first_usable < backup_at;
    if !usual || !parsed.entries(entries)?.iter().all(fits) {
        return Err(GptError::BadHeader);
    }
    let copy = |own_sector, other_sector, entries_at| -> Result<Vec<u8>, GptError> {
        let mut sector = header.to_vec();
        let (raw, _) = RawHeader::mut_from_prefix(&mut sector).map_err(|_| GptError::NoSignature)?;
        raw.own_sector = U64::new(own_sector);
        raw.other_sector = U64::new(other_sector);
        raw.last_usable = U64::new(backup_at - 1);
        raw.entries_at = U64::new(entries_at);
        raw.header_sum = U32::new(0);
        let header_len = raw.header_len.get() as usize;
        let sum = checksum(sector.get(..header_len).ok_or(GptError::BadHeader)?);
        sector[16..20].copy_from_slice(&sum.to_le_bytes());
        Ok(sector)
    };
    let primary = [copy(PRIMARY_AT, last, PRIMARY_AT + 1)?, array.clone()].concat();
    let backup = [array, copy(last, PRIMARY_AT, backup_at)?].concat();
    Ok(Encoded { primary, backup })
}

fn checksum(bytes: &[u8]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

#[cfg(test)]
#[path = "gpt_tests.rs"]
mod tests;
