//! One trial from its first open to the last look at its disks.
//!
//! Knows the order of things. Must not know what a store is made of.

use super::clients::{serve, sync};
use super::examine::{Examination, RigStore, open};
use super::harm::harm;
use super::lumps::Lumps;
use super::model::{Model, Owed, Seen};
use super::plan::{Plan, Trouble};
use super::{Finding, Tally};
use crate::device::Image;
use crate::device::ram::RamDisk;
use crate::device::sim::{Fault, Request, SimDisk};
use crate::simulation::block_on;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// How one round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At a request of the given disk's, the power goes.
    PowerCut { disk: usize, after: u64 },
    /// The store is closed, then the power goes.
    CleanStop,
    /// The process is killed, and a new one goes on with the disks as they are.
    Killed,
}

/// A trial under way.
pub(super) struct Life {
    plan: Plan,
    model: Model,
    images: Vec<Image>,
    /// Disks that a killed process left running.
    running: Option<Vec<Rc<SimDisk>>>,
    /// This request of the first disk fails, of whatever kind it is.
    failing: Option<u64>,
    /// Requests have failed, so blocks may have been stored again.
    failed: bool,
    pub(super) tally: Tally,
}

impl Life {
    pub(super) fn new(seed: u64, plan: Plan, failing: Option<u64>) -> Life {
        let model = Model::new(Lumps::new(seed, plan.lump_len));
        let images = plan.rig.disks.clone();
        let tally = Tally::new(plan.trouble);
        Life { plan, model, images, running: None, failing, failed: false, tally }
    }

    /// Lives it, to the end or to the first finding.
    pub(super) fn live(&mut self) -> Result<(), Finding> {
        for round in 0..self.plan.rounds {
            let result = self.round(round + 1 == self.plan.rounds);
            self.tally.digest = self.model.digest();
            result.map_err(|finding| format!("round {round}: {finding}"))?;
        }
        Ok(())
    }

    fn round(&mut self, last: bool) -> Result<(), Finding> {
        let trouble = if last || self.plan.trouble == Trouble::FailedRequest {
            self.plan.trouble
        } else {
            Trouble::PowerCut
        };
        let inherited = self.running.is_some();
        let disks = self.power_up();
        let end = self.choose_end(&disks, trouble, last);
        self.arm(&disks, trouble);
        self.model.forget_unsynced();
        self.model.distrust_disks(!trouble.is_honest() && trouble != Trouble::Rot);
        let before: u64 = disks.iter().map(|disk| disk.operations()).sum();
        let mut clean = false;
        match block_on(open(&self.plan.rig, &disks, self.plan.settings)) {
            Ok((store, report)) => {
                // What could not be read while opening is missing until the next start; that was reported.
                let whole = report.damage.is_empty() || trouble != Trouble::FailedRequest;
                let owed = if whole { Owed::All } else { Owed::NoLies };
                // That, and what it could not continue, the next start has to recover.
                let left = !whole || report.arenas.iter().any(|arena| arena.frozen);
                clean = self.serve_and_end(&store, &disks, trouble, end, owed)? && !left;
            }
            Err(_) if disks.iter().any(|disk| !disk.is_powered() || disk.faults_met() > 0) => {}
            Err(error) => return Err(format!("does not open: {error}")),
        }
        self.count(&disks, before, trouble);
        if end == End::Killed {
            disks.iter().for_each(|disk| disk.abandon());
            self.running = Some(disks);
            return Ok(());
        }
        let examination = Examination {
            owed: if trouble.is_honest() || trouble == Trouble::Rot { Owed::All } else { Owed::NoLies },
            settings: self.plan.settings,
            // A killed process may have left a tail that nobody flushed.
            clean: clean && trouble.is_honest() && !inherited,
            single: !self.failed && trouble.is_honest(),
            skip_raw: inherited,
            may_refuse: trouble == Trouble::MisdirectedWrite,
            may_hide: false,
            never_silent: trouble == Trouble::LostWrite,
        };
        self.cut(&disks, &examination)?;
        if trouble == Trouble::Rot { self.rot(&examination) } else { Ok(()) }
    }

    /// The disks of this round: those that still run, or new ones with what the last power cut left.
    fn power_up(&mut self) -> Vec<Rc<SimDisk>> {
        if let Some(disks) = self.running.take() {
            return disks;
        }
        let mut disks: Vec<Rc<SimDisk>> = Vec::new();
        // Disks lose power together, or one of them dies alone.
        let together = self.plan.rng.chance(3, 4);
        for image in &self.images {
            let disk = SimDisk::new(image.clone(), self.plan.rng.next_u64());
            let beside = disks.first().filter(|_| together);
            let disk = if let Some(first) = beside { disk.beside(first) } else { disk };
            disks.push(Rc::new(disk));
        }
        disks
    }

    fn choose_end(&self, disks: &[Rc<SimDisk>], trouble: Trouble, last: bool) -> End {
        let rng = &self.plan.rng;
        // In a long run with one failing request nothing else happens.
        if self.failing.is_some() || trouble == Trouble::Rot {
            return End::CleanStop;
        }
        match rng.below(8) {
            0..5 => {
                let disk = rng.below(disks.len() as u64) as usize;
                // Sometimes so early that opening itself, which may have to recover, is cut.
                let after = 1 + rng.below([15, 100, 400][rng.below(3) as usize]);
                End::PowerCut { disk, after }
            }
            // Not after failures: what a disk forgot in a failed flush is still seen by the next process.
            5 if !last && trouble == Trouble::PowerCut => End::Killed,
            _ => End::CleanStop,
        }
    }

    /// Prepares what will go wrong.
    fn arm(&mut self, disks: &[Rc<SimDisk>], trouble: Trouble) {
        let rng = &self.plan.rng;
        let disk = &disks[rng.below(disks.len() as u64) as usize];
        let nth = 1 + rng.below([5, 30, 120][rng.below(3) as usize]);
        match trouble {
            Trouble::PowerCut | Trouble::Rot => {}
            Trouble::FailedRequest => {
                self.failed = true;
                if let Some(nth) = self.failing {
                    return disks[0].inject_any(nth, Fault::Fail);
                }
                for _ in 0..1 + rng.below(3) {
                    let kind = [Request::Read, Request::Write, Request::Flush][rng.below(3) as usize];
                    // One alone, or a disk that is out of order for a while.
                    let run = if rng.chance(1, 3) { 10 } else { 1 };
                    let nth = 1 + rng.below(60);
                    (nth..nth + run).for_each(|nth| disk.inject(kind, nth, Fault::Fail));
                }
            }
            Trouble::LostWrite => disk.inject(Request::Write, nth, Fault::Ignore),
            Trouble::MisdirectedWrite => disk.inject(Request::Write, nth, Fault::Misdirect),
            Trouble::LyingFlush if rng.chance(1, 3) => {
                disk.inject(Request::Flush, 1 + nth / 3, Fault::Ignore)
            }
            Trouble::LyingFlush if rng.chance(1, 2) => disk.lie_about_flushes(),
            Trouble::LyingFlush => disks.iter().for_each(|disk| disk.lie_about_flushes()),
        }
    }

    /// Serves clients, and ends the round. `true` if the store was closed.
    fn serve_and_end(
        &mut self,
        store: &RigStore<SimDisk>,
        disks: &[Rc<SimDisk>],
        trouble: Trouble,
        end: End,
        owed: Owed,
    ) -> Result<bool, Finding> {
        let rng = &self.plan.rng;
        let mut load = self.plan.load;
        match end {
            End::PowerCut { disk, after } => disks[disk].cut_power_after(after),
            End::Killed => load.killed_after = Some(rng.below(400)),
            End::CleanStop => {}
        }
        let served = serve(&self.model, store, &load, rng);
        served.map_err(|stalled| format!("the store stands still: {stalled:?}"))?;
        self.model.verdict()?;
        if end == End::Killed || disks.iter().any(|disk| !disk.is_powered()) {
            return Ok(false);
        }
        if trouble == Trouble::FailedRequest {
            // Once the disks are in order again, so is the store.
            disks.iter().for_each(|disk| disk.heal());
            // Every arena partition tells once of a flush that has failed.
            let mut synced = block_on(sync(&self.model, store));
            for _ in 0..self.plan.rig.arena_parts.len() {
                if synced.is_err() {
                    synced = block_on(sync(&self.model, store));
                }
            }
            let works = match synced {
                Ok(()) => block_on(self.model.check(store, owed)).map(|_| ()),
                Err(error) => Err(format!("no sync after a fault: {error}")),
            };
            if disks.iter().any(|disk| !disk.is_powered()) {
                return Ok(false);
            }
            works?;
        }
        if end != End::CleanStop {
            return Ok(false);
        }
        let covered = self.model.covered();
        match block_on(store.close()) {
            Ok(()) => self.model.settle(covered),
            Err(_) if !trouble.is_honest() => return Ok(false),
            Err(error) => return Err(format!("cannot be closed: {error}")),
        }
        Ok(true)
    }

    fn count(&mut self, disks: &[Rc<SimDisk>], before: u64, trouble: Trouble) {
        let operations: u64 = disks.iter().map(|disk| disk.operations()).sum();
        self.tally.operations += operations - before;
        self.model.note(operations);
        let met = match trouble {
            Trouble::PowerCut => disks.iter().any(|disk| !disk.is_powered()).into(),
            Trouble::Rot => 0,
            _ => disks.iter().map(|disk| disk.faults_met()).sum(),
        };
        self.tally.faults += met;
    }

    /// Cuts the power, and looks at some of the outcomes.
    fn cut(&mut self, disks: &[Rc<SimDisk>], examination: &Examination) -> Result<(), Finding> {
        let mut chosen = None;
        for cut in 0..self.plan.cuts {
            let images: Vec<Image> =
                disks.iter().map(|disk| disk.power_cut(self.plan.rng.next_u64())).collect();
            let devices: Vec<Rc<RamDisk>> =
                images.iter().map(|image| Rc::new(RamDisk::from(image.clone()))).collect();
            let looked = examination.of(&self.plan.rig, &self.model, &devices, |disk| disk.image());
            let (seen, after) = looked.map_err(|finding| format!("crash image {cut}: {finding}"))?;
            self.add(&seen);
            // The next round has to recover, or goes on with what was recovered and written since.
            if chosen.is_none() || self.plan.rng.chance(1, self.plan.cuts) {
                let recovered = self.plan.rng.chance(1, 4) || self.plan.trouble == Trouble::Rot;
                chosen = Some(if recovered { after } else { images });
            }
        }
        self.images = chosen.unwrap_or_default();
        Ok(())
    }

    /// Damages disks that were stopped cleanly, in several ways, and looks at each.
    fn rot(&mut self, before: &Examination) -> Result<(), Finding> {
        for way in 0..self.plan.cuts {
            let (disks, harm) = harm(&self.plan.rig, &self.images, &self.plan.rng)?;
            self.tally.faults += harm.count;
            self.model.excuse_only(harm.keys.iter().copied());
            let examination = Examination {
                owed: Owed::AllButExcused,
                clean: false,
                single: false,
                may_refuse: harm.essential,
                may_hide: harm.records,
                ..*before
            };
            let looked = examination.of(&self.plan.rig, &self.model, &disks, |disk| disk.live());
            let (seen, _) = looked.map_err(|finding| format!("way {way}, {:?}: {finding}", harm.places))?;
            self.add(&seen);
        }
        Ok(())
    }

    fn add(&mut self, seen: &Seen) {
        self.tally.images += 1;
        self.tally.missing += seen.missing;
        self.tally.denied += if seen.reported { 0 } else { seen.denied };
        self.tally.refused += u64::from(seen.refused);
        self.model.note(seen.missing << 1 | u64::from(seen.refused));
    }
}
