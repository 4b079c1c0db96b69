//! What is under way at one controller: who waits for it, for how long, and what becomes of it after an error.
//!
//! Knows slots, patience and second attempts. Must not know commands, registers, futures' order.
//!
//! A slot holds the work, and with it the memory, for as long as the device may touch it: until the device has
//! answered, or has been stopped. Who asked may go away earlier; the slot is free when both have gone.
//!
//! ```text
//!  submit ─► under way ─┬─ done, or failed for good ──────────────────────────────► answered
//!                ▲      ├─ failed, may do better ──► again at once, then at ticks ─► answered
//!                │      └─ no answer, or nonsense ─► recovery of the controller ──┐
//!                └───────────────── all again, but flushes: those fail ◄──────────┘
//! ```
//!
//! A flush is never repeated after it failed: what the device has forgotten, a second flush does not bring back. A
//! recovery counts as a failed flush of every disk behind the controller, for the same reason.

mod recovery;

use super::work::{Kind, Work};
use super::{Engine, Verdict};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::{Context, Poll, Waker};

/// Slots for reads, and for everything else; only the first where a controller makes no difference.
pub(super) const LANES: usize = 2;
/// How often [`Table::tick`] wants to be called, in seconds.
pub(crate) const TICK_SECONDS: u64 = 1;
/// Ticks until a read or a write without an answer makes us recover the controller.
pub(super) const PATIENCE_TICKS: u32 = 15;
/// The same for a flush, which may have much to do.
pub(super) const FLUSH_PATIENCE_TICKS: u32 = 45;
/// A flush that takes longer than this makes what came behind it wait.
pub(super) const LONG_FLUSH_TICKS: u32 = 2;
/// Recoveries that a piece of work may cause before its disk counts as gone.
const RECOVERIES_MAX: u8 = 1;
/// Attempts at what fails by the device's own word.
const ATTEMPTS_MAX: u8 = 4;
/// Ticks until a disk that is gone is looked at again; doubled each time it is still gone.
pub(super) const PROBE_TICKS: u32 = 30;
const PROBE_TICKS_MAX: u32 = 960;

/// Why a piece of work failed; which one it was is known to the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The device reports an error.
    Device,
    /// The device does not answer, or talks nonsense.
    Gone,
}

/// Who waits for a slot's answer.
enum Waiter {
    Free,
    Pending(Option<Waker>),
    Answered(Result<(), Failure>),
    Deserted,
    /// Nobody: it is our own question whether the disk is there again.
    Probe,
}

struct Slot {
    /// While the device may touch its memory.
    work: Option<Work>,
    waiter: Waiter,
    submitted: u32,
    /// Ticks since then in which the disk was at a long flush.
    behind_flush: u32,
    /// Not with the device: to be given to it again at the next tick.
    resting: bool,
    attempts: u8,
    recoveries: u8,
    /// It is for this that the controller is being recovered.
    charged: bool,
}

impl Slot {
    /// Nobody waits for its answer.
    fn is_deserted(&self) -> bool {
        matches!(self.waiter, Waiter::Answered(_) | Waiter::Deserted)
    }
}

/// One disk behind the controller.
struct Unit {
    /// What the log calls it.
    name: String,
    /// For whom it is gone: the tick of the next look, and the wait after that.
    gone: Option<(u32, u32)>,
    /// In each lane.
    under_way: [usize; LANES],
    errors: u64,
    lost_caches: u64,
}

pub(super) struct Table<E> {
    /// Absent while it is being recovered.
    engine: Option<E>,
    slots: Vec<Slot>,
    /// In each lane: its slots, and those that are free.
    lens: [usize; LANES],
    free: [Vec<u16>; LANES],
    units: Vec<Unit>,
    now: u32,
    recovery_wanted: bool,
    /// The last recovery failed: nothing is submitted.
    is_down: bool,
    recovered_at: Option<u32>,
}

impl<E: Engine> Table<E> {
    pub(super) fn new(engine: E) -> Table<E> {
        let depth = engine.depth();
        let first = match engine.read_slots() {
            0 => depth,
            reads => reads.min(depth),
        };
        let slot = || Slot {
            work: None,
            waiter: Waiter::Free,
            submitted: 0,
            behind_flush: 0,
            resting: false,
            attempts: 0,
            recoveries: 0,
            charged: false,
        };
        Table {
            engine: Some(engine),
            slots: (0..depth).map(|_| slot()).collect(),
            lens: [first, depth - first],
            free: [0..first, first..depth].map(|lane| lane.rev().map(|slot| slot as u16).collect()),
            units: Vec::new(),
            now: 0,
            recovery_wanted: false,
            is_down: false,
            recovered_at: None,
        }
    }

    /// One more disk; returns its number.
    pub(super) fn add_unit(&mut self, name: String) -> u16 {
        self.units.push(Unit { name, gone: None, under_way: [0; LANES], errors: 0, lost_caches: 0 });
        (self.units.len() - 1) as u16
    }

    /// Pieces of work that a disk may have under way.
    pub(super) fn depth(&self) -> usize {
        (0..LANES).map(|lane| self.lane_depth(lane)).sum()
    }

    fn lane_depth(&self, lane: usize) -> usize {
        let len = self.lens[lane];
        // One disk that hangs must leave places to its neighbours.
        if self.units.len() > 1 { len.div_ceil(2) } else { len }
    }

    /// Where work of this kind gets its slot.
    pub(super) fn lane(&self, kind: Kind) -> usize {
        usize::from(self.lens[1] > 0 && kind != Kind::Read)
    }

    /// Caches that the disk may have lost so far.
    pub(super) fn lost_caches(&self, unit: u16) -> u64 {
        self.units[usize::from(unit)].lost_caches
    }

    /// Whether the disk takes work.
    pub(super) fn check(&self, unit: u16) -> Result<(), Failure> {
        if self.units[usize::from(unit)].gone.is_none() { Ok(()) } else { Err(Failure::Gone) }
    }

    fn lane_of(&self, number: u16) -> usize {
        usize::from(usize::from(number) >= self.lens[0])
    }

    pub(super) fn has_room(&self, unit: u16, lane: usize) -> bool {
        let under_way = self.units[usize::from(unit)].under_way[lane];
        let is_free = !self.free[lane].is_empty() && under_way < self.lane_depth(lane);
        self.engine.is_some() && !self.is_down && is_free
    }

    /// Hands work to the device; returns its slot, for a [`Ticket`].
    pub(super) fn submit(&mut self, work: Work) -> Result<u16, Failure> {
        self.start(work, Waiter::Pending(None))
    }

    fn start(&mut self, work: Work, waiter: Waiter) -> Result<u16, Failure> {
        let lane = self.lane(work.kind);
        let (Some(engine), false) = (&mut self.engine, self.is_down) else { return Err(Failure::Gone) };
        let number = self.free[lane].pop().ok_or(Failure::Device)?;
        if !engine.submit(number, &work) {
            self.free[lane].push(number);
            return Err(Failure::Device);
        }
        self.units[usize::from(work.unit)].under_way[lane] += 1;
        self.slots[usize::from(number)] = Slot {
            work: Some(work),
            waiter,
            submitted: self.now,
            behind_flush: 0,
            resting: false,
            attempts: 0,
            recoveries: 0,
            charged: false,
        };
        Ok(number)
    }

    /// Whether the disk has no trouble: it is there, and nothing is being tried again.
    pub(super) fn is_well(&self, unit: u16) -> bool {
        let is_trouble = |slot: &Slot| slot.resting || slot.recoveries > 0 || slot.attempts > 0;
        let troubled = self.slots.iter().any(|slot| slot.work.is_some() && is_trouble(slot));
        let is_up = self.engine.is_some() && !self.is_down && !self.recovery_wanted;
        is_up && !troubled && self.check(unit).is_ok()
    }

    /// Takes what the device has done.
    pub(super) fn complete(&mut self) {
        loop {
            let Some(engine) = &mut self.engine else { return };
            if self.is_down {
                return;
            }
            match engine.complete() {
                Ok(Some((number, verdict))) => self.judge(number, verdict),
                Ok(None) => return,
                Err(problem) => return self.trouble(problem),
            }
        }
    }

    /// The controller must be recovered, and everything under way may be the reason.
    fn trouble(&mut self, problem: super::Problem) {
        match problem {
            // Said with the request that it turns out to be.
            super::Problem::Command(_) => log::debug!("{}: the controller {problem}", self.names()),
            _ if self.recovery_wanted => {}
            _ => log::error!("{}: the controller {problem}; resetting it", self.names()),
        }
        self.slots.iter_mut().filter(|slot| slot.work.is_some()).for_each(|slot| slot.charged = true);
        self.recovery_wanted = true;
    }

    fn names(&self) -> &str {
        self.units.first().map_or("disk", |unit| unit.name.as_str())
    }

    fn judge(&mut self, number: u16, verdict: Verdict) {
        let slot = &mut self.slots[usize::from(number)];
        let Some(work) = &slot.work else { return };
        let (kind, unit) = (work.kind, usize::from(work.unit));
        if kind == Kind::Health && verdict != Verdict::Done {
            // It is asked once, and a disk that does not tell is none the worse.
            return self.finish(number, Err(Failure::Device));
        }
        if verdict == Verdict::Restarted {
            self.units[unit].lost_caches += 1;
        }
        match verdict {
            Verdict::Done => return self.finish(number, Ok(())),
            // Never carried out: to repeat it is always right.
            Verdict::NotStarted if slot.attempts < ATTEMPTS_MAX => {}
            Verdict::Unsure | Verdict::Restarted if kind != Kind::Flush && slot.attempts < ATTEMPTS_MAX => {}
            Verdict::Unsure | Verdict::NotStarted | Verdict::Restarted | Verdict::Failed => {
                self.count_error(number);
                return self.finish(number, Err(Failure::Device));
            }
        }
        slot.attempts += 1;
        slot.resting = true;
        if slot.attempts == 1 || slot.is_deserted() {
            self.again(number);
        }
    }

    /// Gives work to the device once more.
    fn again(&mut self, number: u16) {
        let slot = &mut self.slots[usize::from(number)];
        if slot.is_deserted() {
            // Who asked may have written something newer to the same place meanwhile.
            return self.finish(number, Err(Failure::Gone));
        }
        let (Some(work), Some(engine)) = (&slot.work, &mut self.engine) else { return };
        (slot.submitted, slot.behind_flush) = (self.now, 0);
        slot.resting = !engine.submit(number, work);
    }

    /// The device does not have the slot's memory any more.
    fn finish(&mut self, number: u16, outcome: Result<(), Failure>) {
        let lane = self.lane_of(number);
        let slot = &mut self.slots[usize::from(number)];
        if let Some(work) = slot.work.take() {
            let unit = &mut self.units[usize::from(work.unit)];
            unit.under_way[lane] -= 1;
            if matches!(slot.waiter, Waiter::Probe) {
                settle_probe(unit, outcome, self.now);
            }
        }
        self.answer(number, outcome);
    }

    fn answer(&mut self, number: u16, outcome: Result<(), Failure>) {
        let slot = &mut self.slots[usize::from(number)];
        match &mut slot.waiter {
            Waiter::Pending(waker) => {
                let waker = waker.take();
                slot.waiter = Waiter::Answered(outcome);
                waker.inspect(Waker::wake_by_ref);
            }
            Waiter::Deserted | Waiter::Probe if slot.work.is_none() => self.release(number),
            Waiter::Free | Waiter::Answered(_) | Waiter::Deserted | Waiter::Probe => {}
        }
    }

    fn release(&mut self, number: u16) {
        self.slots[usize::from(number)].waiter = Waiter::Free;
        let lane = self.lane_of(number);
        self.free[lane].push(number);
    }

    /// Logs errors, but not each of a million: a failing disk must not drown the console.
    fn count_error(&mut self, number: u16) {
        let slot = &self.slots[usize::from(number)];
        let Some(work) = &slot.work else { return };
        let unit = &mut self.units[usize::from(work.unit)];
        unit.errors += 1;
        if unit.errors.is_power_of_two() {
            let (name, errors) = (&unit.name, unit.errors);
            log::warn!("{name}: {} after {} attempts; errors: {errors}", work.error(), slot.attempts + 1);
        }
    }
}

/// The answer to the question whether a disk is there again.
fn settle_probe(unit: &mut Unit, outcome: Result<(), Failure>, now: u32) {
    match (outcome, unit.gone) {
        (Ok(()), _) => {
            log::warn!("{}: it answers again", unit.name);
            unit.gone = None;
        }
        (Err(_), Some((_, wait))) => {
            unit.gone = Some((now.wrapping_add(wait), (wait * 2).min(PROBE_TICKS_MAX)))
        }
        (Err(_), None) => {}
    }
}

/// The right to the answer of one piece of work. Dropped early, the work goes on alone, and its answer goes nowhere.
pub(super) struct Ticket<'a, E: Engine> {
    table: &'a RefCell<Table<E>>,
    number: u16,
    taken: bool,
}

impl<'a, E: Engine> Ticket<'a, E> {
    pub(super) fn new(table: &'a RefCell<Table<E>>, number: u16) -> Ticket<'a, E> {
        Ticket { table, number, taken: false }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut table = self.table.borrow_mut();
        let slot = &mut table.slots[usize::from(self.number)];
        match &mut slot.waiter {
            Waiter::Answered(outcome) => {
                let outcome = *outcome;
                self.taken = true;
                if slot.work.is_some() {
                    // A device that could not be stopped may still write there.
                    slot.waiter = Waiter::Deserted;
                } else {
                    table.release(self.number);
                }
                Poll::Ready(outcome)
            }
            Waiter::Pending(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Waiter::Free | Waiter::Deserted | Waiter::Probe => panic!("a ticket outlived its slot"),
        }
    }
}

impl<E: Engine> Drop for Ticket<'_, E> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut table = self.table.borrow_mut();
        let slot = &mut table.slots[usize::from(self.number)];
        slot.waiter = Waiter::Deserted;
        if slot.work.is_none() {
            table.release(self.number);
        }
    }
}
