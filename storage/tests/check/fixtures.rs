//! The real server's disks, good and damaged, under the check.

use crate::support::{block_type, disk, fixture, parts, score, table};
use std::rc::Rc;
use storage::check::{Grade, Report, check};
use storage::device::ram::RamDisk;
use storage::simulation::block_on;
use storage::store::StoreParts;
use storage::transfer::{self, ArenaReader};

pub fn run(parts: &StoreParts<Rc<RamDisk>>) -> Report {
    block_on(check(parts, &mut ())).unwrap()
}

/// The kinds of what was found, in order.
pub fn kinds(report: &Report, grade: Grade) -> Vec<&'static str> {
    report.of(grade).map(|finding| finding.fault.kind()).collect()
}

#[test]
fn the_filled_store_is_good_and_its_filter_hides_one_block() {
    let report = run(&parts(
        vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")],
        vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")],
        Some(disk("main/bloom.img.gz")),
    ));
    assert!(!report.is_damaged(), "{:?}", report.findings);
    assert_eq!(kinds(&report, Grade::Lag), ["bloom-hidden"]);
    let whole: u32 = report.arenas.iter().map(|arena| arena.whole).sum();
    assert_eq!((whole, report.arenas.len()), (1979, 18));
    assert_eq!(report.arenas.iter().filter(|arena| arena.seal_good).count(), 2);
    let index = report.index.unwrap();
    assert_eq!((index.buckets, index.entries, index.capacity, index.full), (446, 1979, 215, 0));
}

#[test]
fn other_block_sizes_and_version_4_are_good() {
    for kind in ["v4", "b16k", "b512"] {
        let arenas = disk(&format!("small/{kind}/arenas.img.gz"));
        let report = run(&parts(vec![arenas], vec![disk(&format!("small/{kind}/isect.img.gz"))], None));
        assert!(report.findings.is_empty(), "{kind}: {:?}", report.findings);
        assert_eq!(report.arenas.iter().map(|arena| arena.whole).sum::<u32>(), 14);
    }
}

/// What is said of the real server's damaged logs: damage, then lag.
pub const CASES: [(&str, &[&str], &[&str]); 15] = [
    ("base", &[], &[]),
    ("synced-unindexed", &[], &["unindexed"]),
    ("tail-lost", &[], &["unsynced"]),
    ("tail-and-directory-lost", &[], &["unsynced"]),
    ("torn-raw", &[], &["torn-end", "unsynced"]),
    ("torn-compressed", &[], &["torn-end", "unsynced"]),
    ("bad-sum-compressed-mid-log", &[], &["torn-end", "unsynced"]),
    ("bad-sum-raw-mid-log", &[], &["torn-end", "unsynced"]),
    ("garbage-after-log", &[], &["torn-end", "unsynced"]),
    ("hole-mid-log", &[], &["torn-end", "unsynced"]),
    ("directory-ahead-of-log", &[], &["unsynced"]),
    ("directory-entry-zero-inside-tail", &["directory"], &["unindexed"]),
    ("clump-marked-corrupt", &["clump"], &["unindexed"]),
    ("head-lost", &["head"], &["unindexed"]),
    ("tail-zero", &["tail"], &[]),
];

/// The arena partition of a case.
pub fn damaged(name: &str) -> Rc<RamDisk> {
    let arenas = disk("crash/base.arenas.img.gz");
    let cases = table("crash/CASES.tsv");
    let case = cases.iter().find(|case| case[0] == name).unwrap();
    if case[2] != "-" {
        let blocks = fixture(&format!("crash/{name}.blocks.gz"));
        for (offset, block) in case[2].split(' ').zip(blocks.chunks(8192)) {
            arenas.put(offset.parse().unwrap(), block);
        }
    }
    arenas
}

#[test]
fn damage_is_told_from_what_a_start_of_the_server_completes() {
    for (name, damage, lag) in CASES {
        let arenas = damaged(name);
        let before = arenas.image().to_vec();
        let report = run(&parts(vec![arenas.clone()], vec![disk("crash/isect.img.gz")], None));
        assert_eq!(kinds(&report, Grade::Damage), damage, "{name}: {:?}", report.findings);
        assert_eq!(kinds(&report, Grade::Lag), lag, "{name}: {:?}", report.findings);
        assert!(arenas.image().to_vec() == before, "{name}: the check wrote");
    }
}

#[test]
fn an_index_that_overtook_its_log_is_named() {
    let report = run(&parts(
        vec![disk("crash/phantom-index/arenas.img.gz")],
        vec![disk("crash/phantom-index/isect.img.gz")],
        Some(disk("crash/phantom-index/bloom.img.gz")),
    ));
    assert_eq!(kinds(&report, Grade::Damage), ["phantom"], "{:?}", report.findings);
}

#[test]
fn an_arena_is_read_clump_by_clump_past_what_is_damaged() {
    let arenas = disk("main/arenas.img.gz");
    // Data of the third clump, header of the tenth, header and directory record of the twentieth.
    let rows = table("main/MANIFEST.tsv");
    let offset = |number: usize| rows[number][3].parse::<u64>().unwrap();
    let tail = 1_843_200 - 8192;
    arenas.put(802_816 + offset(2) + 38, &[0xff]);
    arenas.put(802_816 + offset(9), &[0; 38]);
    arenas.put(802_816 + offset(19), &[0; 38]);
    arenas.put(tail - 8192 + 19 * 25, &[0; 25]);
    block_on(async {
        let (map, block_size) = transfer::map(&arenas).await.unwrap();
        assert_eq!((map.ranges().len(), block_size), (15, 8192));
        let mut reader = ArenaReader::open(&arenas, map.ranges()[0].start).await.unwrap();
        let mut items = Vec::new();
        while let Some(item) = reader.next().await.unwrap() {
            items.push(item);
        }
        assert_eq!((items.len(), reader.offset()), (958, reader.tail.written.used));
        for (number, (item, row)) in items.iter().zip(&rows).enumerate() {
            assert_eq!(item.offset, offset(number));
            let name = (score(&row[5]), block_type(&row[6]));
            match number {
                2 | 9 => assert!(item.lump.is_err() && item.name == Some(name)),
                19 => assert!(item.lump.is_err() && item.name.is_none()),
                _ => assert_eq!(storage::score::Score::of(item.lump.as_ref().unwrap()), name.0),
            }
        }
    });
}
