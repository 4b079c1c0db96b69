//! What time does to work that is under way, and what a recovery of the controller does.
//!
//! Knows patience, charges and probes. Must not know how a controller is recovered.

use super::super::{Engine, Problem, Recovery, Verdict, Work};
use super::{
    FLUSH_PATIENCE_TICKS, Failure, LONG_FLUSH_TICKS, PATIENCE_TICKS, PROBE_TICKS, PROBE_TICKS_MAX,
    RECOVERIES_MAX, Slot, Table, Unit, Waiter,
};
use crate::drive::Kind;
use alloc::vec::Vec;

impl<E: Engine> Table<E> {
    /// A moment has passed. Returns the disks that are to be asked whether they are there again.
    pub(in crate::drive) fn tick(&mut self) -> Vec<u16> {
        self.complete();
        self.now = self.now.wrapping_add(1);
        let Some(engine) = &mut self.engine else { return Vec::new() };
        if !self.is_down
            && let Err(problem) = engine.examine()
        {
            self.trouble(problem);
        }
        for number in 0..self.slots.len() as u16 {
            if self.slots[usize::from(number)].resting && !self.is_down {
                self.again(number);
            }
        }
        self.find_overdue();
        let now = self.now;
        let due = |unit: &Unit| unit.gone.is_some_and(|(next, _)| now.wrapping_sub(next) as i32 >= 0);
        let due: Vec<u16> = (0..).zip(&self.units).filter(|(_, unit)| due(unit)).map(|(at, _)| at).collect();
        if self.is_down && !due.is_empty() {
            self.recovery_wanted = true;
            return Vec::new();
        }
        due
    }

    /// What came to a disk that flushes may have to wait until it has. That is added to its patience, but not for ever:
    /// on a disk that is always flushing, what was lost must be noticed, too.
    fn lengthen_patience(&mut self) {
        let now = self.now;
        let flushes = |slot: &Slot| {
            let work = slot.work.as_ref().filter(|work| work.kind == Kind::Flush && !slot.resting)?;
            (now.wrapping_sub(slot.submitted) > LONG_FLUSH_TICKS).then_some(work.unit)
        };
        for flush in 0..self.slots.len() {
            let Some(unit) = flushes(&self.slots[flush]) else { continue };
            let behind = |work: &Work| work.unit == unit && work.kind != Kind::Flush;
            for slot in self.slots.iter_mut().filter(|slot| slot.work.as_ref().is_some_and(behind)) {
                slot.behind_flush = (slot.behind_flush + 1).min(FLUSH_PATIENCE_TICKS);
            }
        }
    }

    fn find_overdue(&mut self) {
        let now = self.now;
        self.lengthen_patience();
        let mut overdue = 0;
        for slot in self.slots.iter_mut().filter(|slot| !slot.resting) {
            let Some(work) = &slot.work else { continue };
            let patience = if work.kind == Kind::Flush {
                FLUSH_PATIENCE_TICKS
            } else {
                PATIENCE_TICKS + slot.behind_flush
            };
            if now.wrapping_sub(slot.submitted) > patience {
                slot.charged = true;
                overdue += 1;
            }
        }
        if overdue > 0 && !self.is_down && !self.recovery_wanted {
            log::error!(
                "{}: no answer to {overdue} requests for long; resetting the controller",
                self.names()
            );
            self.recovery_wanted = true;
        }
    }

    /// Asks the disk whether it is there again, by work that nobody waits for.
    pub(in crate::drive) fn probe(&mut self, work: Work) {
        let unit = work.unit;
        if let Some((next, wait)) = &mut self.units[usize::from(unit)].gone {
            *next = self.now.wrapping_add(*wait);
        }
        // Without room there is work of before with the device, whose answer will tell as well.
        let _ = self.start(work, Waiter::Probe);
    }

    pub(in crate::drive) fn wants_recovery(&self) -> bool {
        self.recovery_wanted && self.engine.is_some() && self.recovered_at != Some(self.now)
    }

    /// The controller, if it is to be recovered now: at most once a tick.
    pub(in crate::drive) fn take_for_recovery(&mut self) -> Option<E> {
        if !self.wants_recovery() {
            return None;
        }
        self.recovered_at = Some(self.now);
        self.recovery_wanted = false;
        self.engine.take()
    }

    /// The controller is back: everything under way is asked for again, or failed.
    pub(in crate::drive) fn recovered(&mut self, engine: E, recovery: Recovery) {
        self.engine = Some(engine);
        let is_cache_kept = matches!(recovery, Recovery::Good { is_cache_kept: true, .. });
        if !is_cache_kept {
            self.units.iter_mut().for_each(|unit| unit.lost_caches += 1);
        }
        let blamed = match recovery {
            Recovery::Good { blamed, .. } => {
                if core::mem::take(&mut self.is_down) {
                    let gone = self.units.iter_mut().filter_map(|unit| unit.gone.as_mut());
                    gone.for_each(|(next, _)| *next = self.now);
                }
                blamed
            }
            Recovery::Stopped(problem) => return self.all_gone(problem, true),
            Recovery::Lost(problem) => return self.all_gone(problem, false),
        };
        for number in 0..self.slots.len() as u16 {
            self.resume(number, blamed, is_cache_kept);
        }
    }

    fn resume(&mut self, number: u16, blamed: Option<u16>, is_cache_kept: bool) {
        let slot = &mut self.slots[usize::from(number)];
        let charged = core::mem::take(&mut slot.charged);
        let Some(work) = &slot.work else { return };
        let unit = work.unit;
        if work.kind == Kind::Health {
            return self.finish(number, Err(Failure::Device));
        }
        if blamed == Some(number) {
            return self.judge(number, Verdict::Unsure);
        }
        if work.kind == Kind::Flush && !is_cache_kept {
            self.count_error(number);
            return self.finish(number, Err(Failure::Device));
        }
        if charged && blamed.is_none() {
            if slot.recoveries >= RECOVERIES_MAX || matches!(slot.waiter, Waiter::Probe) {
                self.unit_gone(unit);
                return self.finish(number, Err(Failure::Gone));
            }
            slot.recoveries += 1;
        }
        slot.resting = true;
        self.again(number);
    }

    fn unit_gone(&mut self, unit: u16) {
        let now = self.now;
        let unit = &mut self.units[usize::from(unit)];
        if unit.gone.is_none() {
            log::error!("{}: gone: it does not answer even after a reset", unit.name);
            unit.gone = Some((now.wrapping_add(PROBE_TICKS), PROBE_TICKS * 2));
        }
    }

    /// The controller does not come back. `stopped`: at least it does not touch memory any more.
    fn all_gone(&mut self, problem: Problem, stopped: bool) {
        if !self.is_down {
            log::error!("{}: the controller {problem}; its disks are gone", self.names());
        }
        self.is_down = true;
        let now = self.now;
        for unit in &mut self.units {
            let wait = unit.gone.map_or(PROBE_TICKS, |(_, wait)| wait);
            unit.gone = Some((now.wrapping_add(wait), (wait * 2).min(PROBE_TICKS_MAX)));
        }
        for number in 0..self.slots.len() as u16 {
            if self.slots[usize::from(number)].work.is_none() {
                continue;
            }
            if stopped {
                self.finish(number, Err(Failure::Gone));
            } else {
                self.answer(number, Err(Failure::Gone));
            }
        }
    }
}
