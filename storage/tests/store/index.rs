//! Index sections under power cuts: whatever they name is in the log, and what a tail calls indexed is in them.

use crate::crash::{Model, settings_of};
use crate::support::{NOW, fresh_arenas};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::SimDisk;
use storage::device::{BlockDevice, Image};
use storage::format::bucket::{Bucket, IndexEntry};
use storage::format::clump::ClumpHeader;
use storage::format::index_section::IndexSectionHeader;
use storage::make;
use storage::partition::Partition;
use storage::simulation::{Executor, SeededRng, block_on};
use storage::store::{Store, StorePart, StoreParts, StoreStatus};

const BLOCK: u32 = 512;
const ARENA_LEN: u64 = 1 << 16;
const ARENAS: u64 = 4;
const SEED: u32 = 7;

/// Sectors of the index section, and of the filter behind the arenas.
const SECTION: u64 = 2048;
const BLOOM: u64 = 2048;

/// Arenas and filter on one disk, the index section on another, so that no flush of one covers the other.
fn parts<D: BlockDevice>(disks: &[Rc<D>; 2]) -> StoreParts<Partition<Rc<D>>> {
    let part = |name: &str, disk: &Rc<D>, first, count| StorePart {
        name: name.into(),
        device: Partition::new(name, disk.clone(), first, count).unwrap(),
    };
    StoreParts {
        arenas: vec![part("arenas", &disks[0], 0, disks[0].sector_count() - BLOOM)],
        index_sections: vec![part("isect", &disks[1], 0, SECTION)],
        bloom: Some(part("bloom", &disks[0], disks[0].sector_count() - BLOOM, BLOOM)),
    }
}

fn ram(images: &[Image; 2]) -> [Rc<RamDisk>; 2] {
    images.clone().map(|image| Rc::new(RamDisk::from(image)))
}

/// Both disks as they are before the first block.
fn fresh() -> ([Image; 2], IndexSectionHeader) {
    let partition = fresh_arenas(512, BLOCK, ARENA_LEN, ARENAS, SEED);
    let mut arenas = Image::new(512, partition.sector_count() + BLOOM);
    arenas.put(0, &partition.to_vec());
    let disk = ram(&[arenas, Image::new(512, SECTION)]);
    let header = block_on(async {
        let parts = parts(&disk);
        let bare = StoreParts { index_sections: Vec::new(), bloom: None, ..parts.clone() };
        let (store, _) = Store::open(bare, settings_of(0), NOW).await.unwrap();
        let arenas = store.status().arenas.into_iter().map(|arena| (arena.name, arena.size));
        let section = parts.index_sections[0].device.clone();
        let mut sections = [make::section(section, "isect", BLOCK, 0x0b0c_0e70).await.unwrap()];
        make::index("main", &mut sections, arenas).await.unwrap();
        make::bloom_filter(&parts.bloom.unwrap().device, u32::MAX).await.unwrap();
        sections[0].header
    });
    (disk.map(|disk| disk.image()), header)
}

/// Every entry in the section of this image.
fn entries(image: &Image, header: &IndexSectionHeader) -> Vec<IndexEntry> {
    let buckets = (header.start..header.stop).filter_map(|bucket| header.bucket_offset(bucket));
    let blocks = buckets.map(|offset| image.get(offset, BLOCK as usize));
    blocks
        .flat_map(|block| Bucket::parse(&block, header.bucket_magic).unwrap().iter().collect::<Vec<_>>())
        .collect()
}

/// Whether the clump that an entry names stands in the log.
fn is_in_log(image: &Image, status: &StoreStatus, entry: &IndexEntry) -> bool {
    let arenas = status.arenas.iter().enumerate().rev();
    let mut below = arenas.skip_while(|(_, arena)| arena.address > entry.address);
    let Some((number, arena)) = below.next() else { return false };
    let place = arena.start + u64::from(BLOCK) + entry.address - arena.address;
    let magic = 0x5eed_0000 + SEED * 100 + number as u32;
    let header = ClumpHeader::parse(&image.get(place, 38), magic);
    header.is_ok_and(|header| header.score == entry.score && header.block_type == entry.block_type)
}

#[test]
fn the_index_never_overtakes_the_log_and_never_claims_what_it_lacks() {
    let (empty, header) = fresh();
    let mut indexed = 0;
    for seed in 0..60 {
        let rng = SeededRng::new(seed);
        let model = Model::default();
        let disk = empty.clone().map(|image| Rc::new(SimDisk::new(image, rng.next_u64())));
        let (store, _) = block_on(Store::open(parts(&disk), settings_of(seed), NOW)).unwrap();
        disk[seed as usize % 2].cut_power_after(1 + rng.below(200));
        let rngs: Vec<SeededRng> = (0..2).map(|_| SeededRng::new(rng.next_u64())).collect();
        let executor = Executor::new(seed);
        for rng in &rngs {
            executor.spawn(async {
                while disk.iter().all(|disk| disk.is_powered()) {
                    model.client(&store, rng, 6).await;
                    if store.flush_index().await.is_err() || model.is_large() {
                        return;
                    }
                }
            });
        }
        executor.run().unwrap_or_else(|stalled| panic!("seed {seed}: {stalled:?}"));
        drop(executor);
        for cut in 0..4 {
            let images = [disk[0].power_cut(rng.next_u64()), disk[1].power_cut(rng.next_u64())];
            let after = ram(&images);
            let (store, _) = block_on(Store::open(parts(&after), settings_of(seed), NOW)).unwrap();
            let status = store.status();
            let entries = entries(&images[1], &header);
            indexed += entries.len();
            for entry in &entries {
                assert!(
                    is_in_log(&images[0], &status, entry),
                    "seed {seed} cut {cut}: {entry:?} is not in the log"
                );
            }
            for arena in &status.arenas {
                let end = arena.address + arena.indexed.used;
                let here = entries.iter().filter(|entry| (arena.address..end).contains(&entry.address));
                assert_eq!(here.count(), arena.indexed.clumps as usize, "seed {seed} cut {cut}");
            }
            block_on(model.check(&store, &format!("seed {seed} cut {cut}")));
        }
    }
    assert!(indexed > 1000, "{indexed} entries were looked at");
}

#[test]
fn a_bucket_without_room_is_reported_and_its_blocks_are_found_all_the_same() {
    let (empty, header) = fresh();
    let mut full = empty.clone();
    // Every bucket is full of entries of nobody's.
    for bucket in header.start..header.stop {
        let mut block = vec![0xff; BLOCK as usize];
        block[..2].copy_from_slice(&13_u16.to_be_bytes());
        block[2..6].copy_from_slice(&header.bucket_magic.to_be_bytes());
        full[1].put(header.bucket_offset(bucket).unwrap(), &block);
    }
    let disk = ram(&full);
    block_on(async {
        let (store, _) = Store::open(parts(&disk), settings_of(0), NOW).await.unwrap();
        let score = store.write(BlockType::DATA, vec![1; 100].into(), NOW).await.unwrap();
        store.close().await.unwrap();
        assert!(store.status().damage[0].to_string().contains("no room in the index bucket"));
        let (store, _) = Store::open(parts(&disk), settings_of(0), NOW).await.unwrap();
        assert_eq!(store.status().arenas[0].indexed.clumps, 0);
        assert!(store.read(score, BlockType::DATA).await.is_ok());
    });
}
