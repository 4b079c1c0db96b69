//! Arenas for a store that has some: like those, and numbered on.

use super::ArenaOptions;
use crate::store::ArenaStatus;
use alloc::string::{String, ToString};

/// What the next arenas of a store are to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoreArenas {
    stem: String,
    next: u64,
    /// Bytes of an arena, head and tail included.
    pub arena_len: u64,
    block_size: u32,
}

impl MoreArenas {
    /// Like the first of these. `None` if there are none.
    pub fn like(arenas: &[ArenaStatus]) -> Option<MoreArenas> {
        let first = arenas.first()?;
        let name = first.name.to_string();
        let stem = name.trim_end_matches(|digit: char| digit.is_ascii_digit()).to_string();
        let number =
            |arena: &ArenaStatus| -> Option<u64> { arena.name.to_string().strip_prefix(&stem)?.parse().ok() };
        let next = arenas.iter().filter_map(number).max().map_or(0, |last| last + 1);
        Some(MoreArenas { stem, next, arena_len: first.stop - first.start, block_size: first.block_size })
    }

    /// As `fmtarenas` takes it.
    pub fn options(&self) -> ArenaOptions<'_> {
        ArenaOptions {
            name: &self.stem,
            first: self.next,
            arena_len: self.arena_len,
            block_size: self.block_size,
            ..ArenaOptions::default()
        }
    }
}
