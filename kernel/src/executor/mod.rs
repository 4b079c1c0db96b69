//! Tasks: the first processor runs them all, first come, first served, and sleeps when there is nothing to do.
//!
//! ```text
//!            spawn                 run
//!   future ────────▶ ready queue ──────▶ polled ──▶ done
//!                        ▲                 │
//!                        └──── woken ◀── waiting
//!                     (by a task, a timer, another processor, or an interrupt that `interrupts::deliver` passes on)
//! ```
//!
//! Knows ready tasks, timers, when to halt. Must not know what tasks do. Interrupt handlers wake nobody: they set bits that
//! the loop looks at, with interrupts off before it halts, so no wake-up is lost. Another processor that woke a task asks
//! [`take_waits`] and sends a message, which ends the halt in the same way.

pub mod timers;

use crate::arch::{apic, cpu};
use crate::{console, interrupts, time, watchdog};
use alloc::collections::VecDeque;
use async_task::Runnable;
use core::future::Future;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use spin::Mutex;

static READY: Mutex<VecDeque<Runnable>> = Mutex::new(VecDeque::new());
/// The processor halts, or is about to, and must be told if another makes a task ready.
static WAITS: AtomicBool = AtomicBool::new(false);
static POLLS: AtomicU64 = AtomicU64::new(0);
static HALTS: AtomicU64 = AtomicU64::new(0);
static HALTED_MICROS: AtomicU64 = AtomicU64::new(0);

/// Figures since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutorStatus {
    /// Times that a task was run.
    pub polls: u64,
    /// Times that the processor was halted.
    pub halts: u64,
    /// Microseconds that it was halted.
    pub halted_micros: u64,
}

/// The figures.
pub fn status() -> ExecutorStatus {
    ExecutorStatus {
        polls: POLLS.load(Ordering::Relaxed),
        halts: HALTS.load(Ordering::Relaxed),
        halted_micros: HALTED_MICROS.load(Ordering::Relaxed),
    }
}

/// Starts a task. It runs until it is done; nobody waits for it.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    // SAFETY: the future is 'static, and is polled and dropped only by `run`, on one processor: a waker elsewhere can only
    // put the task back into the queue, which is behind a lock.
    let (runnable, task) =
        unsafe { async_task::spawn_unchecked(future, |runnable| READY.lock().push_back(runnable)) };
    runnable.schedule();
    task.detach();
}

/// Lets every other ready task run first.
pub async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(|context| {
        if yielded {
            return core::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        core::task::Poll::Pending
    })
    .await;
}

/// Runs tasks for good.
pub fn run() -> ! {
    console::buffer_output();
    loop {
        interrupts::deliver();
        let now = time::now();
        watchdog::wind(now);
        timers::wake_due(now);
        console::drain_some();
        // One round: what is ready now. What becomes ready meanwhile waits for interrupts and timers to be looked at.
        let round = READY.lock().len();
        for _ in 0..round {
            let next = READY.lock().pop_front();
            if let Some(runnable) = next {
                POLLS.fetch_add(1, Ordering::Relaxed);
                runnable.run();
            }
        }
        if round == 0 {
            halt();
        }
        let_interrupts_in();
    }
}

/// Interrupts are off while tasks run, so that handlers come only where the loop expects them.
fn let_interrupts_in() {
    x86_64::instructions::interrupts::enable();
    x86_64::instructions::nop();
    x86_64::instructions::interrupts::disable();
}

/// Whether the first processor halts and nobody has woken it yet: whoever is told so does it.
pub(crate) fn take_waits() -> bool {
    WAITS.swap(false, Ordering::SeqCst)
}

/// Sleeps until an interrupt or the next deadline, unless something has become ready.
fn halt() {
    if interrupts::is_pending() || !READY.lock().is_empty() {
        return;
    }
    let now = time::now();
    let deadlines = [timers::next_deadline(), console::next_drain(now), watchdog::next_wind()];
    let deadline = deadlines.into_iter().flatten().min();
    if deadline.is_some_and(|deadline| deadline <= now) {
        return;
    }
    apic::start_timer(deadline.map_or(0, |deadline| time::timer_ticks(deadline.since(now))));
    WAITS.store(true, Ordering::SeqCst);
    // Either this sees what became ready, or whoever made it ready sees that we wait.
    fence(Ordering::SeqCst);
    if interrupts::is_pending() || !READY.lock().is_empty() {
        WAITS.store(false, Ordering::SeqCst);
        return;
    }
    HALTS.fetch_add(1, Ordering::Relaxed);
    cpu::enable_interrupts_and_wait();
    WAITS.store(false, Ordering::SeqCst);
    HALTED_MICROS.fetch_add(time::now().micros - now.micros, Ordering::Relaxed);
}
