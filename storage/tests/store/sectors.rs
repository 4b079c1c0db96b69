//! Where a store meets the sizes of things: sectors that cannot be read or are larger than blocks, arenas that end where
//! nobody expects it, memory that is full. Each costs what it must, and nothing else.

use crate::support::{NOW, fresh_arenas, lump, parts};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::sim::SimDisk;
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{DamageCause, Store, StoreError, StoreSettings};

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

#[test]
fn nothing_is_written_over_what_cannot_be_read_now() {
    block_on(async {
        for unreadable in [0, 7, 19] {
            let (disk, scores) = filled(1 << 18, 20).await;
            let start = open(&disk).await.status().arenas[0].start;
            let mut image = disk.live();
            image.put(start + (1 << 18) - 512, &[0; 512]);
            let bad = Rc::new(SimDisk::new(image, 1).prompt());
            let sector = (start + 512 + unreadable * CLUMP + 1000) / 512;
            bad.spoil_sector(sector);
            let store = open(&bad).await;
            for (number, score) in
                scores.iter().enumerate().filter(|(number, _)| *number as u64 != unreadable)
            {
                assert!(store.read(*score, DATA).await.is_ok(), "{number} beside {unreadable}");
            }
            for number in 0..9 {
                store.write(DATA, lump(5001 + number * 4, LUMP).into(), NOW).await.unwrap();
            }
            store.close().await.unwrap();
            drop(store);
            // The next time the disk can read it again.
            let store = open(&Rc::new(SimDisk::new(bad.live(), 1).prompt())).await;
            for score in &scores {
                assert!(store.read(*score, DATA).await.is_ok(), "{unreadable}: {score}");
            }
        }
    });
}

#[test]
fn an_arena_that_could_not_be_read_to_its_end_is_not_sealed_when_the_log_moves_on() {
    block_on(async {
        let (disk, _) = filled(1 << 18, 75).await;
        let log = open(&disk).await.status().arenas[0].start + 512;
        disk.spoil_sector((log + 75 * CLUMP - 1) / 512);
        let store = open(&disk).await;
        store.write(DATA, lump(1001, LUMP).into(), NOW).await.unwrap();
        store.close().await.unwrap();
        let arenas = store.status().arenas;
        assert_eq!((arenas[0].current.sealed, arenas[1].current.clumps), (false, 1));
    });
}

#[test]
fn a_tail_whose_count_of_bytes_ends_within_a_clump_costs_no_block() {
    block_on(async {
        let (disk, scores) = filled(1 << 18, 20).await;
        let status = open(&disk).await.status();
        let (start, stop) = (status.arenas[0].start, status.arenas[1].start);
        // `used` of the written counters, behind the magic number and the indexed ones.
        let tail = disk.live().get(stop - 512, 512);
        let at = tail.windows(8).rposition(|eight| eight == (20 * CLUMP).to_be_bytes()).unwrap() as u64;
        disk.put(stop - 512 + at, &(20 * CLUMP - 1000).to_be_bytes());
        let (store, report) = Store::open(
            parts(vec![disk.clone()], Vec::new(), None),
            StoreSettings { compress: false, ..StoreSettings::default() },
            NOW,
        )
        .await
        .unwrap();
        assert!(report.damage.iter().any(|damage| damage.cause == DamageCause::Tail), "{report:?}");
        for score in &scores {
            assert!(store.read(*score, DATA).await.is_ok(), "{score}");
        }
        assert_eq!(store.status().arenas[0].start, start);
        assert_eq!(store.status().arenas[0].durable.clumps, 20);
    });
}

#[test]
fn where_sectors_are_larger_than_blocks_the_tail_of_one_arena_outlives_the_log_of_the_next() {
    block_on(async {
        // The second arena begins within a sector that has the first one's tail.
        let disk = Rc::new(SimDisk::new(fresh_arenas(4096, 512, (1 << 17) + 512, 4, 1), 1).prompt());
        let store = open(&disk).await;
        for number in 0..60 {
            store.write(DATA, lump(number * 4 + 1, LUMP).into(), NOW).await.unwrap();
            store.sync().await.unwrap();
        }
        let clumps = |store: &Store<_>| {
            store.status().arenas.iter().map(|arena| arena.durable.clumps).collect::<Vec<_>>()
        };
        let before = clumps(&store);
        assert!(before[0] > 0 && before[1] > 0, "{before:?}");
        let settings = StoreSettings { compress: false, ..StoreSettings::default() };
        let again = Store::open(parts(vec![disk.clone()], Vec::new(), None), settings, NOW).await.unwrap();
        assert!(again.1.arenas.is_empty() && again.1.damage.is_empty(), "{:?}", again.1);
        assert_eq!(clumps(&again.0), before);
    });
}

#[test]
fn a_store_that_is_full_for_its_memory_opens_again_with_that_memory() {
    block_on(async {
        let disk = Rc::new(SimDisk::new(fresh_arenas(512, 512, 1 << 18, 4, 1), 1).prompt());
        let settings = StoreSettings { index_bytes_max: 800, ..StoreSettings::default() };
        let open =
            async || Store::open(parts(vec![disk.clone()], Vec::new(), None), settings, NOW).await.unwrap().0;
        let store = open().await;
        let mut number = 0;
        let refused = loop {
            number += 1;
            if let Err(error) = store.write(DATA, lump(number * 4, 20).into(), NOW).await {
                break error;
            }
        };
        assert_eq!((refused, number), (StoreError::IndexFull, 76));
        store.close().await.unwrap();
        let store = open().await;
        assert_eq!(store.status().index_entries, 75);
        assert_eq!(store.write(DATA, lump(400, 20).into(), NOW).await, Err(StoreError::IndexFull));
    });
}
