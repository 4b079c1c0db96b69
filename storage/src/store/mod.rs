//! The store: blocks in, blocks out, and what a sync promises. The only place that joins arenas, index and caches.
//!
//! | module | what |
//! |---|---|
//! | `settings`, `error`, `status` | what it is given, how it fails, what it tells |
//! | `core` | the state that all operations share |
//! | `read`, `windows` | a score's lump: cache, memory, one disk read |
//! | `write` | a lump's score: hash, compare, append in memory |
//! | `background` | what becomes of blocks without anyone asking |
//! | `index_flush` | index sections, filter and seals follow the log |
//! | `commit` | what was appended becomes durable, in the one order that is safe |
//!
//! Must not know the wire, peers, or where time comes from. Opening is [`crate::recovery`]'s part.
//!
//! Everything that changes a disk runs as a *job* that the store owns: a caller that is dropped leaves the job where it
//! is, and the next caller goes on with it. So a request that was given up can neither lose anything nor let an old
//! write land behind a newer one.

mod background;
mod commit;
mod core;
mod error;
mod index_flush;
mod read;
mod settings;
mod status;
mod windows;
mod write;

pub use background::SYNC_AFTER;
pub(crate) use core::{Core, CoreParts, State};
pub use error::{Damage, DamageCause, OpenError, PartitionFault, Severity, StoreError};
pub use settings::{StorePart, StoreParts, StoreSettings};
pub use status::{ArenaStatus, StoreStatus};

use crate::Timestamp;
use crate::block_type::BlockType;
use crate::device::BlockDevice;
use crate::recovery::OpenReport;
use crate::score::Score;
use ::core::time::Duration;
use alloc::rc::Rc;
use bytes::Bytes;
use commit::CommitJobs;
use index_flush::IndexJobs;

/// A venti store on arena partitions. Share it as `Rc<Store<D>>`; every operation may run at the same time as others.
pub struct Store<D: BlockDevice + 'static> {
    core: Rc<Core<D>>,
    commits: CommitJobs,
    index: IndexJobs,
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
        let store =
            Store { core: Rc::new(core), commits: CommitJobs::default(), index: IndexJobs::default() };
        if !settings.read_only {
            report.not_durable = store.sync().await.err();
        }
        Ok((store, report))
    }

    /// The lump with this score and type.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlock`], without a disk access; [`StoreError::Damaged`] when only damaged copies are left.
    pub async fn read(&self, score: Score, block_type: BlockType) -> Result<Bytes, StoreError> {
        self.core.read(score, block_type).await
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
        while self.core.must_wait_for_commit() {
            self.sync().await?;
        }
        self.core.write(block_type, lump, now).await
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

    /// Brings index sections and bloom filter up to the durable log, and sums arenas that are full. Our own reads need
    /// none of it: it is for other ventis that may take over the disks. Clients are served meanwhile.
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

    /// What a clean stop does: everything is durable, the index complete, full arenas are sealed. The store may be
    /// used further.
    ///
    /// # Errors
    /// As for [`Store::flush_index`]; then what was synced is safe all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.flush_index().await
    }

    /// What the store holds and how it fares.
    pub fn status(&self) -> StoreStatus {
        self.core.status()
    }
}
