//! The index sections and the bloom filter on disk: entries go in, in large ordered passes, and come out where memory
//! does not hold the whole index.
//!
//! | module | what |
//! |---|---|
//! | `section` | one partition: its buckets as they must be, and a few of them in memory |
//! | `redo` | what is about to be written in place, so that a power cut tears nothing |
//! | `buckets` | entries into buckets, in the order in which they lie |
//! | `bloom` | the filter's bits |
//! | `grow` | more arenas for the index |
//!
//! Must not know which entries are missing, or when to add them: [`crate::store`] does. What stands here is a hint: it
//! may lag, and on disks of others it may even be wrong (spec 8, Q1, Q2). The clump decides.

mod bloom;
mod buckets;
mod grow;
mod redo;
mod section;

pub(crate) use bloom::Bloom;
pub(crate) use grow::CannotGrow;
pub(crate) use redo::read as read_redo;
pub(crate) use section::Section;

use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError};
use crate::format::bucket::{self, Bucket, IndexEntry};
use crate::format::index_config::{BucketSpread, IndexConfig};
use crate::format::range_map::RangeMap;
use crate::score::Score;
use crate::store::{IndexStatus, PartitionFault, SectionStatus};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Full to this many percent, a bucket is worth a warning.
const CROWDED_PERCENT: u8 = 80;

/// An index: sections that belong together.
pub(crate) struct DiskIndex<D> {
    sections: Vec<Section<D>>,
    spread: BucketSpread,
    bloom: Option<Bloom<D>>,
    config: RefCell<IndexConfig>,
    fullest: Fullest,
    /// The filter is loaded and believed, where it fits.
    bloom_believed: Cell<bool>,
    /// Not every section has the whole map yet.
    texts_differ: Cell<bool>,
}

/// A partition of the index failed.
#[derive(Debug)]
pub(crate) struct IndexFailed {
    pub(crate) partition: Rc<str>,
    pub(crate) error: DeviceError,
}

/// Why the index cannot say where a block is.
#[derive(Debug)]
pub(crate) enum LookupFailed {
    /// The disk fails.
    Device(IndexFailed),
    /// The bucket is unreadable, or no bucket.
    Damaged { partition: Rc<str>, bucket: u32 },
}

/// What could not be put where it belongs.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// Entries whose bucket is full, and its number.
    pub(crate) full: Vec<(u32, IndexEntry)>,
    /// Entries whose bucket is damaged, and its number. It is left as it is: what it held may still be found there.
    pub(crate) damaged: Vec<(u32, IndexEntry)>,
}

/// How full the fullest bucket is that was seen, in percent.
#[derive(Debug, Default)]
pub(crate) struct Fullest(Cell<u8>);

impl Fullest {
    /// Notes a bucket. The first crowded one, and each that is five percent fuller, is told to the operator.
    fn note(&self, entries: usize, capacity: usize) {
        let percent = (entries * 100 / capacity.max(1)).min(100) as u8;
        let before = self.0.get();
        self.0.set(before.max(percent));
        if percent >= CROWDED_PERCENT && percent / 5 > before / 5 {
            log::warn!("the index fills up: a bucket is {percent} % full; a larger index will be needed");
        }
    }
}

impl<D: BlockDevice> DiskIndex<D> {
    pub(crate) fn new(
        sections: Vec<Section<D>>,
        spread: BucketSpread,
        config: IndexConfig,
        texts_differ: bool,
        bloom: Option<Bloom<D>>,
    ) -> DiskIndex<D> {
        DiskIndex {
            sections,
            spread,
            bloom,
            config: RefCell::new(config),
            fullest: Fullest::default(),
            bloom_believed: Cell::new(false),
            texts_differ: Cell::new(texts_differ),
        }
    }

    /// Which addresses each arena has.
    pub(crate) fn arenas(&self) -> RangeMap {
        self.config.borrow().arenas.clone()
    }

    /// Sections, and the filter.
    pub(crate) fn partition_count(&self) -> usize {
        self.sections.len() + usize::from(self.bloom.is_some())
    }

    /// What it is made of.
    pub(crate) fn status(&self) -> IndexStatus {
        let config = self.config.borrow();
        let sections = self.sections.iter().map(|section| SectionStatus {
            name: section.header.name,
            start: section.header.start,
            stop: section.header.stop,
            bucket_max: bucket::capacity(section.header.block_size as usize),
        });
        IndexStatus {
            name: config.name,
            block_size: config.block_size,
            buckets: self.spread.buckets(),
            divisor: self.spread.divisor(),
            sections: sections.collect(),
        }
    }

    /// How full the fullest bucket is that was written since the start, in percent.
    pub(crate) fn fullest_percent(&self) -> u8 {
        self.fullest.0.get()
    }

    /// Gets ready to be asked, with so much memory: half of it for the filter, if that is enough, a quarter for buckets.
    /// `blocks` are in the index. Returns what is wrong with a filter that cannot be used.
    pub(crate) async fn prepare(
        &self,
        bytes_max: usize,
        blocks: u64,
    ) -> Result<Option<PartitionFault>, IndexFailed> {
        for section in &self.sections {
            section.set_cache_bytes(bytes_max / 4 / self.sections.len());
        }
        let Some(bloom) = &self.bloom else { return Ok(None) };
        let loaded = bloom.load(bytes_max as u64 / 2, blocks).await;
        let complete = loaded.map_err(|error| IndexFailed { partition: bloom.name.clone(), error })?;
        self.bloom_believed.set(complete);
        Ok((!complete).then_some(PartitionFault::SparseFilter))
    }

    /// A section whose buckets have another magic number than its header says, although the index has `blocks` blocks:
    /// it would deny every one of them.
    pub(crate) async fn foreign_section(&self, blocks: u64) -> Result<Option<Rc<str>>, IndexFailed> {
        let buckets = u64::from(self.spread.buckets().max(1));
        for section in &self.sections {
            let foreign = section.is_foreign(blocks, buckets).await;
            let foreign = foreign.map_err(|error| IndexFailed { partition: section.name.clone(), error })?;
            if foreign {
                return Ok(Some(section.name.clone()));
            }
        }
        Ok(None)
    }

    /// Where the block stands, by the index. Nothing: not in the index.
    pub(crate) async fn lookup(
        &self,
        score: &Score,
        block_type: BlockType,
    ) -> Result<Option<u64>, LookupFailed> {
        let bloom = self.bloom.as_ref().filter(|_| self.bloom_believed.get());
        if bloom.is_some_and(|bloom| !bloom.may_contain(score)) {
            return Ok(None);
        }
        let bucket = self.spread.bucket_of(score);
        let section = self.sections.iter().find(|section| bucket < section.header.stop);
        let place = section.and_then(|section| Some((section, section.header.bucket_offset(bucket)?)));
        let Some((section, offset)) = place else { return Ok(None) };
        let partition = section.name.clone();
        let block = match section.block(offset).await {
            Ok(block) => block,
            Err(DeviceError::Read { .. }) => return Err(LookupFailed::Damaged { partition, bucket }),
            Err(error) => return Err(LookupFailed::Device(IndexFailed { partition, error })),
        };
        let parsed = Bucket::parse(&block, section.header.bucket_magic).ok().filter(Bucket::is_sorted);
        let entries = parsed.ok_or(LookupFailed::Damaged { partition, bucket })?;
        Ok(entries.find(score, block_type).map(|entry| entry.address))
    }

    /// Does what a power cut has interrupted.
    pub(crate) async fn settle(&self) -> Result<(), IndexFailed> {
        for section in &self.sections {
            let done = async {
                section.settle().await?;
                section.rest().await
            };
            done.await.map_err(|error| IndexFailed { partition: section.name.clone(), error })?;
        }
        self.catch_up().await
    }

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
            let done = buckets::insert(section, &self.spread, here, &self.fullest, &mut leftover).await;
            done.map_err(|error| IndexFailed { partition: section.name.clone(), error })?;
        }
        if let Some(bloom) = &self.bloom {
            let done = bloom.mark(entries, buffer_bytes).await;
            done.map_err(|error| IndexFailed { partition: bloom.name.clone(), error })?;
        }
        Ok(leftover)
    }
}
