//! Index sections under power cuts: whatever they name is in the log, and what a tail calls indexed is in them. With the
//! index in memory, with one that memory does not hold, and with one that outgrows memory on the way.

use crate::crash::{Model, settings_of};
use crate::indexed::{entries, fill_buckets, fresh, is_in_log, parts, ram};
use crate::support::NOW;
use std::cell::Cell;
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::Image;
use storage::device::sim::{Fault, Request, SimDisk};
use storage::format::index_section::IndexSectionHeader;
use storage::simulation::{Executor, SeededRng, block_on};
use storage::store::{Store, StoreSettings};

/// An index that fits, one that never does, and one that outgrows its memory.
fn settings(seed: u64) -> StoreSettings {
    let index_bytes_max = [1 << 20, 60, 400][seed as usize / 2 % 3];
    StoreSettings { index_bytes_max, ..settings_of(seed) }
}

/// Two clients that write, sync and bring the index up to date until the power is gone or enough is written.
fn work(disk: &[Rc<SimDisk>; 2], model: &Model, seed: u64, rng: &SeededRng) {
    let Ok((store, _)) = block_on(Store::open(parts(disk), settings(seed), NOW)) else { return };
    let rngs: Vec<SeededRng> = (0..2).map(|_| SeededRng::new(rng.next_u64())).collect();
    let rounds = Cell::new(0);
    let executor = Executor::new(seed);
    for rng in &rngs {
        executor.spawn(async {
            while disk.iter().all(|disk| disk.is_powered()) {
                model.client(&store, rng, 6).await;
                rounds.set(rounds.get() + 1);
                if store.flush_index().await.is_err() || model.is_large() || rounds.get() > 100 {
                    return;
                }
            }
        });
    }
    executor.run().unwrap_or_else(|stalled| panic!("seed {seed}: {stalled:?}"));
}

/// Opens what a power cut left, and looks at everything. Returns how many entries the index has. `unique`: no block is
/// twice in the log, as one may be whose bucket could not be read.
fn check(
    images: &[Image; 2],
    header: &IndexSectionHeader,
    model: &Model,
    seed: u64,
    unique: bool,
    what: &str,
) -> usize {
    let after = ram(images);
    let (store, _) = block_on(Store::open(parts(&after), settings(seed), NOW)).unwrap();
    let status = store.status();
    let entries = entries(&after[1].image(), header);
    for entry in &entries {
        assert!(is_in_log(&after[0].image(), &status, entry), "{what}: {entry:?} is not in the log");
    }
    for arena in &status.arenas {
        let end = arena.address + arena.indexed.used;
        let here = entries.iter().filter(|entry| (arena.address..end).contains(&entry.address));
        let (found, claimed) = (here.count(), arena.indexed.clumps as usize);
        assert!(found == claimed || !unique && found < claimed, "{what}: {found} of {claimed}");
    }
    block_on(model.check(&store, what));
    entries.len()
}

#[test]
fn the_index_never_overtakes_the_log_and_never_claims_what_it_lacks() {
    let fresh = [fresh(4, 512), fresh(4, 2048)];
    let (mut indexed, mut images) = (0, 0);
    for seed in 0..120 {
        let (empty, header) = &fresh[seed as usize % 2];
        let rng = SeededRng::new(seed);
        let model = Model::default();
        let mut start = empty.clone();
        for round in 0..3 {
            let disk = start.clone().map(|image| Rc::new(SimDisk::new(image, rng.next_u64())));
            disk[rng.below(2) as usize].cut_power_after(1 + rng.below([40, 200, 400][round]));
            model.power_was_cut();
            work(&disk, &model, seed, &rng);
            for cut in 0..4 {
                let cuts = [disk[0].power_cut(rng.next_u64()), disk[1].power_cut(rng.next_u64())];
                let what = format!("seed {seed} round {round} cut {cut}");
                indexed += check(&cuts, header, &model, seed, true, &what);
                images += 1;
                start = cuts;
            }
        }
    }
    println!("{images} crash images with an index, none lost anything");
    assert!(indexed > 5000, "{indexed} entries were looked at");
}

#[test]
fn an_index_disk_that_fails_any_single_request_loses_nothing() {
    let (empty, header) = fresh(4, 2048);
    for (request, count) in [(Request::Write, 60), (Request::Flush, 40), (Request::Read, 40)] {
        for nth in 1..=count {
            let seed = nth * 2;
            let rng = SeededRng::new(seed);
            let model = Model::default();
            let disk = empty.clone().map(|image| Rc::new(SimDisk::new(image, rng.next_u64())));
            disk[1].inject(request, nth, Fault::Fail);
            // Opening is among what fails.
            work(&disk, &model, seed, &rng);
            work(&disk, &model, seed, &rng);
            let cuts = [disk[0].power_cut(rng.next_u64()), disk[1].power_cut(rng.next_u64())];
            let unique = request != Request::Read;
            check(&cuts, &header, &model, seed, unique, &format!("{request:?} {nth}"));
        }
    }
}

#[test]
fn a_bucket_without_room_is_reported_and_its_blocks_are_found_all_the_same() {
    let (mut full, header) = fresh(4, 512);
    fill_buckets(&mut full[1], &header);
    for seed in [0, 2] {
        let disk = ram(&full);
        let settings = settings(seed);
        block_on(async {
            let (store, _) = Store::open(parts(&disk), settings, NOW).await.unwrap();
            let score = store.write(BlockType::DATA, vec![1; 100].into(), NOW).await.unwrap();
            store.close().await.unwrap();
            assert!(store.status().damage[0].to_string().contains("no room in the index bucket"));
            assert_eq!((store.status().index_overflow, store.status().fullest_bucket_percent), (1, 100));
            let (store, _) = Store::open(parts(&disk), settings, NOW).await.unwrap();
            assert_eq!(store.status().arenas[0].indexed.clumps, 0);
            assert!(store.read(score, BlockType::DATA).await.is_ok());
        });
    }
}
