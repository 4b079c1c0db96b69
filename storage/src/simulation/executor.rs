//! A single-threaded executor that picks the next ready task by seed, to find orders that a fair one never tries.

use super::SeededRng;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

/// Set by a waker, taken by the executor.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    ready: Arc<Ready>,
}

/// Every task waits and nothing can wake one: a lost wake-up or a deadlock, or a task left behind on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Tasks that did not end.
    pub waiting: usize,
}

/// Runs tasks one at a time, in an order that the seed decides. Dropping it drops every unfinished task, wherever
/// that task waits: the end of a machine that loses power.
pub struct Executor<'a> {
    tasks: RefCell<Vec<Task<'a>>>,
    rng: SeededRng,
    stop: Cell<bool>,
    turns_left: Cell<u64>,
}

impl<'a> Executor<'a> {
    /// An executor without tasks.
    pub fn new(seed: u64) -> Executor<'a> {
        Executor {
            tasks: RefCell::default(),
            rng: SeededRng::new(seed),
            stop: Cell::new(false),
            turns_left: Cell::new(u64::MAX),
        }
    }

    /// Adds a task. Its first turn comes during [`Executor::run`].
    pub fn spawn(&self, future: impl Future<Output = ()> + 'a) {
        let ready = Arc::new(Ready(AtomicBool::new(true)));
        self.tasks.borrow_mut().push(Task { future: Box::pin(future), ready });
    }

    /// Makes [`Executor::run`] return after the current turn, with the other tasks where they are.
    pub fn stop(&self) {
        self.stop.set(true);
    }

    /// Lets [`Executor::run`] give so many turns at most, and leave the tasks where they are then.
    pub fn stop_after(&self, turns: u64) {
        self.turns_left.set(turns);
    }

    /// Gives turns until every task has ended, someone called [`Executor::stop`], or none can go on.
    pub fn run(&self) -> Result<(), Stalled> {
        while self.turns_left.get() > 0 {
            self.turns_left.set(self.turns_left.get() - 1);
            let Some(mut task) = self.take_ready()? else { return Ok(()) };
            task.ready.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(task.ready.clone());
            if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.tasks.borrow_mut().push(task);
            }
            if self.stop.get() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_ready(&self) -> Result<Option<Task<'a>>, Stalled> {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.is_empty() {
            return Ok(None);
        }
        let ready: Vec<usize> =
            (0..tasks.len()).filter(|at| tasks[*at].ready.0.load(Ordering::Relaxed)).collect();
        if ready.is_empty() {
            return Err(Stalled { waiting: tasks.len() });
        }
        let chosen = ready[self.rng.below(ready.len() as u64) as usize];
        Ok(Some(tasks.swap_remove(chosen)))
    }
}

/// Runs one future to its end.
///
/// # Panics
/// If it waits for something that can no longer happen: in a simulation that is a finding.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let result = Rc::new(Cell::new(None));
    let executor = Executor::new(0);
    let slot = result.clone();
    executor.spawn(async move { slot.set(Some(future.await)) });
    let end = executor.run();
    match result.take() {
        Some(value) => value,
        None => panic!("the future never ended: {end:?}"),
    }
}

/// Lets every other ready task have its turn first, perhaps.
pub async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(seed: u64) -> Vec<usize> {
        let order = RefCell::new(Vec::new());
        let executor = Executor::new(seed);
        for task in 0..5 {
            let order = &order;
            executor.spawn(async move {
                for _ in 0..3 {
                    order.borrow_mut().push(task);
                    yield_now().await;
                }
            });
        }
        executor.run().unwrap();
        drop(executor);
        order.into_inner()
    }

    #[test]
    fn the_order_depends_on_the_seed_alone() {
        assert_eq!(order_of(1), order_of(1));
        assert_ne!(order_of(1), order_of(2));
        assert_eq!(order_of(3).len(), 15);
    }

    #[test]
    fn turns_are_limited_where_they_must_be() {
        let turns = Cell::new(0);
        let executor = Executor::new(1);
        executor.spawn(async {
            loop {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        });
        executor.stop_after(7);
        assert_eq!((executor.run(), turns.get()), (Ok(()), 7));
    }

    #[test]
    fn a_task_that_nobody_wakes_is_reported() {
        let executor = Executor::new(0);
        executor.spawn(core::future::pending());
        assert_eq!(executor.run(), Err(Stalled { waiting: 1 }));
    }
}
