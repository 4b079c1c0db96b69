//! A submission queue and the completion queue for its answers (NVM Express Base 1.4, section 4.1).
//!
//! Knows places, phases and which ids are with the controller. Must not know what commands mean.
//!
//! The controller is not trusted: an answer counts only if it names a command that it has, and comes from this queue.

use super::command::{Answer, COMMAND_LEN, Command};
use crate::drive::Problem;
use crate::memory::mmio::Registers;
use crate::memory::shared::SharedMemory;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

const ANSWER_LEN: usize = 16;

/// A pair of queues of equal size, with their doorbells.
pub(super) struct QueuePair {
    /// Its number on the controller; 0 is the one for administration.
    number: u16,
    size: u16,
    submissions: SharedMemory,
    completions: SharedMemory,
    /// Two registers: the submission queue's tail, the completion queue's head.
    doorbells: [Registers; 2],
    tail: u16,
    head: u16,
    /// The phase that a new answer has.
    phase: bool,
    /// By id: whether the controller has it.
    with_controller: Vec<bool>,
    count: u16,
}

impl QueuePair {
    /// A pair of `size` places: one command fewer fits.
    pub(super) fn new(number: u16, size: u16, doorbells: [Registers; 2]) -> Option<QueuePair> {
        let places = usize::from(size);
        Some(QueuePair {
            number,
            size,
            submissions: SharedMemory::allocate(places * COMMAND_LEN)?,
            completions: SharedMemory::allocate(places * ANSWER_LEN)?,
            doorbells,
            tail: 0,
            head: 0,
            phase: true,
            with_controller: alloc::vec![false; places],
            count: 0,
        })
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// Where the controller finds them: submissions, completions.
    pub(super) fn addresses(&self) -> [u64; 2] {
        [self.submissions.address(), self.completions.address()]
    }

    /// Forgets all commands, as the controller has after a reset.
    pub(super) fn forget(&mut self) {
        for at in (0..self.completions.window().len()).step_by(8) {
            self.completions.window().write64(at, 0);
        }
        (self.tail, self.head, self.phase, self.count) = (0, 0, true, 0);
        self.with_controller.fill(false);
    }

    /// Hands over a command under an id that is below the size, and not in use. `false`: there is no place.
    pub(super) fn submit(&mut self, id: u16, command: &Command) -> bool {
        let Some(place @ false) = self.with_controller.get_mut(usize::from(id)) else { return false };
        if self.count >= self.size - 1 {
            return false;
        }
        *place = true;
        self.count += 1;
        self.submissions.copy_from(usize::from(self.tail) * COMMAND_LEN, &command.bytes(id));
        self.tail = if self.tail + 1 == self.size { 0 } else { self.tail + 1 };
        // The command, its list and its data lie in memory before the controller looks.
        fence(Ordering::SeqCst);
        self.doorbells[0].write32(0, self.tail.into());
        true
    }

    /// The next answer.
    ///
    /// # Errors
    /// [`Problem::BogusAnswer`]: it is to nothing that was asked here. The queue cannot be used after that.
    pub(super) fn complete(&mut self) -> Result<Option<Answer>, Problem> {
        let at = usize::from(self.head) * ANSWER_LEN;
        let last = self.completions.window().read32(at + 12);
        if (last >> 16 & 1 == 1) != self.phase {
            return Ok(None);
        }
        // The rest of the answer, and the data, were written before the phase.
        fence(Ordering::SeqCst);
        let answer = Answer {
            id: last as u16,
            status: (last >> 17) as u16,
            result: self.completions.window().read32(at),
        };
        let place = self.completions.window().read32(at + 8);
        let (from, head) = ((place >> 16) as u16, place as u16);
        self.head += 1;
        if self.head == self.size {
            self.head = 0;
            self.phase = !self.phase;
        }
        self.doorbells[1].write32(0, self.head.into());
        match self.with_controller.get_mut(usize::from(answer.id)) {
            Some(place @ true) if from == self.number && head < self.size => *place = false,
            _ => return Err(Problem::BogusAnswer(answer.id.into())),
        }
        self.count -= 1;
        Ok(Some(answer))
    }
}
