//! What a store tells of itself.

use super::Damage;
use super::core::Core;
use crate::Timestamp;
use crate::arena::Arena;
use crate::device::BlockDevice;
use crate::format::Name;
use crate::format::arena_head::ArenaVersion;
use crate::format::arena_tail::Counters;
use crate::score::Score;
use crate::scrub::ScrubRecord;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A store at one moment.
#[derive(Clone, Debug, Default)]
pub struct StoreStatus {
    /// Every arena, in the order of the index.
    pub arenas: Vec<ArenaStatus>,
    /// Entries of the memory index.
    pub index_entries: u64,
    /// Whether the memory index has every block; if not, the index sections are asked.
    pub index_whole: bool,
    /// Durable clumps that the index sections do not have yet.
    pub not_indexed: u64,
    /// Entries for which the index sections have no room.
    pub index_overflow: usize,
    /// How full the fullest index bucket is that was written since the start, in percent.
    pub fullest_bucket_percent: u8,
    /// Bytes of the memory index.
    pub index_bytes: u64,
    /// Bytes of cached lumps.
    pub cache_bytes: usize,
    /// Lookups that the lump cache answered.
    pub cache_hits: u64,
    /// Lookups that it did not.
    pub cache_misses: u64,
    /// Bytes held that were read ahead.
    pub read_ahead_bytes: usize,
    /// Bytes that are not durable yet.
    pub dirty_bytes: usize,
    /// Clumps that are not durable yet.
    pub dirty_clumps: u64,
    /// Reads since the store was opened, misses included.
    pub reads: u64,
    /// Reads of blocks that are not here.
    pub misses: u64,
    /// Writes since the store was opened, duplicates included.
    pub writes: u64,
    /// Writes of blocks that were here already.
    pub duplicates: u64,
    /// Blocks appended anew because their stored copy was damaged.
    pub repairs: u64,
    /// Commits that made something durable.
    pub commits: u64,
    /// Commits that failed.
    pub failed_commits: u64,
    /// Damage seen since the store was opened.
    pub damage_count: u64,
    /// The latest of it.
    pub damage: Vec<Damage>,
    /// Blocks of which a copy is damaged and none is known to be whole.
    pub damaged_blocks: usize,
    /// Bytes that the scrubber has read since the store was opened.
    pub scrub_bytes: u64,
}

/// An arena at one moment.
#[derive(Clone, Debug)]
pub struct ArenaStatus {
    /// Its name.
    pub name: Name,
    /// The partition it lies in, as the settings name it.
    pub partition: Rc<str>,
    /// Offset of its head block in the partition; its log begins one block later.
    pub start: u64,
    /// Offset behind its tail block.
    pub stop: u64,
    /// Bytes in a block.
    pub block_size: u32,
    /// Format of head and tail.
    pub version: ArenaVersion,
    /// Bytes for log and directory.
    pub size: u64,
    /// Where its log begins in the index's address space.
    pub address: u64,
    /// What is durable.
    pub durable: Counters,
    /// What is complete in the index sections.
    pub indexed: Counters,
    /// What is held, durable or not.
    pub current: Counters,
    /// Time of the first clump.
    pub created_at: Timestamp,
    /// Time of the last clump.
    pub written_at: Timestamp,
    /// Its SHA-1, once it is sealed and summed.
    pub seal: Option<Score>,
    /// When it was verified last, and what came of it.
    pub scrub: Option<ScrubRecord>,
}

impl<D: BlockDevice> Core<D> {
    pub(super) fn status_of(&self, arena: &Arena) -> ArenaStatus {
        ArenaStatus {
            name: arena.name,
            partition: self.partition(arena.partition).name.clone(),
            start: arena.geometry.start(),
            stop: arena.geometry.stop(),
            block_size: arena.geometry.block_size(),
            version: arena.version,
            size: arena.geometry.size(),
            address: arena.address,
            durable: arena.durable,
            indexed: arena.indexed,
            current: arena.current,
            created_at: arena.created_at,
            written_at: arena.written_at,
            seal: (arena.seal != Score::NULL).then_some(arena.seal),
            scrub: None,
        }
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let state = self.state();
        let arenas = state.arenas.iter().map(|arena| self.status_of(arena));
        let pending = |arena: &Arena| u64::from(arena.current.clumps - arena.durable.clumps);
        let dirty_clumps = state.arenas.iter().map(pending).sum();
        let (cache_hits, cache_misses) = state.cache.hits_and_misses();
        StoreStatus {
            arenas: arenas.collect(),
            index_entries: state.index.len(),
            index_whole: state.index_whole,
            not_indexed: state.clumps_not_indexed(),
            index_overflow: state.overflow.len(),
            fullest_bucket_percent: self.disk_index.as_ref().map_or(0, |index| index.fullest_percent()),
            index_bytes: state.index.memory_bytes(),
            cache_bytes: state.cache.bytes(),
            cache_hits,
            cache_misses,
            read_ahead_bytes: state.windows.bytes(),
            dirty_bytes: state.dirty_bytes,
            dirty_clumps,
            reads: state.counts.reads,
            misses: state.counts.misses,
            writes: state.counts.writes,
            duplicates: state.counts.duplicates,
            repairs: state.counts.repairs,
            commits: state.counts.commits,
            failed_commits: state.counts.failed_commits,
            damage_count: state.damage_count,
            damage: state.damage.iter().copied().collect(),
            damaged_blocks: state.damaged.iter().count(),
            scrub_bytes: 0,
        }
    }
}
