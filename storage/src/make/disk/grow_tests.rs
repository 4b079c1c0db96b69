//! Disks that grew after they were laid out, and power cuts at every request of using the new room.

use super::tests::{NOW, make, numbers};
use super::{GrowError, Grown, grow, is_addition, own};
use crate::block_type::BlockType;
use crate::device::Image;
use crate::device::ram::RamDisk;
use crate::device::sim::SimDisk;
use crate::device::{BlockDevice, write_bytes};
use crate::disk::survey::{NamedDisk, Survey, survey};
use crate::disk::{Contents, find};
use crate::format::config::{CONFIG_OFFSET, VentiConfig};
use crate::score::Score;
use crate::simulation::block_on;
use crate::store::{Store, StoreSettings};
use alloc::rc::Rc;
use bytes::Bytes;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

const SMALL: u64 = 256 << 20;
const LARGE: u64 = 700 << 20;
const BLOCK: &[u8] = b"stored before the disk grew";

fn named<D: BlockDevice + Clone>(disk: &D) -> [NamedDisk<D>; 1] {
    [NamedDisk { name: "disk0".into(), device: disk.clone() }]
}

fn settings() -> StoreSettings {
    StoreSettings { lump_cache_bytes: 1 << 20, ..StoreSettings::default() }
}

fn grows<D: BlockDevice + Clone + 'static>(disk: &D) -> Result<Option<Grown>, GrowError> {
    let disks = named(disk);
    block_on(grow(&disks[0], &disks, settings(), NOW, numbers(7)))
}

/// A disk that was laid out, perhaps with a block on it.
fn laid_out(sector_size: u32, score: Option<&mut Score>) -> Image {
    let disk = Rc::new(RamDisk::new(sector_size, SMALL / u64::from(sector_size)));
    make(&disk, None).unwrap();
    if let Some(score) = score {
        let (store, _) = open(&disk);
        block_on(async {
            *score = store.write(BlockType::DATA, Bytes::from_static(BLOCK), NOW).await.unwrap();
            store.close().await.unwrap();
        });
    }
    disk.image()
}

fn surveyed<D: BlockDevice + Clone>(disk: &D) -> Survey<D> {
    block_on(survey(&named(disk)))
}

fn open(disk: &Rc<RamDisk>) -> (Store<crate::partition::Partition<Rc<RamDisk>>>, usize) {
    let (store, report) = block_on(Store::open(surveyed(disk).parts, settings(), NOW)).unwrap();
    assert_eq!(report.damage, []);
    (store, report.unmapped.len())
}

/// Opens the store as a node does, and returns how many bytes its arenas have.
fn capacity(disk: &Rc<RamDisk>, score: Option<Score>) -> u64 {
    let (store, _) = open(disk);
    block_on(store.adopt_unmapped_of(is_addition)).unwrap();
    if let Some(score) = score {
        assert_eq!(block_on(store.read(score, BlockType::DATA)).unwrap(), BLOCK);
    }
    let fresh = block_on(store.write(BlockType::DATA, Bytes::from_static(b"after"), NOW)).unwrap();
    block_on(store.close()).unwrap();
    assert_eq!(block_on(store.read(fresh, BlockType::DATA)).unwrap(), &b"after"[..]);
    store.status().arenas.iter().map(|arena| arena.size).sum()
}

fn part_names<D: BlockDevice>(disk: &D) -> Vec<String> {
    let layout = block_on(find(disk)).unwrap();
    assert_eq!(layout.complaints, []);
    layout.parts.iter().map(|part| part.name.clone()).collect()
}

#[test]
fn a_disk_that_grew_is_used_to_its_end_and_nothing_moves() {
    for sector_size in [512, 4096] {
        let image = laid_out(sector_size, None);
        let before = Rc::new(RamDisk::from(image.clone()));
        let had = capacity(&Rc::new(RamDisk::from(image.clone())), None);
        let disk = Rc::new(RamDisk::from(image.on_larger(LARGE / u64::from(sector_size))));
        let grown = grows(&disk).unwrap().unwrap();
        assert_eq!(grown.part.as_deref(), Some("arenas1"));
        assert!(grown.index.is_some_and(|len| len > 20 << 20), "{grown:?}");
        let names = ["bios", "esp", "plan9", "9fat", "nvram", "arenas", "isect", "arenas1"];
        assert_eq!(part_names(&disk), names);
        assert_eq!(surveyed(&disk).findings, []);
        let has = capacity(&disk, None);
        assert!(has > had + (400 << 20) && has < LARGE, "{had} {has}");
        assert_eq!(grows(&disk).unwrap(), None, "a second time");
        let (old, new) = (block_on(find(&before)).unwrap(), block_on(find(&disk)).unwrap());
        for name in ["9fat", "nvram", "arenas"] {
            assert_eq!(old.part(name), new.part(name));
        }
        let again = Rc::new(RamDisk::from(disk.image().on_larger(2 * LARGE / u64::from(sector_size))));
        assert_eq!(grows(&again).unwrap().unwrap().part.as_deref(), Some("arenas2"));
        assert!(capacity(&again, None) > has + (600 << 20));
    }
}

#[test]
fn a_store_with_blocks_keeps_its_index_and_venti_is_told_of_the_new_arenas() {
    let mut score = Score::NULL;
    let image = laid_out(512, Some(&mut score));
    let disk = Rc::new(RamDisk::from(image.on_larger(LARGE / 512)));
    let grown = grows(&disk).unwrap().unwrap();
    assert_eq!((grown.part.as_deref(), grown.index), (Some("arenas1"), None));
    let has = capacity(&disk, Some(score));
    assert!(has > 500 << 20, "{has}");
    let layout = block_on(find(&disk)).unwrap();
    assert_eq!(layout.holding(Contents::Arenas).count(), 2);
    let at = layout.part("arenas").unwrap().first * 512 + CONFIG_OFFSET;
    let config = VentiConfig::parse_block(&disk.image().get(at, 8192)).unwrap();
    assert_eq!(config.arenas, ["/dev/sdC0/arenas", "/dev/sdC0/arenas1"]);
}

#[test]
fn only_tables_follow_a_disk_that_grew_by_little() {
    let image = laid_out(512, None);
    let disk = Rc::new(RamDisk::from(image.on_larger((SMALL + (9 << 20)) / 512)));
    let names = part_names(&Rc::new(RamDisk::from(image)));
    assert_eq!(grows(&disk).unwrap().unwrap().part, None);
    assert_eq!(part_names(&disk), names);
    assert_eq!(grows(&disk).unwrap(), None);
}

#[test]
fn a_disk_that_was_not_laid_out_here_is_not_touched() {
    let image = laid_out(512, None).on_larger(LARGE / 512);
    // Byte by byte another disk: a table that another tool changed, a DOS table, none at all.
    for (place, what) in [(512 + 56, "GUID"), (1024 + 56, "label"), (446 + 4, "DOS"), (510, "none")] {
        let mut other = image.clone();
        let byte = other.get(place, 1)[0];
        other.put(place, &[byte ^ 0x39]);
        let disk = Rc::new(RamDisk::from(other.clone()));
        let before: Vec<_> = (0..700).map(|piece| other.get(piece << 20, 1 << 20)).collect();
        assert_eq!(grows(&disk).unwrap(), None, "{what}");
        let after: Vec<_> = (0..700).map(|piece| disk.image().get(piece << 20, 1 << 20)).collect();
        assert!(before == after, "{what}");
    }
}

#[test]
fn a_configuration_without_room_is_told_and_nothing_is_lost() {
    let image = laid_out(512, None);
    let layout = block_on(find(&RamDisk::from(image.clone()))).unwrap();
    let at = layout.part("arenas").unwrap().first * 512 + CONFIG_OFFSET;
    let text = format!(
        "venti config\nindex main\nisect /dev/sdC0/isect\narenas /dev/sdC0/arenas\n# {}\n",
        "x".repeat(420)
    );
    let mut block = text.into_bytes();
    block.resize(8192, 0);
    let disk = Rc::new(RamDisk::from(image.on_larger(LARGE / 512)));
    block_on(write_bytes(&disk, at, Bytes::from(block))).unwrap();
    let told = grows(&disk).unwrap_err();
    assert!(told.to_string().contains("takes no further line"), "{told}");
    assert!(!part_names(&disk).contains(&"arenas1".to_string()));
    capacity(&disk, None);
}

/// What a cut at this request leaves, whether the disk was used to its end before it, and how many writes and flushes had
/// begun.
fn cut(image: &Image, operations: u64, seed: u64) -> (Rc<RamDisk>, bool, (u64, u64)) {
    let sim = Rc::new(SimDisk::new(image.clone(), seed).prompt());
    sim.cut_power_after(operations);
    let done = matches!(grows(&sim), Ok(Some(Grown { part: Some(_), .. })));
    let begun = sim.counts();
    (Rc::new(RamDisk::from(sim.power_cut(seed))), done, (begun.writes, begun.flushes))
}

/// At every write and flush, with several outcomes each: the tables lead to a store that opens with all that it had, and the
/// next start brings the disk to where it was going. A cut at a read leaves what one at the write before it does.
#[test]
fn a_power_cut_at_any_write_leaves_a_store_and_the_next_start_goes_on() {
    let mut score = Score::NULL;
    let filled = laid_out(512, Some(&mut score));
    for (image, score) in [(laid_out(512, None), None), (filled, Some(score))] {
        let image = image.on_larger(LARGE / 512);
        let whole = Rc::new(RamDisk::from(image.clone()));
        grows(&whole).unwrap();
        let goal = (part_names(&whole), capacity(&whole, score));
        let (mut cuts, mut named_early, mut last) = (0, 0, (u64::MAX, 0));
        for operations in 0.. {
            let (_, done, begun) = cut(&image, operations, operations);
            let seeds = [operations, operations + 1];
            for seed in seeds.into_iter().filter(|_| done || begun != last) {
                let (disk, ..) = cut(&image, operations, seed);
                let seen = || RamDisk::from(disk.image());
                assert!(block_on(own::own(&seen())).unwrap().is_some(), "cut {operations}, seed {seed}");
                named_early += usize::from(block_on(find(&seen())).unwrap().part("arenas1").is_some());
                // As a node that is told not to grow would see it, and on another disk, for it writes.
                capacity(&Rc::new(seen()), score);
                grows(&disk).unwrap();
                let found = (part_names(&disk), capacity(&disk, score));
                assert_eq!(found, goal, "cut {operations}, seed {seed}");
                cuts += 1;
            }
            last = begun;
            if done {
                break;
            }
        }
        assert!(cuts > 50 && named_early > 0 && named_early < cuts, "{cuts} {named_early}");
    }
}

#[test]
fn additions_are_told_by_their_names() {
    let names = ["disk0/arenas1", "arenas12", "disk0/arenas", "disk1", "disk0/arenasx", "disk0/oldarenas1"];
    assert_eq!(names.map(is_addition), [true, true, false, false, false, false]);
    assert_eq!(vec![is_addition("")], [false]);
}
