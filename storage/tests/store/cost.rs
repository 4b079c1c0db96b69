//! What things cost, counted in requests and bytes, never in time: opening a store of a tebibyte, reading in order, and
//! syncs that come together.

use crate::support::{NOW, fresh_arenas, lump, parts};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::Image;
use storage::device::ram::RamDisk;
use storage::device::sim::{Counts, SimDisk};
use storage::format::arena_head::ArenaVersion;
use storage::format::arena_tail::{ArenaTail, Counters};
use storage::format::directory::DirectoryRecord;
use storage::format::geometry::ArenaGeometry;
use storage::format::range_map::NamedRange;
use storage::make::{self, ArenaOptions};
use storage::score::Score;
use storage::simulation::{Executor, SeededRng, block_on, yield_now};
use storage::store::{Store, StoreSettings, StoreStatus};

const DATA: BlockType = BlockType::DATA;
const MAGIC: u32 = 0x1234_5678;
const ARENAS: u64 = 2048;
/// Arenas that are full, and the clumps in each.
const FULL: usize = 16;
const CLUMPS: u32 = 60_000;
const STORED: u16 = 8192;
/// Clumps of the last full arena that the index lacks.
const NOT_INDEXED: u32 = 1000;

/// A tebibyte of arenas, some of them full, and their index; nothing of the clumps but what directories say.
fn tebibyte() -> [Image; 2] {
    let disks = [RamDisk::new(512, (1 << 40) / 512), RamDisk::new(512, (1 << 32) / 512)];
    block_on(async {
        let map = make::arenas(&disks[0], ArenaOptions::default(), || MAGIC, |_, _| ()).await.unwrap();
        let mut sections = [make::section(&disks[1], "isect", 8192, 7).await.unwrap()];
        let place = |range: &NamedRange| ArenaGeometry::new(range.start, range.stop, 8192).unwrap();
        let sizes = map.ranges().iter().map(|range| (range.name, place(range).size()));
        make::index("main", &mut sections, sizes).await.unwrap();
        let rng = SeededRng::new(1);
        for (number, range) in map.ranges().iter().take(FULL).enumerate() {
            let not_indexed = if number + 1 == FULL { NOT_INDEXED } else { 0 };
            fill_arena(&disks[0], range, &place(range), not_indexed, &rng);
        }
    });
    disks.map(|disk| disk.image())
}

fn counters(clumps: u32, sealed: bool) -> Counters {
    let (used, uncompressed_size) = (u64::from(clumps) * 8230, u64::from(clumps) * 8192);
    Counters { clumps, compressed_clumps: 0, used, uncompressed_size, sealed }
}

fn fill_arena(disk: &RamDisk, range: &NamedRange, place: &ArenaGeometry, not_indexed: u32, rng: &SeededRng) {
    let mut blocks = vec![vec![0; 8192]; CLUMPS.div_ceil(place.records_per_block()) as usize];
    for number in 0..CLUMPS {
        let mut score = Score::NULL;
        rng.fill(&mut score.0);
        let record = DirectoryRecord { block_type: DATA, stored_len: STORED, lump_len: STORED, score };
        let (block, at) = place.record_place(number);
        blocks[block as usize][at..at + 25].copy_from_slice(&record.encode());
    }
    for (number, block) in blocks.iter().enumerate() {
        disk.put(place.directory_block(number as u32).unwrap(), block);
    }
    let mut tail = ArenaTail::fresh(ArenaVersion::V5, range.name, MAGIC);
    tail.written = counters(CLUMPS, true);
    tail.indexed = counters(CLUMPS - not_indexed, not_indexed == 0);
    let mut block = vec![0; 8192];
    tail.encode_into(&mut block);
    disk.put(place.tail_offset(), &block);
}

/// Opens the store with so much memory for its index. Returns what that cost, of arenas and index together.
fn open(images: &[Image; 2], index_bytes_max: usize) -> (Counts, StoreStatus) {
    let disks = images.clone().map(|image| Rc::new(SimDisk::new(image, 1).prompt()));
    let all = parts(vec![disks[0].clone()], vec![disks[1].clone()], None);
    let settings = StoreSettings { index_bytes_max, ..StoreSettings::default() };
    let (store, report) = block_on(Store::open(all, settings, NOW)).unwrap();
    assert!(report.damage.is_empty() && report.arenas.is_empty(), "{report:?}");
    let [arenas, index] = disks.map(|disk| disk.counts());
    let cost = Counts {
        reads: arenas.reads + index.reads,
        writes: arenas.writes + index.writes,
        flushes: arenas.flushes + index.flushes,
        bytes_read: arenas.bytes_read + index.bytes_read,
        bytes_written: arenas.bytes_written + index.bytes_written,
    };
    (cost, store.status())
}

#[test]
fn a_store_of_a_tebibyte_opens_within_a_bound() {
    let images = tebibyte();
    let full = FULL as u64;
    // A fresh arena: head, tail, the start of its log, twice. The first of them is searched for clumps. And the texts.
    let reads_bound = 4 * ARENAS + 30;
    let bytes_bound = (2 * 8192 + 2 * 512) * ARENAS + (8 << 20);
    // In memory: the directories of what is full, 25 bytes a clump, in pieces of a mebibyte.
    let (cost, status) = open(&images, 64 << 20);
    println!("index in memory: {cost:?}");
    let directories = full * u64::from(CLUMPS.div_ceil(327)) * 8192;
    assert!(status.index_whole && status.index_entries == full * u64::from(CLUMPS));
    assert!(status.index_bytes <= 10 * status.index_entries + (4 << 20), "{} bytes", status.index_bytes);
    assert!(cost.reads <= reads_bound + 2 * full, "{cost:?}");
    assert!(cost.bytes_read <= bytes_bound + directories, "{cost:?}");
    assert_eq!((cost.writes, cost.flushes), (0, 0));
    // On disk: only what the index lacks.
    let (cost, status) = open(&images, 1 << 20);
    println!("index on disk: {cost:?}");
    assert!(!status.index_whole && status.index_entries == u64::from(NOT_INDEXED));
    assert!(cost.reads <= reads_bound + 1, "{cost:?}");
    assert!(cost.bytes_read <= bytes_bound, "{cost:?}");
    assert_eq!((cost.writes, cost.flushes), (0, 0));
}

/// A store with so many incompressible blocks of 8 KiB, and what an empty cache sees of it.
fn written(count: u64) -> (Rc<SimDisk>, Vec<Score>) {
    let disk = Rc::new(RamDisk::from(fresh_arenas(512, 8192, 16 << 20, 2, 1)));
    let scores = block_on(async {
        let all = parts(vec![disk.clone()], Vec::new(), None);
        let (store, _) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
        let mut scores = Vec::new();
        for number in 0..count {
            scores.push(store.write(DATA, lump(4 * number + 1, 8192).into(), NOW).await.unwrap());
        }
        store.close().await.unwrap();
        scores
    });
    (Rc::new(SimDisk::new(disk.image(), 1)), scores)
}

#[test]
fn reading_in_the_order_of_the_log_takes_few_requests() {
    let (disk, scores) = written(1200);
    let settings = StoreSettings { lump_cache_bytes: 0, ..StoreSettings::default() };
    block_on(async {
        let (store, _) =
            Store::open(parts(vec![disk.clone()], Vec::new(), None), settings, NOW).await.unwrap();
        let before = disk.counts();
        for score in &scores {
            store.read(*score, DATA).await.unwrap();
        }
        let (requests, bytes) =
            (disk.counts().reads - before.reads, disk.counts().bytes_read - before.bytes_read);
        println!("1200 blocks in order: {requests} requests, {bytes} bytes");
        assert!(requests <= 40, "{requests} requests");
        // Nothing to speak of is read twice.
        assert!(bytes < 1200 * 8230 * 11 / 10, "{bytes} bytes");
    });
}

#[test]
fn syncs_that_come_together_share_their_flushes() {
    for seed in 0..20 {
        let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), seed));
        let all = parts(vec![disk.clone()], Vec::new(), None);
        let (store, _) = block_on(Store::open(all, StoreSettings::default(), NOW)).unwrap();
        let before = disk.counts();
        let executor = Executor::new(seed);
        for client in 0..32 {
            let store = &store;
            executor.spawn(async move {
                store.write(DATA, lump(seed * 100 + client, 3000).into(), NOW).await.unwrap();
                // Until all of them have written.
                while store.status().dirty_clumps < 32 && store.status().commits == 0 {
                    yield_now().await;
                }
                store.sync().await.unwrap();
            });
        }
        executor.run().unwrap();
        drop(executor);
        let flushes = disk.counts().flushes - before.flushes;
        assert_eq!((store.status().commits, flushes), (1, 3), "seed {seed}");
        assert_eq!(store.status().dirty_clumps, 0);
    }
}

#[test]
fn many_clients_that_sync_after_every_block_share_most_flushes() {
    let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 4 << 20, 4, 1), 9));
    let all = parts(vec![disk.clone()], Vec::new(), None);
    let (store, _) = block_on(Store::open(all, StoreSettings::default(), NOW)).unwrap();
    let before = disk.counts();
    let executor = Executor::new(9);
    for client in 0..16 {
        let store = &store;
        executor.spawn(async move {
            for number in 0..20 {
                store.write(DATA, lump(client * 100 + number, 3000).into(), NOW).await.unwrap();
                store.sync().await.unwrap();
                // An answer goes out, the next request comes in.
                for _ in 0..20 {
                    yield_now().await;
                }
            }
        });
    }
    executor.run().unwrap();
    drop(executor);
    let flushes = disk.counts().flushes - before.flushes;
    println!("320 syncs of 16 clients: {flushes} flushes");
    assert_eq!(flushes, 3 * store.status().commits);
    assert!(store.status().commits <= 160, "{} commits", store.status().commits);
}
