//! What opening a store found and did.

use crate::format::Name;
use crate::store::{Damage, PartitionFault, StoreError};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What opening a store found and did. Empty lists: it had been stopped cleanly, and nothing is damaged.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Arenas served.
    pub arenas_count: usize,
    /// Clumps in their logs.
    pub clumps: u64,
    /// Arenas whose log went on behind what their tail counted, or needed other work.
    pub arenas: Vec<ArenaReport>,
    /// Damage, with place and cause.
    pub damage: Vec<Damage>,
    /// Arenas that are in a partition but not in the index's map; they are not served.
    pub unmapped: Vec<Name>,
    /// The bloom filter cannot be used; it is left as it is.
    pub bloom_fault: Option<PartitionFault>,
    /// Memory does not hold the index: blocks are looked up in the index sections.
    pub index_on_disk: bool,
    /// Clumps that the tails count and the index sections do not have yet. They follow by themselves.
    pub not_indexed: u64,
    /// The index sections must be completed before anything is served: memory does not hold what they lack.
    pub(crate) index_first: bool,
    /// What was found could not be made durable yet; it is tried again with the next sync.
    pub not_durable: Option<StoreError>,
}

/// What was done to one arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaReport {
    /// The arena.
    pub arena: Name,
    /// Whole clumps found behind those that the tail counted; they are kept.
    pub recovered_clumps: u32,
    /// Clumps that began but did not verify, with good ones behind them; covered by filler.
    pub holes: u32,
    /// Its directory was rewritten from its log.
    pub directory_rebuilt: bool,
    /// It takes no more clumps, because that could overwrite data.
    pub frozen: bool,
}

impl OpenReport {
    /// What to tell the operator beside damage, a line each; nothing after a clean stop.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let unmapped =
            self.unmapped.iter().map(|arena| format!("{arena}: not in the index's map, so not served"));
        let error = self
            .not_durable
            .iter()
            .map(|error| format!("not durable yet, tried again with the next sync: {error}"));
        let bloom = self.bloom_fault.iter().map(|fault| format!("the bloom filter is not used: {fault}"));
        let behind = (self.index_on_disk && self.not_indexed > 0)
            .then(|| format!("{} blocks were not in the index sections yet", self.not_indexed));
        let arenas = self.arenas.iter().map(|arena| format!("{arena}"));
        arenas.chain(unmapped).chain(bloom).chain(behind).chain(error)
    }
}

impl fmt::Display for ArenaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} blocks found behind the last sync's", self.arena, self.recovered_clumps)?;
        if self.holes > 0 {
            write!(f, ", {} holes between them", self.holes)?;
        }
        if self.directory_rebuilt {
            f.write_str(", directory rebuilt from the log")?;
        }
        if self.frozen {
            f.write_str(", takes no more blocks")?;
        }
        Ok(())
    }
}
