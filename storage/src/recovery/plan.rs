//! Whether memory takes the whole index, or only what the index on disk does not have yet.
//!
//! Knows counts of clumps and what a block costs. Reads nothing.

use crate::arena::Arena;
use crate::format::arena_tail::Counters;
use crate::memory_index::{BYTES_PER_BLOCK, MemoryIndex};
use crate::store::{OpenError, StoreSettings};

/// Lumps are taken to be so large, in bytes, when the index is laid out for a store that is still empty.
const LUMP_LEN_GUESS: u64 = 16 * 1024;

/// How the blocks of a store are to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Every block is in memory.
    pub(super) whole: bool,
    /// By what the tails count, memory does not hold them; and there is no other index.
    doubtful: bool,
    /// Clumps that the tails count and the index on disk does not have.
    pub(super) missing: u64,
    /// Bytes for the index.
    bytes_max: u64,
    /// Even what is missing is more than memory holds: it goes into the index before anything is served.
    pub(super) index_first: bool,
}

impl Plan {
    /// # Errors
    /// If what the index on disk lacks cannot be added to it.
    pub(super) fn choose(
        settings: &StoreSettings,
        arenas: &[Arena],
        has_sections: bool,
    ) -> Result<Plan, OpenError> {
        let bytes_max = settings.index_bytes_max as u64;
        let blocks: u64 = arenas.iter().map(|arena| u64::from(arena.durable.clumps)).sum();
        let indexed: u64 = arenas.iter().map(|arena| u64::from(arena.indexed.clumps)).sum();
        let missing = blocks - indexed;
        let need = blocks * BYTES_PER_BLOCK;
        // Without an index on disk memory must hold them all. It may be just a damaged tail that counts too many.
        let doubtful = need > bytes_max && !has_sections;
        let whole = need <= bytes_max || doubtful;
        let index_first = !whole && missing * BYTES_PER_BLOCK > settings.recent_bytes_max();
        if index_first && settings.read_only {
            return Err(OpenError::IndexBehind { missing });
        }
        Ok(Plan { whole, doubtful, missing, bytes_max, index_first })
    }

    /// Looks at what is in memory so far.
    ///
    /// # Errors
    /// If it is more than memory holds, as was to be feared from the beginning.
    pub(super) fn check(&self, index: &MemoryIndex) -> Result<(), OpenError> {
        let (blocks, need, bytes_max) = (index.len(), index.estimate_bytes(), self.bytes_max);
        if self.doubtful && need > bytes_max {
            return Err(OpenError::IndexTooLarge { blocks, need, bytes_max });
        }
        Ok(())
    }

    /// The index in memory, still empty.
    pub(super) fn memory_index(&self, arenas: &[Arena]) -> MemoryIndex {
        let limit = arenas.last().map_or(0, |arena| arena.address + arena.geometry.size());
        let clumps: u64 = arenas.iter().map(|arena| u64::from(arena.durable.clumps)).sum();
        let room: u64 = arenas.iter().map(|arena| arena.geometry.size()).sum();
        let most = self.bytes_max / BYTES_PER_BLOCK;
        let blocks = if self.whole { clumps.max(room / LUMP_LEN_GUESS).min(most) } else { most / 4 };
        MemoryIndex::new(limit, blocks)
    }

    /// Which clumps of an arena go into memory: those that these counters do not count. `None`: none of those that
    /// the tail counts.
    pub(super) fn fill_from(&self, arena: &Arena) -> Option<Counters> {
        match (self.whole, self.index_first) {
            (true, _) => Some(Counters::default()),
            (false, false) => Some(arena.indexed),
            (false, true) => None,
        }
    }
}
