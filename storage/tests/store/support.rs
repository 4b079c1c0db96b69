//! What the tests of the store share: fixture images, fresh disks, and stores on them.

use flate2::read::GzDecoder;
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::device::{BlockDevice, Image, ram::RamDisk};
use storage::format::Name;
use storage::format::arena_head::{ArenaHead, ArenaVersion};
use storage::format::arena_partition::ArenaPartitionHeader;
use storage::format::arena_tail::ArenaTail;
use storage::format::prelude::PRELUDE_LEN;
use storage::format::range_map::{NamedRange, RangeMap};
use storage::recovery::OpenReport;
use storage::score::Score;
use storage::store::{OpenError, Store, StorePart, StoreParts, StoreSettings};

/// The time that tests write.
pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// A fixture file, unpacked if its name ends in `.gz`.
pub fn fixture(path: &str) -> Vec<u8> {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/venti").join(path);
    let bytes = std::fs::read(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()));
    if !path.ends_with(".gz") {
        return bytes;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
    unpacked
}

/// A fixture image as a disk of 512-byte sectors.
pub fn disk(path: &str) -> Rc<RamDisk> {
    Rc::new(RamDisk::from_bytes(512, &fixture(path)))
}

/// The rows of a fixture table, without its first line.
pub fn table(path: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(fixture(path)).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(String::from).collect()).collect()
}

/// A score in a fixture table.
pub fn score(text: &str) -> Score {
    text.parse().unwrap()
}

/// A type in a fixture table, by venti's own number.
pub fn block_type(text: &str) -> BlockType {
    BlockType::from_decoded(text.parse().unwrap()).unwrap()
}

/// The partitions of a store, named as in its configuration.
pub fn parts<D>(arenas: Vec<D>, index_sections: Vec<D>, bloom: Option<D>) -> StoreParts<D> {
    let name = |kind: &str, devices: Vec<D>| {
        let named = devices.into_iter().enumerate();
        named.map(|(number, device)| StorePart { name: format!("{kind}{number}"), device }).collect()
    };
    let bloom = bloom.map(|device| StorePart { name: "bloom".into(), device });
    StoreParts { arenas: name("arenas", arenas), index_sections: name("isect", index_sections), bloom }
}

/// Opens a store on arena partitions alone.
pub async fn open<D: BlockDevice + 'static>(arenas: Vec<D>) -> Result<(Store<D>, OpenReport), OpenError> {
    Store::open(parts(arenas, Vec::new(), None), StoreSettings::default(), NOW).await
}

/// A fresh arena partition as `fmtarenas` makes it: `count` arenas of `arena_len` bytes. The clump magic numbers
/// follow from `seed`.
pub fn fresh_arenas(sector: u32, block_size: u32, arena_len: u64, count: u64, seed: u32) -> Image {
    let header = ArenaPartitionHeader::fresh(block_size);
    let base = u64::from(header.arena_base);
    let len = base + arena_len * count;
    let mut image = Image::new(sector, len.div_ceil(u64::from(sector)));
    image.put(PRELUDE_LEN, &header.encode());
    let mut ranges = Vec::new();
    for number in 0..count {
        let name = Name::new(&format!("arenas{number}")).unwrap();
        let start = base + number * arena_len;
        let (version, clump_magic) = (ArenaVersion::V5, 0x5eed_0000 + seed * 100 + number as u32);
        image.put(start, &ArenaHead { version, name, block_size, arena_len, clump_magic }.encode());
        let mut tail = vec![0; block_size as usize];
        ArenaTail::fresh(version, name, clump_magic).encode_into(&mut tail);
        image.put(start + arena_len - u64::from(block_size), &tail);
        ranges.push(NamedRange { name, start, stop: start + arena_len });
    }
    let mut text = String::new();
    RangeMap::new(ranges).unwrap().print(&mut text);
    image.put(header.map_base(), text.as_bytes());
    image
}

/// Bytes that depend on `number` alone; every fourth lump compresses well.
pub fn lump(number: u64, len: usize) -> Vec<u8> {
    let rng = storage::simulation::SeededRng::new(number);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    if number.is_multiple_of(4) {
        bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 3);
    }
    bytes
}
