//! The disks of a trial: where the partitions of one small store lie on them, and how they look before the first block.
//!
//! Knows shapes. Must not know what goes wrong with the disks, or what is stored.

use crate::device::{BlockDevice, Image};
use crate::format::Name;
use crate::format::arena_head::{ArenaHead, ArenaVersion};
use crate::format::arena_partition::ArenaPartitionHeader;
use crate::format::arena_tail::ArenaTail;
use crate::format::bloom::BloomHeader;
use crate::format::geometry::ArenaGeometry;
use crate::format::index_config::{IndexConfig, place_arenas};
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::PRELUDE_LEN;
use crate::format::range_map::{NamedRange, RangeMap};
use crate::partition::Partition;
use crate::simulation::SeededRng;
use crate::store::{StorePart, StoreParts};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Bytes set aside for maps and texts: less than venti does, for speed.
const TEXT_LEN: u32 = 16 * 1024;
/// Bytes of the bloom filter.
const BLOOM_LEN: u32 = 64 * 1024;
/// Partitions begin on borders of this many bytes: sectors of every size.
const BORDER: u64 = 4096;

/// Sector, block and arena sizes that go together: equal and unequal ones, arenas so small that they fill and seal.
const SHAPES: [(u32, u32, u64); 7] = [
    (512, 8192, 1 << 18),
    (512, 512, 1 << 16),
    (4096, 8192, 1 << 17),
    (4096, 512, 1 << 17),
    (512, 4096, 96 << 10),
    (4096, 4096, 160 << 10),
    (512, 16_384, 1 << 19),
];

/// A partition: its disk and its place there, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) disk: usize,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// An arena: its partition, its place in it, and what its clumps begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArenaPlace {
    pub(super) name: Name,
    pub(super) partition: usize,
    pub(super) geometry: ArenaGeometry,
    pub(super) clump_magic: u32,
    /// Where its log begins in the index's address space.
    pub(super) address: u64,
}

/// All disks of one store.
#[derive(Clone, Debug)]
pub(super) struct Rig {
    pub(super) disks: Vec<Image>,
    pub(super) arena_parts: Vec<Place>,
    pub(super) arenas: Vec<ArenaPlace>,
    pub(super) sections: Vec<(Place, IndexSectionHeader)>,
    pub(super) bloom: Option<(Place, BloomHeader)>,
    /// Bytes that the smallest arena has for log and directory.
    pub(super) arena_room: u64,
    /// Most bytes of log that may stand behind what a tail counts.
    pub(super) unsynced_max: u64,
    /// Bytes in a block of the arenas, and where the first of them begins in its partition.
    pub(super) block_size: u32,
    pub(super) arena_base: u32,
}

/// What is decided before anything has a place.
struct Sizes {
    disk_count: u64,
    block_size: u32,
    arena_len: u64,
    arena_counts: Vec<u64>,
    sections: u64,
    section_block: u32,
    bloom: bool,
}

impl Rig {
    /// Disks of a shape that `rng` decides; `alone`: one disk for everything.
    pub(super) fn new(rng: &SeededRng, alone: bool) -> Rig {
        let (sector, block_size, arena_len) = SHAPES[rng.below(SHAPES.len() as u64) as usize];
        let disk_count = if alone { 1 } else { 1 + rng.below(3) };
        let arena_counts = (0..1 + rng.below(3)).map(|_| 2 + rng.below(3)).collect();
        let sections = rng.below(3);
        let bloom = sections > 0 && rng.chance(2, 3);
        let section_block = if rng.chance(1, 2) { 512 } else { 4096 };
        let sizes = Sizes { disk_count, block_size, arena_len, arena_counts, sections, section_block, bloom };
        let mut rig = Rig::placed(&sizes, rng);
        let lens: Vec<u64> = (0..sizes.disk_count as usize).map(|disk| rig.len_of(disk)).collect();
        // Each disk has its own sectors; the first those of the shape.
        rig.disks = lens
            .iter()
            .enumerate()
            .map(|(number, len)| {
                let size = if number == 0 || rng.chance(2, 3) { sector } else { 512 };
                Image::new(size, len.div_ceil(u64::from(size)).max(1))
            })
            .collect();
        rig.format_arenas();
        rig.format_index(rng);
        rig
    }

    /// Every partition has its place, and nothing is on any disk.
    fn placed(sizes: &Sizes, rng: &SeededRng) -> Rig {
        let mut ends = vec![0; sizes.disk_count as usize];
        let mut place = |name: String, len: u64| {
            let disk = rng.below(sizes.disk_count) as usize;
            let offset = ends[disk];
            ends[disk] = (offset + len).next_multiple_of(BORDER);
            Place { name, disk, offset, len: len.next_multiple_of(BORDER) }
        };
        let base = text_end(sizes.block_size);
        let arena_parts: Vec<Place> = sizes
            .arena_counts
            .iter()
            .enumerate()
            .map(|(number, count)| place(format!("part{number}"), u64::from(base) + count * sizes.arena_len))
            .collect();
        let buckets = 400 + rng.below(400);
        let base = u64::from(text_end(sizes.section_block));
        let section_len = base + buckets * u64::from(sizes.section_block);
        let sections: Vec<Place> =
            (0..sizes.sections).map(|number| place(format!("isect{number}"), section_len)).collect();
        let sections = sections.into_iter().filter_map(|place| {
            let header = section_header(&place, sizes.section_block, rng)?;
            Some((place, header))
        });
        let sections = sections.collect();
        let bloom = BloomHeader::new(32, BLOOM_LEN).ok().filter(|_| sizes.bloom);
        let bloom = bloom.map(|header| (place("bloom".into(), BLOOM_LEN.into()), header));
        let mut arenas = Vec::new();
        for (partition, count) in sizes.arena_counts.iter().enumerate() {
            for number in 0..*count {
                let start = u64::from(text_end(sizes.block_size)) + number * sizes.arena_len;
                let geometry = ArenaGeometry::new(start, start + sizes.arena_len, sizes.block_size);
                let name = Name::new(&format!("arenas{partition}{number}"));
                let (Ok(geometry), Ok(name)) = (geometry, name) else { continue };
                let clump_magic = 0x1000_0000 | rng.below(0x8000_0000) as u32;
                arenas.push(ArenaPlace { name, partition, geometry, clump_magic, address: 0 });
            }
        }
        let arena_room = arenas.iter().map(|arena: &ArenaPlace| arena.geometry.size()).min().unwrap_or(0);
        let (block_size, arena_base) = (sizes.block_size, text_end(sizes.block_size));
        Rig {
            disks: Vec::new(),
            unsynced_max: 0,
            arena_parts,
            arenas,
            sections,
            bloom,
            arena_room,
            block_size,
            arena_base,
        }
    }

    fn len_of(&self, disk: usize) -> u64 {
        let sections = self.sections.iter().map(|(place, _)| place);
        let bloom = self.bloom.iter().map(|(place, _)| place);
        let here = self.arena_parts.iter().chain(sections).chain(bloom).filter(|place| place.disk == disk);
        here.map(|place| place.offset + place.len).max().unwrap_or(BORDER)
    }

    fn put(&mut self, place: &Place, offset: u64, bytes: &[u8]) {
        self.disks[place.disk].put(place.offset + offset, bytes);
    }

    fn format_arenas(&mut self) {
        let (block_size, arena_base) = (self.block_size, self.arena_base);
        let header = ArenaPartitionHeader { block_size, arena_base };
        for (number, place) in self.arena_parts.clone().iter().enumerate() {
            let here: Vec<ArenaPlace> =
                self.arenas.iter().filter(|arena| arena.partition == number).copied().collect();
            let mut ranges = Vec::new();
            for ArenaPlace { name, geometry, clump_magic, .. } in here {
                let version = ArenaVersion::V5;
                let head = ArenaHead { version, name, block_size, arena_len: geometry.len(), clump_magic };
                self.put(place, geometry.start(), &head.encode());
                let mut tail = vec![0; block_size as usize];
                ArenaTail::fresh(version, name, clump_magic).encode_into(&mut tail);
                self.put(place, geometry.tail_offset(), &tail);
                ranges.push(NamedRange { name, start: geometry.start(), stop: geometry.stop() });
            }
            let mut text = String::new();
            if let Ok(map) = RangeMap::new(ranges) {
                map.print(&mut text);
            }
            self.put(place, header.map_base(), text.as_bytes());
            self.put(place, PRELUDE_LEN, &header.encode());
        }
    }

    /// Gives arenas their addresses, and sections and filter their headers.
    fn format_index(&mut self, rng: &SeededRng) {
        let sizes: Vec<(Name, u64)> =
            self.arenas.iter().map(|arena| (arena.name, arena.geometry.size())).collect();
        let Ok(arenas) = place_arenas(&RangeMap::default(), sizes) else { return };
        for (arena, range) in self.arenas.iter_mut().zip(arenas.ranges()) {
            arena.address = range.start;
        }
        let blocks: u64 = self.sections.iter().map(|(_, header)| u64::from(header.blocks)).sum();
        let Ok(index_name) = Name::new("main") else { return };
        if blocks > 0 {
            // As `fmtindex` spreads them: as many buckets as a divisor of the scores yields.
            let divisor = (1u64 << 32).div_ceil(blocks);
            let used = (u64::from(u32::MAX) / divisor + 1) as u32;
            let (mut start, count) = (0, self.sections.len());
            for (number, (_, header)) in self.sections.iter_mut().enumerate() {
                let stop = if number + 1 == count { used } else { start + header.blocks.min(used - start) };
                (header.start, header.stop, header.index_name) = (start, stop, Some(index_name));
                start = stop;
            }
            let ranges = self.sections.iter().map(|(_, header)| NamedRange {
                name: header.name,
                start: header.start.into(),
                stop: header.stop.into(),
            });
            let Ok(sections) = RangeMap::new(ranges.collect()) else { return };
            let block_size = self.sections[0].1.block_size;
            let config = IndexConfig { name: index_name, block_size, sections, arenas };
            for (place, header) in self.sections.clone() {
                let text = config.encode(header.text_len() as usize).unwrap_or_default();
                self.put(&place, header.text_base(), &text);
                self.put(&place, PRELUDE_LEN, &header.encode());
                self.soil_buckets(&place, &header, rng);
            }
        }
        if let Some((place, header)) = self.bloom.clone() {
            self.put(&place, 0, &header.encode());
        }
    }

    /// Buckets that were never written hold whatever stood there before.
    fn soil_buckets(&mut self, place: &Place, header: &IndexSectionHeader, rng: &SeededRng) {
        for bucket in header.start..header.stop {
            if let Some(offset) = header.bucket_offset(bucket).filter(|_| rng.chance(1, 8)) {
                self.put(place, offset, &[0xa5; 64]);
            }
        }
    }

    /// The store's partitions on `devices`, one for each disk.
    pub(super) fn parts<D: BlockDevice>(&self, devices: &[Rc<D>]) -> StoreParts<Partition<Rc<D>>> {
        let part = |place: &Place| {
            let device = devices[place.disk].clone();
            let size = u64::from(device.sector_size());
            let window =
                Partition::new(place.name.as_str(), device.clone(), place.offset / size, place.len / size);
            // Every place lies inside its disk; the whole disk would only confuse the store.
            let device = window.unwrap_or_else(|_| Partition::whole(place.name.as_str(), device));
            StorePart { name: place.name.clone(), device }
        };
        StoreParts {
            arenas: self.arena_parts.iter().map(part).collect(),
            index_sections: self.sections.iter().map(|(place, _)| part(place)).collect(),
            bloom: self.bloom.iter().map(|(place, _)| part(place)).next(),
        }
    }

    /// The arena that has this address, and the offset in its log.
    pub(super) fn arena_of(&self, address: u64) -> Option<(&ArenaPlace, u64)> {
        let arena = self.arenas.iter().rev().find(|arena| arena.address <= address)?;
        Some((arena, address - arena.address))
    }
}

/// Where blocks begin behind a text of [`TEXT_LEN`].
fn text_end(block_size: u32) -> u32 {
    let text = crate::format::prelude::text_base(block_size);
    (text + u64::from(TEXT_LEN)).next_multiple_of(u64::from(block_size)) as u32
}

fn section_header(place: &Place, block_size: u32, rng: &SeededRng) -> Option<IndexSectionHeader> {
    let base = text_end(block_size);
    Some(IndexSectionHeader {
        name: Name::new(&place.name).ok()?,
        index_name: None,
        block_size,
        block_base: base,
        blocks: ((place.len - u64::from(base)) / u64::from(block_size)) as u32,
        start: 0,
        stop: 0,
        bucket_magic: 1 + rng.below(0xffff_0000) as u32,
    })
}
