//! Disks laid out, and power cuts at every write of it.

use super::*;
use crate::Timestamp;
use crate::block_type::BlockType;
use crate::device::Image;
use crate::device::ram::RamDisk;
use crate::device::sim::SimDisk;
use crate::disk::survey::{FindingKind, NamedDisk, survey};
use crate::disk::{Contents, Table, find};
use crate::fat::Volume;
use crate::format::config::{CONFIG_OFFSET, VentiConfig};
use crate::partition::Partition;
use crate::simulation::block_on;
use crate::store::{Store, StoreSettings};
use alloc::rc::Rc;
use bytes::Bytes;
use std::vec;

const LEN: u64 = 300 << 20;
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000);
const SETTINGS: &str = "sysname=barn\n";

pub(super) fn numbers(seed: u32) -> impl FnMut() -> u32 {
    let mut last = seed;
    move || {
        last = last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        last
    }
}

pub(super) fn make<D: BlockDevice + Clone>(
    device: &D,
    begun: Option<Unfinished>,
) -> Result<Made, LayOutError> {
    let plan = Plan::new(device.sector_size(), device.sector_count(), 64 << 20).unwrap();
    let begun = begun.unwrap_or_else(|| plan.begin(numbers(1)));
    let content = Content { settings: SETTINGS, ..Content::default() };
    block_on(lay_out(device, &plan, &begun, &content, NOW, numbers(2), |_, _| ()))
}

/// What is found on a disk that is complete.
fn assert_complete(disk: &Rc<RamDisk>) {
    assert_eq!(block_on(state(disk)), Ok(State::Used));
    let named = [NamedDisk { name: "disk0".into(), device: disk.clone() }];
    let survey = block_on(survey(&named));
    assert_eq!(survey.findings, []);
    assert_eq!(survey.nvram(None).unwrap().name(), "disk0/nvram");
    assert_eq!(survey.nvram(Some("#S/sdC0/nvram")).unwrap().name(), "disk0/nvram");
    assert!(survey.nvram(Some("disk0/keys")).is_none());
    let volume = block_on(Volume::open(survey.nine_fat.unwrap())).unwrap();
    assert_eq!(block_on(volume.read("granary.ini", 100)).unwrap(), SETTINGS.as_bytes());
    let settings = StoreSettings { lump_cache_bytes: 1 << 20, ..StoreSettings::default() };
    let (store, report) = block_on(Store::open(survey.parts, settings, NOW)).unwrap();
    assert_eq!((report.clumps, report.arenas_count), (0, 3));
    block_on(async {
        let lump = Bytes::from_static(b"the first block");
        let score = store.write(BlockType::DATA, lump.clone(), NOW).await.unwrap();
        store.sync().await.unwrap();
        assert_eq!(store.read(score, BlockType::DATA).await.unwrap(), lump);
    });
}

#[test]
fn a_disk_is_laid_out_in_its_own_sectors_and_a_store_opens_on_it() {
    for sector_size in [512, 4096] {
        let disk = Rc::new(RamDisk::new(sector_size, LEN / u64::from(sector_size)));
        assert_eq!(block_on(state(&disk)), Ok(State::Blank));
        let made = make(&disk, None).unwrap();
        assert_eq!(made.arenas, 3);
        let layout = block_on(find(&disk)).unwrap();
        let names: Vec<_> = layout.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["bios", "esp", "plan9", "9fat", "nvram", "isect", "arenas"]);
        let arenas = layout.holding(Contents::Arenas).next().unwrap();
        let arenas = Partition::new("arenas", disk.clone(), arenas.first, arenas.count).unwrap();
        let block = block_on(crate::device::read_bytes(&arenas, CONFIG_OFFSET, 8192)).unwrap();
        assert_eq!(VentiConfig::parse_block(&block).unwrap().arenas, ["/dev/sdC0/arenas"]);
        assert_complete(&disk);
    }
}

#[test]
fn a_disk_that_is_too_small_is_refused_and_one_of_tebibytes_has_a_bloom_filter() {
    assert!(matches!(Plan::new(512, (255 << 20) / 512, 1 << 30), Err(MakeError::TooSmall { .. })));
    let large = Plan::of(&RamDisk::new(4096, (6 << 40) / 4096)).unwrap();
    assert!(large.has_bloom() && large.arena_len == 2 << 30);
    assert!(!Plan::new(512, (8 << 30) / 512, 1 << 30).unwrap().has_bloom());
}

/// The state that the durable sectors and any of the others leave, at every request of laying out: the disk is still blank, or
/// begun and finished by doing it again, or complete. Never is it half a store, and never somebody else's.
#[test]
fn a_power_cut_at_any_write_leaves_a_disk_that_is_blank_begun_or_complete() {
    let mut seen = [0; 3];
    for operations in 0.. {
        let mut done = false;
        for seed in 0..3 {
            let sim = Rc::new(SimDisk::new(Image::new(512, LEN / 512), seed).prompt());
            sim.cut_power_after(operations);
            done = make(&sim, None).is_ok();
            let disk = Rc::new(RamDisk::from(sim.power_cut(seed)));
            let begun = match block_on(state(&disk)).unwrap() {
                State::Blank => {
                    seen[0] += 1;
                    None
                }
                State::Unfinished(begun) => {
                    seen[1] += 1;
                    assert_eq!(block_on(find(&disk)).unwrap().table, Table::Unfinished);
                    Some(begun)
                }
                State::Used => {
                    seen[2] += 1;
                    assert_complete(&disk);
                    continue;
                }
            };
            make(&disk, begun).unwrap();
            assert_complete(&disk);
        }
        if done {
            break;
        }
    }
    assert!(seen[0] > 0 && seen[1] > 100 && seen[2] >= 3, "{seen:?}");
}

#[test]
fn a_disk_on_which_anything_stands_is_never_blank() {
    let sectors = LEN / 512;
    let zeros = Image::new(512, sectors);
    // Where file systems, volumes, tables and their copies begin, and pieces spread over the rest.
    let mut places = vec![0, 510, 1024, 4096, 32_768, 65_536, 262_144, (1 << 20) - 1, 64 << 20, 256 << 20];
    places.extend([LEN - 1, LEN - 512, LEN - 4096, LEN - 65_536, LEN - (128 << 10), LEN - (1 << 20)]);
    places.push(LEN / 512 * 100 / (64 << 10) * (64 << 10) + 5);
    for place in places {
        let mut image = zeros.clone();
        image.put(place, &[1]);
        let disk = Rc::new(RamDisk::from(image));
        assert_eq!(block_on(state(&disk)), Ok(State::Used), "byte {place}");
    }
    assert_eq!(block_on(state(&RamDisk::new(512, 100))), Ok(State::Used));
}

#[test]
fn a_disk_that_was_begun_and_then_given_another_use_is_not_touched() {
    let sim = Rc::new(SimDisk::new(Image::new(512, LEN / 512), 1).prompt());
    sim.cut_power_after(20);
    assert!(make(&sim, None).is_err());
    let image = sim.power_cut(1);
    assert!(matches!(block_on(state(&RamDisk::from(image.clone()))), Ok(State::Unfinished(_))));
    // ext4's superblock, one of a RAID, a volume's label, the end of a mirror.
    for place in [1024, 4096, 512, 65_536, LEN - 4096, LEN - (128 << 10)] {
        let mut image = image.clone();
        image.put(place, b"somebody's");
        assert_eq!(block_on(state(&RamDisk::from(image))), Ok(State::Used), "byte {place}");
    }
    let mut other = Image::new(512, LEN / 512 + 8);
    other.put(0, &image.get(0, 1 << 20));
    assert_eq!(block_on(state(&RamDisk::from(other))), Ok(State::Used), "a copy on another disk");
    let named = [NamedDisk { name: "disk0".into(), device: Rc::new(RamDisk::from(image)) }];
    let found = block_on(survey(&named));
    assert!(found.findings.iter().any(|finding| finding.what == FindingKind::Unfinished));
}
