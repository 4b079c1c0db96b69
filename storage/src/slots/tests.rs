//! Which kernel is started, after upgrades, failures and power cuts at every write of them.

use super::record::{FILE_LEN, HALF_LEN, new_file, next_write, parse};
use super::*;
use crate::Timestamp;
use crate::device::sim::SimDisk;
use crate::device::{BlockDevice, Image as DiskImage};
use crate::fat::{FatError, NineFat, Volume};
use crate::simulation::block_on;
use alloc::rc::Rc;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_800_000_000);
const OLD: &[u8] = &[1; 3000];
const NEW: &[u8] = &[2; 5000];
const BROKEN: &[u8] = &[3; 4000];

fn image(file: &[u8]) -> Image {
    Image::of(file).unwrap()
}

/// A disk of a node with [`OLD`] in slot a, which has served if `good`.
fn disk(good: Option<Slot>) -> DiskImage {
    let sim = Rc::new(SimDisk::new(DiskImage::new(512, 9000), 1).prompt());
    block_on(async {
        let mut volume = Volume::format(sim.clone(), b"9FAT       ", 0, 7, NOW).await.unwrap();
        volume.replace(Slot::A.file(), OLD, NOW).await.unwrap();
        let slots = Slots { good, ..Slots::with(Slot::A, image(OLD)) };
        volume.replace(FILE, &new_file(&slots), NOW).await.unwrap();
    });
    sim.durable()
}

/// What a loader does: the kernel that it starts, after it has counted the start if it must.
async fn load<D: BlockDevice>(device: D) -> Option<(Slot, Vec<u8>)> {
    let mut volume = Volume::open(device).await.ok()?;
    let slots = parse(&volume.read(FILE, FILE_LEN as u64).await.unwrap_or_default());
    for candidate in slots.map_or(WITHOUT_RECORD.to_vec(), |slots| slots.order()) {
        let Ok(file) = volume.read(candidate.slot.file(), 1 << 20).await else { continue };
        if candidate.image.is_some_and(|image| !image.is(&file)) {
            continue;
        }
        if let (true, Some(slots)) = (candidate.is_counted, slots) {
            let (at, sector) = next_write(&slots.counted(), 512);
            if volume.rewrite(FILE, at, &sector).await.is_err() {
                continue;
            }
        }
        return Some((candidate.slot, file));
    }
    None
}

/// One start of a machine; the disk as it is afterwards.
fn start(disk: DiskImage) -> (Slot, Vec<u8>, DiskImage) {
    let sim = Rc::new(SimDisk::new(disk, 1).prompt());
    let (slot, file) = block_on(load(sim.clone())).expect("something starts");
    (slot, file, sim.durable())
}

async fn keeper<D: BlockDevice>(device: D, running: Option<Slot>) -> Result<Keeper<D>, FatError> {
    Ok(Keeper::new(Rc::new(NineFat::open(device, true).await?), running))
}

/// A kernel serves, takes `file` for an upgrade, and is to start it.
async fn upgrade<D: BlockDevice>(device: D, running: Slot, file: &[u8]) -> Result<(), SlotError> {
    let keeper = keeper(device, Some(running)).await?;
    keeper.served(NOW).await?;
    let slot = keeper.free().await?;
    keeper.fat.replace(slot.file(), file, NOW).await?;
    keeper.upgrade(slot, &image(file).sha256, |_| Ok(()), NOW).await
}

fn with_upgrade(disk: DiskImage, running: Slot, file: &[u8]) -> DiskImage {
    let sim = Rc::new(SimDisk::new(disk, 2).prompt());
    block_on(upgrade(sim.clone(), running, file)).unwrap();
    sim.durable()
}

fn serve(disk: DiskImage, running: Slot) -> DiskImage {
    let sim = Rc::new(SimDisk::new(disk, 3).prompt());
    block_on(async { keeper(sim.clone(), Some(running)).await.unwrap().served(NOW).await }).unwrap();
    sim.durable()
}

#[test]
fn a_disk_without_a_record_starts_what_it_has() {
    assert_eq!(parse(b""), None);
    let sim = Rc::new(SimDisk::new(disk(None), 1).prompt());
    block_on(async {
        let mut volume = Volume::open(sim.clone()).await.unwrap();
        volume.remove(FILE).await.unwrap();
        volume.rename("granary.a", "granary.b").await.unwrap();
    });
    let (slot, file, disk) = start(sim.durable());
    assert_eq!((slot, &file[..]), (Slot::B, OLD));
    // An upgrade of it makes the record.
    let (slot, file, _) = start(with_upgrade(disk, Slot::B, NEW));
    assert_eq!((slot, &file[..]), (Slot::A, NEW));
}

#[test]
fn a_kernel_that_has_served_is_started_without_a_write() {
    for good in [None, Some(Slot::A)] {
        let sim = Rc::new(SimDisk::new(disk(good), 1).prompt());
        assert_eq!(block_on(load(sim.clone())), Some((Slot::A, OLD.to_vec())));
        assert_eq!(sim.counts().writes, 0);
    }
}

#[test]
fn a_new_kernel_that_serves_stays_and_one_that_does_not_is_given_up_after_three_starts() {
    let mut disk = with_upgrade(disk(None), Slot::A, NEW);
    for _ in 0..TRIES_MAX {
        let (slot, file, after) = start(disk);
        assert_eq!((slot, &file[..]), (Slot::B, NEW));
        disk = after;
    }
    let (slot, _, given_up) = start(disk.clone());
    assert_eq!(slot, Slot::A);
    let served = serve(disk, Slot::B);
    for _ in 0..=TRIES_MAX {
        assert_eq!(start(served.clone()).0, Slot::B);
    }
    let sim = Rc::new(SimDisk::new(serve(given_up, Slot::A), 1).prompt());
    let slots = block_on(async { keeper(sim, None).await.unwrap().record().await }).unwrap().unwrap();
    assert_eq!(
        (slots.next, slots.good, slots.failed, slots.tried),
        (Slot::A, Some(Slot::A), Some(Slot::B), 0)
    );
}

#[test]
fn a_damaged_kernel_gives_way_to_the_other_and_where_nothing_is_whole_nothing_starts() {
    let sim = Rc::new(SimDisk::new(with_upgrade(disk(None), Slot::A, NEW), 1).prompt());
    block_on(async {
        let mut volume = Volume::open(sim.clone()).await.unwrap();
        volume.replace("granary.b", &NEW[1..], NOW).await.unwrap();
        assert_eq!(load(sim.clone()).await, Some((Slot::A, OLD.to_vec())));
        volume.replace("granary.a", BROKEN, NOW).await.unwrap();
        assert_eq!(load(sim.clone()).await, None);
    });
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let sim = Rc::new(SimDisk::new(disk(None), 1).prompt());
    block_on(async {
        let keeper = keeper(sim, Some(Slot::A)).await.unwrap();
        let good = |_: &[u8]| Ok(());
        let sum = image(NEW).sha256;
        assert_eq!(keeper.upgrade(Slot::B, &sum, good, NOW).await, Err(SlotError::NotServing));
        keeper.served(NOW).await.unwrap();
        let before = keeper.record().await.unwrap();
        keeper.fat.replace("granary.b", &NEW[..4999], NOW).await.unwrap();
        assert_eq!(keeper.upgrade(Slot::B, &sum, good, NOW).await, Err(SlotError::Damaged(Slot::B)));
        assert_eq!(keeper.upgrade(Slot::A, &sum, good, NOW).await, Err(SlotError::InUse(Slot::A)));
        keeper.fat.replace("granary.b", NEW, NOW).await.unwrap();
        let refused = keeper.upgrade(Slot::B, &sum, |_| Err("no".into()), NOW).await;
        assert!(matches!(refused, Err(SlotError::Refused { slot: Slot::B, .. })), "{refused:?}");
        assert_eq!(keeper.roll_back(NOW).await, Err(SlotError::Empty(Slot::B)));
        assert_eq!(keeper.record().await.unwrap(), before);
        keeper.upgrade(Slot::B, &sum, good, NOW).await.unwrap();
        assert_eq!(keeper.record().await.unwrap().unwrap().next, Slot::B);
        // Taken back, and chosen again.
        assert_eq!(keeper.roll_back(NOW).await, Ok(Slot::A));
        assert_eq!(keeper.roll_back(NOW).await, Ok(Slot::B));
        keeper.fat.replace("granary.a", BROKEN, NOW).await.unwrap();
        assert_eq!(keeper.roll_back(NOW).await, Err(SlotError::Damaged(Slot::A)));
    });
}

/// Cuts the power at every request of `step`, which begins on `before`; each disk that is left starts what `allowed` lists.
fn with_power_cuts(before: &DiskImage, step: impl AsyncFn(Rc<SimDisk>), allowed: &[&[u8]], after: &[u8]) {
    for cut in 1.. {
        let mut is_over = false;
        for seed in 0..6 {
            let sim = Rc::new(SimDisk::new(before.clone(), seed).prompt());
            sim.cut_power_after(cut);
            block_on(step(sim.clone()));
            is_over = sim.is_powered();
            let (_, file, _) = start(sim.power_cut(seed));
            let expected = if is_over { &[after][..] } else { allowed };
            assert!(
                expected.contains(&&file[..]),
                "cut {cut}, seed {seed}: {} bytes of {}",
                file.len(),
                file[0]
            );
        }
        if is_over {
            assert!(cut > 2, "the step had no requests");
            return;
        }
    }
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_disk_that_starts_a_whole_kernel() {
    let first = disk(Some(Slot::A));
    let do_upgrade = |running, file: &'static [u8]| async move |sim| drop(upgrade(sim, running, file).await);
    with_power_cuts(&first, do_upgrade(Slot::A, NEW), &[OLD, NEW], NEW);
    // The loader counts, the kernel says that it serves, an administrator goes back.
    let upgraded = with_upgrade(first, Slot::A, NEW);
    with_power_cuts(&upgraded, async |sim| drop(load(sim).await), &[NEW], NEW);
    let (_, _, counted) = start(upgraded);
    let do_serve = |running| {
        async move |sim| {
            if let Ok(keeper) = keeper(sim, Some(running)).await {
                drop(keeper.served(NOW).await);
            }
        }
    };
    with_power_cuts(&counted, do_serve(Slot::B), &[NEW], NEW);
    let served = serve(counted, Slot::B);
    let do_roll_back = async |sim| {
        if let Ok(keeper) = keeper(sim, Some(Slot::B)).await {
            drop(keeper.served(NOW).await);
            drop(keeper.roll_back(NOW).await);
        }
    };
    with_power_cuts(&served, do_roll_back, &[NEW, OLD], OLD);
    // An upgrade over the kernel that was left, and one over another that never served.
    with_power_cuts(&served, do_upgrade(Slot::B, BROKEN), &[NEW, BROKEN], BROKEN);
    let twice = with_upgrade(served, Slot::B, BROKEN);
    with_power_cuts(&twice, do_upgrade(Slot::B, OLD), &[BROKEN, NEW, OLD], OLD);
}

#[test]
fn a_start_that_cannot_be_counted_is_not_tried() {
    let sim = Rc::new(SimDisk::new(with_upgrade(disk(None), Slot::A, NEW), 1).prompt());
    sim.inject(crate::device::sim::Request::Write, 1, crate::device::sim::Fault::Fail);
    assert_eq!(block_on(load(sim)), Some((Slot::A, OLD.to_vec())));
}

#[test]
fn halves_are_written_in_turn_and_the_newest_whole_one_counts() {
    let mut slots = Slots::with(Slot::A, image(OLD));
    let mut file = new_file(&slots);
    for sector_size in [512, 4096] {
        for _ in 0..3 {
            slots = parse(&file).unwrap().counted();
            let (at, sector) = next_write(&slots, sector_size);
            assert_eq!((at % HALF_LEN, sector.len()), (0, sector_size as usize));
            let before = parse(&file).unwrap();
            file[at as usize..][..sector.len()].copy_from_slice(&sector);
            assert_eq!(parse(&file).unwrap().tried, slots.tried);
            let mut torn = file.clone();
            torn[at as usize + 50] ^= 1;
            assert_eq!(parse(&torn), Some(before).filter(|before| before.tried > 0 || before.sequence == 1));
        }
    }
    // A record that stands in the other half is none.
    file.rotate_left(HALF_LEN as usize);
    assert_eq!(parse(&file), None);
}

proptest! {
    #[test]
    fn whatever_the_record_says_at_most_two_kernels_are_tried_and_the_rest_follows(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        next in 0u8..3, good in 0u8..4, tried: u8, images in 0u8..4,
    ) {
        prop_assert_eq!(parse(&bytes), None);
        let slot = |number: u8| SLOTS.get(usize::from(number)).copied();
        let mut slots = Slots::with(slot(next).unwrap_or(Slot::B), image(OLD));
        slots.images = [(images & 1 > 0).then(|| image(OLD)), (images & 2 > 0).then(|| image(NEW))];
        (slots.good, slots.tried) = (slot(good), tried);
        prop_assert_eq!(parse(&new_file(&slots)), Some(slots));
        let order = slots.order();
        prop_assert_eq!(order.len(), images.count_ones() as usize);
        prop_assert!(order.iter().all(|candidate| candidate.image == slots.image(candidate.slot)));
        // One that is counted is never the last hope.
        prop_assert!(order.last().is_none_or(|last| !last.is_counted));
        prop_assert_ne!(Some(slots.free(None)), slots.good);
        let serving = slots.served(Slot::A).unwrap_or(slots);
        prop_assert_eq!((serving.next, serving.good), (Slot::A, Some(Slot::A)));
    }
}
