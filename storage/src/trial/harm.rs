//! What goes wrong with disks at rest: bits flip and sectors become unreadable, where it may hurt.
//!
//! Knows which blocks a damaged place may cost. Must not know what the store makes of it.

use super::Finding;
use super::audit::ArenaBytes;
use super::model::Key;
use super::rig::{Place, Rig};
use crate::device::Image;
use crate::device::sim::SimDisk;
use crate::format::Name;
use crate::format::bloom::BLOOM_HEADER_LEN;
use crate::format::bucket::Bucket;
use crate::format::prelude::PRELUDE_LEN;
use crate::simulation::SeededRng;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Damage that was done.
#[derive(Debug, Default)]
pub(super) struct Harm {
    /// Blocks that it may have cost.
    pub(super) keys: Vec<Key>,
    /// It hit something without which a store cannot be understood.
    pub(super) essential: bool,
    /// It hit records of a directory. One that still looks like a record hides its block whenever memory is filled by it,
    /// until a scrub compares it with the clump.
    pub(super) records: bool,
    /// By arena, the first and the last clump whose record was hit. Two rotten lengths may cancel each other out: then what
    /// is between them seems to lie elsewhere.
    hit_records: BTreeMap<Name, (usize, usize)>,
    /// Places damaged.
    pub(super) count: u64,
    /// Where, in words.
    pub(super) places: Vec<String>,
}

/// Where harm is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Log,
    Directory,
    Head,
    Tail,
    Index,
    Bloom,
    Header,
}

/// Damages some places of disks that a clean stop left, and returns them as they are then.
pub(super) fn harm(
    rig: &Rig,
    images: &[Image],
    rng: &SeededRng,
) -> Result<(Vec<Rc<SimDisk>>, Harm), Finding> {
    let disks: Vec<Rc<SimDisk>> =
        images.iter().map(|image| Rc::new(SimDisk::new(image.clone(), rng.next_u64()).prompt())).collect();
    let arenas = rig.read_arenas(images)?;
    let targets = [
        Target::Log,
        Target::Log,
        Target::Log,
        Target::Directory,
        Target::Head,
        Target::Tail,
        Target::Index,
        Target::Bloom,
        Target::Header,
    ];
    // Mostly one kind of place, so that most damage comes alone.
    let target = targets[rng.below(targets.len() as u64) as usize];
    let mut harm = Harm::default();
    for _ in 0..[1, 1, 3, 12][rng.below(4) as usize] {
        let Some((part, range)) = choose(rig, &arenas, target, rng) else { continue };
        // A block smaller than a sector cannot be written where the sector cannot be read: that stops the store.
        let whole = images[part.disk].sector_size() <= rig.block_size;
        let damaged = damage(&disks, part, range, whole, rng);
        harm.count += 1;
        harm.places.push(format!("{target:?} {}+{}..{}", part.name, damaged.start, damaged.end));
        let base = rig.sections.iter().find(|(place, _)| place.name == part.name);
        let base = base.map_or(u64::from(rig.arena_base), |(_, header)| u64::from(header.block_base));
        let base = if target == Target::Bloom { BLOOM_HEADER_LEN as u64 } else { base };
        harm.essential |= damaged.start < base;
        for arena in arenas.iter().filter(|arena| rig.arena_parts[arena.place.partition].name == part.name) {
            arena.add_victims(&damaged, &mut harm);
        }
        rig.add_indexed_victims(images, part, &damaged, &mut harm);
    }
    for arena in &arenas {
        if let Some((first, last)) = harm.hit_records.get(&arena.place.name) {
            harm.keys.extend(arena.clumps[*first..=*last].iter().map(|clump| clump.key));
        }
    }
    Ok((disks, harm))
}

/// A partition, and a range of its bytes to choose from.
fn choose<'a>(
    rig: &'a Rig,
    arenas: &[ArenaBytes],
    target: Target,
    rng: &SeededRng,
) -> Option<(&'a Place, Range<u64>)> {
    let used: Vec<&ArenaBytes> = arenas.iter().filter(|arena| !arena.clumps.is_empty()).collect();
    let arena = used.get(rng.below(used.len() as u64) as usize)?;
    let geometry = arena.place.geometry;
    let clump = &arena.clumps[rng.below(arena.clumps.len() as u64) as usize];
    let part = &rig.arena_parts[arena.place.partition];
    let block = u64::from(geometry.block_size());
    Some(match target {
        // Headers are short; half of the time one of them.
        Target::Log if rng.chance(1, 2) => (part, clump.range.start..clump.range.start + 38),
        Target::Log => (part, clump.range.clone()),
        Target::Directory => (part, clump.record.clone()),
        Target::Head => (part, geometry.start()..geometry.start() + block),
        Target::Tail => (part, geometry.tail_offset()..geometry.tail_offset() + 160),
        Target::Index => {
            let (place, header) = rig.sections.get(rng.below(rig.sections.len() as u64) as usize)?;
            (place, u64::from(header.block_base)..place.len)
        }
        Target::Bloom => {
            let (place, header) = rig.bloom.as_ref()?;
            (place, 0..u64::from(header.size()))
        }
        Target::Header => {
            let sections = rig.sections.iter().map(|(place, _)| place);
            let parts: Vec<&Place> = rig.arena_parts.iter().chain(sections).collect();
            let place = parts.get(rng.below(parts.len() as u64) as usize)?;
            let text = crate::format::prelude::text_base(geometry.block_size());
            let range = if rng.chance(1, 2) { PRELUDE_LEN..PRELUDE_LEN + 160 } else { text..text + 100 };
            (*place, range)
        }
    })
}

/// Flips a bit in the range, or makes one of its sectors unreadable if that may be. Returns the bytes of the partition
/// that it cost.
fn damage(
    disks: &[Rc<SimDisk>],
    part: &Place,
    range: Range<u64>,
    sectors: bool,
    rng: &SeededRng,
) -> Range<u64> {
    let disk = &disks[part.disk];
    let at = range.start + rng.below(range.end - range.start);
    if !sectors || rng.chance(3, 4) {
        disk.flip_bit((part.offset + at) * 8 + rng.below(8));
        return at..at + 1;
    }
    let size = u64::from(disk.live().sector_size());
    let sector = (part.offset + at) / size;
    disk.spoil_sector(sector);
    let start = (sector * size).saturating_sub(part.offset);
    start..((sector + 1) * size).saturating_sub(part.offset)
}

impl Rig {
    /// Adds the blocks of damaged buckets: where memory does not hold the index, nothing else says where they are.
    fn add_indexed_victims(&self, images: &[Image], part: &Place, damaged: &Range<u64>, harm: &mut Harm) {
        let Some((place, header)) = self.sections.iter().find(|(place, _)| place.name == part.name) else {
            return;
        };
        let len = u64::from(header.block_size);
        // With another magic number all buckets look empty; only where many are in use the store can tell.
        let hits_magic = damaged.start < PRELUDE_LEN + 160 && damaged.end > PRELUDE_LEN + 156;
        let buckets = (header.start..header.stop).filter_map(|bucket| header.bucket_offset(bucket));
        let hit = |offset: &u64| *offset < damaged.end && damaged.start < offset + len;
        for offset in buckets.filter(|offset| hits_magic || hit(offset)) {
            let block = self.bytes(images, place, offset..offset + len);
            let bucket = Bucket::parse(&block, header.bucket_magic);
            let entries = bucket.iter().flat_map(|bucket| bucket.iter());
            harm.keys.extend(entries.map(|entry| (entry.score, entry.block_type)));
        }
    }
}

impl ArenaBytes {
    /// Adds what damage to these bytes of the arena's partition may cost.
    fn add_victims(&self, damaged: &Range<u64>, harm: &mut Harm) {
        let hit = |range: &Range<u64>| range.start < damaged.end && damaged.start < range.end;
        let geometry = self.place.geometry;
        let victims = self.clumps.iter().filter(|clump| hit(&clump.range) || hit(&clump.record));
        harm.keys.extend(victims.map(|clump| clump.key));
        for (number, _) in self.clumps.iter().enumerate().filter(|(_, clump)| hit(&clump.record)) {
            harm.records = true;
            let (first, last) = harm.hit_records.entry(self.place.name).or_insert((number, number));
            (*first, *last) = (number.min(*first), number.max(*last));
        }
        // Head and tail say the same; one of them must be left.
        let head = geometry.start()..geometry.log_base();
        let tail = geometry.tail_offset()..geometry.stop();
        // Nothing but its tail says where the log of a full arena ends.
        if self.tail.written.sealed && hit(&tail) {
            harm.keys.extend(self.clumps.iter().map(|clump| clump.key));
        }
        harm.essential |= damaged.end - damaged.start > 1 && hit(&head) && hit(&tail);
    }
}
