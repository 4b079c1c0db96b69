//! Deadlines and who waits for them.
//!
//! Knows an ordered set of deadlines. Must not know how time is measured.

use crate::time;
use alloc::collections::BTreeMap;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use net::clock::Instant;
use spin::Mutex;

/// By deadline, then in the order in which they were set.
static TIMERS: Mutex<Timers> = Mutex::new(Timers::new());

#[derive(Debug)]
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
}

impl Timers {
    const fn new() -> Timers {
        Timers { waiting: BTreeMap::new(), next_number: 0 }
    }

    fn add(&mut self, deadline: Instant, waker: Waker) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert((deadline, number), waker);
        number
    }

    fn take_due(&mut self, now: Instant) -> Option<Waker> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

/// Returns at `deadline`, at once if it has passed.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, number: None }
}

/// The future of [`sleep_until`]. Dropping it forgets the deadline.
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if time::now() >= self.deadline {
            return Poll::Ready(());
        }
        let mut timers = TIMERS.lock();
        let known = self.number.and_then(|number| timers.waiting.get_mut(&(self.deadline, number)));
        match known {
            Some(waker) => waker.clone_from(context.waker()),
            None => self.number = Some(timers.add(self.deadline, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // Dropped after the lock is released: a waker may be a task's last reference.
            let waker = TIMERS.lock().waiting.remove(&(self.deadline, number));
            drop(waker);
        }
    }
}

/// The first deadline to come.
pub(super) fn next_deadline() -> Option<Instant> {
    TIMERS.lock().waiting.first_key_value().map(|(&(deadline, _), _)| deadline)
}

/// Wakes all whose deadline has come.
pub(super) fn wake_due(now: Instant) {
    loop {
        let due = TIMERS.lock().take_due(now);
        match due {
            Some(waker) => waker.wake(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_due_in_order_of_deadline_then_of_age() {
        let mut timers = Timers::new();
        for micros in [30, 10, 20, 10] {
            timers.add(Instant { micros }, Waker::noop().clone());
        }
        let order: std::vec::Vec<_> =
            timers.waiting.keys().map(|(at, number)| (at.micros, *number)).collect();
        assert_eq!(order, [(10, 1), (10, 3), (20, 2), (30, 0)]);
        assert!(timers.take_due(Instant { micros: 9 }).is_none());
        assert!(timers.take_due(Instant { micros: 10 }).is_some());
        assert!(timers.take_due(Instant { micros: 10 }).is_some());
        assert!(timers.take_due(Instant { micros: 10 }).is_none());
    }
}
