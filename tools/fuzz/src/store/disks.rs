//! The disks of a small store: how they are made, and which stretches of them matter.

use super::NOW;
use crate::Input;
use bytes::Bytes;
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::Image;
use storage::device::ram::RamDisk;
use storage::format::Name;
use storage::format::arena_head::{ArenaHead, ArenaVersion};
use storage::format::arena_partition::ArenaPartitionHeader;
use storage::format::arena_tail::ArenaTail;
use storage::format::bloom::BloomHeader;
use storage::format::geometry::ArenaGeometry;
use storage::format::prelude::PRELUDE_LEN;
use storage::format::range_map::{NamedRange, RangeMap};
use storage::make;
use storage::simulation::{SeededRng, block_on};
use storage::store::{Store, StorePart, StoreParts, StoreSettings};

const SECTOR: u32 = 512;
const BLOCK: u32 = 512;
const ARENAS: u64 = 3;
const ARENA_LEN: u64 = 24 << 10;
const BUCKETS: u64 = 48;
const BLOOM_LEN: u32 = 4096;
/// Blocks that the store holds when a run begins.
pub const BLOCKS: u64 = 32;
/// How many of them are in the index where it lags.
const INDEXED: u64 = 20;

/// Images of arena partition, index section and bloom filter, and the stretches that changes go to.
pub struct Disks {
    devices: [Rc<RamDisk>; 3],
    windows: Rc<[Window]>,
}

/// A stretch of a disk.
struct Window {
    device: usize,
    start: u64,
    len: u64,
}

/// A block's type and bytes. Every third one is packed well; the sizes are those of small files and full blocks.
pub fn lump(number: u64) -> (BlockType, Vec<u8>) {
    let rng = SeededRng::new(number);
    let len = if number.is_multiple_of(8) { 3000 } else { 40 + rng.below(500) };
    let mut bytes = vec![0; len as usize];
    rng.fill(&mut bytes);
    if number.is_multiple_of(3) {
        bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 2);
    }
    (BlockType::from_disk(1 + (number % 9) as u8).unwrap_or(BlockType::DATA), bytes)
}

impl Disks {
    /// A store with [`BLOCKS`] blocks, all of them in the index or not.
    pub fn made(indexed: bool) -> Disks {
        let (arenas, geometries) = arenas();
        let section = Rc::new(RamDisk::new(SECTOR, section_len().div_ceil(SECTOR.into())));
        let bloom = Rc::new(RamDisk::new(SECTOR, (BLOOM_LEN / SECTOR).into()));
        let header = BloomHeader::new(8, BLOOM_LEN).expect("the size is good");
        bloom.put(0, &header.encode());
        let disks = Disks { devices: [Rc::new(arenas.into()), section, bloom], windows: Rc::new([]) };
        block_on(disks.fill(&geometries, indexed));
        Disks { windows: windows(&geometries).into(), ..disks }
    }

    async fn fill(&self, geometries: &[(Name, ArenaGeometry)], indexed: bool) {
        let section = make::section(&self.devices[1], "isect0", BLOCK, 0x5ec7_0001).await;
        let mut sections = [section.expect("the section is large enough")];
        let named = geometries.iter().map(|(name, geometry)| (*name, geometry.size()));
        make::index("main", &mut sections, named).await.expect("the text has room");
        let opened = Store::open(self.parts(), StoreSettings::default(), NOW).await;
        let (store, _) = opened.expect("a fresh store opens");
        for number in 0..BLOCKS {
            let (block_type, lump) = lump(number);
            store.write(block_type, Bytes::from(lump), NOW).await.expect("there is room");
            if number == INDEXED && !indexed {
                store.flush_index().await.expect("this disk does not fail");
            }
        }
        let ended = if indexed { store.close().await } else { store.sync().await };
        ended.expect("this disk does not fail");
    }

    /// The same content on disks of its own.
    pub fn copy(&self) -> Disks {
        let devices = self.devices.each_ref().map(|device| Rc::new(RamDisk::from(device.image())));
        Disks { devices, windows: Rc::clone(&self.windows) }
    }

    /// The partitions of the store.
    pub fn parts(&self) -> StoreParts<Rc<RamDisk>> {
        let [arenas, section, bloom] = self
            .devices
            .each_ref()
            .map(|device| StorePart { name: "part".into(), device: Rc::clone(device) });
        StoreParts { arenas: vec![arenas], index_sections: vec![section], bloom: Some(bloom) }
    }

    /// Changes bytes as `input` says: window, place in it, length, bytes. A length of 0 zeroes a sector.
    pub fn change(&self, input: &mut Input<'_>) {
        let window = &self.windows[usize::from(input.byte()) % self.windows.len()];
        let at = u64::from(input.short()) % window.len;
        let len = usize::from(input.byte() % 32);
        let bytes = if len == 0 { &[0; SECTOR as usize][..] } else { input.take(len) };
        let kept = bytes.len().min((window.len - at) as usize);
        self.devices[window.device].put(window.start + at, &bytes[..kept]);
    }
}

/// Text and a few buckets behind the table of an index section.
fn section_len() -> u64 {
    u64::from(ArenaPartitionHeader::fresh(BLOCK).arena_base) + BUCKETS * u64::from(BLOCK)
}

/// An arena partition as `fmtarenas` makes it, but smaller.
fn arenas() -> (Image, Vec<(Name, ArenaGeometry)>) {
    let header = ArenaPartitionHeader::fresh(BLOCK);
    let base = u64::from(header.arena_base);
    let mut image = Image::new(SECTOR, (base + ARENAS * ARENA_LEN).div_ceil(SECTOR.into()));
    image.put(PRELUDE_LEN, &header.encode());
    let (mut ranges, mut geometries) = (Vec::new(), Vec::new());
    for number in 0..ARENAS {
        let name = Name::new(&format!("arenas{number}")).expect("the name is good");
        let (start, clump_magic) = (base + number * ARENA_LEN, 0x5eed_0001 + number as u32);
        let (version, stop) = (ArenaVersion::V5, start + ARENA_LEN);
        let head = ArenaHead { version, name, block_size: BLOCK, arena_len: ARENA_LEN, clump_magic };
        image.put(start, &head.encode());
        let geometry = ArenaGeometry::new(start, stop, BLOCK).expect("the arena is large enough");
        let mut tail = vec![0; BLOCK as usize];
        ArenaTail::fresh(version, name, clump_magic).encode_into(&mut tail);
        image.put(geometry.tail_offset(), &tail);
        ranges.push(NamedRange { name, start, stop });
        geometries.push((name, geometry));
    }
    let mut text = String::new();
    RangeMap::new(ranges).expect("the arenas ascend").print(&mut text);
    image.put(header.map_base(), text.as_bytes());
    (image, geometries)
}

/// Headers, maps, heads, logs, directories, tails, buckets, filter.
fn windows(arenas: &[(Name, ArenaGeometry)]) -> Vec<Window> {
    let header = ArenaPartitionHeader::fresh(BLOCK);
    let mut windows = Vec::new();
    let mut add = |device, start, len| windows.push(Window { device, start, len });
    for (_, arena) in arenas {
        add(0, arena.start(), 128);
        add(0, arena.tail_offset(), u64::from(BLOCK));
        add(0, arena.log_base(), arena.size());
        let blocks = [0, 1].map(|number| arena.directory_block(number));
        blocks.into_iter().flatten().for_each(|block| add(0, block, u64::from(BLOCK)));
    }
    for device in [0, 1] {
        add(device, PRELUDE_LEN, 192);
        add(device, header.map_base(), 192);
    }
    add(1, header.arena_base.into(), BUCKETS * u64::from(BLOCK));
    add(2, 0, 16);
    add(2, 0, BLOOM_LEN.into());
    windows
}
