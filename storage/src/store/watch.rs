//! What a store tells piece by piece, for those who look often or at many arenas: nothing of it grows with their number.

use super::Store;
use super::status::ArenaStatus;
use crate::Timestamp;
use crate::device::BlockDevice;
use crate::disk_index::DiskIndex;
use crate::format::Name;
use alloc::vec::Vec;

/// Sums over all arenas, of what they hold, durable or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Arenas there are.
    pub arenas: usize,
    /// Those with a clump.
    pub active: usize,
    /// Those that take no more.
    pub sealed: usize,
    /// Those whose SHA-1 stands on the disk.
    pub summed: usize,
    /// Bytes for logs and directories.
    pub space: u64,
    /// Bytes of logs.
    pub used: u64,
    /// Clumps.
    pub clumps: u64,
    /// Clumps that are compressed.
    pub compressed_clumps: u64,
    /// Bytes of the clumps' lumps, before compression.
    pub uncompressed_size: u64,
    /// Clumps that the index sections have.
    pub indexed_clumps: u64,
    /// Time of the first clump; 0 before there is one.
    pub created_at: Timestamp,
}

/// The index on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexStatus {
    /// Its name.
    pub name: Name,
    /// Bytes in a bucket.
    pub block_size: u32,
    /// Buckets of all sections.
    pub buckets: u32,
    /// How many score prefixes share a bucket.
    pub divisor: u64,
    /// Its sections, in order.
    pub sections: Vec<SectionStatus>,
}

/// One section of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionStatus {
    /// Its name.
    pub name: Name,
    /// Its first bucket.
    pub start: u32,
    /// The bucket behind its last one.
    pub stop: u32,
    /// Entries that a bucket takes.
    pub bucket_max: usize,
}

impl<D: BlockDevice + 'static> Store<D> {
    /// Sums over all arenas.
    pub fn totals(&self) -> StoreTotals {
        let state = self.core.state();
        let mut totals = StoreTotals { arenas: state.arenas.len(), ..StoreTotals::default() };
        for arena in &state.arenas {
            let held = arena.current;
            totals.active += usize::from(held.clumps > 0);
            totals.sealed += usize::from(held.sealed);
            totals.summed += usize::from(arena.seal != crate::score::Score::NULL);
            totals.space += arena.geometry.size();
            totals.used += held.used;
            totals.clumps += u64::from(held.clumps);
            totals.compressed_clumps += u64::from(held.compressed_clumps);
            totals.uncompressed_size += held.uncompressed_size;
            totals.indexed_clumps += u64::from(arena.indexed.clumps);
            let first = totals.created_at;
            if arena.created_at.0 > 0 && (first.0 == 0 || arena.created_at < first) {
                totals.created_at = arena.created_at;
            }
        }
        totals
    }

    /// The arena of this number, in the order of the index.
    pub fn arena(&self, number: usize) -> Option<ArenaStatus> {
        let mut status = self.core.state().arenas.get(number).map(|arena| self.core.status_of(arena))?;
        status.scrub = self.scrubs.record(&status.name);
        Some(status)
    }

    /// The index sections; `None` for a store without.
    pub fn index_status(&self) -> Option<IndexStatus> {
        self.core.disk_index.as_ref().map(DiskIndex::status)
    }
}
