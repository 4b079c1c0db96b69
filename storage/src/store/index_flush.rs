//! Index sections, filter and seals follow the log, so that another venti can take the disks over at any clean stop, and
//! so that memory need not hold what they have.
//!
//! What is missing in the index is known from the tails alone: the clumps between the *indexed* and the *written*
//! counters. Only durable clumps are indexed, and only when index and filter are durable do the counters follow. An entry
//! that finds no room stays in memory, and the counters of its arena in front of it: so the next start finds it again.

use super::core::{Core, State};
use super::{Damage, DamageCause, Store, StoreError, StoreSettings};
use crate::arena::Arena;
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::disk_index::{DiskIndex, IndexFailed, Leftover};
use crate::format::arena_tail::Counters;
use crate::format::bucket::IndexEntry;
use crate::format::seal::Sealer;
use crate::memory_index::BYTES_PER_BLOCK;
use crate::recovery::{DirectoryReader, Gap, Placed, Unusable, check_directory, from_log};
use crate::score::Score;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use async_lock::Mutex;
use core::future::Future;
use core::pin::Pin;

/// Bytes of an arena that are read at once to sum it.
const SEAL_CHUNK: u64 = 1 << 20;

type Job = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// The index pass under way, kept when its caller is dropped: a bucket write that was given up must not land behind a
/// later one.
#[derive(Default)]
pub(crate) struct IndexJobs {
    running: Mutex<Option<Job>>,
}

impl IndexJobs {
    /// One pass: part of what is missing goes into the index, or one arena is summed. `false` when nothing is left.
    pub(crate) async fn pass<D: BlockDevice + 'static>(
        &self,
        core: &Rc<Core<D>>,
    ) -> Result<bool, StoreError> {
        self.run(|| {
            let unsummed = core.state().unsummed();
            let sum = |arena| Box::pin(sum(core.clone(), arena)) as Job;
            next_index_job(core).or_else(|| unsummed.map(sum))
        })
        .await
    }

    /// Makes room in a memory index that is full: what the index on disk has, memory need not hold. `false`: nothing
    /// could be done.
    pub(crate) async fn make_room<D: BlockDevice + 'static>(
        &self,
        store: &Store<D>,
    ) -> Result<bool, StoreError> {
        let core = &store.core;
        if core.disk_index.is_none() {
            return Ok(false);
        }
        let is_full = || core.state().index_is_full(&core.settings);
        store.sync().await?;
        while self.run(|| next_index_job(core)).await? {}
        if is_full() {
            // Between passes, so that the filter is loaded with everything that was marked.
            self.run(|| core.state().index_whole.then(|| Box::pin(leave_memory(core.clone())) as Job))
                .await?;
        }
        Ok(!is_full())
    }

    /// Carries the job under way to its end, then begins and ends the one that is wanted then.
    pub(crate) async fn run(&self, next: impl FnOnce() -> Option<Job>) -> Result<bool, StoreError> {
        let mut running = self.running.lock().await;
        if let Some(job) = running.as_mut() {
            let left_behind = job.as_mut().await;
            *running = None;
            // What it has not done is still missing; whether it can be done now is another question.
            if let Err(error) = left_behind {
                log::error!("cannot bring the index up to the log, will try again: {error}");
            }
        }
        let Some(job) = next() else { return Ok(false) };
        let result = running.insert(job).as_mut().await;
        *running = None;
        result.map(|()| true)
    }
}

fn next_index_job<D: BlockDevice + 'static>(core: &Rc<Core<D>>) -> Option<Job> {
    let (arena, gap) = core.gap()?;
    Some(Box::pin(index(core.clone(), arena, gap)))
}

/// Puts the clumps of a gap into the index, as many at a time as memory allows, and moves the counters behind them.
async fn index<D: BlockDevice>(core: Rc<Core<D>>, number: usize, gap: Gap) -> Result<(), StoreError> {
    let Some(disk_index) = &core.disk_index else { return Ok(()) };
    let (log, partition) = {
        let state = core.state();
        (state.arenas[number].log(), state.arenas[number].partition)
    };
    let place = core.partition(partition);
    let device = &place.device;
    let failed = |error| core.device_error(partition, error);
    let per_pass = (core.settings.index_flush_bytes / 2 / size_of::<IndexEntry>()).max(1);
    match check_directory(device, &log, gap).await {
        Ok(()) => {
            let mut reader = DirectoryReader::new(device, &log, gap);
            loop {
                let clumps = match reader.next(per_pass).await {
                    Ok(clumps) if clumps.is_empty() => break,
                    Ok(clumps) => clumps,
                    Err(Unusable::Device(error)) => return Err(failed(error)),
                    // It has changed under our eyes: the next pass looks again.
                    Err(Unusable::Record(_)) => return Ok(()),
                };
                core.put(disk_index, number, &clumps).await?;
                core.state_mut().placed(number, reader.reached());
            }
        }
        Err(Unusable::Device(DeviceError::Gone)) => return Err(failed(DeviceError::Gone)),
        Err(_) => {
            let mut damage = Vec::new();
            let clumps = from_log(device, &log, gap, &mut damage).await.map_err(failed)?;
            // What cannot be read now may be there all the same: it must not count as indexed.
            for damage in damage {
                if let DamageCause::Unreadable(error) = damage.cause {
                    return Err(failed(error));
                }
            }
            for clumps in clumps.chunks(per_pass) {
                core.put(disk_index, number, clumps).await?;
            }
        }
    }
    core.state_mut().placed(number, gap.to);
    Ok(())
}

/// From now on memory holds only what the index on disk does not have.
async fn leave_memory<D: BlockDevice>(core: Rc<Core<D>>) -> Result<(), StoreError> {
    let Some(disk_index) = &core.disk_index else { return Ok(()) };
    let clumps = core.state().arenas.iter().map(|arena| u64::from(arena.placed.clumps)).sum();
    if let Some(fault) = disk_index.prepare(core.settings.index_bytes_max, clumps).await? {
        log::warn!("the bloom filter is not used: {fault}");
    }
    let mut state = core.state_mut();
    let State { arenas, index, overflow, index_whole, .. } = &mut *state;
    index.retain(|address| {
        let number = arenas.partition_point(|arena| arena.address <= address);
        let arena = number.checked_sub(1).map(|number| &arenas[number]);
        overflow.contains(&address) || arena.is_none_or(|arena| address - arena.address >= arena.placed.used)
    });
    *index_whole = false;
    log::warn!("memory does not hold the index any more: blocks are looked up in the index sections");
    Ok(())
}

/// Computes the seal of an arena that will not change any more.
async fn sum<D: BlockDevice>(core: Rc<Core<D>>, number: usize) -> Result<(), StoreError> {
    let (geometry, partition) = {
        let state = core.state();
        (state.arenas[number].geometry, state.arenas[number].partition)
    };
    let mut sealer = Sealer::new(&geometry);
    let mut offset = geometry.start();
    while offset < geometry.stop() {
        let len = SEAL_CHUNK.min(geometry.stop() - offset);
        let read = read_bytes(&core.partition(partition).device, offset, len as usize).await;
        let chunk = match read {
            Ok(chunk) => chunk,
            Err(DeviceError::Gone) => return Err(core.device_error(partition, DeviceError::Gone)),
            // It stays without a seal; that must not keep others from theirs.
            Err(error) => {
                let arena = core.state().arenas[number].name;
                let offset = offset.saturating_sub(geometry.log_base());
                core.report(Damage { arena, offset, cause: DamageCause::Unreadable(error) });
                core.state_mut().arenas[number].seal_failed = true;
                return Ok(());
            }
        };
        // The pieces end where the arena ends.
        let _ = sealer.update(&chunk);
        offset += len;
    }
    if let Ok(seal) = sealer.finish() {
        let mut state = core.state_mut();
        state.arenas[number].seal = seal;
        state.tail_changed(number);
    }
    Ok(())
}

impl From<IndexFailed> for StoreError {
    fn from(failed: IndexFailed) -> StoreError {
        StoreError::Device { partition: failed.partition, error: failed.error }
    }
}

impl<D: BlockDevice> Core<D> {
    /// Puts clumps of an arena into the index; memory lets go of those that are there now.
    async fn put(
        &self,
        disk_index: &DiskIndex<D>,
        number: usize,
        clumps: &[Placed],
    ) -> Result<(), StoreError> {
        let address = self.state().arenas[number].address;
        let superseded = |offset: &u64| self.state().superseded.contains(&(address + offset));
        let mut entries: Vec<IndexEntry> = clumps
            .iter()
            .filter(|(offset, _)| !superseded(offset))
            .map(|(offset, record)| IndexEntry {
                score: record.score,
                block_type: record.block_type,
                address: address + offset,
                lump_len: record.lump_len,
                read_hint: IndexEntry::read_hint_for(record.stored_len),
            })
            .collect();
        let leftover = disk_index.insert(&mut entries, self.settings.index_flush_bytes / 2).await?;
        self.keep_leftover(number, &leftover);
        let mut state = self.state_mut();
        let State { index, overflow, index_whole, .. } = &mut *state;
        if *index_whole {
            return Ok(());
        }
        for entry in entries.iter().filter(|entry| !overflow.contains(&entry.address)) {
            index.remove(&entry.score, entry.block_type, entry.address);
        }
        Ok(())
    }

    /// The first gap between what is durable and what is indexed.
    fn gap(&self) -> Option<(usize, Gap)> {
        self.disk_index.as_ref()?;
        let state = self.state();
        let number = state.arenas.iter().position(|arena| arena.placed != arena.durable)?;
        let arena = &state.arenas[number];
        Some((number, Gap { from: arena.placed, to: arena.durable }))
    }

    /// Tells the operator what could not be indexed, and sees to it that it is found all the same.
    fn keep_leftover(&self, number: usize, leftover: &Leftover) {
        let (arena, address) = {
            let state = self.state();
            (state.arenas[number].name, state.arenas[number].address)
        };
        // Once for each bucket: it may have many entries.
        let same = |(bucket, _): &(u32, IndexEntry), (next, _): &(u32, IndexEntry)| bucket == next;
        for (bucket, _) in leftover.damaged.chunk_by(same).filter_map(<[_]>::first) {
            let offset = u64::from(*bucket);
            self.report(Damage { arena, offset, cause: DamageCause::BucketDamaged });
        }
        for (_, entry) in leftover.full.chunk_by(same).filter_map(<[_]>::first) {
            let offset = entry.address - address;
            self.report(Damage { arena, offset, cause: DamageCause::BucketFull });
        }
        let mut state = self.state_mut();
        for (_, entry) in leftover.full.iter().chain(&leftover.damaged) {
            state.overflow.insert(entry.address);
            state.arenas[number].index_stuck = true;
        }
    }

    /// Does in the index what a power cut has interrupted. If that fails, the next pass tries again.
    pub(crate) async fn settle_index(&self) {
        if let Some(disk_index) = &self.disk_index
            && let Err(IndexFailed { partition, error }) = disk_index.settle().await
        {
            log::error!("{partition}: cannot finish what was interrupted, will try again: {error}");
        }
    }

    /// Clumps that may wait for the index: fewer where memory does not hold it.
    pub(crate) fn index_clumps_max(&self, otherwise: u64) -> u64 {
        if self.state().index_whole {
            return otherwise;
        }
        (self.settings.recent_bytes_max() / BYTES_PER_BLOCK / 2).clamp(1, otherwise)
    }
}

impl State {
    /// Whether the index in memory may take no more entries. Where it is all there is, the next start must have room for
    /// every clump of the logs (a repaired block has two), and for what it may find behind them.
    pub(crate) fn index_is_full(&self, settings: &StoreSettings) -> bool {
        if self.index_whole {
            let most = settings.index_bytes_max as u64;
            self.clumps.max(self.index.len()) * BYTES_PER_BLOCK >= most - most / 16
        } else {
            self.index.estimate_bytes() >= settings.recent_bytes_max()
        }
    }

    /// Durable clumps that the index does not have yet.
    pub(crate) fn clumps_not_indexed(&self) -> u64 {
        let missing = |arena: &Arena| u64::from(arena.durable.clumps.saturating_sub(arena.placed.clumps));
        self.arenas.iter().map(missing).sum()
    }

    /// Index and filter have everything that `counters` count, or memory keeps it.
    fn placed(&mut self, number: usize, counters: Counters) {
        let arena = &mut self.arenas[number];
        arena.placed = counters;
        if !arena.index_stuck {
            arena.indexed = counters;
            self.tail_changed(number);
        }
    }

    fn tail_changed(&mut self, number: usize) {
        self.arenas[number].tail_dirty = true;
        self.dirty_arenas.insert(number);
        self.changes += 1;
    }

    /// A sealed arena, complete on disk, whose seal has not been computed.
    fn unsummed(&self) -> Option<usize> {
        self.arenas.iter().enumerate().position(|(number, arena)| {
            arena.indexed.sealed
                && arena.indexed == arena.durable
                && arena.seal == Score::NULL
                && !arena.seal_failed
                && !self.dirty_arenas.contains(&number)
        })
    }
}
