//! Trials: a small store lives through what a seed decides, under the very code that ships, and is held to its promises.
//!
//! | module | what |
//! |---|---|
//! | `plan` | what a seed decides |
//! | `rig` | disks, and the partitions of a store on them |
//! | `lumps` | what clients store |
//! | `clients` | what goes on while a store is served |
//! | `model` | the oracle: what was stored, acknowledged, synced |
//! | `life` | one trial: rounds of serving and faults |
//! | `harm` | damage to disks at rest |
//! | `examine` | what must hold of a store after a fault |
//! | `audit` | what must hold of the bytes on its disks |
//!
//! What must hold, by kind of trouble:
//!
//! - Disks that keep their promises, and lose power or fail requests ([`Trouble::PowerCut`], [`Trouble::FailedRequest`]):
//!   every block that a successful sync covered is there. No tail counts, and no index names, what is not in the log; no
//!   directory is ahead of its log. After a clean stop nothing needs recovery, the index is complete, seals are right.
//! - Bits that rot ([`Trouble::Rot`]): every block whose own bytes are whole is there: its clump, its directory record, and,
//!   where memory does not hold the index, its bucket. A damaged header may keep the store from opening; nothing is written
//!   then.
//! - Disks that break promises ([`Trouble::LostWrite`], [`Trouble::MisdirectedWrite`], [`Trouble::LyingFlush`]): blocks may
//!   be physically gone. The store opens all the same, unless a misdirected write hit a header.
//!
//! Always: no wrong block is served, no second block with the score of a first that is there is taken, nothing stands
//! still, and what is written again afterwards is back, also after another restart. Two things may hide a block that is
//! there: a directory record that rotted, until a scrub; an index that a dishonest disk has lost a part of, from the
//! moment when memory does not hold all of it any more, until `disk recover`.

mod audit;
mod clients;
mod examine;
mod harm;
mod life;
mod lumps;
mod model;
mod plan;
mod rig;

pub use plan::Trouble;

use alloc::string::String;
use life::Life;
use plan::Plan;

/// What was wrong, in words.
type Finding = String;

/// What a trial went through.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What went wrong with its disks.
    pub trouble: Trouble,
    /// Requests to the disks while the store was served.
    pub operations: u64,
    /// Power cuts and faults that hit something.
    pub faults: u64,
    /// Crash and damage images that were looked at.
    pub images: u64,
    /// Reads of synced blocks that a dishonest or rotten disk had lost.
    pub missing: u64,
    /// Those of them that were denied without any report of damage.
    pub denied: u64,
    /// Images whose damaged headers kept the store from opening.
    pub refused: u64,
    /// Sum of all that happened: the same for the same seed.
    pub digest: u64,
}

impl Tally {
    fn new(trouble: Trouble) -> Tally {
        let none = 0;
        Tally {
            trouble,
            operations: none,
            faults: none,
            images: none,
            missing: none,
            denied: none,
            refused: none,
            digest: none,
        }
    }
}

/// A promise was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, {}: {finding}", trouble.name())]
pub struct Broken {
    /// The seed that shows it again.
    pub seed: u64,
    /// What goes wrong with the disks in that trial.
    pub trouble: Trouble,
    /// What was wrong.
    pub finding: String,
}

/// Lives the trial of a seed.
///
/// # Errors
/// A promise was broken.
pub fn run(seed: u64) -> Result<Tally, Broken> {
    live(seed, Plan::of(seed), None)
}

/// Lives a long trial on one disk, whose `nth` request (from 1) fails.
///
/// # Errors
/// A promise was broken.
pub fn run_with_failure(seed: u64, nth: u64) -> Result<Tally, Broken> {
    live(seed, Plan::long(seed), Some(nth))
}

fn live(seed: u64, plan: Plan, failing: Option<u64>) -> Result<Tally, Broken> {
    let mut life = Life::new(seed, plan, failing);
    match life.live() {
        Ok(()) => Ok(life.tally),
        Err(finding) => Err(Broken { seed, trouble: life.tally.trouble, finding }),
    }
}
