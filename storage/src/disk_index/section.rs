//! One partition of the index: its buckets as they must be, whatever of that has reached the disk.
//!
//! A change goes to the redo log first, then into memory, where readers see it, then into place. Readers that are at a
//! bucket's old place are waited for, so that none sees half of a change.

use super::redo;
use crate::device::{BlockDevice, DeviceError, read_bytes, write_bytes};
use crate::format::bucket;
use crate::format::index_section::IndexSectionHeader;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use event_listener::Event;
use lru::LruCache;

/// Buckets that tell whether the section's header is theirs, and how many of them must be expected to be used.
const BUCKETS_LOOKED_AT: u32 = 16;
const FULL_BUCKETS_MIN: u64 = 8;

/// A partition of the index.
pub(crate) struct Section<D> {
    pub(crate) name: Rc<str>,
    pub(crate) device: D,
    pub(crate) header: IndexSectionHeader,
    /// By offset: what is in the redo log, and not known to be durable in its place.
    pending: RefCell<BTreeMap<u64, Bytes>>,
    /// Recently read buckets, by offset.
    cache: RefCell<LruCache<u64, Bytes>>,
    cache_blocks: Cell<usize>,
    /// Buckets that are being read, by offset, and how often.
    reading: RefCell<BTreeMap<u64, usize>>,
    read: Event,
    /// Bytes of redo log to be cleared.
    pub(super) redo_len: Cell<usize>,
}

/// A piece of the section that changes.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) offset: u64,
    pub(super) old: Bytes,
    pub(super) new: Bytes,
}

impl<D: BlockDevice> Section<D> {
    /// A section whose redo log was read: `pending` of it is still to be done.
    pub(crate) fn new(
        name: Rc<str>,
        device: D,
        header: IndexSectionHeader,
        pending: Vec<(u64, Bytes)>,
        redo_len: usize,
    ) -> Section<D> {
        Section {
            name,
            device,
            header,
            pending: RefCell::new(pending.into_iter().collect()),
            cache: RefCell::new(LruCache::unbounded()),
            cache_blocks: Cell::new(0),
            reading: RefCell::default(),
            read: Event::new(),
            redo_len: Cell::new(redo_len),
        }
    }

    /// Lets it hold so many bytes of buckets.
    pub(super) fn set_cache_bytes(&self, bytes: usize) {
        self.cache_blocks.set(bytes / self.header.block_size as usize);
    }

    /// Looks at some buckets of an index of `buckets` that has `blocks` blocks: whether all that have a magic number have
    /// another one than the header says, where at least some should have that.
    pub(super) async fn is_foreign(&self, blocks: u64, buckets: u64) -> Result<bool, DeviceError> {
        let own = self.header.stop - self.header.start;
        let looked_at = own.min(BUCKETS_LOOKED_AT);
        let expected = blocks.saturating_mul(u64::from(looked_at)) / buckets;
        if self.header.bucket_magic == 0 || expected < FULL_BUCKETS_MIN {
            return Ok(false);
        }
        let mut foreign = 0;
        for number in 0..looked_at {
            let bucket =
                self.header.start + (u64::from(number) * u64::from(own) / u64::from(looked_at)) as u32;
            let Some(offset) = self.header.bucket_offset(bucket) else { continue };
            match self.block(offset).await {
                Ok(block) => match bucket::magic_of(&block) {
                    Some(magic) if magic == self.header.bucket_magic => return Ok(false),
                    Some(magic) if magic != 0 => foreign += 1,
                    _ => {}
                },
                Err(DeviceError::Read { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(foreign > 0)
    }

    /// The block at `offset`, as it must be.
    pub(super) async fn block(&self, offset: u64) -> Result<Bytes, DeviceError> {
        if let Some(block) = self.held(offset) {
            return Ok(block);
        }
        *self.reading.borrow_mut().entry(offset).or_insert(0) += 1;
        let reading = Reading { section: self, offset };
        let read = read_bytes(&self.device, offset, self.header.block_size as usize).await;
        drop(reading);
        // What is pending now was not when the read began, and newer.
        let block = match self.pending.borrow().get(&offset).cloned() {
            Some(pending) => pending,
            None => read?,
        };
        self.keep(offset, &block);
        Ok(block)
    }

    fn held(&self, offset: u64) -> Option<Bytes> {
        let pending = self.pending.borrow().get(&offset).cloned();
        pending.or_else(|| self.cache.borrow_mut().get(&offset).cloned())
    }

    fn keep(&self, offset: u64, block: &Bytes) {
        let mut cache = self.cache.borrow_mut();
        if self.cache_blocks.get() > 0 {
            cache.put(offset, block.clone());
        }
        while cache.len() > self.cache_blocks.get() {
            cache.pop_lru();
        }
    }

    /// Makes these changes, durably. If it fails they are seen by readers all the same once they are in the redo log,
    /// and the next call of [`Section::settle`] makes them.
    pub(super) async fn change(&self, changes: Vec<Change>) -> Result<(), DeviceError> {
        if changes.is_empty() {
            return Ok(());
        }
        redo::write(self, &changes).await?;
        self.pending.borrow_mut().extend(changes.into_iter().map(|change| (change.offset, change.new)));
        self.settle().await
    }

    /// Does what the redo log says, if anything of it is not known to be done.
    pub(crate) async fn settle(&self) -> Result<(), DeviceError> {
        let pending: Vec<(u64, Bytes)> =
            self.pending.borrow().iter().map(|(offset, bytes)| (*offset, bytes.clone())).collect();
        if pending.is_empty() {
            return Ok(());
        }
        while pending.iter().any(|(offset, _)| self.reading.borrow().contains_key(offset)) {
            let read = self.read.listen();
            if pending.iter().any(|(offset, _)| self.reading.borrow().contains_key(offset)) {
                read.await;
            }
        }
        // One after the other: where sectors are larger than buckets, two of them may share one.
        for (offset, bytes) in runs(&pending) {
            write_bytes(&self.device, offset, bytes).await?;
        }
        self.device.flush().await?;
        for (offset, bytes) in &pending {
            let mut cache = self.cache.borrow_mut();
            if let Some(kept) = cache.peek_mut(offset) {
                *kept = bytes.clone();
            }
        }
        self.pending.borrow_mut().clear();
        Ok(())
    }

    /// Leaves the section as other ventis know it, with no redo log.
    pub(super) async fn rest(&self) -> Result<(), DeviceError> {
        if self.redo_len.get() == 0 || !self.pending.borrow().is_empty() {
            return Ok(());
        }
        redo::clear(self).await
    }
}

/// Pieces that touch, as one.
fn runs(pieces: &[(u64, Bytes)]) -> impl Iterator<Item = (u64, Bytes)> + use<'_> {
    pieces.chunk_by(|(offset, bytes), (next, _)| offset + bytes.len() as u64 == *next).map(|run| match run {
        [(offset, bytes)] => (*offset, bytes.clone()),
        _ => {
            let bytes: Vec<u8> = run.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
            (run.first().map_or(0, |(offset, _)| *offset), Bytes::from(bytes))
        }
    })
}

/// A read under way. However it ends, those who wait for it go on.
struct Reading<'a, D> {
    section: &'a Section<D>,
    offset: u64,
}

impl<D> Drop for Reading<'_, D> {
    fn drop(&mut self) {
        let mut reading = self.section.reading.borrow_mut();
        if let Some(count) = reading.get_mut(&self.offset) {
            *count -= 1;
            if *count == 0 {
                reading.remove(&self.offset);
                self.section.read.notify(usize::MAX);
            }
        }
    }
}
