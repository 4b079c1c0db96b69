//! Everything that pages show, at one moment. Plain values: pages know nothing of where they come from.

use super::history::{Forecast, History, forecast};
use super::response::Status;
use crate::clock::Instant;
use crate::disks::DiskHealth;
use crate::replicate::{Peer, Progress, Way};
use crate::tcp::NetStatus;
use crate::venti::connections::Counters;
use crate::venti::latency::Latencies;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use storage::Timestamp;
use storage::device::BlockDevice;
use storage::format::directory::RECORD_LEN;
use storage::names::{Binding, NameKeeper, Proof};
use storage::store::{IndexStatus, StoreStatus, StoreTotals};

/// How far the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The store is being opened.
    Starting,
    /// Blocks are served.
    Serving,
    /// Nothing is served, and waiting will not help: the console says why.
    Failed,
    /// It stops; everything is being made durable.
    Stopping,
}

impl Stage {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Starting => "starting: the store is being opened",
            Stage::Serving => "serving",
            Stage::Failed => "not serving: the console says why",
            Stage::Stopping => "stopping",
        }
    }
}

/// What the machine, or the process, tells of itself.
#[derive(Clone, Debug, Default)]
pub struct MachineStatus {
    /// Memory, where the node has some of its own.
    pub memory: Option<MemoryStatus>,
    /// The networks, one for each card, where the node has some of its own.
    pub networks: Vec<NetStatus>,
    /// What works here, where that is known. In a machine of its own, the first is the one that serves.
    pub processors: Vec<ProcessorUse>,
    /// Disks that tell how they are.
    pub disks: Vec<DiskHealth>,
}

/// A processor, or a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorUse {
    /// Microseconds since the start in which it worked.
    pub busy_micros: u64,
    /// Pieces of work that it did.
    pub jobs: u64,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatus {
    /// All there is.
    pub total: u64,
    /// What nobody uses.
    pub free: u64,
    /// Allocations that failed.
    pub failures: u64,
}

/// The whole node.
pub(super) struct View<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'static str,
    pub(super) stage: Stage,
    pub(super) uptime: Duration,
    pub(super) now: Timestamp,
    pub(super) store: Option<StoreView>,
    pub(super) venti: Option<VentiView>,
    pub(super) names: Option<NamesView>,
    /// In the order of their names.
    pub(super) peers: Vec<PeerView>,
    /// What came of those who wanted to prove who they are, by outcome.
    pub(super) logins: Vec<(&'static str, u64)>,
    pub(super) http: HttpView,
    pub(super) machine: MachineStatus,
    pub(super) history: &'a History,
}

/// The store.
pub(super) struct StoreView {
    pub(super) status: StoreStatus,
    pub(super) totals: StoreTotals,
    pub(super) index: Option<IndexStatus>,
}

/// Venti's port.
pub(super) struct VentiView {
    pub(super) open: usize,
    pub(super) counters: Counters,
    /// By [`crate::venti::connections::Operation`].
    pub(super) latencies: [Latencies; 3],
}

/// Names: how many there are at each stage, and the first of them.
#[derive(Default)]
pub(super) struct NamesView {
    pub(super) published: usize,
    pub(super) waiting: usize,
    pub(super) removed: usize,
    pub(super) conflicts: usize,
    /// What is being walked.
    pub(super) walk: Option<WalkView>,
    pub(super) rows: Vec<NameRow>,
}

/// A walk under way.
pub(super) struct WalkView {
    pub(super) name: String,
    pub(super) is_full: bool,
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

/// A name.
pub(super) struct NameRow {
    pub(super) name: String,
    pub(super) user: String,
    pub(super) is_published: bool,
    pub(super) proof: Option<Proof>,
}

impl NamesView {
    /// At most so many names are listed: those that wait first.
    pub(super) const ROWS_MAX: usize = 500;

    pub(super) fn of<D: BlockDevice + 'static, F: BlockDevice>(keeper: &NameKeeper<D, F>) -> NamesView {
        let registry = keeper.registry();
        let row = |binding: &Binding, is_published| NameRow {
            name: binding.name.clone(),
            user: binding.user.clone(),
            is_published,
            proof: registry.proof(&binding.name, binding.root).cloned(),
        };
        let waiting = registry.waiting().iter().map(|binding| row(binding, false));
        let published = registry.published().iter().map(|binding| row(binding, true));
        let walk = keeper.progress().map(|walk| WalkView {
            name: walk.name,
            is_full: walk.is_full,
            blocks: walk.blocks,
            bytes: walk.bytes,
        });
        NamesView {
            published: registry.published().len(),
            waiting: registry.waiting().len(),
            removed: registry.removed().len(),
            conflicts: registry.published().conflicts().count(),
            walk,
            rows: waiting.chain(published).take(Self::ROWS_MAX).collect(),
        }
    }
}

/// This service.
pub(super) struct HttpView {
    pub(super) open: usize,
    pub(super) counters: Counters,
    /// Answers of each kind, those that there were.
    pub(super) answers: Vec<(Status, u64)>,
}

impl View<'_> {
    /// When the store will be full.
    pub(super) fn forecast(&self) -> Forecast {
        let Some(StoreView { totals, .. }) = &self.store else { return Forecast::Unknown };
        let used = occupied(totals);
        let age = (totals.created_at.0 > 0).then(|| self.now.0.saturating_sub(totals.created_at.0).into());
        forecast(self.history.growth(), used, age, totals.space.saturating_sub(used))
    }
}

/// Bytes of arenas in use: logs and directories.
pub(super) fn occupied(totals: &StoreTotals) -> u64 {
    totals.used + totals.clumps * RECORD_LEN as u64
}

/// A text without anything that could be a score: whoever knows a root score can read what is below it.
pub(super) fn without_scores(text: &str) -> String {
    const SCORE_DIGITS: usize = 40;
    let mut clean = String::with_capacity(text.len());
    for word in text.split_inclusive(|letter: char| !letter.is_ascii_hexdigit()) {
        let digits = word.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
        if digits.len() >= SCORE_DIGITS {
            clean.push('…');
            clean.push_str(word.get(digits.len()..).unwrap_or_default());
        } else {
            clean.push_str(word);
        }
    }
    clean
}

/// A peer that the node replicates to.
#[derive(Clone, Debug)]
pub(super) struct PeerView {
    pub(super) name: String,
    /// How connections to it are protected.
    pub(super) way: Way,
    /// In words.
    pub(super) state: String,
    pub(super) progress: Progress,
    /// For how long it has lacked something.
    pub(super) lag: Duration,
    /// Blocks that it lacks because they cannot be read here.
    pub(super) holes: usize,
}

impl PeerView {
    pub(super) fn of(peer: &Peer, now: Instant) -> PeerView {
        let progress = peer.progress().clone();
        let (state, lag, holes) = (progress.state.show(now), peer.lag(now), peer.info().holes.len());
        PeerView { name: peer.name.clone(), way: peer.info().way(), state, progress, lag, holes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn scores_are_left_out_and_nothing_else() {
        let score = "938ae05a347a4cfc5b7c01389eefe79d22765af2";
        let text =
            format!("loading clump: corrupted at arenas0 12; expected={score} got={score}, twice {score}");
        assert_eq!(
            without_scores(&text),
            "loading clump: corrupted at arenas0 12; expected=… got=…, twice …"
        );
        let text = "arenas0: head block is damaged; 0xdeadbeef";
        assert_eq!(without_scores(text), text);
    }

    proptest! {
        #[test]
        fn no_score_gets_through(before in ".{0,20}", score in "[0-9a-fA-F]{40,60}", after in ".{0,20}") {
            let clean = without_scores(&format!("{before}{score}{after}"));
            prop_assert!(!clean.contains(&score));
        }
    }
}
