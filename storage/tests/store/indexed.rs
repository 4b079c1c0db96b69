//! A store with an index on simulated disks, for the tests that look at the index from outside.

use crate::crash::settings_of;
use crate::support::{NOW, fresh_arenas};
use std::rc::Rc;
use storage::device::ram::RamDisk;
use storage::device::{BlockDevice, Image};
use storage::format::bucket::{Bucket, IndexEntry};
use storage::format::clump::ClumpHeader;
use storage::format::index_section::IndexSectionHeader;
use storage::make;
use storage::partition::Partition;
use storage::simulation::block_on;
use storage::store::{Store, StorePart, StoreParts, StoreStatus};

const BLOCK: u32 = 512;
const SEED: u32 = 7;

/// Sectors of the index section, and of the filter behind the arenas.
pub const SECTION: u64 = 2048;
const BLOOM: u64 = 2048;

/// The parts of such a store.
pub type Parts<D> = StoreParts<Partition<Rc<D>>>;

/// Arenas and filter on one disk, the index section on another, so that no flush of one covers the other.
pub fn parts<D: BlockDevice>(disks: &[Rc<D>; 2]) -> Parts<D> {
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

/// The disks with this content.
pub fn ram(images: &[Image; 2]) -> [Rc<RamDisk>; 2] {
    images.clone().map(|image| Rc::new(RamDisk::from(image)))
}

/// Both disks as they are before the first block: so many small arenas, and buckets of so many bytes.
pub fn fresh(arenas: u64, bucket: u32) -> ([Image; 2], IndexSectionHeader) {
    let partition = fresh_arenas(512, BLOCK, 1 << 16, arenas, SEED);
    let mut arenas = Image::new(512, partition.sector_count() + BLOOM);
    arenas.put(0, &partition.to_vec());
    let disk = ram(&[arenas, Image::new(512, SECTION)]);
    let header = block_on(async {
        let parts = parts(&disk);
        let bare = StoreParts { index_sections: Vec::new(), bloom: None, ..parts.clone() };
        let (store, _) = Store::open(bare, settings_of(0), NOW).await.unwrap();
        let arenas = store.status().arenas.into_iter().map(|arena| (arena.name, arena.size));
        let section = parts.index_sections[0].device.clone();
        let mut sections = [make::section(section, "isect", bucket, 0x0b0c_0e70).await.unwrap()];
        make::index("main", &mut sections, arenas).await.unwrap();
        make::bloom_filter(&parts.bloom.unwrap().device, u32::MAX).await.unwrap();
        sections[0].header
    });
    (disk.map(|disk| disk.image()), header)
}

/// Every entry in the section of this image.
pub fn entries(image: &Image, header: &IndexSectionHeader) -> Vec<IndexEntry> {
    let buckets = (header.start..header.stop).filter_map(|bucket| header.bucket_offset(bucket));
    let blocks = buckets.map(|offset| image.get(offset, header.block_size as usize));
    blocks
        .flat_map(|block| {
            let bucket = Bucket::parse(&block, header.bucket_magic).unwrap();
            assert!(bucket.is_sorted(), "a bucket is torn");
            bucket.iter().collect::<Vec<_>>()
        })
        .collect()
}

/// Whether the clump that an entry names stands in the log.
pub fn is_in_log(image: &Image, status: &StoreStatus, entry: &IndexEntry) -> bool {
    let arenas = status.arenas.iter().enumerate().rev();
    let mut below = arenas.skip_while(|(_, arena)| arena.address > entry.address);
    let Some((number, arena)) = below.next() else { return false };
    let place = arena.start + u64::from(BLOCK) + entry.address - arena.address;
    let magic = 0x5eed_0000 + SEED * 100 + number as u32;
    let header = ClumpHeader::parse(&image.get(place, 38), magic);
    header.is_ok_and(|header| header.score == entry.score && header.block_type == entry.block_type)
}

/// Fills every bucket with entries of nobody's.
pub fn fill_buckets(image: &mut Image, header: &IndexSectionHeader) {
    for bucket in header.start..header.stop {
        let mut block = vec![0; header.block_size as usize];
        let capacity = storage::format::bucket::capacity(block.len());
        block[..2].copy_from_slice(&(capacity as u16).to_be_bytes());
        block[2..6].copy_from_slice(&header.bucket_magic.to_be_bytes());
        for entry in 0..capacity {
            let at = 6 + entry * 38;
            block[at..at + 20].fill(0xff);
            block[at + 18..at + 20].copy_from_slice(&(entry as u16).to_be_bytes());
            block[at + 36] = 13;
        }
        image.put(header.bucket_offset(bucket).unwrap(), &block);
    }
}
