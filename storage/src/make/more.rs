//! Arenas for a store that has some: like those, and numbered on.

use super::ArenaOptions;
use crate::format::Name;
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
        let (arena_len, block_size) = (first.stop - first.start, first.block_size);
        Some(
            MoreArenas { stem, next: 0, arena_len, block_size }.behind(arenas.iter().map(|arena| arena.name)),
        )
    }

    /// Numbered on behind these, too.
    pub fn behind(mut self, names: impl IntoIterator<Item = Name>) -> MoreArenas {
        let number = |name: Name| -> Option<u64> { name.to_string().strip_prefix(&self.stem)?.parse().ok() };
        let last = names.into_iter().filter_map(number).max();
        self.next = last.map_or(self.next, |last| self.next.max(last.saturating_add(1)));
        self
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
