//! Other processors that finish work in an order which the seed decides.
//!
//! Knows work that waits. Whoever simulates says when a piece of it is done.

use super::SeededRng;
use crate::arithmetic::Pool;
use alloc::vec::Vec;
use async_task::Runnable;
use core::cell::RefCell;

/// A pool with little room.
pub struct SimOthers {
    waiting: RefCell<Vec<Runnable>>,
    room: usize,
    rng: SeededRng,
}

impl SimOthers {
    /// A pool that holds `room` pieces of work.
    pub fn new(seed: u64, room: usize) -> SimOthers {
        SimOthers { waiting: RefCell::default(), room, rng: SeededRng::new(seed) }
    }

    /// Does one of the pieces that wait. `false` if none does.
    pub fn work_once(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            return false;
        }
        let chosen = self.rng.below(waiting.len() as u64) as usize;
        let work = waiting.swap_remove(chosen);
        drop(waiting);
        work.run();
        true
    }
}

impl Pool for SimOthers {
    fn offer(&self, work: Runnable) -> Result<(), Runnable> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.room {
            return Err(work);
        }
        waiting.push(work);
        Ok(())
    }

    fn width(&self) -> usize {
        self.room
    }
}
