//! The real server's disks, clean and damaged, are served; on none does the store do worse than the real server.

use crate::support::{NOW, block_type, disk, fixture, open, parts, score, table};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::size_bytes;
use storage::simulation::block_on;
use storage::store::{Store, StoreSettings};

#[test]
fn every_clump_of_the_filled_store_reads_back_and_nothing_is_written() {
    let arenas = vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")];
    let before = arenas[0].image().to_vec();
    let sections = vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")];
    block_on(async {
        let all = parts(arenas.clone(), sections, Some(disk("main/bloom.img.gz")));
        let (store, report) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
        assert_eq!((report.clumps, report.arenas_count), (1979, 18));
        assert!(report.damage.is_empty() && report.arenas.is_empty(), "{report:?}");
        let rows = table("main/MANIFEST.tsv");
        assert_eq!(rows.len(), 1979);
        for row in rows {
            let lump = store.read(score(&row[5]), block_type(&row[6])).await.unwrap();
            assert_eq!(lump.len(), row[8].parse::<usize>().unwrap());
        }
        let status = store.status();
        assert_eq!(status.arenas[1].address, 1_048_576 + 1_032_192);
    });
    assert_eq!(before.len() as u64, size_bytes(&*arenas[0]));
    assert!(arenas[0].image().to_vec() == before);
}

#[test]
fn a_section_whose_header_is_not_that_of_its_buckets_is_not_asked() {
    block_on(async {
        for flipped in [false, true] {
            let sections = vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")];
            // The magic number of the buckets, in the header behind the first 256 KiB.
            let at = (256 << 10) + 156;
            let magic = sections[1].image().get(at, 1)[0];
            sections[1].put(at, &[magic ^ u8::from(flipped)]);
            let arenas = vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")];
            let little = StoreSettings { index_bytes_max: 4000, ..StoreSettings::default() };
            let opened = Store::open(parts(arenas.clone(), sections.clone(), None), little, NOW).await;
            match opened {
                Ok(_) => assert!(!flipped),
                Err(error) => {
                    assert!(
                        flipped && error.to_string().starts_with("isect1: its header and its buckets"),
                        "{error}"
                    );
                }
            }
            // Memory that holds the whole index does not need it.
            assert!(Store::open(parts(arenas, sections, None), StoreSettings::default(), NOW).await.is_ok());
        }
    });
}

#[test]
fn the_block_that_the_bloom_filter_hides_is_found() {
    block_on(async {
        let (store, _) = open(vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")]).await.unwrap();
        let row = &table("main/BLOOM-BLIND.tsv")[0];
        assert!(store.read(score(&row[0]), block_type(&row[1])).await.is_ok());
    });
}

#[test]
fn a_store_that_was_never_indexed_is_served_whole() {
    let arenas = disk("main/arenas.img.gz");
    for offset in [1_835_008, 2_883_584, 3_932_160] {
        arenas.put(offset, &fixture(&format!("main/unindexed/arenas-tail-at-{offset}.bin")));
    }
    block_on(async {
        let (store, report) = open(vec![arenas, disk("main/extra.img.gz")]).await.unwrap();
        assert_eq!((report.clumps, report.damage.len()), (1979, 0));
        for row in table("main/MANIFEST.tsv") {
            assert!(store.read(score(&row[5]), block_type(&row[6])).await.is_ok());
        }
    });
}

#[test]
fn other_block_sizes_and_version_4_are_served() {
    for kind in ["v4", "b16k", "b512"] {
        let arenas = disk(&format!("small/{kind}/arenas.img.gz"));
        let section = disk(&format!("small/{kind}/isect.img.gz"));
        block_on(async {
            let all = parts(vec![arenas], vec![section], None);
            let (store, report) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
            assert_eq!((report.clumps, report.damage.len()), (14, 0), "{kind}");
            for row in table(&format!("small/{kind}/MANIFEST.tsv")) {
                assert!(store.read(score(&row[3]), block_type(&row[4])).await.is_ok(), "{kind} {row:?}");
            }
        });
    }
}

/// The damaged logs on which our result was thought through: which of the 14 blocks must be readable.
const EXPECTED: [(&str, &str); 15] = [
    ("base", "11111100000000"),
    ("synced-unindexed", "11111111111111"),
    ("tail-lost", "11111111111111"),
    ("tail-and-directory-lost", "11111111111111"),
    ("torn-raw", "11111111111110"),
    ("torn-compressed", "11111111111100"),
    ("bad-sum-compressed-mid-log", "11111111101111"),
    ("bad-sum-raw-mid-log", "11111101111111"),
    ("garbage-after-log", "11111111111111"),
    // The filler takes the bytes in the hole for its lump: they are the lost clump's, whole, so the block is back.
    ("hole-mid-log", "11111111111111"),
    ("directory-ahead-of-log", "11111111111110"),
    ("directory-entry-zero-inside-tail", "11111111111111"),
    ("clump-marked-corrupt", "11111111110111"),
    ("head-lost", "11111111111111"),
    ("tail-zero", "11111111111111"),
];

#[test]
fn damaged_logs_are_opened_and_keep_whatever_is_whole() {
    let real = table("crash/READABLE.tsv");
    for ((name, expected), real) in EXPECTED.iter().zip(real) {
        let arenas = damaged(name);
        assert_eq!(real[0], *name);
        block_on(async {
            let (readable, damage) = readable(&arenas).await;
            assert_eq!(readable, *expected, "{name}");
            for (ours, theirs) in readable.chars().zip(real[2].chars()) {
                assert!(ours >= theirs, "{name}: the real server reads {}", real[2]);
            }
            // What was repaired stays repaired, and what the disk holds can be written again.
            let (again, damage_again) = self::readable(&arenas).await;
            assert_eq!(again, readable, "{name} after a restart");
            assert!(damage_again <= damage, "{name}");
        });
    }
}

/// The arena partition of a case.
fn damaged(name: &str) -> Rc<RamDisk> {
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

/// Which of the 14 blocks read back, and how much damage was reported when the store was opened.
async fn readable(arenas: &Rc<RamDisk>) -> (String, usize) {
    let all = parts(vec![arenas.clone()], vec![disk("crash/isect.img.gz")], None);
    let (store, report) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
    let mut readable = String::new();
    for row in table("crash/BLOCKS.tsv") {
        let good = store.read(score(&row[0]), block_type(&row[1])).await.is_ok();
        readable.push(if good { '1' } else { '0' });
    }
    (readable, report.damage.len())
}

#[test]
fn a_block_that_only_the_index_knows_is_stored_when_it_is_written_again() {
    let arenas = disk("crash/phantom-index/arenas.img.gz");
    let phantom = b"second block, never synced\n".repeat(10);
    block_on(async {
        let section = disk("crash/phantom-index/isect.img.gz");
        let bloom = disk("crash/phantom-index/bloom.img.gz");
        let all = || parts(vec![arenas.clone()], vec![section.clone()], Some(bloom.clone()));
        let (store, _) = Store::open(all(), StoreSettings::default(), NOW).await.unwrap();
        let rows = table("crash/phantom-index/BLOCKS.tsv");
        let (first, second) = (score(&rows[0][1]), score(&rows[1][1]));
        assert!(store.read(first, BlockType::DATA).await.is_ok());
        assert!(store.read(second, BlockType::DATA).await.is_err());
        assert_eq!(store.write(BlockType::DATA, phantom.clone().into(), NOW).await, Ok(second));
        store.sync().await.unwrap();
        let (store, _) = Store::open(all(), StoreSettings::default(), NOW).await.unwrap();
        assert_eq!(store.read(second, BlockType::DATA).await.unwrap(), phantom);
    });
}

#[test]
fn a_clean_stop_leaves_the_same_index_filter_tails_and_seals_as_the_real_server() {
    let arenas = disk("main/arenas.img.gz");
    for offset in [1_835_008, 2_883_584, 3_932_160] {
        arenas.put(offset, &fixture(&format!("main/unindexed/arenas-tail-at-{offset}.bin")));
    }
    let sections = vec![disk("main/fresh/isect0.img.gz"), disk("main/fresh/isect1.img.gz")];
    let bloom = disk("main/fresh/bloom.img.gz");
    for index_flush_bytes in [100_000, 8 << 20] {
        block_on(async {
            let all = vec![arenas.clone(), disk("main/extra.img.gz")];
            let all = parts(all, sections.clone(), Some(bloom.clone()));
            let settings = StoreSettings { index_flush_bytes, ..StoreSettings::default() };
            let (store, _) = Store::open(all, settings, NOW).await.unwrap();
            store.close().await.unwrap();
        });
        for (ours, real) in [
            (&arenas, "main/arenas.img.gz"),
            (&sections[0], "main/isect0.img.gz"),
            (&sections[1], "main/isect1.img.gz"),
            (&bloom, "main/bloom.img.gz"),
        ] {
            let (ours, real_bytes) = (ours.image().to_vec(), fixture(real));
            let first = ours.iter().zip(&real_bytes).position(|(ours, real)| ours != real);
            assert_eq!((first, ours.len()), (None, real_bytes.len()), "{real}");
        }
    }
}

#[test]
fn the_pieces_of_a_status_agree_with_the_whole() {
    block_on(async {
        let sections = vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")];
        let all = parts(vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")], sections, None);
        let (store, _) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
        let (totals, status) = (store.totals(), store.status());
        assert_eq!((totals.arenas, totals.active, totals.sealed, totals.summed), (18, 3, 2, 2));
        assert_eq!((totals.clumps, totals.indexed_clumps, totals.created_at.0), (1979, 1979, 1_795_380_824));
        assert_eq!(totals.used, status.arenas.iter().map(|arena| arena.current.used).sum::<u64>());
        assert_eq!(store.arena(17).unwrap().name, status.arenas[17].name);
        assert!(store.arena(18).is_none());
        let index = store.index_status().unwrap();
        assert_eq!((index.buckets, index.divisor, index.sections[1].start), (446, 9_629_972, 287));
        assert_eq!((index.block_size, index.sections[0].bucket_max), (8192, 215));
    });
}
