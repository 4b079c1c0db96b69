//! Pure work on owned bytes, done here or by other processors: hashing, packing, sealing.
//!
//! Knows that work owns what it works on, and that its result is waited for. Must not know processors or threads: whoever
//! has some implements [`Pool`]. Without any, the same calls do the work at once, in the order of the calls; a simulation
//! is as deterministic as before.

use alloc::rc::Rc;
use async_task::Runnable;
use core::fmt;

/// Processors that work for this one.
pub trait Pool {
    /// Takes a piece of work, which somebody will run once, soon, to its end. A pool that is full gives it back.
    ///
    /// # Errors
    /// The work.
    fn offer(&self, work: Runnable) -> Result<(), Runnable>;

    /// How many pieces can be worked on at the same time.
    fn width(&self) -> usize;
}

/// Who does the arithmetic. Cheap to clone.
#[derive(Clone, Default)]
pub struct Arithmetic {
    pool: Option<Rc<dyn Pool>>,
}

impl fmt::Debug for Arithmetic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Arithmetic({} others)", self.width())
    }
}

impl Arithmetic {
    /// Whoever asks does the work.
    pub fn here() -> Arithmetic {
        Arithmetic { pool: None }
    }

    /// Others do it; whoever asks does what they have no room for.
    pub fn elsewhere(pool: Rc<dyn Pool>) -> Arithmetic {
        Arithmetic { pool: Some(pool) }
    }

    /// How many others there are.
    pub fn width(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.width())
    }

    /// The result of `work`. Dropped, the work is given up, or done for nothing if it has begun.
    ///
    /// Nothing is lost and nothing waits for ever: work for which there is no room in the pool is done here. Several
    /// pieces finish in any order; whoever needs an order waits for one before the next.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let Some(pool) = &self.pool else { return work() };
        // The work is done when it is polled first, so it is never scheduled again.
        let (runnable, task) = async_task::spawn(async move { work() }, drop);
        if let Err(refused) = pool.offer(runnable) {
            refused.run();
        }
        task.await
    }

    /// The same, if the work is on at least `len` bytes and worth the way; otherwise it is done here.
    pub async fn run_on<T: Send + 'static>(
        &self,
        len: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if len < WORTH_THE_WAY { work() } else { self.run(work).await }
    }
}

/// Bytes below which work costs less than having it done elsewhere.
pub const WORTH_THE_WAY: usize = 2048;

#[cfg(test)]
mod tests;
