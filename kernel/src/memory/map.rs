//! The loader's memory map, made orderly.
//!
//! Knows that maps come unsorted and overlapping, and what we keep clear of. Must not know frames.

use crate::boot_info::{MemoryKind, MemoryRegion, REGIONS_MAX};
use heapless::Vec;

/// Disjoint ascending ranges `(start, end)` of whole pages.
pub type Ranges = Vec<(u64, u64), REGIONS_MAX>;

const PAGE: u64 = 4096;

/// RAM from `floor` on: what the map calls usable, minus what some other entry of the map claims.
pub fn usable_ranges(memory: &[MemoryRegion], floor: u64) -> Ranges {
    let mut ranges = Ranges::new();
    for region in memory.iter().filter(|region| region.kind == MemoryKind::Usable) {
        let start = region.start.max(floor).checked_next_multiple_of(PAGE);
        let end = region.end & !(PAGE - 1);
        if let Some(start) = start.filter(|&start| start < end) {
            // A map with more pieces than we can hold loses memory, not safety.
            let _ = ranges.push((start, end));
        }
    }
    ranges.sort_unstable();
    merge(&mut ranges);
    for region in memory.iter().filter(|region| region.kind != MemoryKind::Usable) {
        let end = region.end.checked_next_multiple_of(PAGE).unwrap_or(!(PAGE - 1));
        subtract(&mut ranges, region.start & !(PAGE - 1), end);
    }
    ranges
}

/// RAM that we may hand out: as [`usable_ranges`], on both sides of the image. A quarter of a 64 MiB machine lies
/// before it.
pub fn free_ranges(memory: &[MemoryRegion], floor: u64, image: (u64, u64)) -> Ranges {
    let mut ranges = usable_ranges(memory, floor);
    subtract(&mut ranges, image.0 & !(PAGE - 1), image.1.next_multiple_of(PAGE));
    ranges
}

/// Takes `range` out of them, if all of it is in one of them.
pub fn take(ranges: &mut Ranges, (from, to): (u64, u64)) -> bool {
    let is_there = ranges.iter().any(|&(start, end)| start <= from && to <= end);
    if is_there {
        subtract(ranges, from, to);
    }
    is_there
}

/// Whether `start..start + len` touches one of `ranges`.
pub fn overlaps(ranges: &Ranges, start: u64, len: u64) -> bool {
    ranges.iter().any(|&(from, to)| start < to && from < start.saturating_add(len))
}

fn merge(ranges: &mut Ranges) {
    let mut merged = Ranges::new();
    for &(start, end) in ranges.iter() {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = (*last).max(end),
            _ => {
                let _ = merged.push((start, end));
            }
        }
    }
    *ranges = merged;
}

fn subtract(ranges: &mut Ranges, from: u64, to: u64) {
    let mut rest = Ranges::new();
    for &(start, end) in ranges.iter() {
        for (start, end) in [(start, end.min(from)), (start.max(to), end)] {
            if start < end {
                let _ = rest.push((start, end));
            }
        }
    }
    *ranges = rest;
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemoryKind::{Reserved, Usable};

    const MIB: u64 = 1 << 20;

    fn region(start: u64, end: u64, kind: MemoryKind) -> MemoryRegion {
        MemoryRegion { start, end, kind }
    }

    #[test]
    fn only_whole_pages_outside_of_the_image_are_used() {
        let map = [
            region(4096 * MIB, 5120 * MIB + 5, Usable),
            region(0, 0x9fc00, Usable),
            region(MIB, 127 * MIB + 7, Usable),
        ];
        let ranges = free_ranges(&map, MIB, (16 * MIB, 18 * MIB + 1));
        let expected = [(MIB, 16 * MIB), (18 * MIB + PAGE, 127 * MIB), (4096 * MIB, 5120 * MIB)];
        assert_eq!(ranges.as_slice(), expected);
        assert_eq!(usable_ranges(&map, 18 * MIB + 1)[0], (18 * MIB + PAGE, 127 * MIB));
    }

    #[test]
    fn a_range_is_taken_as_a_whole_or_not_at_all() {
        let mut ranges = usable_ranges(&[region(16 * MIB, 64 * MIB, Usable)], 0);
        assert!(!take(&mut ranges, (15 * MIB, 17 * MIB)) && !take(&mut ranges, (63 * MIB, 65 * MIB)));
        assert!(take(&mut ranges, (31 * MIB, 32 * MIB)));
        assert_eq!(ranges.as_slice(), [(16 * MIB, 31 * MIB), (32 * MIB, 64 * MIB)]);
        assert!(!take(&mut ranges, (31 * MIB, 32 * MIB)));
    }

    #[test]
    fn overlaps_go_to_the_reserved_side() {
        let map = [
            region(16 * MIB, 64 * MIB, Usable),
            region(60 * MIB, 80 * MIB, Usable),
            region(30 * MIB + 1, 31 * MIB - 1, Reserved),
            region(79 * MIB, u64::MAX, Reserved),
        ];
        let ranges = usable_ranges(&map, 0);
        assert_eq!(ranges.as_slice(), [(16 * MIB, 30 * MIB), (31 * MIB, 79 * MIB)]);
        assert!(overlaps(&ranges, 29 * MIB, 2 * MIB));
        assert!(!overlaps(&ranges, 30 * MIB, MIB));
        assert!(!overlaps(&ranges, u64::MAX - 5, 100));
    }
}
