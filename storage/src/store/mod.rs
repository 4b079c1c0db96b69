//! The store: blocks in, blocks out, and what a sync promises. The only place that joins arenas, index and caches.
//!
//! | module | what |
//! |---|---|
//! | `settings`, `error`, `status` | what it is given, how it fails, what it tells |
//! | `watch` | the same piece by piece, for those who look often |
//! | `core` | the state that all operations share |
//! | `read`, `windows` | a score's lump: cache, memory, one disk read |
//! | `search` | where a block may be: memory, then the index on disk |
//! | `write` | a lump's score: hash, compare, append in memory |
//! | `packing` | lumps made smaller, a few at a time |
//! | `background` | what becomes of blocks without anyone asking |
//! | `index_flush` | index sections, filter and seals follow the log |
//! | `grow` | more arenas for a store that is open |
//! | `commit` | what was appended becomes durable, in the one order that is safe |
//! | `scrub` | everything is verified again and again |
//! | `log` | the log in order, for those who carry blocks elsewhere |
//! | `source` | archives' blocks, for those who browse and those who verify |
//! | `damaged` | blocks whose stored copy is known to be damaged |
//!
//! Must not know the wire, peers, or where time comes from. Opening is [`crate::recovery`]'s part.
//!
//! Everything that changes a disk runs as a *job* that the store owns: a caller that is dropped leaves the job where it
//! is, and the next caller goes on with it. So a request that was given up can neither lose anything nor let an old
//! write land behind a newer one.

mod background;
mod commit;
mod core;
mod damaged;
mod error;
mod grow;
mod index_flush;
mod log;
mod packing;
mod read;
mod scrub;
mod search;
mod settings;
mod source;
mod status;
mod watch;
mod windows;
mod write;

pub use background::SYNC_AFTER;
pub(crate) use core::{Core, CoreParts, State};
pub use damaged::DamagedBlock;
pub use error::{Damage, DamageCause, OpenError, PartitionFault, Severity, StoreError};
pub use grow::AddError;
pub use log::{LogEnd, LogEntry};
pub use settings::{StorePart, StoreParts, StoreSettings};
pub use source::Verified;
pub use status::{ArenaStatus, StoreStatus};
pub use watch::{IndexStatus, SectionStatus, StoreTotals};

use crate::Timestamp;
use crate::arithmetic::Arithmetic;
use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError};
use crate::disk_index::DiskIndex;
use crate::format::Name;
use crate::recovery::OpenReport;
use crate::score::Score;
use crate::scrub::ScrubRecords;
use crate::settings::Scrub;
use ::core::time::Duration;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use commit::CommitJobs;
use index_flush::IndexJobs;
use scrub::Scrubs;

/// A venti store on arena partitions. Share it as `Rc<Store<D>>`; every operation may run at the same time as others.
pub struct Store<D: BlockDevice + 'static> {
    core: Rc<Core<D>>,
    commits: CommitJobs,
    index: IndexJobs,
    scrubs: Scrubs,
}

impl<D: BlockDevice + 'static> Store<D> {
    /// Opens the store on these partitions, after whatever happened to it: finds the end of every log, continues
    /// directories and counters up to it, and makes that durable before it returns. `now` goes into tails that change.
    ///
    /// # Errors
    /// What makes the partitions no store; then nothing was written. Damage inside arenas is no error: it is in the
    /// report, and costs what it covers.
    pub async fn open(
        parts: StoreParts<D>,
        settings: StoreSettings,
        now: Timestamp,
    ) -> Result<(Store<D>, OpenReport), OpenError> {
        let (core, mut report) = crate::recovery::open(parts, settings, now).await?;
        let store = Store {
            core: Rc::new(core),
            commits: CommitJobs::default(),
            index: IndexJobs::default(),
            scrubs: Scrubs::default(),
        };
        if !settings.read_only {
            store.core.settle_index().await;
            report.not_durable = store.sync().await.err();
        }
        if report.index_first {
            store.flush_index().await.map_err(OpenError::IndexIncomplete)?;
        }
        Ok((store, report))
    }

    /// Has others hash, pack and unpack from now on. Which blocks are stored in which order, and what is durable when,
    /// stays this core's alone.
    pub fn use_arithmetic(&self, arithmetic: Arithmetic) {
        self.core.use_arithmetic(arithmetic);
    }

    /// The lump with this score and type.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlock`], without a disk access where memory holds the index or the bloom filter;
    /// [`StoreError::Damaged`] when only damaged copies are left.
    pub async fn read(&self, score: Score, block_type: BlockType) -> Result<Bytes, StoreError> {
        let _request = self.scrubs.clients.begin();
        self.core.read(score, block_type).await
    }

    /// Whether the block is here, in a copy that verifies.
    ///
    /// # Errors
    /// If a disk fails.
    pub async fn has(&self, score: Score, block_type: BlockType) -> Result<bool, StoreError> {
        match self.read(score, block_type).await {
            Ok(_) => Ok(true),
            Err(StoreError::NoSuchBlock { .. } | StoreError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lump with this score and type, read from where it is stored and hashed anew, whatever the cache says. For those
    /// who verify: `pause` returns after the time it is given, and is waited for while clients are being served, but not
    /// for good.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub async fn verify(
        &self,
        score: Score,
        block_type: BlockType,
        pause: &impl AsyncFn(Duration),
    ) -> Result<Bytes, StoreError> {
        self.scrubs.clients.yield_to(pause).await;
        if score == Score::NULL || score == Score::ZERO {
            return Ok(Bytes::new());
        }
        self.core.find(score, block_type).await
    }

    /// Stores a lump; its score is durable after the next successful [`Store::sync`] that begins later.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::NoSpace`], [`StoreError::Collision`]; a device error when what was
    /// written before cannot be made durable and memory for more is used up.
    pub async fn write(
        &self,
        block_type: BlockType,
        lump: Bytes,
        now: Timestamp,
    ) -> Result<Score, StoreError> {
        let _request = self.scrubs.clients.begin();
        while self.core.must_wait_for_commit() {
            self.sync().await?;
        }
        loop {
            match self.core.write(block_type, lump.clone(), now).await {
                Err(StoreError::IndexFull) if self.index.make_room(self).await? => {}
                result => return result,
            }
        }
    }

    /// Makes every block durable that was written before the call, by whomever. Costs nothing if all are already.
    ///
    /// # Errors
    /// Something could not be made durable. It stays in memory and the next sync tries again.
    pub async fn sync(&self) -> Result<(), StoreError> {
        self.commits.sync(&self.core).await
    }

    /// Works for as long as it is polled: writes large groups of log before anyone syncs, and makes blocks durable that
    /// nobody has synced for [`SYNC_AFTER`]. `pause` returns after the time it is given; storage has no clock.
    pub async fn background(&self, pause: impl AsyncFn(Duration)) {
        background::work(self, pause).await;
    }

    /// Verifies everything that is durable, again and again as `setting` wants it, for as long as it is polled: each
    /// clump against its score and the directory, each sealed arena against its seal. Reads little at a time, and lets
    /// clients go first. `now` and `pause` as for [`Store::background`]. Damage is in the status and the log; see
    /// [`Store::damaged_blocks`].
    pub async fn scrub(&self, setting: Scrub, now: &impl Fn() -> Timestamp, pause: &impl AsyncFn(Duration)) {
        scrub::work(self, setting, now, pause).await;
    }

    /// The last results of scrubbing, and a number that changes with them.
    pub fn scrub_records(&self) -> (ScrubRecords, u64) {
        self.scrubs.records()
    }

    /// Takes over results that an earlier run had, so that scrubbing goes on from there.
    pub fn remember_scrubs(&self, records: &ScrubRecords) {
        self.scrubs.remember(records);
    }

    /// The blocks of which a stored copy is damaged and none is known to be whole, as far as they were met since the
    /// store was opened. Whoever has one can write it again.
    pub fn damaged_blocks(&self) -> Vec<DamagedBlock> {
        self.core.state().damaged.iter().copied().collect()
    }

    /// Whether writes are refused.
    pub fn is_read_only(&self) -> bool {
        self.core.settings.read_only
    }

    /// Brings index sections and bloom filter up to the durable log, and sums arenas that are full. Where memory holds
    /// the whole index our own reads need none of it: it is for other ventis that may take over the disks. Clients are
    /// served meanwhile.
    ///
    /// # Errors
    /// A disk failed; the rest is tried again next time. Entries for which the index has no room are no error, but
    /// damage in the status.
    pub async fn flush_index(&self) -> Result<(), StoreError> {
        if self.core.settings.read_only {
            return Ok(());
        }
        self.sync().await?;
        while self.index.pass(&self.core).await? {
            self.sync().await?;
        }
        Ok(())
    }

    /// Adds the arenas of a partition, which must be empty, while the store is open: appended to the index's map, as
    /// `fmtindex -a` does. From then on the partition belongs to the store, and must be there when it is opened.
    /// Returns their names.
    ///
    /// # Errors
    /// See [`AddError`]; the store is as it was.
    pub async fn add_arenas(&self, part: StorePart<D>) -> Result<Vec<Name>, AddError> {
        grow::add(&self.core, &self.index, part).await
    }

    /// Adds the arenas that lie in the store's partitions and not in the index's map, as [`Store::add_arenas`] does.
    ///
    /// # Errors
    /// See [`AddError`]; the store is as it was.
    pub async fn adopt_unmapped(&self) -> Result<Vec<Name>, AddError> {
        self.adopt_unmapped_of(|_| true).await
    }

    /// [`Store::adopt_unmapped`], of those partitions only whose name `chosen` takes.
    ///
    /// # Errors
    /// See [`AddError`]; the store is as it was.
    pub async fn adopt_unmapped_of(&self, chosen: impl Fn(&str) -> bool) -> Result<Vec<Name>, AddError> {
        grow::adopt(&self.core, &self.index, chosen).await
    }

    /// What a clean stop does: everything is durable, the index complete, full arenas are sealed. The store may be
    /// used further.
    ///
    /// # Errors
    /// As for [`Store::flush_index`]; then what was synced is safe all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        // Each partition tells once of a failed flush of its disk's, also of one that is past and mended.
        let of_index = self.core.disk_index.as_ref().map_or(0, DiskIndex::partition_count);
        for _ in 0..self.core.partition_count() + of_index {
            match self.flush_index().await {
                Err(StoreError::Device { error: DeviceError::Flush, .. }) => {}
                result => return result,
            }
        }
        self.flush_index().await
    }

    /// What the store holds and how it fares.
    pub fn status(&self) -> StoreStatus {
        let mut status = self.core.status();
        status.scrub_bytes = self.scrubs.bytes_read();
        for arena in &mut status.arenas {
            arena.scrub = self.scrubs.record(&arena.name);
        }
        status
    }
}
