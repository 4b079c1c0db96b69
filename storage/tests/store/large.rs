//! Stores whose index memory does not hold: found, written, restarted as any other, at a cost that is counted.

use crate::crash::settings_of;
use crate::indexed::{entries, fresh, parts, ram};
use crate::support::{NOW, block_type, disk, fixture, lump, parts as named, score, table};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::{Counts, SimDisk};
use storage::device::{BlockDevice, write_bytes};
use storage::format::bloom::BloomHeader;
use storage::recovery::OpenReport;
use storage::score::Score;
use storage::simulation::{Executor, block_on};
use storage::store::{OpenError, Store, StoreError, StoreParts, StoreSettings};

const DATA: BlockType = BlockType::DATA;

/// Memory for 10 entries.
fn tiny() -> StoreSettings {
    StoreSettings { index_bytes_max: 400, lump_cache_bytes: 0, ..StoreSettings::default() }
}

async fn open<D: BlockDevice + 'static>(
    disks: &[Rc<D>; 2],
    settings: StoreSettings,
) -> (Opened<D>, OpenReport) {
    Store::open(parts(disks), settings, NOW).await.unwrap()
}

type Opened<D> = Store<storage::partition::Partition<Rc<D>>>;

fn block(number: u64) -> Vec<u8> {
    lump(1 + 4 * number, 100 + number as usize % 50)
}

/// Writes so many blocks, then stops.
async fn fill<D: BlockDevice + 'static>(store: &Opened<D>, count: u64) {
    for number in 0..count {
        store.write(DATA, block(number).into(), NOW).await.unwrap();
    }
    store.close().await.unwrap();
}

async fn check<D: BlockDevice + 'static>(store: &Opened<D>, count: u64) {
    for number in 0..count {
        let data = block(number);
        assert_eq!(store.read(Score::of(&data), DATA).await.unwrap(), data, "block {number}");
        assert!(store.read(Score::of(&data), BlockType::DIRECTORY).await.is_err());
        assert!(store.read(Score::of(&block(count + number)), DATA).await.is_err());
    }
}

#[test]
fn an_index_that_outgrows_memory_goes_to_disk_and_nothing_else_changes() {
    let (empty, header) = fresh(16, 2048);
    let disk = ram(&empty);
    block_on(async {
        let (store, report) = open(&disk, tiny()).await;
        assert!(!report.index_on_disk && store.status().index_whole);
        fill(&store, 2000).await;
        let status = store.status();
        assert!(!status.index_whole && status.index_entries == 0 && status.not_indexed == 0);
        assert_eq!(entries(&disk[1].image(), &header).len(), 2000);
        check(&store, 2000).await;
        for number in 0..2000 {
            store.write(DATA, block(number).into(), NOW).await.unwrap();
        }
        assert_eq!((store.status().duplicates, store.status().damage_count), (2000, 0));
        for settings in [tiny(), StoreSettings::default()] {
            let (store, report) = open(&disk, settings).await;
            assert_eq!(report.index_on_disk, settings.index_bytes_max == 400);
            assert_eq!((report.clumps, report.not_indexed), (2000, 0));
            check(&store, 2000).await;
        }
    });
}

#[test]
fn memory_stays_within_its_bound_however_many_write_at_once() {
    let (empty, _) = fresh(16, 2048);
    let disk = ram(&empty);
    let (store, _) = block_on(open(&disk, StoreSettings { dirty_bytes_max: 3000, ..tiny() }));
    let executor = Executor::new(1);
    for writer in 0..4 {
        let store = &store;
        executor.spawn(async move {
            for number in 0..250 {
                store.write(DATA, block(writer * 250 + number).into(), NOW).await.unwrap();
                assert!(store.status().index_entries <= 44, "{}", store.status().index_entries);
            }
        });
    }
    executor.run().unwrap();
    drop(executor);
    block_on(check(&store, 1000));
}

/// Requests that something costs, to the disk of arenas and to that of the index.
async fn cost(disks: &[Rc<SimDisk>; 2], work: impl Future<Output = ()>) -> [(u64, u64, u64); 2] {
    let before = disks.each_ref().map(|disk| disk.counts());
    work.await;
    let after = disks.each_ref().map(|disk| disk.counts());
    [0, 1].map(|at| {
        let (before, after): (Counts, Counts) = (before[at], after[at]);
        (after.reads - before.reads, after.writes - before.writes, after.flushes - before.flushes)
    })
}

#[test]
fn what_a_read_a_write_a_duplicate_and_a_miss_cost_is_known_exactly() {
    let (empty, _) = fresh(16, 2048);
    let filled = ram(&empty);
    block_on(async {
        fill(&open(&filled, tiny()).await.0, 600).await;
        let images = filled.each_ref().map(|disk| disk.image());
        // Reads, writes and flushes, of arenas and of index.
        for (index_bytes_max, filter, lookup, miss) in
            [(1 << 20, true, 0, 0), (400, true, 1, 1), (400, false, 1, 1), (5000, true, 1, 1)]
        {
            let disks = images.clone().map(|image| Rc::new(SimDisk::new(image, 1)));
            let mut all = parts(&disks);
            all.bloom = all.bloom.filter(|_| filter);
            let settings = StoreSettings { index_bytes_max, ..tiny() };
            let (store, _) = Store::open(all, settings, NOW).await.unwrap();
            let read = cost(&disks, async { drop(store.read(Score::of(&block(5)), DATA).await.unwrap()) });
            assert_eq!(read.await, [(1, 0, 0), (lookup, 0, 0)]);
            let missed =
                cost(&disks, async { drop(store.read(Score::of(b"absent"), DATA).await.unwrap_err()) });
            assert_eq!(missed.await, [(0, 0, 0), (miss, 0, 0)], "{index_bytes_max} {filter}");
            let write = |number| {
                let store = &store;
                async move {
                    store.write(DATA, block(number).into(), NOW).await.unwrap();
                    store.sync().await.unwrap();
                }
            };
            assert_eq!(cost(&disks, write(300)).await, [(1, 0, 0), (lookup, 0, 0)], "a duplicate");
            // The last sector of the log and of the directory were read when the store was opened.
            assert_eq!(cost(&disks, write(1000)).await, [(0, 3, 3), (miss, 0, 0)], "the first new block");
            assert_eq!(cost(&disks, write(1001)).await, [(0, 3, 3), (miss, 0, 0)], "a new block");
            let again =
                cost(&disks, async { drop(store.read(Score::of(&block(1001)), DATA).await.unwrap()) });
            assert_eq!(again.await, [(1, 0, 0), (0, 0, 0)], "a block that the index lacks yet");
        }
    });
}

#[test]
fn where_the_filter_fits_a_miss_costs_no_disk_access_and_buckets_are_kept() {
    let (empty, _) = fresh(16, 2048);
    let filled = ram(&empty);
    block_on(async {
        // So small that it fits beside an index that does not, and large enough for a thousand blocks.
        let filter = BloomHeader::new(4, 4096).unwrap().encode();
        write_bytes(&parts(&filled).bloom.unwrap().device, 0, filter.to_vec().into()).await.unwrap();
        fill(&open(&filled, tiny()).await.0, 1000).await;
        let disks = filled.map(|disk| Rc::new(SimDisk::new(disk.image(), 1)));
        let (store, report) = open(&disks, StoreSettings { index_bytes_max: 9999, ..tiny() }).await;
        assert!(report.index_on_disk && report.bloom_fault.is_none());
        let misses = cost(&disks, async {
            for number in 2000..2100 {
                store.read(Score::of(&block(number)), DATA).await.unwrap_err();
            }
        });
        let [logs, index] = misses.await;
        assert_eq!(logs, (0, 0, 0));
        assert!(index.0 <= 2, "{} of 100 misses asked the disk: more than the filter's false hits", index.0);
        let twice = cost(&disks, async {
            for _ in 0..2 {
                store.read(Score::of(&block(5)), DATA).await.unwrap();
            }
        });
        assert_eq!(twice.await[1], (1, 0, 0));
    });
}

#[test]
fn a_damaged_bucket_costs_what_it_covers_and_is_told() {
    let (empty, header) = fresh(16, 2048);
    let disk = ram(&empty);
    block_on(async {
        fill(&open(&disk, tiny()).await.0, 600).await;
        let image = disk[1].image();
        let bucket = (header.start..header.stop)
            .find(|bucket| image.get(header.bucket_offset(*bucket).unwrap(), 2)[1] > 4)
            .unwrap();
        disk[1].put(header.bucket_offset(bucket).unwrap(), &[0xff; 2]);
        let (store, _) = open(&disk, tiny()).await;
        let mut hidden = Vec::new();
        for number in 0..600 {
            match store.read(Score::of(&block(number)), DATA).await {
                Ok(lump) => assert_eq!(lump, block(number)),
                Err(StoreError::IndexDamaged { bucket: found, .. }) => {
                    assert_eq!(found, bucket);
                    hidden.push(number);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(hidden.len() > 4, "{hidden:?}");
        // Written again they are back; after a restart, too, though the bucket stays as it is.
        for number in &hidden {
            store.write(DATA, block(*number).into(), NOW).await.unwrap();
        }
        store.close().await.unwrap();
        assert!(store.status().damage[0].to_string().ends_with("is damaged: rebuild the index"));
        let (store, _) = open(&disk, tiny()).await;
        check(&store, 600).await;
        assert_eq!(store.status().index_overflow, 0);
        store.flush_index().await.unwrap();
        assert_eq!(store.status().index_overflow, hidden.len());
    });
}

#[test]
fn a_store_that_cannot_find_its_blocks_is_not_opened_and_says_why() {
    let (empty, _) = fresh(16, 2048);
    let disk = ram(&empty);
    block_on(async {
        // Never indexed.
        let bare = |disk| StoreParts { index_sections: Vec::new(), bloom: None, ..parts(disk) };
        let roomy = StoreSettings::default();
        let (store, _) = Store::open(bare(&disk), roomy, NOW).await.unwrap();
        for number in 0..300 {
            store.write(DATA, block(number).into(), NOW).await.unwrap();
        }
        store.sync().await.unwrap();
        let error = Store::open(bare(&disk), tiny(), NOW).await.err().unwrap();
        assert!(error.to_string().starts_with("300 blocks and more need 3000 bytes of memory"), "{error}");
        let reading = StoreSettings { read_only: true, ..tiny() };
        let error = Store::open(parts(&disk), reading, NOW).await.err().unwrap();
        assert!(matches!(error, OpenError::IndexBehind { missing: 300 }), "{error}");
        // Opened for writing, the index is completed first.
        let (store, report) = open(&disk, tiny()).await;
        assert_eq!((report.not_indexed, store.status().not_indexed), (300, 0));
        check(&store, 300).await;
        let (store, _) = open(&disk, reading).await;
        check(&store, 300).await;
    });
}

#[test]
fn without_sections_a_full_index_refuses_new_blocks_and_goes_on_reading() {
    let (empty, _) = fresh(16, 2048);
    let disk = ram(&empty);
    block_on(async {
        let bare = StoreParts { index_sections: Vec::new(), bloom: None, ..parts(&disk) };
        let (store, _) = Store::open(bare, tiny(), NOW).await.unwrap();
        for number in 0..38 {
            store.write(DATA, block(number).into(), NOW).await.unwrap();
        }
        let refused = store.write(DATA, block(38).into(), NOW).await.unwrap_err();
        assert!(refused.to_string().starts_with("no space left in the index"), "{refused}");
        assert!(store.write(DATA, block(7).into(), NOW).await.is_ok());
        check(&store, 38).await;
    });
}

#[test]
fn what_another_venti_has_changed_since_is_not_done_again() {
    let (empty, header) = fresh(4, 2048);
    let mut interrupted = 0;
    for cut in 0..60 {
        let disks = empty.clone().map(|image| Rc::new(SimDisk::new(image, cut)));
        block_on(async {
            let (store, _) = open(&disks, tiny()).await;
            for number in 0..40 {
                store.write(DATA, block(number).into(), NOW).await.unwrap();
            }
            store.sync().await.unwrap();
            disks[1].cut_power_after(cut);
            drop(store.flush_index().await);
        });
        let after = ram(&[disks[0].power_cut(cut), disks[1].power_cut(cut)]);
        let was: Vec<u8> = after[1].image().to_vec();
        if was[64 << 10..240 << 10].iter().all(|byte| *byte == 0) {
            continue;
        }
        interrupted += 1;
        // Somebody writes every bucket that is touched, as if more entries had come.
        let mut theirs = Vec::new();
        for bucket in header.start..header.stop {
            let offset = header.bucket_offset(bucket).unwrap();
            let block = vec![bucket as u8 | 1; 2048];
            after[1].put(offset, &block);
            theirs.push((offset, block));
        }
        let (store, _) = block_on(open(&after, settings_of(0)));
        drop(store);
        for (offset, block) in theirs {
            assert_eq!(after[1].image().get(offset, 2048), block, "cut {cut}");
        }
    }
    assert!(interrupted > 10, "{interrupted}");
}

/// Opens the real server's filled store with memory for so many bytes of index.
async fn real(arenas: Rc<RamDisk>, index_bytes_max: usize, filter: &str) -> (Store<Rc<RamDisk>>, OpenReport) {
    let sections = vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")];
    let all = named(vec![arenas, disk("main/extra.img.gz")], sections, Some(disk(filter)));
    let settings = StoreSettings { index_bytes_max, ..StoreSettings::default() };
    Store::open(all, settings, NOW).await.unwrap()
}

#[test]
fn the_real_servers_disks_are_served_by_their_own_index() {
    let never_indexed = disk("main/arenas.img.gz");
    for offset in [1_835_008, 2_883_584, 3_932_160] {
        never_indexed.put(offset, &fixture(&format!("main/unindexed/arenas-tail-at-{offset}.bin")));
    }
    for (arenas, filter, missing) in [
        (disk("main/arenas.img.gz"), "main/bloom.img.gz", false),
        (disk("main/arenas.img.gz"), "main/fresh/bloom.img.gz", false),
        (never_indexed, "main/bloom.img.gz", true),
    ] {
        // Once with room for the filter, once without.
        for index_bytes_max in [10_000, 19_000] {
            block_on(async {
                let (store, report) = real(arenas.clone(), index_bytes_max, filter).await;
                assert!(report.index_on_disk && report.damage.is_empty(), "{report:?}");
                assert!(!missing || index_bytes_max > 10_000 || report.not_indexed > 0);
                for row in table("main/MANIFEST.tsv") {
                    assert!(store.read(score(&row[5]), block_type(&row[6])).await.is_ok(), "{row:?}");
                }
                let blind = &table("main/BLOOM-BLIND.tsv")[0];
                assert!(store.read(score(&blind[0]), block_type(&blind[1])).await.is_ok());
                assert!(store.read(Score::of(b"absent"), DATA).await.is_err());
            });
        }
    }
}

#[test]
fn a_phantom_of_the_index_is_no_block() {
    let arenas = disk("crash/phantom-index/arenas.img.gz");
    let phantom = b"second block, never synced\n".repeat(10);
    block_on(async {
        let section = disk("crash/phantom-index/isect.img.gz");
        let bloom = disk("crash/phantom-index/bloom.img.gz");
        let all = || named(vec![arenas.clone()], vec![section.clone()], Some(bloom.clone()));
        let settings = StoreSettings { index_bytes_max: 1, ..StoreSettings::default() };
        let (store, report) = Store::open(all(), settings, NOW).await.unwrap();
        assert!(report.index_on_disk);
        let rows = table("crash/phantom-index/BLOCKS.tsv");
        let (first, second) = (score(&rows[0][1]), score(&rows[1][1]));
        assert!(store.read(first, DATA).await.is_ok());
        let miss = store.read(second, DATA).await.unwrap_err();
        assert!(matches!(miss, StoreError::NoSuchBlock { .. }), "{miss}");
        assert_eq!(store.write(DATA, phantom.clone().into(), NOW).await, Ok(second));
        store.close().await.unwrap();
        let (store, _) = Store::open(all(), settings, NOW).await.unwrap();
        assert_eq!(store.read(second, DATA).await.unwrap(), phantom);
    });
}
