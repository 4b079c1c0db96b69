//! The DOS partition table in a disk's first sector.
//!
//! Knows the four entries at byte 446 and the chain of extended ones. Must not know what a partition holds, nor how
//! sectors are read. Format: fdisk(8) of Plan 9, and every BIOS since 1983.

use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of boot code in front of the table.
pub const BOOT_CODE_LEN: usize = 440;
/// Type of a Plan 9 partition.
pub const PLAN9: u8 = 0x39;
/// Type of the one entry that tells old tools that a GPT rules this disk.
pub const GPT_PROTECTIVE: u8 = 0xee;

const TABLE_AT: usize = 446;
const ENTRIES: usize = 4;
const SIGNATURE_AT: usize = 510;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// "Beyond what cylinders, heads and sectors can say."
const CHS_BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    active: u8,
    chs_first: [u8; 3],
    kind: u8,
    chs_last: [u8; 3],
    first: U32,
    count: U32,
}
const _: () = assert!(size_of::<RawEntry>() == 16);

/// One used entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the table, 0 to 3.
    pub slot: u8,
    /// Whether a DOS boot sector would start it.
    pub active: bool,
    /// The type byte.
    pub kind: u8,
    /// First sector, counted from where this kind of table counts from (see [`Entry::is_extended`]).
    pub first: u32,
    /// Sectors.
    pub count: u32,
}

impl Entry {
    /// Whether this entry holds a further table instead of data. Such a table's first sector is counted from the start
    /// of the *outermost* extended partition, the data it describes from the table itself.
    pub const fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// The used entries of the table in this sector; `None` where there is no table.
///
/// A FAT boot sector has the same signature and code where the table would be. It is told apart by the active bytes,
/// which are 0 or 0x80 in every table.
pub fn parse(sector: &[u8]) -> Option<impl Iterator<Item = Entry> + use<>> {
    if sector.get(SIGNATURE_AT..SIGNATURE_AT + 2)? != SIGNATURE {
        return None;
    }
    let table = sector.get(TABLE_AT..SIGNATURE_AT)?;
    let raw = <[RawEntry; ENTRIES]>::read_from_bytes(table).ok()?;
    if raw.iter().any(|entry| entry.active & 0x7f != 0) {
        return None;
    }
    let entries = raw.into_iter().zip(0_u8..).filter(|(raw, _)| raw.kind != 0 && raw.count.get() != 0);
    Some(entries.map(|(raw, slot)| Entry {
        slot,
        active: raw.active == 0x80,
        kind: raw.kind,
        first: raw.first.get(),
        count: raw.count.get(),
    }))
}

/// The sector that protects a GPT: one entry over the whole disk, and whatever boot code is given.
///
/// The entry is not marked active: a few old BIOSes would like that, and some UEFI firmwares refuse it.
///
/// # Panics
/// If the boot code is longer than [`BOOT_CODE_LEN`].
pub fn protective(disk_sectors: u64, boot_code: &[u8]) -> [u8; 512] {
    assert!(boot_code.len() <= BOOT_CODE_LEN, "boot code must leave room for the table");
    let mut sector = [0; 512];
    sector[..boot_code.len()].copy_from_slice(boot_code);
    let entry = RawEntry {
        active: 0,
        chs_first: [0, 2, 0],
        kind: GPT_PROTECTIVE,
        chs_last: CHS_BEYOND,
        first: U32::new(1),
        count: U32::new(u32::try_from(disk_sectors.saturating_sub(1)).unwrap_or(u32::MAX)),
    };
    sector[TABLE_AT..TABLE_AT + size_of::<RawEntry>()].copy_from_slice(entry.as_bytes());
    sector[SIGNATURE_AT..].copy_from_slice(&SIGNATURE);
    sector
}

/// The same sector for a disk of another size: its protective entry covers that disk. `None` where no entry protects.
pub fn covering(sector: &[u8; 512], disk_sectors: u64) -> Option<[u8; 512]> {
    let slot = parse(sector)?.find(|entry| entry.kind == GPT_PROTECTIVE && entry.first == 1)?.slot;
    let mut changed = *sector;
    let count = u32::try_from(disk_sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let count_at = TABLE_AT + usize::from(slot) * size_of::<RawEntry>() + 12;
    changed.get_mut(count_at..count_at + 4)?.copy_from_slice(&count.to_le_bytes());
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_protective_sector_has_one_entry_over_the_disk() {
        let sector = protective(1000, &[0xeb, 0x3c]);
        let entries: Vec<Entry> = parse(&sector).unwrap().collect();
        assert_eq!(entries, [Entry { slot: 0, active: false, kind: GPT_PROTECTIVE, first: 1, count: 999 }]);
        assert_eq!(sector[..2], [0xeb, 0x3c]);
    }

    #[test]
    fn a_disk_of_more_than_two_tib_is_covered_as_far_as_the_field_reaches() {
        let sector = protective(1 << 40, &[]);
        assert_eq!(parse(&sector).unwrap().next().unwrap().count, u32::MAX);
    }

    #[test]
    fn a_protective_sector_follows_its_disk_and_any_other_is_left_alone() {
        let mut sector = protective(1000, &[0xeb, 0x3c]);
        assert_eq!(covering(&sector, 5000), Some(protective(5000, &[0xeb, 0x3c])));
        sector[TABLE_AT + 4] = PLAN9;
        assert_eq!(covering(&sector, 5000), None);
    }

    #[test]
    fn a_sector_with_code_in_place_of_a_table_is_none() {
        let mut sector = protective(1000, &[]);
        sector[TABLE_AT + 16] = 0x7c;
        assert!(parse(&sector).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(entries) = parse(&bytes) {
                prop_assert!(entries.count() <= ENTRIES);
            }
        }
    }
}
