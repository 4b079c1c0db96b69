//! A sector that cannot be read costs what lies in it, and nothing else.

use crate::support::{NOW, fresh_arenas, lump, parts};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::sim::SimDisk;
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{Store, StoreSettings};

const DATA: BlockType = BlockType::DATA;
const LUMP: usize = 3000;
const CLUMP: u64 = 38 + LUMP as u64;

async fn open(disk: &Rc<SimDisk>) -> Store<Rc<SimDisk>> {
    let settings = StoreSettings { lump_cache_bytes: 0, compress: false, ..StoreSettings::default() };
    Store::open(parts(vec![disk.clone()], Vec::new(), None), settings, NOW).await.unwrap().0
}

/// A disk with so many lumps, and their scores in the order of the log.
async fn filled(arena_len: u64, count: u64) -> (Rc<SimDisk>, Vec<Score>) {
    let disk = Rc::new(SimDisk::new(fresh_arenas(512, 512, arena_len, 4, 1), 1).prompt());
    let store = open(&disk).await;
    let mut scores = Vec::new();
    for number in 0..count {
        scores.push(store.write(DATA, lump(number * 4 + 1, LUMP).into(), NOW).await.unwrap());
    }
    store.sync().await.unwrap();
    (disk, scores)
}

#[test]
fn reading_ahead_over_a_bad_sector_costs_only_the_block_in_it() {
    block_on(async {
        let (disk, scores) = filled(1 << 18, 20).await;
        let store = open(&disk).await;
        let log = store.status().arenas[0].start + 512;
        disk.spoil_sector((log + 7 * CLUMP + 1000) / 512);
        for (number, score) in scores.iter().enumerate() {
            assert_eq!(store.read(*score, DATA).await.is_ok(), number != 7, "{number}");
        }
    });
}

#[test]
fn where_the_log_ends_in_a_bad_sector_another_arena_goes_on() {
    block_on(async {
        let (disk, scores) = filled(1 << 18, 20).await;
        let log = open(&disk).await.status().arenas[0].start + 512;
        disk.spoil_sector((log + 20 * CLUMP - 1) / 512);
        let store = open(&disk).await;
        let more = store.write(DATA, lump(1001, LUMP).into(), NOW).await.unwrap();
        assert_eq!(store.write(DATA, lump(19 * 4 + 1, LUMP).into(), NOW).await, Ok(scores[19]));
        store.close().await.unwrap();
        let store = open(&disk).await;
        for score in scores.iter().chain([&more]) {
            assert!(store.read(*score, DATA).await.is_ok(), "{score}");
        }
    });
}
