//! What was appended becomes durable. The only module that writes logs, directories and tails, in the one order that
//! is safe: **log → flush → directory → flush → tails → flush**. A tail never counts a clump whose log bytes or
//! directory record are not durable.
//!
//! One commit at a time. Callers that came before a commit began share its outcome; those who came later share the
//! next. If a step fails, everything since the last commit that succeeded stays in memory and is written again: what a
//! device says of single writes is not believed after a failed flush.

use super::StoreError;
use super::core::{Core, State};
use crate::arena::{DirectoryRun, Group};
use crate::device::{BlockDevice, write_bytes};
use crate::format::arena_tail::Counters;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use async_lock::Mutex;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;

type Job = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// The commit under way, kept when its caller is dropped, and how the last one ended.
#[derive(Default)]
pub(crate) struct CommitJobs {
    running: Mutex<Option<Running>>,
    begun: Cell<u64>,
    last: RefCell<Option<Ended>>,
}

struct Running {
    number: u64,
    /// Changes that it covers.
    covers: u64,
    job: Job,
}

struct Ended {
    number: u64,
    covers: u64,
    result: Result<(), StoreError>,
}

impl CommitJobs {
    /// Returns when everything that had changed before the call is durable, or could not be made so.
    pub(crate) async fn sync<D: BlockDevice + 'static>(&self, core: &Rc<Core<D>>) -> Result<(), StoreError> {
        let wanted = core.state().changes;
        if core.state().changes_durable >= wanted {
            return Ok(());
        }
        let arrived = self.begun.get();
        let mut running = self.running.lock().await;
        loop {
            if core.state().changes_durable >= wanted {
                return Ok(());
            }
            if let Some(ended) = &*self.last.borrow()
                && ended.number > arrived
                && ended.covers >= wanted
            {
                return ended.result.clone();
            }
            self.finish(&mut running).await;
            if core.state().changes_durable < wanted && self.last_is_older(arrived, wanted) {
                let covers = core.state().changes;
                self.begin(&mut running, covers, Box::pin(commit(core.clone())));
                self.finish(&mut running).await;
            }
        }
    }

    /// Writes closed groups, so that a later sync has less to do. Makes nothing durable.
    pub(crate) async fn write_groups<D: BlockDevice + 'static>(&self, core: &Rc<Core<D>>) {
        let mut running = self.running.lock().await;
        self.finish(&mut running).await;
        if core.state().groups.iter().any(|group| !group.written) {
            let core = core.clone();
            let job = async move {
                let count = core.state().groups.len();
                core.write_log(count).await
            };
            self.begin(&mut running, 0, Box::pin(job));
            self.finish(&mut running).await;
        }
    }

    fn last_is_older(&self, arrived: u64, wanted: u64) -> bool {
        let last = self.last.borrow();
        last.as_ref().is_none_or(|ended| ended.number <= arrived || ended.covers < wanted)
    }

    fn begin(&self, running: &mut Option<Running>, covers: u64, job: Job) {
        let number = self.begun.get() + 1;
        self.begun.set(number);
        *running = Some(Running { number, covers, job });
    }

    /// Carries the job under way to its end, whoever began it.
    async fn finish(&self, running: &mut Option<Running>) {
        if let Some(Running { number, covers, job }) = running {
            let result = job.as_mut().await;
            if *covers > 0 {
                *self.last.borrow_mut() = Some(Ended { number: *number, covers: *covers, result });
            }
            *running = None;
        }
    }
}

/// What one commit makes durable.
struct Plan {
    changes: u64,
    groups: usize,
    arenas: Vec<ArenaPlan>,
}

struct ArenaPlan {
    arena: usize,
    partition: usize,
    counters: Counters,
    directory: Option<DirectoryRun>,
    tail_offset: u64,
    tail: Bytes,
}

async fn commit<D: BlockDevice>(core: Rc<Core<D>>) -> Result<(), StoreError> {
    let plan = core.state_mut().plan_commit();
    let result = core.carry_out(&plan).await;
    let mut state = core.state_mut();
    match &result {
        Ok(()) => state.committed(&plan),
        Err(error) => {
            log::error!("cannot make blocks durable, will try again: {error}");
            state.commit_failed(&plan);
        }
    }
    result
}

impl<D: BlockDevice> Core<D> {
    async fn carry_out(&self, plan: &Plan) -> Result<(), StoreError> {
        self.write_log(plan.groups).await?;
        let logs = self.partitions_of_groups(plan.groups);
        self.flush(&logs).await?;
        let mut directories = BTreeSet::new();
        for arena in &plan.arenas {
            if let Some(run) = &arena.directory {
                self.write_at(arena.partition, run.offset, run.bytes.clone()).await?;
                directories.insert(arena.partition);
            }
        }
        self.flush(&directories).await?;
        let mut tails = BTreeSet::new();
        for arena in &plan.arenas {
            self.write_at(arena.partition, arena.tail_offset, arena.tail.clone()).await?;
            tails.insert(arena.partition);
        }
        self.flush(&tails).await
    }

    /// Writes the first `count` groups, those that are not written yet, one after the other: a group begins in the
    /// sector in which the one before it ends.
    async fn write_log(&self, count: usize) -> Result<(), StoreError> {
        for number in 0..count {
            let (partition, offset, bytes) = {
                let state = self.state();
                let Some(group) = state.groups.get(number).filter(|group| !group.written) else { continue };
                let arena = &state.arenas[group.arena];
                // Only where sectors are larger than blocks can the directory share a sector with the log.
                let limit = arena.place(arena.geometry.log_limit(arena.current.clumps));
                let len = group.bytes.len().min(limit.saturating_sub(group.offset) as usize);
                (arena.partition, group.offset, group.bytes.slice(..len))
            };
            self.write_at(partition, offset, bytes).await?;
            if let Some(group) = self.state_mut().groups.get_mut(number) {
                group.written = true;
            }
        }
        Ok(())
    }

    fn partitions_of_groups(&self, count: usize) -> BTreeSet<usize> {
        let state = self.state();
        state.groups.iter().take(count).map(|group| state.arenas[group.arena].partition).collect()
    }

    async fn write_at(&self, partition: usize, offset: u64, bytes: Bytes) -> Result<(), StoreError> {
        let place = self.partition(partition);
        let device = &place.device;
        write_bytes(device, offset, bytes).await.map_err(|error| self.device_error(partition, error))
    }

    async fn flush(&self, partitions: &BTreeSet<usize>) -> Result<(), StoreError> {
        for partition in partitions {
            let flushed = self.partition(*partition).device.flush().await;
            flushed.map_err(|error| self.device_error(*partition, error))?;
        }
        Ok(())
    }
}

impl State {
    fn plan_commit(&mut self) -> Plan {
        let dirty: Vec<usize> = self.dirty_arenas.iter().copied().collect();
        dirty.iter().for_each(|arena| self.close_group(*arena));
        let arenas = dirty.into_iter().map(|number| {
            let arena = &mut self.arenas[number];
            arena.tail_dirty = false;
            ArenaPlan {
                arena: number,
                partition: arena.partition,
                counters: arena.current,
                directory: arena.directory_run(),
                tail_offset: arena.geometry.tail_offset(),
                tail: arena.tail_block(arena.current),
            }
        });
        let arenas = arenas.collect();
        Plan { changes: self.changes, groups: self.groups.len(), arenas }
    }

    fn committed(&mut self, plan: &Plan) {
        for group in self.groups.drain(..plan.groups) {
            if let Some(appender) = self.arenas[group.arena].appender.as_mut() {
                appender.log.reuse(group.bytes);
            }
        }
        for planned in &plan.arenas {
            let records = planned.directory.as_ref().map_or(0, |run| run.records);
            let arena = &mut self.arenas[planned.arena];
            arena.committed(planned.counters, records);
            if !arena.is_dirty() {
                self.dirty_arenas.remove(&planned.arena);
                if arena.current.sealed {
                    arena.appender = None;
                }
            }
        }
        self.changes_durable = plan.changes;
        self.count_dirty_bytes();
        self.counts.commits += 1;
    }

    fn commit_failed(&mut self, plan: &Plan) {
        // A tail may have become durable although the commit failed. So nothing that it counts may be overwritten with
        // what was there before, as the end of one group would do to the beginning of the next: they become one.
        self.groups = Group::merged(core::mem::take(&mut self.groups));
        for planned in &plan.arenas {
            self.arenas[planned.arena].tail_dirty = true;
        }
        self.counts.failed_commits += 1;
    }

    fn count_dirty_bytes(&mut self) {
        let closed: usize = self.groups.iter().map(|group| group.bytes.len()).sum();
        let open = self.dirty_arenas.iter().filter_map(|arena| self.arenas[*arena].appender.as_ref());
        self.dirty_bytes = closed + open.map(|appender| appender.log.fresh_len()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use crate::Timestamp;
    use crate::block_type::BlockType;
    use crate::device::ram::RamDisk;
    use crate::make::{ArenaOptions, arenas};
    use crate::simulation::block_on;
    use crate::store::{Store, StorePart, StoreParts, StoreSettings};
    use alloc::rc::Rc;
    use alloc::vec;
    use alloc::vec::Vec;
    use bytes::Bytes;

    #[test]
    fn an_arena_that_is_full_and_durable_keeps_no_memory() {
        block_on(async {
            let disk = Rc::new(RamDisk::new(512, (5 << 20) / 512));
            let options = ArenaOptions { arena_len: 1 << 20, ..ArenaOptions::default() };
            arenas(&disk, options, || 0x5eed_5eed, |_, _| ()).await.unwrap();
            let arenas = vec![StorePart { name: "arenas".into(), device: disk }];
            let parts = StoreParts { arenas, index_sections: vec![], bloom: None };
            let now = Timestamp(1_800_000_000);
            let settings = StoreSettings { compress: false, ..StoreSettings::default() };
            let (store, _) = Store::open(parts, settings, now).await.unwrap();
            for number in 0..40_u8 {
                let lump = Bytes::from(vec![number; 57_344]);
                store.write(BlockType::DATA, lump, now).await.unwrap();
            }
            store.sync().await.unwrap();
            let state = store.core.state();
            let kept = state.arenas.iter().map(|arena| (arena.current.sealed, arena.appender.is_some()));
            let kept: Vec<_> = kept.collect();
            assert_eq!(kept, [(true, false), (true, false), (false, true), (false, false)]);
        });
    }
}
