//! Everything that is durable is read again and verified, arena by arena, for as long as the store is open.
//!
//! | module | what |
//! |---|---|
//! | `reader` | reads at a pace, behind clients |
//! | `log_stream` | an arena's bytes in order, a little at a time, summed on the way |
//! | `directory` | its directory, record by record |
//! | `walk` | clump by clump, and how to go on behind damage |
//! | `round` | from one arena to the next, and what is said of it |
//!
//! Here: what is done about damage. It is reported, with place and cause; if the block is still in memory, verified, it
//! is written anew at once; if another copy is whole, that one is used from now on. What is left is *lost* as far as
//! this store is concerned, until somebody writes it again.
//!
//! Only what is durable is read, with bytes of its own and not through the caches. Must not know clocks, nor where
//! results are kept.

mod directory;
mod log_stream;
mod reader;
mod round;
mod walk;

use super::damaged::DamagedBlock;
use super::{Damage, DamageCause, Store, StoreError};
use crate::Timestamp;
use crate::arena::{Arena, Log};
use crate::device::{BlockDevice, DeviceError};
use crate::format::Name;
use crate::format::arena_tail::Counters;
use crate::score::Score;
use crate::scrub::{Due, Pace, ScrubRecord, ScrubRecords, SealResult};
use crate::settings::Scrub;
use alloc::collections::BTreeSet;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use reader::{Clients, Pacer, Reader};
use walk::{BlockName, Finding, Walk};

pub(super) use round::work;

/// What the scrubber remembers, and what it must know of clients.
#[derive(Debug, Default)]
pub(super) struct Scrubs {
    pub(super) clients: Clients,
    records: RefCell<ScrubRecords>,
    /// Counts the changes of `records`.
    changes: Cell<u64>,
    /// Arenas verified, whole, since the store was opened.
    seen: RefCell<BTreeSet<Name>>,
    bytes_read: Cell<u64>,
}

/// An arena as it was when verifying it began.
struct Subject {
    partition: usize,
    address: u64,
    log: Log,
    counters: Counters,
    /// Present when nothing in the arena will change any more.
    seal: Option<Score>,
}

impl Scrubs {
    /// The last result of an arena.
    pub(super) fn record(&self, arena: &Name) -> Option<ScrubRecord> {
        self.records.borrow().get(arena).copied()
    }

    /// All results, and a number that changes with them.
    pub(super) fn records(&self) -> (ScrubRecords, u64) {
        (self.records.borrow().clone(), self.changes.get())
    }

    /// Takes over results of earlier runs; what this run has found out counts more.
    pub(super) fn remember(&self, earlier: &ScrubRecords) {
        let mut records = self.records.borrow_mut();
        for (arena, record) in earlier.iter() {
            if records.get(arena).is_none() {
                records.set(*arena, *record);
            }
        }
    }

    /// Bytes read since the store was opened.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    fn finished(&self, arena: Name, record: ScrubRecord, whole: bool) {
        self.records.borrow_mut().set(arena, record);
        self.changes.set(self.changes.get() + 1);
        if whole {
            self.seen.borrow_mut().insert(arena);
        }
    }
}

impl<D: BlockDevice + 'static> Store<D> {
    fn subject(&self, number: usize) -> Option<Subject> {
        let state = self.core.state();
        let arena = state.arenas.get(number)?;
        let is_final = |arena: &Arena| arena.durable.sealed && arena.indexed == arena.durable;
        let settled = is_final(arena) && !arena.is_dirty() && arena.seal != Score::NULL;
        Some(Subject {
            partition: arena.partition,
            address: arena.address,
            log: arena.log(),
            counters: arena.durable,
            seal: settled.then_some(arena.seal),
        })
    }

    /// Bytes that a pass over the whole store reads, about.
    fn bytes_to_scrub(&self) -> u64 {
        self.core.state().arenas.iter().map(|arena| arena.durable.used).sum()
    }

    /// Verifies what is due of an arena. The result also says whether it was the whole.
    async fn scrub_arena(
        &self,
        subject: &Subject,
        due: Due,
        setting: Scrub,
        now: &impl Fn() -> Timestamp,
        pause: &impl AsyncFn(Duration),
    ) -> Result<(ScrubRecord, bool), DeviceError> {
        let begun = now();
        let Some(pace) = Pace::new(setting, self.bytes_to_scrub()) else { return Err(DeviceError::Gone) };
        let (clients, bytes_read) = (&self.scrubs.clients, &self.scrubs.bytes_read);
        let pacer = Pacer { pace, pause, clients, bytes_read };
        let partition = self.core.partition(subject.partition);
        let arithmetic = self.core.arithmetic();
        let reader = Reader { device: &partition.device, pacer: &pacer, arithmetic };
        let sealed = subject.seal.is_some();
        let mut walk = Walk::begin(&reader, subject.log, subject.counters, due, sealed).await?;
        let whole = walk.is_whole();
        let before = self.scrubs.record(&subject.log.name).filter(|_| !whole);
        let mut record = before.unwrap_or(ScrubRecord { begun, ..ScrubRecord::default() });
        if let Some(number) = walk.directory_bad() {
            record.damaged += 1;
            self.report_once(subject, u64::from(number), DamageCause::Directory);
        }
        while let Some(step) = walk.step().await? {
            if let Err(finding) = step {
                record.damaged += 1;
                record.lost += u32::from(!self.is_whole_elsewhere(subject, &finding, now()).await);
            }
        }
        if let Some(expected) = subject.seal.filter(|_| whole) {
            let cause = walk.finish().await?.and_then(|sum| verdict(expected, sum));
            record.seal = if cause.is_some() { SealResult::Bad } else { SealResult::Good };
            // Damage that is known already breaks the seal, too.
            if let Some(cause) = cause.filter(|_| record.damaged == 0) {
                record.damaged += 1;
                self.report_once(subject, 0, cause);
            }
        }
        record.ended = now();
        (record.clumps, record.bytes) = (subject.counters.clumps, subject.counters.used);
        Ok((record, whole))
    }

    /// Reports what was found. Whether the block is whole all the same: written anew just now, or elsewhere.
    async fn is_whole_elsewhere(&self, subject: &Subject, finding: &Finding, now: Timestamp) -> bool {
        let Finding { offset, cause, mut block, whole } = *finding;
        let address = subject.address + offset;
        self.core.state_mut().windows.forget(subject.partition, subject.log.geometry.log_base() + offset);
        // A record that rotted names a block that never was.
        if let (Some((score, block_type)), Some(_)) = (block, whole)
            && let Err(StoreError::NoSuchBlock { .. }) = self.core.read(score, block_type).await
        {
            block = None;
        }
        let kept = match block {
            Some(name) => self.is_restored(subject, address, name, offset, cause, now).await,
            None => {
                self.report_once(subject, offset, cause);
                whole.is_some()
            }
        };
        // The clump is whole, only the directory has it under another name: it must be found by its own.
        if let Some((score, block_type)) = whole
            && self.core.read(score, block_type).await.is_err()
        {
            self.core.state_mut().index.insert(&score, block_type, address);
        }
        kept
    }

    async fn is_restored(
        &self,
        subject: &Subject,
        address: u64,
        (score, block_type): BlockName,
        offset: u64,
        cause: DamageCause,
        now: Timestamp,
    ) -> bool {
        let damage = Damage { arena: subject.log.name, offset, cause };
        self.core.report_block(address, DamagedBlock { score, block_type, damage });
        let cached = self.core.state().cache.peek(&score, block_type);
        let restored = match cached {
            Some(_) if self.core.settings.read_only => false,
            Some(lump) => self.write(block_type, lump, now).await.is_ok(),
            None => self.core.read(score, block_type).await.is_ok(),
        };
        if restored {
            log::info!("scrub: {}: the block at {offset} is whole elsewhere by now", subject.log.name);
            let mut state = self.core.state_mut();
            state.index.remove(&score, block_type, address);
            state.damaged.replaced(address);
        }
        restored
    }

    /// Reports what has no block of its own, unless it is among what was reported lately.
    fn report_once(&self, subject: &Subject, offset: u64, cause: DamageCause) {
        let damage = Damage { arena: subject.log.name, offset, cause };
        let known = self.core.state().damage.contains(&damage);
        if !known {
            self.core.report(damage);
        }
    }
}

/// What is wrong with a seal, from the sum of the arena and what stands in its tail.
fn verdict(expected: Score, sum: Result<(Score, Score), DeviceError>) -> Option<DamageCause> {
    match sum {
        Ok((sum, _)) if sum != expected => Some(DamageCause::Seal { expected, got: sum }),
        Ok((_, in_tail)) if in_tail != expected => Some(DamageCause::Seal { expected, got: in_tail }),
        Ok(_) => None,
        Err(error) => Some(DamageCause::SealUnreadable(error)),
    }
}
