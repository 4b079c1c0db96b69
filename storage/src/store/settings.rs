//! What a store is made of, and how it may use memory.

use alloc::string::String;
use alloc::vec::Vec;

/// A partition and what the settings call it.
#[derive(Clone, Debug)]
pub struct StorePart<D> {
    /// As `venti.conf` names it; used in messages.
    pub name: String,
    /// The partition.
    pub device: D,
}

/// The partitions of one store, in the order of its configuration.
#[derive(Clone, Debug)]
pub struct StoreParts<D> {
    /// Arena partitions; at least one.
    pub arenas: Vec<StorePart<D>>,
    /// Index sections, in the order of the index's map. Without any, blocks are found through memory alone.
    pub index_sections: Vec<StorePart<D>>,
    /// The bloom filter.
    pub bloom: Option<StorePart<D>>,
}

/// How a store behaves. [`StoreSettings::default`] suits a machine with 64 MiB for it.
#[derive(Clone, Copy, Debug)]
pub struct StoreSettings {
    /// Bytes for recent lumps.
    pub lump_cache_bytes: usize,
    /// Bytes for what was read ahead from the log.
    pub read_ahead_bytes: usize,
    /// Most bytes that wait to become durable; writers wait beyond.
    pub dirty_bytes_max: usize,
    /// Bytes of log that are written at once, in the background, before anyone asks for a sync.
    pub group_bytes: usize,
    /// Bytes for finding blocks. While they are enough every block is in memory; beyond, the index sections are asked,
    /// and a quarter of the bytes is for blocks that they do not have yet, the rest for bloom filter and buckets.
    pub index_bytes_max: usize,
    /// Bytes that an index flush may hold at a time.
    pub index_flush_bytes: usize,
    /// Whether lumps that whack makes smaller are stored so, as venti does.
    pub compress: bool,
    /// Refuse writes, and write nothing to any disk.
    pub read_only: bool,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            lump_cache_bytes: 8 << 20,
            read_ahead_bytes: 4 << 20,
            dirty_bytes_max: 16 << 20,
            group_bytes: 1 << 20,
            index_bytes_max: 16 << 20,
            index_flush_bytes: 8 << 20,
            compress: true,
            read_only: false,
        }
    }
}

impl StoreSettings {
    /// Bytes of memory index, where it does not hold every block.
    pub(crate) fn recent_bytes_max(&self) -> u64 {
        (self.index_bytes_max as u64 / 4).max(1)
    }
}
