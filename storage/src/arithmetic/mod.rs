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

    /// The same, if work of this kind on `len` bytes is worth the way; otherwise it is done here.
    pub async fn run_on<T: Send + 'static>(
        &self,
        kind: Kind,
        len: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if len < kind.pays_from() { work() } else { self.run(work).await }
    }
}

/// What is done with bytes: some of it takes longer than having it done elsewhere, some does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SHA-1 alone: a processor that has instructions for it needs less time for a block than the way takes.
    Hash,
    /// Unpacking, and SHA-1 of what comes out.
    Unpack,
    /// Packing: some ten times as long as the other two.
    Pack,
    /// Sealing or opening a record of TLS: twice to ten times as long as SHA-1, by the cipher.
    Record,
}

impl Kind {
    /// Bytes from which on it is worth the way.
    pub fn pays_from(self) -> usize {
        match self {
            Kind::Hash => 16 << 10,
            Kind::Unpack => 4 << 10,
            Kind::Pack => 1 << 10,
            Kind::Record => 4 << 10,
        }
    }
}

#[cfg(test)]
mod tests;
