//! The index sections and the bloom filter on disk, which other ventis need: entries go in, in large ordered passes.
//!
//! Knows buckets and filter bits. Must not know which entries are missing, or when to add them: [`crate::store`] does.
//! Our own reads never come here; what stands here may lag, and may even be wrong (spec 8, Q1, Q2).

mod bloom;
mod buckets;

use crate::device::{BlockDevice, DeviceError};
use crate::format::bloom::BloomHeader;
use crate::format::bucket::IndexEntry;
use crate::format::index_config::BucketSpread;
use crate::format::index_section::IndexSectionHeader;
use crate::format::range_map::RangeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// An index: sections that belong together.
pub(crate) struct DiskIndex<D> {
    pub(crate) sections: Vec<Section<D>>,
    pub(crate) spread: BucketSpread,
    /// Which addresses each arena has.
    pub(crate) arenas: RangeMap,
    pub(crate) bloom: Option<Bloom<D>>,
}

/// One partition of the index.
pub(crate) struct Section<D> {
    pub(crate) name: Rc<str>,
    pub(crate) device: D,
    pub(crate) header: IndexSectionHeader,
}

/// The bloom filter's partition.
pub(crate) struct Bloom<D> {
    pub(crate) name: Rc<str>,
    pub(crate) device: D,
    pub(crate) header: BloomHeader,
}

/// A partition of the index failed.
#[derive(Debug)]
pub(crate) struct IndexFailed {
    pub(crate) partition: Rc<str>,
    pub(crate) error: DeviceError,
}

/// What could not be put where it belongs.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// Entries whose bucket is full.
    pub(crate) full: Vec<IndexEntry>,
    /// Buckets that were damaged, and are new now; what they held before is not in them.
    pub(crate) damaged: Vec<u32>,
}

impl<D: BlockDevice> DiskIndex<D> {
    /// Puts entries into their buckets and marks them in the filter; all of it is durable when this returns `Ok`.
    /// Entries of the same score and type replace what is there. Sorts `entries`. Holds about `buffer_bytes` beside.
    pub(crate) async fn insert(
        &self,
        entries: &mut [IndexEntry],
        buffer_bytes: usize,
    ) -> Result<Leftover, IndexFailed> {
        // Of several copies of a block the latest stays: the ones before may have been damaged.
        entries.sort_unstable_by_key(|entry| (entry.score, entry.block_type, entry.address));
        let mut leftover = Leftover::default();
        let mut rest = &*entries;
        for section in &self.sections {
            let end = rest.partition_point(|entry| self.spread.bucket_of(&entry.score) < section.header.stop);
            let (here, behind) = rest.split_at(end);
            rest = behind;
            let done = buckets::insert(section, &self.spread, here, buffer_bytes, &mut leftover).await;
            done.map_err(|error| IndexFailed { partition: section.name.clone(), error })?;
        }
        if let Some(bloom) = &self.bloom {
            let done = bloom::mark(bloom, entries, buffer_bytes).await;
            done.map_err(|error| IndexFailed { partition: bloom.name.clone(), error })?;
        }
        Ok(leftover)
    }
}
