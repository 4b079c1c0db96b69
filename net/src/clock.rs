//! The seam for time.

use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use storage::Timestamp;

/// Time since the machine started. Never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Microseconds.
    pub micros: u64,
}

impl Instant {
    /// The moment `after` from this one (saturating).
    pub fn plus(self, after: Duration) -> Instant {
        Instant { micros: self.micros.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)) }
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

/// Where time comes from. Cheap to clone: every task holds its own handle.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Clock: Clone + 'static {
    /// Time since start, for deadlines and measurements.
    fn now(&self) -> Instant;

    /// The calendar's time, for what is written to disk. May jump.
    fn wall(&self) -> Timestamp;

    /// Returns at `deadline`, at once if it has passed.
    async fn sleep_until(&self, deadline: Instant);
}

/// What `work` comes to; `None`, and the work is given up, if it takes until `deadline`.
pub(crate) async fn within<T>(
    clock: &impl Clock,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), pin!(clock.sleep_until(deadline))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
