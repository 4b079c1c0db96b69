//! Power cuts and failing disks, by seed: what a sync covered is never lost, nothing wrong is ever read, and the store
//! always opens. The model is a map from score to bytes, and the set of scores that a successful sync has covered.

use crate::support::{NOW, fresh_arenas, lump, open, parts};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::{Fault, Request, SimDisk};
use storage::device::{BlockDevice, Image};
use storage::score::Score;
use storage::simulation::{Executor, SeededRng, block_on};
use storage::store::{Store, StoreError, StoreSettings};

/// What a client knows.
#[derive(Default)]
pub struct Model {
    /// Every lump that was ever written.
    written: RefCell<BTreeMap<Score, Vec<u8>>>,
    /// Scores that were acknowledged since the disk was last known to hold them.
    acknowledged: RefCell<BTreeSet<Score>>,
    /// Scores that a successful sync has covered.
    synced: RefCell<BTreeSet<Score>>,
    next: Cell<u64>,
}

impl Model {
    /// Writes and syncs until the steps are done or the disk is gone.
    pub async fn client<D: BlockDevice>(&self, store: &Store<D>, rng: &SeededRng, steps: u64) {
        for _ in 0..steps {
            let result = if rng.chance(1, 6) { self.sync(store).await } else { self.write(store, rng).await };
            if let Err(StoreError::Device { .. }) = result
                && rng.chance(1, 3)
            {
                return;
            }
        }
    }

    /// What was acknowledged and not synced may be gone.
    pub fn power_was_cut(&self) {
        self.acknowledged.borrow_mut().clear();
    }

    /// Whether enough was written for a small disk.
    pub fn is_large(&self) -> bool {
        self.next.get() > 60
    }

    async fn write<D: BlockDevice>(&self, store: &Store<D>, rng: &SeededRng) -> Result<(), StoreError> {
        let number = if rng.chance(1, 5) { rng.below(self.next.get() + 1) } else { self.next.get() };
        self.next.set(self.next.get().max(number + 1));
        let len = [20, 600, 3000, 7000][number as usize % 4] + number as usize % 97;
        let data = lump(number, len);
        let score = Score::of(&data);
        self.written.borrow_mut().insert(score, data.clone());
        store.write(BlockType::DATA, data.into(), NOW).await?;
        self.acknowledged.borrow_mut().insert(score);
        Ok(())
    }

    async fn sync<D: BlockDevice>(&self, store: &Store<D>) -> Result<(), StoreError> {
        let covered = self.acknowledged.borrow().clone();
        store.sync().await?;
        self.synced.borrow_mut().extend(covered);
        Ok(())
    }

    /// Every synced lump is there, and whatever is read is right.
    pub async fn check<D: BlockDevice>(&self, store: &Store<D>, what: &str) {
        for (score, data) in &*self.written.borrow() {
            match store.read(*score, BlockType::DATA).await {
                Ok(lump) => assert_eq!(lump, *data, "{what}: a wrong block"),
                Err(error) => {
                    assert!(!self.synced.borrow().contains(score), "{what}: lost {score}: {error}");
                    assert!(matches!(error, StoreError::NoSuchBlock { .. }), "{what}: {error}");
                }
            }
        }
    }
}

/// A disk, fresh, in one of the shapes that matter: sectors and blocks of equal and unequal size, arenas so small that
/// they fill and seal.
fn disk_of(seed: u64) -> Image {
    let (sector, block, arena) =
        [(512, 8192, 1 << 18), (512, 512, 1 << 16), (4096, 8192, 1 << 17), (4096, 512, 1 << 17)]
            [seed as usize % 4];
    fresh_arenas(sector, block, arena, 4, seed as u32)
}

/// Settings under which groups close early and writers must wait.
pub fn settings_of(seed: u64) -> StoreSettings {
    let group_bytes = [2_000, 20_000, 1 << 20][seed as usize % 3];
    let lump_cache_bytes = [0, 30_000, 1 << 20][seed as usize / 3 % 3];
    StoreSettings { group_bytes, lump_cache_bytes, dirty_bytes_max: 60_000, ..StoreSettings::default() }
}

async fn open_with<D: BlockDevice + 'static>(disk: Rc<D>, seed: u64) -> Option<Store<Rc<D>>> {
    let opened = Store::open(parts(vec![disk], Vec::new(), None), settings_of(seed), NOW).await;
    opened.ok().map(|(store, _)| store)
}

/// Some clients at once, with the work that goes on in the background.
fn work<D: BlockDevice + 'static>(model: &Model, store: &Store<D>, rng: &SeededRng) {
    let rngs: Vec<SeededRng> = (0..3).map(|_| SeededRng::new(rng.next_u64())).collect();
    let executor = Executor::new(rng.next_u64());
    for rng in &rngs {
        executor.spawn(model.client(store, rng, 12));
    }
    executor.spawn(async {
        let pauses = Cell::new(0);
        let pause = async |_| {
            pauses.set(pauses.get() + 1);
            storage::simulation::yield_now().await;
            if pauses.get() > 50 {
                std::future::pending::<()>().await;
            }
        };
        let limit = async {
            for _ in 0..200 {
                storage::simulation::yield_now().await;
            }
        };
        let work = std::pin::pin!(store.background(pause));
        futures_util::future::select(work, std::pin::pin!(limit)).await;
    });
    executor.run().unwrap_or_else(|stalled| panic!("{stalled:?}"));
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    let mut images = 0;
    for seed in 0..120 {
        let rng = SeededRng::new(seed);
        let model = Model::default();
        let mut image = disk_of(seed);
        for round in 0..4 {
            let disk = Rc::new(SimDisk::new(image, rng.next_u64()));
            // Sometimes so early that opening itself, which may have to recover, is cut.
            disk.cut_power_after(1 + rng.below([30, 150, 400][rng.below(3) as usize]));
            model.power_was_cut();
            if let Some(store) = block_on(open_with(disk.clone(), seed)) {
                work(&model, &store, &rng);
            }
            let cuts: Vec<Image> = (0..5).map(|cut| disk.power_cut(rng.next_u64() + cut)).collect();
            for (cut, image) in cuts.iter().enumerate() {
                let what = format!("seed {seed} round {round} cut {cut}");
                check_image(&model, image, seed, &what);
                images += 1;
            }
            image = cuts[rng.below(5) as usize].clone();
        }
    }
    println!("{images} crash images, none lost anything");
}

/// The store on this image opens, has what was synced, and goes on working; after a restart, too.
fn check_image(model: &Model, image: &Image, seed: u64, what: &str) {
    let disk = Rc::new(RamDisk::from(image.clone()));
    let extra = lump(1 << 40, 300);
    block_on(async {
        let store = open_with(disk.clone(), seed).await.unwrap_or_else(|| panic!("{what}: does not open"));
        model.check(&store, what).await;
        let score = match store.write(BlockType::DATA, extra.clone().into(), NOW).await {
            Ok(score) => score,
            Err(StoreError::NoSpace) => return,
            Err(error) => panic!("{what}: {error}"),
        };
        store.sync().await.unwrap();
        let (store, report) = open(vec![disk.clone()]).await.unwrap();
        assert!(report.arenas.is_empty(), "{what}: recovered again: {report:?}");
        assert!(report.damage.is_empty(), "{what}: {:?}", report.damage);
        model.check(&store, what).await;
        assert_eq!(store.read(score, BlockType::DATA).await.unwrap(), extra, "{what}");
    });
}

#[test]
fn a_disk_that_fails_any_single_request_loses_nothing_that_was_synced() {
    let mut runs = 0;
    for (request, count) in [(Request::Write, 60), (Request::Flush, 30), (Request::Read, 30)] {
        for nth in 1..=count {
            let seed = nth * 3;
            let rng = SeededRng::new(seed);
            let model = Model::default();
            let disk = Rc::new(SimDisk::new(disk_of(seed), seed));
            let Some(store) = block_on(open_with(disk.clone(), seed)) else { panic!("{request:?} {nth}") };
            disk.inject(request, nth, Fault::Fail);
            work(&model, &store, &rng);
            work(&model, &store, &rng);
            for cut in 0..3 {
                let what = format!("{request:?} {nth} cut {cut}");
                check_image(&model, &disk.power_cut(rng.next_u64()), seed, &what);
                runs += 1;
            }
        }
    }
    println!("{runs} crash images after single failures, none lost anything");
}

#[test]
fn rot_never_makes_the_store_serve_a_wrong_block() {
    for seed in 0..100 {
        let rng = SeededRng::new(seed);
        let model = Model::default();
        let disk = Rc::new(SimDisk::new(disk_of(seed), seed));
        let store = block_on(open_with(disk.clone(), seed)).unwrap();
        work(&model, &store, &rng);
        block_on(model.sync(&store)).unwrap_or_else(|error| panic!("{error}"));
        let image = disk.durable();
        let damaged = RamDisk::from(image.clone());
        let arenas = store.status().arenas;
        for _ in 0..1 + rng.below(20) {
            let arena = &arenas[rng.below(2) as usize];
            let place = arena.start + rng.below(u64::from(arena.block_size) + arena.durable.used);
            let byte = image.get(place, 1)[0];
            damaged.put(place, &[byte ^ (1 << rng.below(8))]);
        }
        block_on(async {
            let store = open_with(Rc::new(damaged), seed).await.unwrap();
            for (score, data) in &*model.written.borrow() {
                if let Ok(lump) = store.read(*score, BlockType::DATA).await {
                    assert_eq!(lump, *data, "seed {seed}");
                }
                // Written again, everything is back.
                match store.write(BlockType::DATA, data.clone().into(), NOW).await {
                    Ok(_) => {}
                    Err(StoreError::NoSpace) => break,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                assert_eq!(store.read(*score, BlockType::DATA).await.unwrap(), *data, "seed {seed}");
            }
        });
    }
}
