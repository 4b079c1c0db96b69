//! The pool: work that any processor can do, in a queue with an end.
//!
//! Knows the queue, who waits for work, and how the first processor learns that some is done. Must not know what the work
//! is. Work and its buffers change hands as a whole, so only the queue is shared; its lock is held for a push or a pop, by
//! processors that let no interrupt in meanwhile.
//!
//! Nobody spins. Who finds nothing to do says so (`waits`), looks once more, and halts; who brings work pushes it, and then
//! looks who waits. One of the two sees the other (both sides are sequentially consistent), and a message that arrives
//! between look and halt ends the halt: interrupts are let in by the instruction before.

use super::{FIRST, OTHERS, Processor};
use crate::arch::{apic, cpu};
use crate::executor;
use alloc::rc::Rc;
use async_task::Runnable;
use core::sync::atomic::{Ordering, fence};
use heapless::Deque;
use spin::Mutex;
use storage::arithmetic::{Arithmetic, Pool};

/// Pieces of work that may wait. Who has more does it himself.
const WAITING_MAX: usize = 128;

static QUEUE: Mutex<Deque<Runnable, WAITING_MAX>> = Mutex::new(Deque::new());

/// The way to the other processors, for the first.
struct Others;

impl Pool for Others {
    fn offer(&self, work: Runnable) -> Result<(), Runnable> {
        QUEUE.lock().push_back(work)?;
        fence(Ordering::SeqCst);
        let mut others = OTHERS.get().into_iter().flatten();
        if let Some(waiting) = others.find(|processor| processor.waits.swap(false, Ordering::SeqCst)) {
            apic::wake(waiting.id);
        }
        Ok(())
    }

    fn width(&self) -> usize {
        super::count()
    }
}

/// Who does the arithmetic of this machine.
pub(crate) fn arithmetic() -> Arithmetic {
    match super::count() {
        0 => Arithmetic::here(),
        _ => Arithmetic::elsewhere(Rc::new(Others)),
    }
}

/// Works for good. Interrupts are off but while it halts.
pub(super) fn work(processor: &'static Processor) -> ! {
    loop {
        let next = QUEUE.lock().pop_front();
        match next {
            Some(work) => {
                let began = cpu::time_stamp();
                work.run();
                processor.busy.fetch_add(cpu::time_stamp().wrapping_sub(began), Ordering::Relaxed);
                processor.jobs.fetch_add(1, Ordering::Relaxed);
                wake_first();
            }
            None => wait(processor),
        }
    }
}

fn wait(processor: &Processor) {
    processor.waits.store(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    if QUEUE.lock().is_empty() {
        cpu::enable_interrupts_and_wait();
    }
    processor.waits.store(false, Ordering::SeqCst);
}

/// The first processor has tasks to run, if it halts.
fn wake_first() {
    fence(Ordering::SeqCst);
    if executor::take_waits() {
        apic::wake(FIRST.load(Ordering::Relaxed));
    }
}
