//! Files of a volume: written, replaced, removed; power cuts at every write.

use super::*;
use crate::device::Image;
use crate::device::ram::RamDisk;
use crate::device::sim::SimDisk;
use crate::simulation::block_on;
use alloc::rc::Rc;
use proptest::prelude::*;
use std::format;

pub(in crate::fat) const NOW: Timestamp = Timestamp(1_700_000_000);
const SECTORS: u64 = 9000;

pub(in crate::fat) type Shared = Rc<RamDisk>;

pub(in crate::fat) fn formatted() -> (Shared, Volume<Shared>) {
    let disk = Rc::new(RamDisk::new(512, SECTORS));
    let volume = block_on(Volume::format(disk.clone(), b"9FAT       ", 2048, 7, NOW)).unwrap();
    (disk, volume)
}

pub(in crate::fat) fn mount(disk: &Shared) -> Volume<Shared> {
    block_on(Volume::open(disk.clone())).unwrap()
}

pub(in crate::fat) fn content(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

#[test]
fn files_are_read_back_after_a_mount() {
    let (disk, mut volume) = formatted();
    let free = volume.free_bytes();
    let files = [("granary.ini", 20), ("scorenames", 70_000), ("spring barn.info", 512), ("empty", 0)];
    for (name, len) in files {
        block_on(volume.replace(name, &content(len, 1), NOW)).unwrap();
    }
    let volume = mount(&disk);
    for (name, len) in files {
        assert_eq!(block_on(volume.read(name, 1 << 20)).unwrap(), content(len, 1), "{name}");
    }
    let names: Vec<String> = block_on(volume.list("")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, files.map(|(name, _)| name));
    assert_eq!(free - volume.free_bytes(), 512 + 137 * 512 + 512);
}

#[test]
fn capitals_and_short_names_find_the_same_file() {
    let (_, mut volume) = formatted();
    block_on(volume.replace("scorenames", b"one", NOW)).unwrap();
    block_on(volume.replace("SCORENAMES", b"two", NOW)).unwrap();
    assert_eq!(block_on(volume.list("")).unwrap().len(), 1);
    assert_eq!(block_on(volume.read("scoren~1", 9)).unwrap(), b"two");
}

#[test]
fn replacing_and_removing_give_the_room_back() {
    let (disk, mut volume) = formatted();
    block_on(volume.replace("a", &content(10_000, 1), NOW)).unwrap();
    let free = volume.free_bytes();
    for round in 0..20 {
        block_on(volume.replace("a", &content(10_000, round), NOW)).unwrap();
    }
    assert_eq!((volume.free_bytes(), mount(&disk).free_bytes()), (free, free));
    block_on(volume.remove("a")).unwrap();
    assert_eq!(volume.free_bytes(), free + 10_240);
    assert_eq!(block_on(volume.read("a", 9)), Err(FatError::NotFound("a".to_string())));
}

#[test]
fn the_plan9_table_in_the_second_sector_is_left_alone() {
    let disk = Rc::new(RamDisk::new(512, SECTORS));
    disk.put(512, b"part 9fat 0 9000\n");
    let mut volume = block_on(Volume::format(disk.clone(), b"9FAT       ", 2048, 7, NOW)).unwrap();
    block_on(volume.replace("scorenames", &content(70_000, 1), NOW)).unwrap();
    assert!(block_on(disk.read(1, 1)).unwrap().starts_with(b"part 9fat 0 9000\n\0"));
}

#[test]
fn a_full_volume_refuses_and_keeps_what_it_has() {
    let (disk, mut volume) = formatted();
    let free = volume.free_bytes() as usize;
    block_on(volume.replace("a", b"kept", NOW)).unwrap();
    assert_eq!(block_on(volume.replace("a", &content(free, 1), NOW)), Err(Full.into()));
    assert_eq!(block_on(mount(&disk).read("a", 9)).unwrap(), b"kept");
    // And a root directory has a place of its own, which fills up, too: 512 entries, one of which is the label.
    for number in 0..511 {
        block_on(volume.replace(&format!("{number}"), b"", NOW)).unwrap_or_default();
    }
    assert_eq!(block_on(volume.replace("one more", b"", NOW)), Err(Full.into()));
    assert_eq!(block_on(volume.read("a", 9)).unwrap(), b"kept");
}

#[test]
fn what_is_too_large_or_no_file_is_refused() {
    let (_, mut volume) = formatted();
    block_on(volume.replace("a", b"four", NOW)).unwrap();
    let too_large = FatError::TooLarge { name: "a".to_string(), len: 4, max: 3 };
    assert_eq!(block_on(volume.read("a", 3)), Err(too_large));
    assert!(matches!(block_on(volume.replace("a:b", b"", NOW)), Err(FatError::BadName(_))));
    assert!(matches!(block_on(volume.replace("no/b", b"", NOW)), Err(FatError::NotFound(_))));
    assert!(matches!(block_on(volume.read("a/b", 9)), Err(FatError::WrongKind(_))));
}

/// Every file of a volume that may be damaged: its content, or nothing where it cannot be read.
fn state(image: Image) -> Vec<(String, Option<Vec<u8>>)> {
    let volume = mount(&Rc::new(RamDisk::from(image)));
    let entries = block_on(volume.list("")).unwrap();
    entries
        .iter()
        .map(|entry| (entry.name.clone(), block_on(volume.read(&entry.name, 1 << 20)).ok()))
        .collect()
}

/// Runs `change` with the power cut before each of its requests in turn, several times each, and gives what is left to
/// `check`. Then reclaims, so that no cluster is lost and nothing else is touched.
pub(in crate::fat) fn with_power_cuts(
    change: impl AsyncFn(&mut Volume<Rc<SimDisk>>) -> Result<(), FatError>,
    check: impl Fn(Vec<(String, Option<Vec<u8>>)>),
) {
    let (disk, mut volume) = formatted();
    block_on(volume.replace("other file", &content(3000, 9), NOW)).unwrap();
    block_on(volume.replace("scorenames", &content(5000, 1), NOW)).unwrap();
    let before = disk.image();
    let mut cuts = 0;
    for operations in 0.. {
        let mut finished = false;
        for seed in 0..8 {
            let sim = Rc::new(SimDisk::new(before.clone(), seed).prompt());
            let mut volume = block_on(Volume::open(sim.clone())).unwrap();
            sim.cut_power_after(operations);
            finished = block_on(change(&mut volume)).is_ok();
            let after = sim.power_cut(seed);
            check(state(after.clone()));
            let disk = Rc::new(RamDisk::from(after.clone()));
            let mut mended = mount(&disk);
            block_on(mended.reclaim()).unwrap();
            assert_eq!(state(disk.image()), state(after));
            let used: u64 = block_on(mended.list(""))
                .unwrap()
                .iter()
                .map(|entry| u64::from(entry.len).div_ceil(512) + u64::from(entry.is_directory))
                .sum();
            let all = u64::from(mended.geometry().clusters);
            assert_eq!(mended.free_bytes() / 512, all - used, "after {operations} requests, seed {seed}");
            cuts += 1;
        }
        if finished {
            break;
        }
    }
    assert!(cuts > 50, "{cuts}");
}

#[test]
fn a_power_cut_during_a_replacement_leaves_the_old_file_or_the_new_one() {
    with_power_cuts(
        async |volume| volume.replace("scorenames", &content(70_000, 2), NOW).await,
        |state| {
            assert_eq!(state[0], ("other file".to_string(), Some(content(3000, 9))));
            assert_eq!((state.len(), state[1].0.as_str()), (2, "scorenames"));
            let new = state[1].1.as_ref().unwrap();
            assert!(*new == content(5000, 1) || *new == content(70_000, 2), "{} bytes", new.len());
        },
    );
}

#[test]
fn a_power_cut_during_a_creation_leaves_no_file_or_the_whole_one() {
    with_power_cuts(
        async |volume| volume.replace("a name of some length.info", &content(70_000, 2), NOW).await,
        |state| {
            assert_eq!(state[0].1, Some(content(3000, 9)));
            assert_eq!(state[1].1, Some(content(5000, 1)));
            let new = state.get(2).map(|(name, content)| (name.as_str(), content.clone()));
            assert!(new.is_none() || new == Some(("a name of some length.info", Some(content(70_000, 2)))));
        },
    );
}

#[test]
fn a_power_cut_during_a_removal_leaves_the_file_or_not() {
    with_power_cuts(
        async |volume| {
            volume.replace("new", b"1", NOW).await?;
            volume.remove("scorenames").await
        },
        |state| {
            assert_eq!(state[0], ("other file".to_string(), Some(content(3000, 9))));
            for (name, left) in &state[1..] {
                let expected = if name == "new" { b"1".to_vec() } else { content(5000, 1) };
                assert_eq!(left, &Some(expected), "{name}");
            }
        },
    );
}

#[test]
fn after_a_failed_write_the_next_one_starts_from_the_disk() {
    let (disk, _) = formatted();
    let sim = Rc::new(SimDisk::new(disk.image(), 1).prompt());
    let mut volume = block_on(Volume::open(sim.clone())).unwrap();
    let free = volume.free_bytes();
    for nth in 1..5 {
        sim.inject(crate::device::sim::Request::Write, nth, crate::device::sim::Fault::Fail);
        let _ = block_on(volume.replace("a", &content(1000, nth as u8), NOW));
    }
    block_on(volume.replace("a", b"whole", NOW)).unwrap();
    let mut volume = block_on(Volume::open(sim)).unwrap();
    assert_eq!(block_on(volume.read("a", 9)).unwrap(), b"whole");
    block_on(volume.reclaim()).unwrap();
    assert_eq!(volume.free_bytes(), free - 512);
}

#[test]
fn a_file_whose_cluster_the_table_calls_free_is_not_replaced_into_it() {
    let (disk, mut volume) = formatted();
    block_on(volume.replace("a", b"old", NOW)).unwrap();
    let cluster = block_on(volume.entry("a")).unwrap().cluster;
    let table = volume.geometry().table_at(0) * 512;
    disk.put(table + 2 * u64::from(cluster), &[0, 0]);
    let mut volume = mount(&disk);
    let refused = block_on(volume.replace("a", b"new", NOW));
    assert!(matches!(refused, Err(FatError::Damaged { .. })), "{refused:?}");
    block_on(volume.replace("b", b"another", NOW)).unwrap();
    assert_eq!(block_on(volume.read("b", 9)).unwrap(), b"another");
}

#[test]
fn chains_that_two_files_share_are_not_reclaimed() {
    let (disk, mut volume) = formatted();
    for name in ["a", "b"] {
        block_on(volume.replace(name, b"x", NOW)).unwrap();
    }
    let root = volume.geometry().root_at() * 512;
    let cluster = block_on(volume.entry("a")).unwrap().cluster as u16;
    disk.put(root + 64 + 26, &cluster.to_le_bytes());
    assert_eq!(block_on(volume.reclaim()), Err(FatError::CrossLinked(cluster.into())));
}

#[test]
fn a_file_that_claims_its_own_directory_is_neither_replaced_nor_removed() {
    let (disk, mut volume) = formatted();
    block_on(volume.make_directory("dir", NOW)).unwrap();
    block_on(volume.replace("dir/inner", b"old", NOW)).unwrap();
    let dir = block_on(volume.entry("dir")).unwrap().cluster;
    let slot = block_on(volume.entry("dir/inner")).unwrap().slots.end - 1;
    let at = volume.geometry().cluster_at(dir) * 512 + slot as u64 * 32 + 26;
    disk.put(at, &(dir as u16).to_le_bytes());
    let mut volume = mount(&disk);
    assert_eq!(block_on(volume.replace("dir/inner", b"new", NOW)), Err(FatError::CrossLinked(dir)));
    assert_eq!(block_on(volume.remove("dir/inner")), Err(FatError::CrossLinked(dir)));
    assert_eq!(block_on(volume.list("dir")).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_mutated_volume_never_hangs_or_panics(
        changes in proptest::collection::vec((0..40_000_u64, any::<u8>()), 1..40),
    ) {
        let (disk, mut volume) = formatted();
        for (name, len) in [("granary.ini", 300), ("scorenames", 9000), ("c", 1)] {
            block_on(volume.replace(name, &content(len, 1), NOW)).unwrap();
        }
        for (at, byte) in changes {
            // Boot sector, start of the table, root directory: where things stand.
            let root = volume.geometry().root_at() * 512;
            let place = [at % 64, 1024 + at % 128, root + at % 256][(at % 3) as usize];
            disk.put(place, &[byte]);
        }
        if let Ok(mut volume) = block_on(Volume::open(disk)) {
            for entry in block_on(volume.list("")).unwrap_or_default() {
                let _ = block_on(volume.read(&entry.name, 1 << 20));
            }
            let _ = block_on(volume.replace("scorenames", &content(2000, 3), NOW));
            let _ = block_on(volume.reclaim());
            let _ = block_on(volume.remove("granary.ini"));
        }
    }
}
