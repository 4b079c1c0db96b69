//! More arenas for a store that is open: those of a partition that is new, or that the index's map does not have.
//!
//! Only arenas that are empty join: of others nobody can say what the index has of them.

use super::core::{ArenaPartition, Core};
use super::index_flush::IndexJobs;
use super::settings::StorePart;
use super::{OpenError, StoreError};
use crate::arena::Arena;
use crate::device::BlockDevice;
use crate::disk_index::CannotGrow;
use crate::format::Name;
use crate::format::index_config::{TextTooLong, place_arenas};
use crate::format::range_map::{NamedRange, RangeMap, RangeMapError};
use crate::recovery::{is_empty, load_new};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Why arenas did not join a store. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The partition is none of arenas, or damaged.
    #[error(transparent)]
    Partition(#[from] OpenError),
    /// It holds blocks already.
    #[error("{arena} holds blocks already: only empty arenas can be added")]
    NotEmpty {
        /// The arena.
        arena: Name,
    },
    /// A name that the store has, or too many arenas.
    #[error("the map of arenas: {0}")]
    Map(#[from] RangeMapError),
    /// The index's map has no room.
    #[error("the map of arenas: {0}")]
    Text(#[from] TextTooLong),
    /// A disk failed; it can be tried again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CannotGrow> for AddError {
    fn from(cause: CannotGrow) -> AddError {
        match cause {
            CannotGrow::Map(cause) => AddError::Map(cause),
            CannotGrow::Text(cause) => AddError::Text(cause),
            CannotGrow::Failed(failed) => AddError::Store(failed.into()),
        }
    }
}

/// Loads the arenas of a new partition and lets them join. Returns their names.
pub(crate) async fn add<D: BlockDevice + 'static>(
    core: &Rc<Core<D>>,
    jobs: &IndexJobs,
    part: StorePart<D>,
) -> Result<Vec<Name>, AddError> {
    let number = core.partition_count();
    let arenas = load_new(number, &part).await?;
    // Others may have added one meanwhile.
    let number = core.push_partition(ArenaPartition { name: part.name.into(), device: part.device });
    let arenas = arenas.into_iter().map(|arena| Arena { partition: number, ..arena }).collect();
    join(core, jobs, arenas).await
}

/// Lets the arenas join that were found in the store's partitions and not in the index's map.
pub(crate) async fn adopt<D: BlockDevice + 'static>(
    core: &Rc<Core<D>>,
    jobs: &IndexJobs,
    chosen: impl Fn(&str) -> bool,
) -> Result<Vec<Name>, AddError> {
    let unmapped = core::mem::take(&mut core.state_mut().unmapped);
    let is_chosen = |arena: &Arena| chosen(&core.partition(arena.partition).name);
    let (arenas, others) = unmapped.into_iter().partition(is_chosen);
    core.state_mut().unmapped = others;
    join(core, jobs, arenas).await
}

/// Between index passes, since the sections change, and as a job, since that must not be left half done.
async fn join<D: BlockDevice + 'static>(
    core: &Rc<Core<D>>,
    jobs: &IndexJobs,
    arenas: Vec<Arena>,
) -> Result<Vec<Name>, AddError> {
    if core.settings.read_only {
        return Err(StoreError::ReadOnly.into());
    }
    let names: Vec<Name> = arenas.iter().map(|arena| arena.name).collect();
    let result = Rc::new(RefCell::new(Ok(())));
    let job = {
        let (core, result) = (core.clone(), result.clone());
        async move {
            let joined = core.join(arenas).await;
            *result.borrow_mut() = joined;
            Ok(())
        }
    };
    if !names.is_empty() {
        jobs.run(|| Some(alloc::boxed::Box::pin(job))).await?;
    }
    result.borrow().clone().map(|()| names)
}

impl<D: BlockDevice> Core<D> {
    async fn join(&self, mut arenas: Vec<Arena>) -> Result<(), AddError> {
        for arena in &arenas {
            let partition = self.partition(arena.partition);
            let empty = is_empty(&partition.device, arena).await;
            if !empty.map_err(|error| self.device_error(arena.partition, error))? {
                return Err(AddError::NotEmpty { arena: arena.name });
            }
        }
        let sizes = arenas.iter().map(|arena| (arena.name, arena.geometry.size()));
        let map = match &self.disk_index {
            Some(disk_index) => disk_index.append(sizes).await?,
            None => place_arenas(&self.map()?, sizes)?,
        };
        let mut state = self.state_mut();
        let added = map.ranges().len() - arenas.len();
        for (arena, range) in arenas.iter_mut().zip(&map.ranges()[added..]) {
            arena.address = range.start;
        }
        state.index.widen(map.stop());
        state.arenas.append(&mut arenas);
        Ok(())
    }

    /// The map of a store without index sections.
    fn map(&self) -> Result<RangeMap, RangeMapError> {
        let state = self.state();
        let ranges = state.arenas.iter().map(|arena| {
            let (start, size) = (arena.address, arena.geometry.size());
            NamedRange { name: arena.name, start, stop: start + size }
        });
        RangeMap::new(ranges.collect())
    }
}
