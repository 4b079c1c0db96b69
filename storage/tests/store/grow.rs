//! More arenas for a store: while it runs, when it is opened, and with the power cut in between.

use crate::support::{NOW, fresh_arenas, lump, parts as named};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::SimDisk;
use storage::device::{BlockDevice, Image};
use storage::make::{self, ArenaOptions};
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{AddError, Store, StoreError, StorePart, StoreParts, StoreSettings};

const DATA: BlockType = BlockType::DATA;

/// Arenas, two index sections, and arenas that the index does not know yet.
type Disks<D> = [Rc<D>; 4];

fn images(bucket: u32) -> [Image; 4] {
    let arenas = RamDisk::from(fresh_arenas(512, 512, 64 << 10, 2, 1));
    let sections = [RamDisk::new(512, 2048), RamDisk::new(512, 1900)];
    let more = RamDisk::new(512, (4 << 20) / 512);
    block_on(async {
        let all = named(vec![&arenas], Vec::new(), None);
        let (store, _) = Store::open(boxed(all), StoreSettings::default(), NOW).await.unwrap();
        let sizes = store.status().arenas.into_iter().map(|arena| (arena.name, arena.size));
        let mut made = Vec::new();
        for (number, section) in sections.iter().enumerate() {
            made.push(make::section(section, &format!("isect{number}"), bucket, 77).await.unwrap());
        }
        make::index("main", &mut made, sizes).await.unwrap();
        make::arenas(&more, more_arenas(), || 99, |_, _| ()).await.unwrap();
    });
    let [first, second] = sections;
    [arenas, first, second, more].map(|disk| disk.image())
}

fn more_arenas() -> ArenaOptions<'static> {
    ArenaOptions { name: "arenas", first: 2, arena_len: 1 << 20, block_size: 512, ..ArenaOptions::default() }
}

/// A store of its own devices, for as long as it is only looked at.
fn boxed(parts: StoreParts<&RamDisk>) -> StoreParts<Rc<RamDisk>> {
    let own = |part: StorePart<&RamDisk>| StorePart {
        name: part.name,
        device: Rc::new(RamDisk::from(part.device.image())),
    };
    StoreParts {
        arenas: parts.arenas.into_iter().map(own).collect(),
        index_sections: parts.index_sections.into_iter().map(own).collect(),
        bloom: parts.bloom.map(own),
    }
}

fn parts<D>(disks: &Disks<D>, with_more: bool) -> StoreParts<Rc<D>> {
    let arenas = if with_more { vec![disks[0].clone(), disks[3].clone()] } else { vec![disks[0].clone()] };
    named(arenas, vec![disks[1].clone(), disks[2].clone()], None)
}

fn more<D>(disks: &Disks<D>) -> StorePart<Rc<D>> {
    StorePart { name: "more".into(), device: disks[3].clone() }
}

fn ram(images: &[Image; 4]) -> Disks<RamDisk> {
    images.clone().map(|image| Rc::new(RamDisk::from(image)))
}

fn settings(index_bytes_max: usize) -> StoreSettings {
    StoreSettings { index_bytes_max, ..StoreSettings::default() }
}

/// Writes blocks until the store is full. Returns how many.
async fn fill<D: BlockDevice + 'static>(store: &Store<D>, from: u64) -> u64 {
    for number in from.. {
        match store.write(DATA, lump(1 + 4 * number, 3000).into(), NOW).await {
            Ok(_) => {}
            Err(StoreError::NoSpace) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("no store is endless")
}

async fn check<D: BlockDevice + 'static>(store: &Store<D>, count: u64, what: &str) {
    for number in 0..count {
        let data = lump(1 + 4 * number, 3000);
        assert_eq!(store.read(Score::of(&data), DATA).await.unwrap(), data, "{what} {number}");
    }
}

#[test]
fn a_full_store_takes_blocks_again_once_arenas_are_added_while_it_runs() {
    for index_bytes_max in [1 << 20, 200] {
        let disks = ram(&images(2048));
        block_on(async {
            let (store, _) = Store::open(parts(&disks, false), settings(index_bytes_max), NOW).await.unwrap();
            let before = fill(&store, 0).await;
            let names = store.add_arenas(more(&disks)).await.unwrap();
            assert_eq!(
                names.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ["arenas2", "arenas3", "arenas4"]
            );
            let after = fill(&store, before).await;
            assert!(after > before + 800, "{before} {after}");
            check(&store, after, "running").await;
            store.close().await.unwrap();
            for index_bytes_max in [1 << 20, 200] {
                let all = parts(&disks, true);
                let (store, report) = Store::open(all, settings(index_bytes_max), NOW).await.unwrap();
                assert!(report.damage.is_empty() && report.unmapped.is_empty(), "{report:?}");
                check(&store, after, "opened again").await;
            }
            // Without the new disk nothing is served, since the index says that something is missing.
            assert!(Store::open(parts(&disks, false), settings(1 << 20), NOW).await.is_err());
        });
    }
}

#[test]
fn the_index_is_as_if_it_had_been_made_with_all_arenas() {
    let grown = ram(&images(512));
    let made = ram(&images(512));
    block_on(async {
        let (store, report) = Store::open(parts(&grown, true), settings(1 << 20), NOW).await.unwrap();
        assert_eq!(report.unmapped.len(), 3);
        assert_eq!(store.adopt_unmapped().await.unwrap().len(), 3);
        assert_eq!(store.adopt_unmapped().await.unwrap().len(), 0);
        let sizes: Vec<_> = store.status().arenas.into_iter().map(|arena| (arena.name, arena.size)).collect();
        let mut sections = Vec::new();
        for number in 0..2 {
            let device = made[1 + number].clone();
            sections.push(make::section(device, &format!("isect{number}"), 512, 77).await.unwrap());
        }
        make::index("main", &mut sections, sizes).await.unwrap();
    });
    for section in [1, 2] {
        assert!(grown[section].image().to_vec() == made[section].image().to_vec(), "section {section}");
    }
}

#[test]
fn arenas_that_are_not_empty_or_not_new_are_left_alone() {
    let disks = ram(&images(512));
    block_on(async {
        let (store, _) = Store::open(parts(&disks, false), settings(1 << 20), NOW).await.unwrap();
        let before = disks.each_ref().map(|disk| disk.image().to_vec());
        let own = StorePart { name: "again".into(), device: disks[0].clone() };
        let refused = store.add_arenas(own).await.unwrap_err();
        assert!(matches!(refused, AddError::Map(_)), "{refused}");
        let section = StorePart { name: "isect".into(), device: disks[1].clone() };
        assert!(matches!(store.add_arenas(section).await, Err(AddError::Partition(_))));
        // One that another store has used.
        let used = Rc::new(RamDisk::from(disks[3].image()));
        let other = named(vec![used.clone()], Vec::new(), None);
        let (other, _) = Store::open(other, settings(1 << 20), NOW).await.unwrap();
        other.write(DATA, lump(1, 100).into(), NOW).await.unwrap();
        other.sync().await.unwrap();
        let refused = store.add_arenas(StorePart { name: "used".into(), device: used }).await.unwrap_err();
        assert_eq!(refused.to_string(), "arenas2 holds blocks already: only empty arenas can be added");
        assert!(disks.each_ref().map(|disk| disk.image().to_vec()) == before);
        assert_eq!(store.status().arenas.len(), 2);
    });
}

#[test]
fn a_power_cut_while_arenas_are_added_leaves_the_old_or_the_new_store() {
    let start = ram(&images(512));
    let count = block_on(async {
        let (store, _) = Store::open(parts(&start, false), settings(1 << 20), NOW).await.unwrap();
        let count = fill(&store, 0).await;
        store.close().await.unwrap();
        count
    });
    let images = start.each_ref().map(|disk| disk.image());
    let (mut old, mut new) = (0, 0);
    for cut in 0..72 {
        let disks = images.clone().map(|image| Rc::new(SimDisk::new(image, cut)));
        let done = block_on(async {
            let (store, _) = Store::open(parts(&disks, false), settings(1 << 20), NOW).await.unwrap();
            disks[1 + cut as usize % 2].cut_power_after(cut / 2 % 12);
            store.add_arenas(more(&disks)).await.is_ok()
        });
        let after = disks.map(|disk| Rc::new(RamDisk::from(disk.power_cut(cut))));
        block_on(async {
            let (store, report) = Store::open(parts(&after, true), settings(1 << 20), NOW).await.unwrap();
            if report.unmapped.is_empty() {
                new += 1
            } else {
                old += 1
            }
            assert!(!done || report.unmapped.is_empty(), "cut {cut}: the arenas had been added");
            store.adopt_unmapped().await.unwrap();
            assert_eq!(store.status().arenas.len(), 5, "cut {cut}");
            check(&store, count, "after the cut").await;
            assert!(fill(&store, count).await > count + 800);
            store.close().await.unwrap();
            let (_, report) = Store::open(parts(&after, true), settings(200), NOW).await.unwrap();
            assert!(report.damage.is_empty() && report.unmapped.is_empty(), "cut {cut}: {report:?}");
        });
    }
    assert!(old > 3 && new > 8, "{old} {new}");
}
