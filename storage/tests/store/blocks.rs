//! Blocks in, blocks out: what a client sees, on a disk that does what it promises.

use crate::support::{NOW, fresh_arenas, lump, open, parts};
use bytes::Bytes;
use futures_util::future::select;
use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::{Fault, Request, SimDisk};
use storage::format::arena_tail::ArenaTail;
use storage::score::Score;
use storage::simulation::{Executor, block_on, yield_now};
use storage::store::{OpenError, SYNC_AFTER, Store, StoreError, StoreSettings};

const DATA: BlockType = BlockType::DATA;

fn small_disk() -> Rc<RamDisk> {
    Rc::new(RamDisk::from(fresh_arenas(512, 8192, 1 << 20, 4, 1)))
}

fn without_cache() -> StoreSettings {
    StoreSettings { lump_cache_bytes: 0, ..StoreSettings::default() }
}

#[test]
fn what_was_written_is_read_before_and_after_a_sync_and_a_restart() {
    let disk = small_disk();
    block_on(async {
        let mut scores = Vec::new();
        for settings in [StoreSettings::default(), without_cache()] {
            let all = parts(vec![disk.clone()], Vec::new(), None);
            let (store, report) = Store::open(all, settings, NOW).await.unwrap();
            assert!(report.damage.is_empty() && report.clumps == scores.len() as u64);
            for number in 0..40 {
                let data = lump(1000 * scores.len() as u64 + number, 1 + number as usize * 499);
                let score = store.write(DATA, data.clone().into(), NOW).await.unwrap();
                assert_eq!(score, Score::of(&data));
                assert_eq!(store.read(score, DATA).await.unwrap(), data);
                scores.push((score, data));
            }
            store.sync().await.unwrap();
            for (score, data) in &scores {
                assert_eq!(store.read(*score, DATA).await.unwrap(), *data);
            }
            assert_eq!(store.status().dirty_bytes, 0);
        }
    });
}

#[test]
fn a_lump_from_disk_keeps_nothing_else_in_memory() {
    let disk = small_disk();
    block_on(async {
        let all = || parts(vec![disk.clone()], Vec::new(), None);
        let (store, _) = Store::open(all(), without_cache(), NOW).await.unwrap();
        let mut scores = Vec::new();
        for number in 0..12 {
            scores.push(store.write(DATA, lump(number, 8192).into(), NOW).await.unwrap());
        }
        store.close().await.unwrap();
        let (store, _) = Store::open(all(), without_cache(), NOW).await.unwrap();
        for score in scores {
            let lump = store.read(score, DATA).await.unwrap();
            assert!(lump.is_unique(), "{score} shares the memory of what was read with it");
        }
    });
}

#[test]
fn empty_null_large_and_absent_blocks_are_answered_as_venti_does() {
    block_on(async {
        let (store, _) = open(vec![small_disk()]).await.unwrap();
        assert_eq!(store.write(DATA, Bytes::new(), NOW).await, Ok(Score::ZERO));
        assert_eq!(store.read(Score::ZERO, DATA).await, Ok(Bytes::new()));
        assert_eq!(store.read(Score::NULL, DATA).await, Ok(Bytes::new()));
        let too_large = store.write(DATA, lump(1, 57_345).into(), NOW).await;
        assert_eq!(too_large.unwrap_err().to_string(), "lump too large");
        assert!(store.write(DATA, lump(1, 57_344).into(), NOW).await.is_ok());
        let absent = Score::of(b"absent");
        let miss = store.read(absent, BlockType::ROOT).await.unwrap_err();
        assert_eq!(miss.to_string(), format!("no block with score {absent}/16 exists"));
        assert_eq!(store.status().dirty_clumps, 1);
    });
}

#[test]
fn a_miss_costs_no_disk_access_and_a_duplicate_no_space() {
    let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), 1));
    block_on(async {
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let score = store.write(DATA, lump(1, 8192).into(), NOW).await.unwrap();
        store.sync().await.unwrap();
        let before = disk.counts();
        for number in 0..1000 {
            assert!(store.read(Score::of(&lump(number, 20)), DATA).await.is_err());
            assert!(store.read(score, BlockType::DIRECTORY).await.is_err());
        }
        assert_eq!(store.write(DATA, lump(1, 8192).into(), NOW).await, Ok(score));
        store.sync().await.unwrap();
        assert_eq!(disk.counts(), before);
        assert_eq!((store.status().duplicates, store.status().index_entries), (1, 1));
    });
}

#[test]
fn one_block_under_two_types_is_two_blocks() {
    block_on(async {
        let (store, _) = open(vec![small_disk()]).await.unwrap();
        let score = store.write(DATA, lump(1, 100).into(), NOW).await.unwrap();
        assert!(store.read(score, BlockType::DIRECTORY).await.is_err());
        store.write(BlockType::DIRECTORY, lump(1, 100).into(), NOW).await.unwrap();
        assert!(store.read(score, BlockType::DIRECTORY).await.is_ok());
        assert_eq!(store.status().index_entries, 2);
    });
}

#[test]
fn writers_of_the_same_block_at_once_store_it_once() {
    let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), 1));
    for seed in 0..50 {
        let store = block_on(open(vec![disk.clone()])).unwrap().0;
        let executor = Executor::new(seed);
        for _ in 0..8 {
            executor.spawn(async {
                store.write(DATA, lump(seed, 5000).into(), NOW).await.unwrap();
                store.sync().await.unwrap();
            });
        }
        executor.run().unwrap();
        drop(executor);
        assert_eq!(store.status().index_entries, seed + 1);
    }
}

#[test]
fn a_full_store_refuses_writes_and_goes_on_reading() {
    let disk = Rc::new(RamDisk::from(fresh_arenas(512, 512, 64 << 10, 3, 1)));
    block_on(async {
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let mut kept = Vec::new();
        let refused = loop {
            let data = lump(1 + 4 * kept.len() as u64, 3000);
            match store.write(DATA, data.clone().into(), NOW).await {
                Ok(score) => kept.push((score, data)),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, StoreError::NoSpace);
        assert_eq!(refused.to_string(), "no space left in arenas");
        assert!(kept.len() > 50, "{}", kept.len());
        // What is smaller still finds its place.
        assert!(store.write(DATA, lump(7, 100).into(), NOW).await.is_ok());
        store.sync().await.unwrap();
        let (store, report) = open(vec![disk.clone()]).await.unwrap();
        assert!(report.damage.is_empty(), "{report:?}");
        for (score, data) in kept {
            assert_eq!(store.read(score, DATA).await.unwrap(), data);
        }
    });
}

#[test]
fn a_rotten_block_is_never_served_and_writing_it_again_repairs_it() {
    let disk = small_disk();
    block_on(async {
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let data = lump(1, 5000);
        let score = store.write(DATA, data.clone().into(), NOW).await.unwrap();
        store.sync().await.unwrap();
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let place = store.status().arenas[0].start + 8192;
        disk.put(place + 1000, &[data[1000 - 38] ^ 1]);
        let error = store.read(score, DATA).await.unwrap_err();
        assert!(error.to_string().starts_with("loading clump: corrupted at arenas0 0; expected="), "{error}");
        assert_eq!(store.status().damage.len(), 1);
        assert_eq!(store.write(DATA, data.clone().into(), NOW).await, Ok(score));
        assert_eq!(store.read(score, DATA).await.unwrap(), data);
        store.sync().await.unwrap();
        assert_eq!(store.status().repairs, 1);
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        assert_eq!(store.read(score, DATA).await.unwrap(), data);
    });
}

#[test]
fn a_tail_that_counts_too_many_clumps_does_not_keep_a_store_closed() {
    block_on(async {
        let disk = small_disk();
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        for number in 0..9 {
            store.write(DATA, lump(number, 3000).into(), NOW).await.unwrap();
        }
        store.close().await.unwrap();
        let place = store.status().arenas[0].start + (1 << 20) - 8192;
        drop(store);
        let mut block = disk.image().get(place, 8192).to_vec();
        let mut tail = ArenaTail::parse(&block).unwrap();
        tail.written.clumps += 128;
        tail.encode_into(&mut block);
        disk.put(place, &block);
        let little = |index_bytes_max| StoreSettings { index_bytes_max, ..StoreSettings::default() };
        let only = |disk: &Rc<RamDisk>| parts(vec![disk.clone()], Vec::new(), None);
        let (store, report) = Store::open(only(&disk), little(100), NOW).await.unwrap();
        assert!(!report.damage.is_empty());
        for number in 0..9 {
            let lump = lump(number, 3000);
            assert_eq!(store.read(Score::of(&lump), DATA).await.unwrap(), lump);
        }
        drop(store);
        let refused = Store::open(only(&disk), little(80), NOW).await.err().unwrap();
        assert!(matches!(refused, OpenError::IndexTooLarge { blocks: 9, .. }), "{refused}");
    });
}

#[test]
fn a_failed_write_or_flush_is_answered_with_an_error_until_the_blocks_are_safe() {
    for request in [Request::Write, Request::Flush] {
        for nth in 1..=3 {
            let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), nth));
            block_on(async {
                let (store, _) = open(vec![disk.clone()]).await.unwrap();
                let data = lump(1, 5000);
                let score = store.write(DATA, data.clone().into(), NOW).await.unwrap();
                disk.inject(request, nth, Fault::Fail);
                assert!(store.sync().await.is_err(), "{request:?} {nth}");
                assert_eq!(store.read(score, DATA).await.unwrap(), data);
                store.sync().await.unwrap();
                let after = Rc::new(RamDisk::from(disk.durable()));
                let (store, _) = open(vec![after]).await.unwrap();
                assert_eq!(store.read(score, DATA).await.unwrap(), data);
            });
        }
    }
}

#[test]
fn a_sync_that_is_given_up_blocks_nobody_and_loses_nothing() {
    for seed in 0..40 {
        let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), seed));
        let (store, _) = block_on(open(vec![disk.clone()])).unwrap();
        let score = block_on(store.write(DATA, lump(1, 5000).into(), NOW)).unwrap();
        // Dropped after a number of turns, wherever it waits then.
        block_on(async {
            let given_up = async {
                for _ in 0..seed / 2 {
                    yield_now().await;
                }
            };
            select(pin!(store.sync()), pin!(given_up)).await;
        });
        block_on(store.sync()).unwrap();
        let (store, _) = block_on(open(vec![Rc::new(RamDisk::from(disk.durable()))])).unwrap();
        assert_eq!(block_on(store.read(score, DATA)).unwrap(), lump(1, 5000));
    }
}

#[test]
fn blocks_become_durable_without_a_sync() {
    let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), 1));
    block_on(async {
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let score = store.write(DATA, lump(1, 5000).into(), NOW).await.unwrap();
        let passed = Cell::new(Duration::ZERO);
        let pause = async |time| {
            passed.set(passed.get() + time);
            yield_now().await;
            if passed.get() > 100 * SYNC_AFTER {
                pending::<()>().await;
            }
        };
        let others = async {
            for _ in 0..1000 {
                yield_now().await;
            }
        };
        select(pin!(store.background(pause)), pin!(others)).await;
        let (store, _) = open(vec![Rc::new(RamDisk::from(disk.durable()))]).await.unwrap();
        assert!(store.read(score, DATA).await.is_ok());
    });
}
