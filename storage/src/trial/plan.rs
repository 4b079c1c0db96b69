//! What a seed decides before a trial begins: the disks, the settings, the clients, and what will go wrong.
//!
//! Must not know how any of it is done.

use super::clients::Load;
use super::rig::Rig;
use crate::simulation::SeededRng;
use crate::store::StoreSettings;

/// What goes wrong with the disks of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Power cuts at any request; what was not flushed is kept, dropped, torn, reordered.
    PowerCut,
    /// Requests fail, and power cuts follow.
    FailedRequest,
    /// Bits flip, sectors become unreadable, while nobody looks.
    Rot,
    /// A write answers success and never happens.
    LostWrite,
    /// A write lands elsewhere.
    MisdirectedWrite,
    /// Flushes answer success and do nothing.
    LyingFlush,
}

impl Trouble {
    /// All kinds.
    pub const ALL: [Trouble; 6] = [
        Trouble::PowerCut,
        Trouble::FailedRequest,
        Trouble::Rot,
        Trouble::LostWrite,
        Trouble::MisdirectedWrite,
        Trouble::LyingFlush,
    ];

    /// As summaries call it.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::PowerCut => "power cut",
            Trouble::FailedRequest => "failed request",
            Trouble::Rot => "rot",
            Trouble::LostWrite => "lost write",
            Trouble::MisdirectedWrite => "misdirected write",
            Trouble::LyingFlush => "lying flush",
        }
    }

    /// Whether disks keep their promises: then nothing synced may be lost.
    pub(super) fn is_honest(self) -> bool {
        matches!(self, Trouble::PowerCut | Trouble::FailedRequest)
    }
}

/// One trial.
pub(super) struct Plan {
    pub(super) trouble: Trouble,
    pub(super) rig: Rig,
    pub(super) settings: StoreSettings,
    pub(super) load: Load,
    /// Times that the store is opened and served.
    pub(super) rounds: u64,
    /// Outcomes of each power cut that are looked at.
    pub(super) cuts: u64,
    /// Bytes of the largest lump.
    pub(super) lump_len: u64,
    /// Everything else is chosen by this, as it comes.
    pub(super) rng: SeededRng,
}

impl Plan {
    /// The trial of a seed.
    pub(super) fn of(seed: u64) -> Plan {
        let rng = SeededRng::new(seed);
        let kinds = [
            Trouble::PowerCut,
            Trouble::PowerCut,
            Trouble::PowerCut,
            Trouble::FailedRequest,
            Trouble::FailedRequest,
            Trouble::Rot,
            Trouble::LostWrite,
            Trouble::MisdirectedWrite,
            Trouble::LyingFlush,
        ];
        let trouble = kinds[rng.below(kinds.len() as u64) as usize];
        let mut rig = Rig::new(&rng, false);
        let load = Load {
            clients: 1 + rng.below(4),
            steps: 4 + rng.below(20),
            killed_after: None,
            twins: trouble != Trouble::FailedRequest,
            others: seed.is_multiple_of(2),
            lumps_max: 30 + rng.below(120),
        };
        let lump_len = if rng.chance(1, 3) { rig.arena_room / 2 } else { 8000 };
        let settings = settings(&rng);
        // Every client may add one lump to what makes them wait.
        rig.unsynced_max = settings.dirty_bytes_max as u64 + (load.clients + 1) * (lump_len + 1000);
        Plan {
            trouble,
            settings,
            load,
            rounds: 2 + rng.below(4),
            cuts: 3 + rng.below(4),
            lump_len,
            rig,
            rng: SeededRng::new(rng.next_u64()),
        }
    }

    /// One store on one disk that works through many requests, of which one will fail.
    pub(super) fn long(seed: u64) -> Plan {
        let rng = SeededRng::new(seed);
        let mut rig = Rig::new(&rng, true);
        rig.unsynced_max = u64::MAX / 2;
        let load =
            Load { clients: 4, steps: 500, killed_after: None, twins: false, others: false, lumps_max: 300 };
        Plan {
            trouble: Trouble::FailedRequest,
            settings: StoreSettings { lump_cache_bytes: 30_000, ..settings(&rng) },
            load,
            rounds: 1,
            cuts: 2,
            lump_len: 4000,
            rig,
            rng: SeededRng::new(rng.next_u64()),
        }
    }
}

/// Settings under which groups close early, writers wait, caches forget.
fn settings(rng: &SeededRng) -> StoreSettings {
    let of = |choices: &[usize]| choices[rng.below(choices.len() as u64) as usize];
    StoreSettings {
        lump_cache_bytes: of(&[0, 0, 30_000, 1 << 20]),
        read_ahead_bytes: of(&[4096, 100_000, 4 << 20]),
        dirty_bytes_max: of(&[10_000, 60_000, 1 << 20]),
        group_bytes: of(&[1, 2_000, 20_000, 1 << 20]),
        index_bytes_max: of(&[800, 8_000, 1 << 20]),
        index_flush_bytes: of(&[500, 5_000, 8 << 20]),
        compress: rng.chance(2, 3),
        read_only: false,
    }
}
