//! Whether a disk's commands are queued.
//!
//! Knows what a disk's queue has done wrong so far, and which commands had better not be queued. Must not know registers,
//! nor commands in memory.
//!
//! There are disks whose queue does not work as they say: they fall silent, they fail and do not tell at which command,
//! or they fail at what they do well when it is asked alone. Each of these is a doubt; after a few within a while the
//! queue is given up until the next start, and the log says so. A bad sector is no doubt: it fails alone, too.

use super::command::SLOTS;
use crate::drive::{Kind, Work};

/// Commands that run alone after an error that nothing explains: then the next error tells whose it is.
const ALONE: u32 = 64;
/// So many doubts within [`DOUBT_TICKS`] end the queue.
pub(super) const DOUBTS_MAX: u8 = 3;
/// After so many ticks without a doubt the old ones are forgotten.
pub(super) const DOUBT_TICKS: u32 = 600;

/// What the queue did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    #[error("does not answer to queued commands")]
    Silence,
    #[error("does not tell which queued command failed")]
    Unexplained,
    #[error("fails at queued commands that succeed alone")]
    Fussy,
}

/// One piece of work: what, where, how much.
type Piece = (Kind, u64, u32);

/// The state of a disk's queue.
pub(super) struct Queueing {
    /// Disk and controller have a queue, and it has not been given up.
    is_on: bool,
    /// Commands that still run alone.
    alone: u32,
    /// By slot: what it held last.
    held: [Option<Piece>; SLOTS],
    /// A bit for each slot whose work failed when it was queued. Its next attempt runs alone.
    suspects: u32,
    doubts: u8,
    quiet_ticks: u32,
}

impl Queueing {
    pub(super) fn new(is_on: bool) -> Queueing {
        Queueing { is_on, alone: 0, held: [None; SLOTS], suspects: 0, doubts: 0, quiet_ticks: 0 }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether `work` is to be queued in `slot`.
    pub(super) fn wants(&mut self, slot: u16, work: &Work) -> bool {
        let Some(held) = self.held.get_mut(usize::from(slot)) else { return false };
        let piece = Some((work.kind, work.first, work.sectors));
        if *held != piece {
            // Other work than what failed here.
            *held = piece;
            self.suspects &= !(1 << slot);
        }
        let is_transfer = matches!(work.kind, Kind::Read | Kind::Write);
        self.is_on && self.alone == 0 && is_transfer && self.suspects >> slot & 1 == 0
    }

    /// A command that is not queued goes to the disk.
    pub(super) fn ran_alone(&mut self) {
        self.alone = self.alone.saturating_sub(1);
    }

    /// The queued command of `slot` was at fault for an error.
    pub(super) fn blame(&mut self, slot: u16) {
        self.suspects |= 1 << (slot & 31);
    }

    /// Commands that were not queued, a bit for each slot, succeeded. Returns the reason if the queue is given up.
    pub(super) fn succeeded_alone(&mut self, slots: u32) -> Option<Doubt> {
        let fussy = self.suspects & slots;
        self.suspects &= !slots;
        if fussy != 0 { self.doubt(Doubt::Fussy) } else { None }
    }

    /// Nobody knows whose fault an error was.
    pub(super) fn isolate(&mut self) {
        self.alone = ALONE;
    }

    /// The queue is at fault. Returns the reason if it is given up for this.
    pub(super) fn doubt(&mut self, doubt: Doubt) -> Option<Doubt> {
        self.quiet_ticks = 0;
        self.doubts = self.doubts.saturating_add(1);
        let is_given_up = self.is_on && self.doubts >= DOUBTS_MAX;
        self.is_on &= !is_given_up;
        is_given_up.then_some(doubt)
    }

    /// A tick has passed.
    pub(super) fn tick(&mut self) {
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        if self.quiet_ticks >= DOUBT_TICKS {
            self.doubts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Memory;

    fn read(first: u64) -> Work {
        Work { unit: 0, kind: Kind::Read, first, sectors: 1, memory: Memory::None }
    }

    #[test]
    fn what_failed_in_the_queue_runs_alone_next_and_other_work_does_not() {
        let mut queueing = Queueing::new(true);
        assert!(queueing.wants(3, &read(7)));
        queueing.blame(3);
        assert!(!queueing.wants(3, &read(7)));
        assert!(!queueing.wants(3, &read(7)), "as often as it takes");
        assert!(queueing.wants(3, &read(8)));
        assert!(queueing.wants(3, &read(7)), "forgotten");
        assert!(!queueing.wants(3, &Work::flush(0)) && !queueing.wants(32, &read(1)));
        assert!(!Queueing::new(false).wants(3, &read(7)));
    }

    #[test]
    fn doubts_in_a_row_end_the_queue_for_good() {
        let mut queueing = Queueing::new(true);
        for slot in [0, 1] {
            assert!(queueing.wants(slot, &read(1)));
            queueing.blame(slot);
            assert!(!queueing.wants(slot, &read(1)));
            assert_eq!(queueing.succeeded_alone(1 << slot), None);
        }
        assert_eq!(queueing.succeeded_alone(3), None, "they are not suspected any more");
        assert_eq!(queueing.doubt(Doubt::Silence), Some(Doubt::Silence));
        assert!(!queueing.is_on() && !queueing.wants(0, &read(2)));
        assert_eq!(queueing.doubt(Doubt::Silence), None, "said once");
    }

    #[test]
    fn old_doubts_are_forgotten() {
        let mut queueing = Queueing::new(true);
        for _ in 0..10 {
            assert_eq!(queueing.doubt(Doubt::Unexplained), None);
            assert_eq!(queueing.doubt(Doubt::Unexplained), None);
            (0..DOUBT_TICKS).for_each(|_| queueing.tick());
        }
        assert!(queueing.is_on());
    }

    #[test]
    fn after_an_error_without_an_owner_commands_run_alone_for_a_while() {
        let mut queueing = Queueing::new(true);
        queueing.isolate();
        for _ in 0..ALONE {
            assert!(!queueing.wants(0, &read(1)));
            queueing.ran_alone();
        }
        assert!(queueing.wants(0, &read(1)));
    }
}
