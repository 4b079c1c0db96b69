//! Index sections, filter and seals follow the log, so that another venti can take the disks over at any clean stop.
//!
//! What is missing in the index is known from the tails alone: the clumps between the *indexed* and the *written*
//! counters. Only durable clumps are indexed, and only when index and filter are durable do the counters follow.

use super::core::{Core, State};
use super::{Damage, DamageCause, StoreError};
use crate::arena::count;
use crate::device::{BlockDevice, read_bytes};
use crate::disk_index::Leftover;
use crate::format::arena_tail::Counters;
use crate::format::bucket::IndexEntry;
use crate::format::seal::Sealer;
use crate::recovery::clumps_between;
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
        let mut running = self.running.lock().await;
        if let Some(job) = running.as_mut() {
            let left_behind = job.as_mut().await;
            *running = None;
            left_behind?;
        }
        let job: Job = match (core.gap(), core.state().unsummed()) {
            (Some(gap), _) => Box::pin(index(core.clone(), gap)),
            (None, Some(arena)) => Box::pin(sum(core.clone(), arena)),
            (None, None) => return Ok(false),
        };
        let result = running.insert(job).as_mut().await;
        *running = None;
        result.map(|()| true)
    }
}

/// Durable clumps of one arena that the index does not have.
#[derive(Clone, Copy, Debug)]
struct Gap {
    arena: usize,
    from: Counters,
    to: Counters,
}

/// Puts the clumps of a gap into the index, as many as memory allows, and moves the indexed counters behind them.
async fn index<D: BlockDevice>(core: Rc<Core<D>>, gap: Gap) -> Result<(), StoreError> {
    let Some(disk_index) = &core.disk_index else { return Ok(()) };
    let (log, partition, address) = {
        let state = core.state();
        let arena = &state.arenas[gap.arena];
        (arena.log(), arena.partition, arena.address)
    };
    let device = &core.partitions[partition].device;
    let clumps = clumps_between(device, &log, gap.from, gap.to).await;
    let clumps = clumps.map_err(|error| core.device_error(partition, error))?;
    let buffer_bytes = core.settings.index_flush_bytes / 2;
    let per_pass = (buffer_bytes / size_of::<IndexEntry>()).max(1);
    let mut reached = gap.from;
    for pass in clumps.chunks(per_pass) {
        let mut entries: Vec<IndexEntry> = pass
            .iter()
            .map(|(offset, record)| IndexEntry {
                score: record.score,
                block_type: record.block_type,
                address: address + offset,
                lump_len: record.lump_len,
                read_hint: IndexEntry::read_hint_for(record.stored_len),
            })
            .collect();
        let inserted = disk_index.insert(&mut entries, buffer_bytes).await;
        let leftover = inserted
            .map_err(|failed| StoreError::Device { partition: failed.partition, error: failed.error })?;
        if core.report_leftover(gap.arena, &leftover) {
            core.state_mut().arenas[gap.arena].index_stuck = true;
            return Ok(());
        }
        pass.iter().for_each(|(_, record)| count(&mut reached, record));
        if reached.clumps < gap.to.clumps {
            core.state_mut().indexed(gap.arena, reached);
        }
    }
    core.state_mut().indexed(gap.arena, gap.to);
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
        let read = read_bytes(&core.partitions[partition].device, offset, len as usize).await;
        let chunk = match read {
            Ok(chunk) => chunk,
            Err(error) => {
                core.state_mut().arenas[number].seal_failed = true;
                return Err(core.device_error(partition, error));
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

impl<D: BlockDevice> Core<D> {
    /// The first gap between what is durable and what is indexed.
    fn gap(&self) -> Option<Gap> {
        self.disk_index.as_ref()?;
        let state = self.state();
        let arenas = state.arenas.iter().enumerate();
        let mut behind = arenas.filter(|(_, arena)| !arena.index_stuck && arena.indexed != arena.durable);
        let (number, arena) = behind.next()?;
        Some(Gap { arena: number, from: arena.indexed, to: arena.durable })
    }

    /// Tells the operator what could not be indexed; `true` if entries are missing.
    fn report_leftover(&self, arena: usize, leftover: &Leftover) -> bool {
        let (arena, address) = {
            let state = self.state();
            (state.arenas[arena].name, state.arenas[arena].address)
        };
        for bucket in &leftover.damaged {
            self.report(Damage { arena, offset: u64::from(*bucket), cause: DamageCause::BucketDamaged });
        }
        for entry in &leftover.full {
            let offset = entry.address - address;
            self.report(Damage { arena, offset, cause: DamageCause::BucketFull });
        }
        !leftover.full.is_empty()
    }
}

impl State {
    /// Durable clumps that the index does not have yet, but could.
    pub(crate) fn clumps_not_indexed(&self) -> u64 {
        let behind = self.arenas.iter().filter(|arena| !arena.index_stuck);
        behind.map(|arena| u64::from(arena.durable.clumps.saturating_sub(arena.indexed.clumps))).sum()
    }

    /// Index and filter have everything that `counters` count.
    fn indexed(&mut self, number: usize, counters: Counters) {
        self.arenas[number].indexed = counters;
        self.tail_changed(number);
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
