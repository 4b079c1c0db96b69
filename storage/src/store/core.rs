//! What all operations of a store share. Borrows of the state never last across a wait.

use super::damaged::{DamagedBlock, DamagedBlocks};
use super::packing::Packing;
use super::settings::{StorePart, StoreSettings};
use super::windows::Windows;
use super::{Damage, StoreError};
use crate::arena::{Arena, Group};
use crate::arithmetic::Arithmetic;
use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError};
use crate::disk_index::DiskIndex;
use crate::lump_cache::LumpCache;
use crate::memory_index::MemoryIndex;
use crate::score::Score;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Ref, RefCell, RefMut};
use event_listener::Event;
use hashbrown::HashMap;

/// Damage reports kept for the status.
const DAMAGE_MAX: usize = 256;

/// Partitions and settings, which do not change, and the state, which does.
pub(crate) struct Core<D> {
    partitions: RefCell<Vec<Rc<ArenaPartition<D>>>>,
    pub(crate) settings: StoreSettings,
    /// Absent when the store has no index sections.
    pub(crate) disk_index: Option<DiskIndex<D>>,
    pub(crate) packing: Packing,
    arithmetic: RefCell<Arithmetic>,
    state: RefCell<State>,
}

/// An arena partition that is served.
#[derive(Debug)]
pub(crate) struct ArenaPartition<D> {
    pub(crate) name: Rc<str>,
    pub(crate) device: D,
}

/// What opening makes a store of.
pub(crate) struct CoreParts<D> {
    pub(crate) partitions: Vec<StorePart<D>>,
    pub(crate) arenas: Vec<Arena>,
    pub(crate) unmapped: Vec<Arena>,
    pub(crate) index: MemoryIndex,
    pub(crate) index_whole: bool,
    pub(crate) disk_index: Option<DiskIndex<D>>,
    pub(crate) damage: Vec<Damage>,
}

/// The part that changes.
pub(crate) struct State {
    /// In the order of their addresses.
    pub(crate) arenas: Vec<Arena>,
    /// Arenas that the index's map does not have; they are not served.
    pub(crate) unmapped: Vec<Arena>,
    pub(crate) index: MemoryIndex,
    /// Every block is in `index`; if not, it has those that the index on disk lacks.
    pub(crate) index_whole: bool,
    /// Clumps in all logs.
    pub(crate) clumps: u64,
    /// Addresses of clumps for which the index on disk has no room.
    pub(crate) overflow: BTreeSet<u64>,
    /// Addresses of damaged copies that were replaced: they must not get into the index behind the good ones.
    pub(crate) superseded: BTreeSet<u64>,
    pub(crate) cache: LumpCache,
    pub(crate) windows: Windows,
    /// Closed log bytes that are not durable yet, in the order in which they must be written.
    pub(crate) groups: VecDeque<Group>,
    /// Bytes in `groups` and in the arenas' open logs.
    pub(crate) dirty_bytes: usize,
    /// Arenas that a commit must look at.
    pub(crate) dirty_arenas: BTreeSet<usize>,
    /// Changes since the store was opened (a clump appended, a tail to be written), and how many are durable.
    pub(crate) changes: u64,
    pub(crate) changes_durable: u64,
    /// A group can be written.
    pub(crate) group_closed: Rc<Event>,
    /// Arenas before this one are sealed.
    pub(crate) first_open: usize,
    /// Blocks that a writer is looking up or appending; others with the same block wait.
    pub(crate) writing: HashMap<(Score, BlockType), Rc<Event>>,
    pub(crate) damaged: DamagedBlocks,
    pub(crate) damage: VecDeque<Damage>,
    pub(crate) damage_count: u64,
    pub(crate) counts: Counts,
}

/// Operations since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) misses: u64,
    pub(crate) writes: u64,
    pub(crate) duplicates: u64,
    pub(crate) repairs: u64,
    pub(crate) commits: u64,
    pub(crate) failed_commits: u64,
}

impl<D: BlockDevice> Core<D> {
    pub(crate) fn new(parts: CoreParts<D>, settings: StoreSettings) -> Core<D> {
        let partitions = parts.partitions.into_iter();
        let partitions = partitions
            .map(|part| Rc::new(ArenaPartition { name: part.name.into(), device: part.device }))
            .collect();
        let partitions = RefCell::new(partitions);
        let dirty = parts.arenas.iter().enumerate().filter(|(_, arena)| arena.is_dirty());
        let dirty_arenas: BTreeSet<usize> = dirty.map(|(number, _)| number).collect();
        let clumps = parts.arenas.iter().map(|arena| u64::from(arena.current.clumps)).sum();
        let state = State {
            arenas: parts.arenas,
            clumps,
            unmapped: parts.unmapped,
            index: parts.index,
            index_whole: parts.index_whole,
            overflow: BTreeSet::new(),
            superseded: BTreeSet::new(),
            cache: LumpCache::new(settings.lump_cache_bytes),
            windows: Windows::new(settings.read_ahead_bytes),
            groups: VecDeque::new(),
            dirty_bytes: 0,
            changes: u64::from(!dirty_arenas.is_empty()),
            dirty_arenas,
            changes_durable: 0,
            group_closed: Rc::new(Event::new()),
            first_open: 0,
            writing: HashMap::new(),
            damaged: DamagedBlocks::default(),
            damage: VecDeque::new(),
            damage_count: 0,
            counts: Counts::default(),
        };
        let core = Core {
            partitions,
            settings,
            disk_index: parts.disk_index,
            packing: Packing::default(),
            arithmetic: RefCell::default(),
            state: RefCell::new(state),
        };
        parts.damage.into_iter().for_each(|damage| core.report(damage));
        core
    }

    /// The state, to look at. Never across an await.
    pub(crate) fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    /// The state, to change. Never across an await.
    pub(crate) fn state_mut(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Who hashes and packs.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic.borrow().clone()
    }

    /// From now on these do.
    pub(crate) fn use_arithmetic(&self, arithmetic: Arithmetic) {
        self.packing.widen(arithmetic.width());
        *self.arithmetic.borrow_mut() = arithmetic;
    }

    /// An arena partition, by its number.
    pub(crate) fn partition(&self, number: usize) -> Rc<ArenaPartition<D>> {
        self.partitions.borrow()[number].clone()
    }

    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.borrow().len()
    }

    /// Adds a partition. Returns its number.
    pub(crate) fn push_partition(&self, partition: ArenaPartition<D>) -> usize {
        let mut partitions = self.partitions.borrow_mut();
        partitions.push(Rc::new(partition));
        partitions.len() - 1
    }

    /// The error of a device, with the partition's name.
    pub(crate) fn device_error(&self, partition: usize, error: DeviceError) -> StoreError {
        StoreError::Device { partition: self.partition(partition).name.clone(), error }
    }

    /// Notes that the copy of a block at this address is damaged, and tells the operator if that is news.
    pub(crate) fn report_block(&self, address: u64, block: DamagedBlock) {
        if self.state_mut().damaged.note(address, block) {
            self.report(block.damage);
        }
    }

    /// Tells the operator of damage.
    pub(crate) fn report(&self, damage: Damage) {
        log::error!("{damage}");
        let mut state = self.state.borrow_mut();
        state.damage_count += 1;
        if state.damage.len() == DAMAGE_MAX {
            state.damage.pop_front();
        }
        state.damage.push_back(damage);
    }
}

impl State {
    /// The arena that holds this address of the index's space, and the offset in its log.
    pub(crate) fn arena_of(&self, address: u64) -> Option<(usize, u64)> {
        let number = self.arenas.partition_point(|arena| arena.address <= address).checked_sub(1)?;
        let offset = address - self.arenas[number].address;
        (offset < self.arenas[number].geometry.size()).then_some((number, offset))
    }
}
