//! Stores made here against stores that plan9port's formatters made, with the same random numbers.

use super::*;
use crate::device::ram::RamDisk;
use crate::format::arena_head::{ArenaHead, ArenaVersion};
use crate::format::config::CONFIG_OFFSET;
use crate::format::geometry::ArenaGeometry;
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::PRELUDE_LEN;
use crate::format::range_map::RangeMap;
use crate::simulation::block_on;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::string::String;

fn fixture(name: &str) -> Vec<u8> {
    fixture_of("main/fresh", name)
}

fn fixture_of(store: &str, name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/venti").join(store);
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(folder.join(name)).unwrap()).read_to_end(&mut bytes).unwrap();
    // The configuration is not the formatters' work; `venti/conf -w` wrote it later.
    let config = CONFIG_OFFSET as usize..PRELUDE_LEN as usize;
    if name == "arenas.img.gz" {
        bytes[config].fill(0);
    }
    bytes
}

fn blank(len: usize) -> RamDisk {
    RamDisk::new(512, len as u64 / 512)
}

fn assert_same(made: &RamDisk, expected: &[u8], name: &str) {
    let made = made.image().to_vec();
    let differs = made.iter().zip(expected).position(|(a, b)| a != b);
    assert!(made.len() == expected.len() && differs.is_none(), "{name} differs at {differs:?}");
}

/// Makes an arena partition with the magics of the expected one.
fn make_arenas(name: &str, arena_len: u64, expected: &[u8]) -> (RamDisk, RangeMap) {
    let disk = blank(expected.len());
    let options = ArenaOptions { name, arena_len, ..ArenaOptions::default() };
    let mut magics = Vec::new();
    let mut start = 794_624;
    while start < expected.len() {
        match ArenaHead::parse(&expected[start..]) {
            Ok(head) => {
                magics.push(head.clump_magic);
                start += head.arena_len as usize;
            }
            Err(_) => break,
        }
    }
    let mut magics = magics.into_iter();
    let map = block_on(arenas(&disk, options, || magics.next().unwrap(), |_, _| {})).unwrap();
    (disk, map)
}

fn sizes(map: &RangeMap) -> Vec<(crate::format::Name, u64)> {
    let size = |start, stop| ArenaGeometry::new(start, stop, 8192).unwrap().size();
    map.ranges().iter().map(|range| (range.name, size(range.start, range.stop))).collect()
}

#[test]
fn a_store_equals_what_plan9port_makes() {
    let (expected, expected_extra) = (fixture("arenas.img.gz"), fixture("extra.img.gz"));
    let (disk, map) = make_arenas("arenas", 1 << 20, &expected);
    assert_eq!(map.ranges().len(), 15);
    assert_same(&disk, &expected, "arenas.img");
    let (disk, extra) = make_arenas("extra", 2 << 20, &expected_extra);
    assert_same(&disk, &expected_extra, "extra.img");

    let mut sections = Vec::new();
    let mut images = Vec::new();
    for name in ["isect0", "isect1"] {
        let expected = fixture(&std::format!("{name}.img.gz"));
        let magic = IndexSectionHeader::parse(&expected[PRELUDE_LEN as usize..]).unwrap().bucket_magic;
        let disk = std::rc::Rc::new(blank(expected.len()));
        sections.push(block_on(section(disk.clone(), name, 8192, magic)).unwrap());
        images.push((name, disk, expected));
    }
    let arenas = sizes(&map).into_iter().chain(sizes(&extra));
    let config = block_on(index("main", &mut sections, arenas)).unwrap();
    assert_eq!(config.sections.stop(), 446);
    for (name, disk, expected) in images {
        assert_same(&disk, &expected, name);
    }
}

/// Those stores were filled later: what stays as it was made is compared.
#[test]
fn other_block_sizes_and_versions_equal_what_plan9port_makes() {
    for (store, block_size, version) in [
        ("small/v4", 8192, ArenaVersion::V4),
        ("small/b16k", 16384, ArenaVersion::V5),
        ("small/b512", 512, ArenaVersion::V5),
    ] {
        let (expected, expected_section) =
            (fixture_of(store, "arenas.img.gz"), fixture_of(store, "isect.img.gz"));
        let base = crate::format::prelude::block_base(block_size) as usize;
        let disk = blank(expected.len());
        let options = ArenaOptions { arena_len: 1 << 20, block_size, version, ..ArenaOptions::default() };
        let mut at = base;
        let next_magic = || {
            let head = ArenaHead::parse(&expected[at..]).unwrap();
            at += head.arena_len as usize;
            head.clump_magic
        };
        let map = block_on(arenas(&disk, options, next_magic, |_, _| {})).unwrap();
        let made = disk.image().to_vec();
        assert!(made[..base] == expected[..base], "{store}: header and map");
        let size = |start, stop| ArenaGeometry::new(start, stop, block_size).unwrap().size();
        let mut sizes = Vec::new();
        for range in map.ranges() {
            let head = range.start as usize..range.start as usize + block_size as usize;
            assert!(made[head.clone()] == expected[head], "{store}: head of {}", range.name);
            sizes.push((range.name, size(range.start, range.stop)));
        }

        let magic =
            IndexSectionHeader::parse(&expected_section[PRELUDE_LEN as usize..]).unwrap().bucket_magic;
        assert_eq!(magic == 0, version == ArenaVersion::V4);
        let disk = blank(expected_section.len());
        let mut sections = [block_on(section(&disk, "isect", block_size, magic)).unwrap()];
        block_on(index("main", &mut sections, sizes)).unwrap();
        assert!(disk.image().to_vec()[..base] == expected_section[..base], "{store}: section");
    }
}

#[test]
fn sections_of_more_buckets_than_are_used_overflow_nothing() {
    let header =
        IndexSectionHeader::fresh(crate::format::Name::new("isect").unwrap(), 512, 1 << 41, 7).unwrap();
    let mut sections = [(); 3].map(|()| Section { device: (), header });
    super::index::spread(&mut sections);
    let ranges: Vec<(u32, u32)> =
        sections.iter().map(|section| (section.header.start, section.header.stop)).collect();
    assert_eq!((ranges[0].0, ranges[2].1), (0, 42_949_673));
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
}

#[test]
fn a_bloom_filter_equals_what_plan9port_makes() {
    let expected = fixture("bloom.img.gz");
    let disk = blank(expected.len());
    assert_eq!(block_on(bloom_filter(&disk, 512 << 20)), Ok(1 << 20));
    assert_same(&disk, &expected, "bloom.img");
}

#[test]
fn version_4_zeroes_what_could_look_like_clumps() {
    let disk = RamDisk::from_bytes(512, &std::vec![0xd1; 4 << 20]);
    let options = ArenaOptions { version: ArenaVersion::V4, ..ArenaOptions::default() };
    let map = block_on(arenas(&disk, options, || 1, |_, _| {})).unwrap();
    let log = map.ranges()[0].start as usize + 8192..map.ranges()[0].stop as usize - 8192;
    assert!(disk.image().to_vec()[log].iter().all(|byte| *byte == 0));
}

#[test]
fn what_is_too_small_is_refused_and_stays_blank() {
    let disk = blank(1 << 20);
    let refused = block_on(arenas(&disk, ArenaOptions::default(), || 1, |_, _| {}));
    assert!(matches!(refused, Err(MakeError::TooSmall { .. })), "{refused:?}");
    assert!(block_on(section(&disk, "isect", 8192, 7)).is_ok() && !block_on(is_blank(&disk)).unwrap());
    let disk = blank(512 << 10);
    assert!(block_on(bloom_filter(&disk, 1 << 20)).is_err());
    assert!(block_on(is_blank(&disk)).unwrap());
}

#[test]
fn names_that_are_too_long_are_refused() {
    let disk = blank(4 << 20);
    let name: String = core::iter::repeat_n('a', 63).collect();
    let options = ArenaOptions { name: &name, ..ArenaOptions::default() };
    assert!(matches!(block_on(arenas(&disk, options, || 1, |_, _| {})), Err(MakeError::Name(_))));
}
