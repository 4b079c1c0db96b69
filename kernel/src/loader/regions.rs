//! A memory map put in order: sorted by its loader, joined here.
//!
//! Knows what EFI's kinds of memory become once its boot services are gone (UEFI 2.10, section 7.2; ACPI 6.5,
//! table 15.6). Must not know who asks.

use super::MAP_ENTRY_LEN;
use heapless::Vec;

/// Regions of a joined map; a kernel of ours reads no more.
pub const REGIONS_MAX: usize = 256;

/// RAM, as ACPI numbers address ranges.
pub const RAM: u32 = 1;
const RESERVED: u32 = 2;
const ACPI_TABLES: u32 = 3;
const ACPI_NVS: u32 = 4;

/// A stretch of memory of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// ACPI's number for its kind.
    pub kind: u32,
}

impl Region {
    /// As a start_info's map has it.
    pub fn encode(&self) -> [u8; MAP_ENTRY_LEN] {
        super::map_entry(self.start, self.len, self.kind)
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// What an EFI memory type is to a kernel.
pub fn efi_kind(kind: u32) -> u32 {
    match kind {
        // The loader's code and data, the boot services', and what is free.
        1..=4 | 7 => RAM,
        9 => ACPI_TABLES,
        10 => ACPI_NVS,
        _ => RESERVED,
    }
}

/// Joins regions of one kind that touch. They must come sorted by their start. Of a map that is too long even then the
/// rest is left out, which a kernel takes for memory that is not there.
pub fn joined(regions: impl Iterator<Item = Region>) -> Vec<Region, REGIONS_MAX> {
    let mut joined: Vec<Region, REGIONS_MAX> = Vec::new();
    for region in regions.filter(|region| region.len > 0) {
        if let Some(last) = joined.last_mut()
            && last.kind == region.kind
            && last.end() == region.start
        {
            last.len = last.len.saturating_add(region.len);
        } else if joined.push(region).is_err() {
            break;
        }
    }
    joined
}

/// Whether all of this is RAM, in one region.
pub fn is_ram(regions: &[Region], start: u64, len: u64) -> bool {
    let Some(end) = start.checked_add(len) else { return false };
    regions.iter().any(|region| region.kind == RAM && region.start <= start && end <= region.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn efi(start: u64, len: u64, kind: u32) -> Region {
        Region { start, len, kind: efi_kind(kind) }
    }

    #[test]
    fn what_efi_gives_back_becomes_one_region_of_ram() {
        let map = [
            efi(0, 0x1000, 3),
            efi(0x1000, 0x9000, 7),
            efi(0xa000, 0x1000, 10),
            efi(0xb000, 0x1000, 4),
            efi(0xc000, 0, 0),
            efi(0xc000, 0x1000, 2),
            efi(0x10000, 0x1000, 1),
            efi(0x11000, 0x1000, 6),
            efi(0x12000, 0x1000, 9),
        ];
        let joined = joined(map.into_iter());
        let expected = [
            Region { start: 0, len: 0xa000, kind: RAM },
            Region { start: 0xa000, len: 0x1000, kind: ACPI_NVS },
            Region { start: 0xb000, len: 0x2000, kind: RAM },
            Region { start: 0x10000, len: 0x1000, kind: RAM },
            Region { start: 0x11000, len: 0x1000, kind: RESERVED },
            Region { start: 0x12000, len: 0x1000, kind: ACPI_TABLES },
        ];
        assert_eq!(joined.as_slice(), expected);
        assert!(is_ram(&joined, 0x1000, 0x9000));
        assert!(!is_ram(&joined, 0x1000, 0x9001));
        assert!(!is_ram(&joined, 0xd000, 0x4000));
        assert!(!is_ram(&joined, 0x11000, 1));
        assert!(!is_ram(&joined, u64::MAX, 2));
    }

    #[test]
    fn a_map_that_is_too_long_loses_its_end() {
        let holes = (0..REGIONS_MAX as u64 + 10).map(|index| efi(index * 0x2000, 0x1000, 7));
        let joined = joined(holes);
        assert_eq!(joined.len(), REGIONS_MAX);
        assert_eq!(joined[0].start, 0);
    }

    #[test]
    fn a_region_that_ends_beyond_all_addresses_joins_nothing() {
        let joined = joined([efi(u64::MAX - 1, 9, 7), efi(u64::MAX, 9, 7)].into_iter());
        assert!(is_ram(&joined, u64::MAX - 1, 1));
    }
}
