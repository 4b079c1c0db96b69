//! The scrubber on stores that are damaged: what it finds, what it does not, and what it mends.

use crate::crash::{Model, settings_of};
use crate::scrub::{DAY, of_the_real_server, scrub};
use crate::support::{NOW, fresh_arenas, lump, parts};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::{Fault, Request, SimDisk};
use storage::device::{BlockDevice, Image};
use storage::format::clump::{CLUMP_HEADER_LEN, ClumpHeader, Encoding};
use storage::score::Score;
use storage::settings::Scrub;
use storage::simulation::{SeededRng, block_on};
use storage::store::{DamageCause, Store, StoreError, StoreSettings, StoreStatus};
use storage::whack;

const DATA: BlockType = BlockType::DATA;
const SCRUB: Scrub = Scrub::Days(30);

fn without_cache() -> StoreSettings {
    StoreSettings { lump_cache_bytes: 0, ..StoreSettings::default() }
}

async fn open_with(disk: &Rc<SimDisk>, settings: StoreSettings) -> Store<Rc<SimDisk>> {
    Store::open(parts(vec![disk.clone()], Vec::new(), None), settings, NOW).await.unwrap().0
}

/// A clump of an image: number of its arena, place in the partition, offset in the log, header.
struct Clump {
    arena: usize,
    place: u64,
    offset: u64,
    magic: u32,
    header: ClumpHeader,
}

impl Clump {
    fn len(&self) -> u64 {
        self.header.clump_len() as u64
    }

    /// Whether the header is the same but for creator and time, and the lump still comes out. Not every bit of a
    /// compressed lump matters.
    fn is_whole(&self, image: &Image) -> bool {
        let clump = image.get(self.place, self.header.clump_len());
        let before = self.header.encode(self.magic);
        let stored = &clump[CLUMP_HEADER_LEN..];
        let lump = match self.header.encoding {
            Encoding::Plain => Some(stored.to_vec()),
            Encoding::Whack => whack::decode(stored, usize::from(self.header.lump_len)).ok(),
        };
        clump[..30] == before[..30] && lump.is_some_and(|lump| Score::of(&lump) == self.header.score)
    }
}

/// Every durable clump, by its header.
fn clumps(image: &Image, status: &StoreStatus, magic: impl Fn(usize) -> u32) -> Vec<Clump> {
    let mut clumps = Vec::new();
    for (arena, state) in status.arenas.iter().enumerate() {
        let mut offset = 0;
        while offset < state.durable.used {
            let place = state.start + u64::from(state.block_size) + offset;
            let magic = magic(arena);
            let header = ClumpHeader::parse(&image.get(place, CLUMP_HEADER_LEN), magic).unwrap();
            clumps.push(Clump { arena, place, offset, magic, header });
            offset += header.clump_len() as u64;
        }
    }
    clumps
}

/// Arenas that a few clients have filled, of a shape that depends on the seed.
async fn written(seed: u64) -> (Rc<SimDisk>, Store<Rc<SimDisk>>) {
    let rng = SeededRng::new(seed);
    let (sector, block, arena) =
        [(512, 8192, 1 << 20), (512, 512, 1 << 19), (4096, 8192, 1 << 20)][seed as usize % 3];
    let disk = Rc::new(SimDisk::new(fresh_arenas(sector, block, arena, 4, seed as u32), seed));
    let store = open_with(&disk, settings_of(seed)).await;
    let model = Model::default();
    model.client(&store, &rng, 150).await;
    store.sync().await.unwrap();
    drop(store);
    let store = open_with(&disk, without_cache()).await;
    (disk, store)
}

#[test]
fn every_damaged_clump_is_found_and_nothing_else_is_reported() {
    let mut found = 0;
    for seed in 0..60 {
        block_on(async {
            let (disk, store) = written(seed).await;
            let rng = SeededRng::new(1000 + seed);
            let status = store.status();
            let clumps =
                clumps(&disk.durable(), &status, |arena| 0x5eed_0000 + seed as u32 * 100 + arena as u32);
            let mut expected = BTreeSet::new();
            for _ in 0..rng.below(12) {
                let clump = &clumps[rng.below(clumps.len() as u64) as usize];
                let arena = &status.arenas[clump.arena];
                let end = arena.start + u64::from(arena.block_size) + arena.durable.used;
                // The sector in which a log ends was read when the store was opened: what lies in it is whole in memory.
                if clump.place + clump.len() > end - end % u64::from(disk.sector_size()) {
                    continue;
                }
                if rng.chance(1, 4) {
                    let size = u64::from(disk.sector_size());
                    let sector = (clump.place + rng.below(clump.len())) / size;
                    disk.spoil_sector(sector);
                    let (from, to) = (sector * size, (sector + 1) * size);
                    let hit =
                        clumps.iter().filter(|clump| clump.place < to && from < clump.place + clump.len());
                    expected.extend(hit.map(|clump| (clump.arena, clump.offset)));
                } else {
                    // Creator and time, the last eight bytes of a header, are in no sum but the seal.
                    let at = [rng.below(30), 38 + rng.below(clump.len() - 38)][rng.below(2) as usize];
                    disk.flip_bit((clump.place + at) * 8 + rng.below(8));
                }
            }
            let image = disk.live();
            let rotten = clumps.iter().filter(|clump| !clump.is_whole(&image));
            expected.extend(rotten.map(|clump| (clump.arena, clump.offset)));
            scrub(&store, SCRUB, NOW, DAY).await;
            let status = store.status();
            let names: Vec<_> = status.arenas.iter().map(|arena| arena.name).collect();
            let number = |name| names.iter().position(|other| *other == name).unwrap();
            let reported: BTreeSet<_> =
                status.damage.iter().map(|damage| (number(damage.arena), damage.offset)).collect();
            assert_eq!(reported, expected, "seed {seed}: {:?}", status.damage);
            let scores: BTreeSet<Score> = clumps
                .iter()
                .filter(|clump| expected.contains(&(clump.arena, clump.offset)))
                .map(|clump| clump.header.score)
                .collect();
            let listed: BTreeSet<Score> = store.damaged_blocks().iter().map(|block| block.score).collect();
            assert_eq!(listed, scores, "seed {seed}");
            let lost: u32 =
                status.arenas.iter().filter_map(|arena| arena.scrub).map(|record| record.lost).sum();
            assert_eq!((status.damaged_blocks, lost as usize), (scores.len(), scores.len()), "seed {seed}");
            found += expected.len();
        });
    }
    assert!(found > 200, "{found} damaged clumps");
}

#[test]
fn a_flipped_bit_anywhere_in_a_sealed_arena_is_found() {
    let rng = SeededRng::new(7);
    let mut by_seal_alone = 0;
    for round in 0..40 {
        block_on(async {
            let (disks, store) = of_the_real_server(without_cache()).await;
            let arena = store.status().arenas[round % 2].clone();
            // Head, log, slack, directory, tail, seal: all of it.
            let place = match round / 2 {
                0 => arena.start,
                1 => arena.stop - 1,
                2 => arena.start + 8192 + arena.durable.used,
                _ => arena.start + rng.below(arena.stop - arena.start),
            };
            disks[0].flip_bit(place * 8 + rng.below(8));
            scrub(&store, SCRUB, NOW, DAY).await;
            let status = store.status();
            assert_eq!(status.damage_count, 1, "{place}: {:?}", status.damage);
            assert_eq!(status.damage[0].arena, arena.name);
            by_seal_alone += u32::from(matches!(status.damage[0].cause, DamageCause::Seal { .. }));
            assert_eq!(status.arenas[round % 2].scrub.unwrap().damaged, 1);
        });
    }
    assert!((6..40).contains(&by_seal_alone), "{by_seal_alone} of 40 by the seal alone");
}

#[test]
fn a_sealed_arena_that_cannot_be_read_whole_is_no_good_seal() {
    block_on(async {
        let (disks, store) = of_the_real_server(StoreSettings::default()).await;
        disks[0].spoil_sector(store.status().arenas[0].start / 512);
        scrub(&store, SCRUB, NOW, DAY).await;
        let damage = store.status().damage;
        assert_eq!(damage[0].to_string(), "arenas0: the seal cannot be checked: cannot read sectors 1552+1");
        assert_eq!(damage.len(), 1);
    });
}

#[test]
fn a_rotten_block_that_is_still_in_memory_is_written_anew_at_once() {
    block_on(async {
        let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), 1));
        let store = open_with(&disk, StoreSettings::default()).await;
        let score = store.write(DATA, lump(1, 5000).into(), NOW).await.unwrap();
        store.sync().await.unwrap();
        disk.flip_bit((store.status().arenas[0].start + 8192 + 1000) * 8);
        scrub(&store, SCRUB, NOW, Duration::from_secs(3000)).await;
        let status = store.status();
        assert_eq!((status.damage_count, status.repairs, status.damaged_blocks), (1, 1, 0));
        let record = status.arenas[0].scrub.unwrap();
        assert_eq!((record.damaged, record.lost), (1, 0));
        store.sync().await.unwrap();
        // Also after a restart, and then the copy is known not to matter.
        let store = open_with(&Rc::new(SimDisk::new(disk.durable(), 1)), without_cache()).await;
        assert_eq!(store.read(score, DATA).await.unwrap(), lump(1, 5000));
        scrub(&store, SCRUB, NOW, DAY).await;
        let record = store.status().arenas[0].scrub.unwrap();
        assert_eq!((record.clumps, record.damaged, record.lost), (2, 1, 0));
        assert!(store.damaged_blocks().is_empty());
    });
}

#[test]
fn a_lost_block_is_listed_until_somebody_writes_it_again() {
    block_on(async {
        let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), 1));
        let store = open_with(&disk, without_cache()).await;
        let data = lump(1, 5000);
        let score = store.write(DATA, data.clone().into(), NOW).await.unwrap();
        store.sync().await.unwrap();
        // The block was read, so it is in what was read ahead when the disk rots.
        assert_eq!(store.read(score, DATA).await.unwrap(), data);
        disk.flip_bit((store.status().arenas[0].start + 8192 + 1000) * 8);
        scrub(&store, SCRUB, NOW, DAY).await;
        let listed = store.damaged_blocks();
        assert_eq!((listed.len(), listed[0].score, listed[0].damage.offset), (1, score, 0));
        assert!(matches!(store.read(score, DATA).await, Err(StoreError::Damaged(_))));
        assert_eq!(store.status().damage_count, 1, "known damage is not counted again");
        store.write(DATA, data.clone().into(), NOW).await.unwrap();
        store.sync().await.unwrap();
        assert!(store.damaged_blocks().is_empty());
        let store = open_with(&Rc::new(SimDisk::new(disk.durable(), 1)), without_cache()).await;
        assert_eq!(store.read(score, DATA).await.unwrap(), data);
    });
}

#[test]
fn a_duplicate_of_a_rotten_block_is_stored_though_memory_has_it() {
    block_on(async {
        // Arenas so small that the scrubber finds no room to mend anything.
        let disk = Rc::new(RamDisk::from(fresh_arenas(512, 512, 64 << 10, 3, 1)));
        let all = || parts(vec![disk.clone()], Vec::new(), None);
        let (store, _) = Store::open(all(), StoreSettings::default(), NOW).await.unwrap();
        let data = lump(1, 3000);
        let score = store.write(DATA, data.clone().into(), NOW).await.unwrap();
        let mut number = 5;
        while store.write(DATA, lump(number, 3000).into(), NOW).await.is_ok() {
            number += 4;
        }
        store.sync().await.unwrap();
        let place = store.status().arenas[0].start + 512 + 1000;
        disk.put(place, &[data[1000 - 38] ^ 1]);
        scrub(&store, SCRUB, NOW, DAY).await;
        assert_eq!(store.damaged_blocks().len(), 1);
        // A duplicate must not be answered from memory: there is no room, and that is what the client must hear.
        assert_eq!(store.read(score, DATA).await.unwrap(), data);
        assert_eq!(store.write(DATA, data.into(), NOW).await, Err(StoreError::NoSpace));
    });
}

#[test]
fn a_directory_that_rots_is_found_and_hides_no_damaged_clump() {
    for (byte, by_record) in [(10, true), (0, true), (2, false)] {
        block_on(async {
            let disk = Rc::new(SimDisk::new(fresh_arenas(512, 8192, 1 << 20, 4, 1), 1));
            let store = open_with(&disk, without_cache()).await;
            let mut scores = Vec::new();
            for number in 0..20 {
                scores.push(store.write(DATA, lump(4 * number + 1, 3000).into(), NOW).await.unwrap());
            }
            store.sync().await.unwrap();
            let arena = store.status().arenas[0].clone();
            // A byte of record 7, and a byte of clump 12.
            disk.flip_bit((arena.stop - 2 * 8192 + 7 * 25 + byte) * 8 + 4);
            disk.flip_bit((arena.start + 8192 + 12 * 3038 + 500) * 8);
            scrub(&store, SCRUB, NOW, DAY).await;
            let damage = store.status().damage;
            let places: Vec<_> = damage.iter().map(|damage| (damage.offset, damage.cause)).collect();
            let record = match by_record {
                true => (7 * 3038, DamageCause::Record { number: 7 }),
                // The records no longer add up to the log.
                false => (20, DamageCause::Directory),
            };
            assert_eq!(places[0], record, "byte {byte}");
            assert_eq!((places.len(), places[1].0), (2, 12 * 3038), "byte {byte}: {damage:?}");
            assert_eq!(store.damaged_blocks()[0].score, scores[12]);
            assert_eq!(store.read(scores[7], DATA).await.unwrap(), lump(29, 3000));
        });
    }
}

#[test]
fn a_disk_that_fails_for_a_moment_is_no_damage() {
    for nth in 1..12 {
        block_on(async {
            let (disk, store) = written(0).await;
            disk.inject(Request::Read, nth, Fault::Fail);
            scrub(&store, SCRUB, NOW, DAY).await;
            assert_eq!(store.status().damage_count, 0, "read {nth}: {:?}", store.status().damage);
            assert!(store.status().arenas[0].scrub.is_some());
        });
    }
}

#[test]
fn an_arena_on_a_disk_that_is_gone_is_tried_again_and_no_damage() {
    block_on(async {
        let (disk, store) = written(0).await;
        disk.cut_power_after(2);
        scrub(&store, SCRUB, NOW, DAY).await;
        let status = store.status();
        assert_eq!(status.damage_count, 0);
        assert!(status.arenas.iter().all(|arena| arena.scrub.is_none()));
    });
}
