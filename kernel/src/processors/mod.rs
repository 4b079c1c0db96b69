//! The other processors: started one after the other, then part of the [`pool`].
//!
//! Knows how a processor is started, which ones answered, how all but one are stopped. Must not know what they work on.
//! A processor that does not answer is said and left out; one that answers late finds no stack, and stops.

pub mod pool;
mod stack;

use crate::arch::descriptors::Tables;
use crate::arch::{apic, cpu, start_up};
use crate::{executor, memory, time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use spin::{Mutex, Once};
use stack::Stacks;

/// More are left alone: one engine feeds them all.
const OTHERS_MAX: usize = 63;
/// After so many that do not answer, firmware's list is not believed any further.
const SILENT_MAX: usize = 4;
/// A reset takes so long at most, for processors of any age.
const RESET_TIME: Duration = Duration::from_millis(10);
/// How long a processor may take before it is called a second time.
const FIRST_CALL: Duration = Duration::from_micros(200);
/// How long one may take to run our code: a virtual one waits until its host has time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

const ASLEEP_NOT_YET: u32 = 0;
const RUNS: u32 = 1;
const CANNOT_RUN: u32 = 2;

static OTHERS: Once<Vec<&'static Processor>> = Once::new();
/// The first processor's number on the interrupt bus; all ones while the others have not been called.
static FIRST: AtomicU32 = AtomicU32::new(u32::MAX);

/// A processor that is not the first.
pub(crate) struct Processor {
    /// Its number on the interrupt bus.
    id: u32,
    /// Taken by the processor itself.
    tables: Mutex<Option<Tables>>,
    /// Its stacks, from the lowest byte to behind the highest.
    stacks: (usize, usize),
    progress: AtomicU32,
    /// It halts, or is about to, and wants to be woken.
    waits: AtomicBool,
    /// Time that it worked, in counts of the time stamp counter.
    busy: AtomicU64,
    jobs: AtomicU64,
}

/// What a processor of the pool has done since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorStatus {
    /// Its number on the interrupt bus.
    pub id: u32,
    /// Microseconds that it worked.
    pub busy_micros: u64,
    /// Pieces of work that it did.
    pub jobs: u64,
}

/// Starts the processors that firmware lists. Returns when each has answered, or has had its time.
pub(crate) fn start(listed: &[u32]) {
    FIRST.store(apic::id(), Ordering::Relaxed);
    let ids = others_of(listed, apic::id());
    let (reachable, far): (Vec<u32>, Vec<u32>) = ids.into_iter().partition(|&id| apic::can_reach(id));
    if !far.is_empty() {
        log::warn!("processors {far:?} are out of an xAPIC's reach and left out");
    }
    if reachable.is_empty() {
        return;
    }
    let Some(page) = prepare() else {
        log::warn!("one processor only: there is no memory below 1 MiB for the others to start in");
        return;
    };
    let started = start_each(&reachable, page);
    match started.len() {
        0 => log::warn!("one processor only: no other answered"),
        count => log::info!("{} processors: one serves, {count} hash, pack and seal", count + 1),
    }
    OTHERS.call_once(|| started);
}

/// The numbers of the processors to start: each once, and no more than are of use.
fn others_of(listed: &[u32], first: u32) -> Vec<u32> {
    let mut others = Vec::new();
    for &id in listed {
        if id != first && !others.contains(&id) {
            others.push(id);
        }
        if others.len() == OTHERS_MAX {
            break;
        }
    }
    others
}

/// Puts the code where processors start. Returns the page's number.
fn prepare() -> Option<u8> {
    let low = memory::low_code_page()?;
    let code = start_up::code(low.address(), memory::root()?, entered)?;
    let number = u8::try_from(low.address() >> 12).ok()?;
    low.fill(&code).ok()?;
    Some(number)
}

fn start_each(ids: &[u32], page: u8) -> Vec<&'static Processor> {
    for &id in ids {
        // SAFETY: firmware lists it, nothing of ours runs there, and it is not this one.
        unsafe { apic::reset(id) };
    }
    time::busy_wait(RESET_TIME);
    let mut started = Vec::new();
    let mut silent = 0;
    for &id in ids {
        let Some(processor) = Processor::new(id) else {
            log::warn!("processor {id} is left out: no memory for its stacks");
            break;
        };
        match processor.start(page) {
            RUNS => started.push(processor),
            CANNOT_RUN => log::warn!("processor {id} is left out: it lacks what the first one has"),
            _ => {
                log::warn!("processor {id} does not answer and is left out");
                silent += 1;
            }
        }
        if silent == SILENT_MAX {
            log::warn!("processors do not answer; no more are tried");
            break;
        }
    }
    started
}

impl Processor {
    fn new(id: u32) -> Option<&'static Processor> {
        let stacks = Stacks::allocate()?;
        // SAFETY: the stacks are this processor's alone, and are never freed.
        let tables = unsafe { Tables::new(stacks.interrupt_tops()) };
        let processor: &'static Processor = Box::leak(Box::new(Processor {
            id,
            tables: Mutex::new(Some(tables)),
            stacks: stacks.range(),
            progress: AtomicU32::new(ASLEEP_NOT_YET),
            waits: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
        }));
        start_up::offer_stack(stacks.main_top((&raw const *processor).expose_provenance()));
        Some(processor)
    }

    /// Calls it; returns how far it came.
    fn start(&'static self, page: u8) -> u32 {
        // SAFETY: the page holds the code of `start_up`, and a stack is on offer.
        unsafe { apic::start_up(self.id, page) };
        self.wait_for_progress(FIRST_CALL);
        if self.progress.load(Ordering::Acquire) == ASLEEP_NOT_YET {
            // SAFETY: as above; a processor that has begun takes no notice.
            unsafe { apic::start_up(self.id, page) };
            self.wait_for_progress(ANSWER_TIME_MAX);
        }
        if start_up::withdraw_stack() {
            return ASLEEP_NOT_YET;
        }
        // It has its stack, so it is on its way.
        self.wait_for_progress(ANSWER_TIME_MAX);
        self.progress.load(Ordering::Acquire)
    }

    fn wait_for_progress(&self, time_max: Duration) {
        let end = time::now().plus(time_max);
        while self.progress.load(Ordering::Acquire) == ASLEEP_NOT_YET && time::now() < end {
            core::hint::spin_loop();
        }
    }
}

/// Where a processor arrives, on its own stack.
extern "C" fn entered(processor: usize) -> ! {
    let processor: *const Processor = core::ptr::with_exposed_provenance(processor);
    // SAFETY: `Processor::new` put the address of a leaked one on the stack.
    let processor = unsafe { &*processor };
    let is_like_first = cpu::enable_vector_state_as_first();
    if let Some(tables) = processor.tables.lock().take() {
        tables.load();
    }
    apic::init();
    if !is_like_first || apic::id() != processor.id {
        processor.progress.store(CANNOT_RUN, Ordering::Release);
        cpu::stop();
    }
    processor.progress.store(RUNS, Ordering::Release);
    pool::work(processor)
}

/// Stops all processors of ours but this one, wherever they are. Waits for no lock.
pub(crate) fn stop_others() {
    let here = apic::id();
    let others = OTHERS.get().into_iter().flatten().map(|processor| processor.id);
    let others = others.chain([FIRST.load(Ordering::Relaxed)]);
    for id in others.filter(|&id| id != here && id != u32::MAX) {
        apic::interrupt_for_good(id);
    }
}

/// Where the stack ends on which `address` lies, if it is another processor's.
pub(crate) fn stack_end(address: usize) -> Option<usize> {
    let mut ranges = OTHERS.get()?.iter().map(|processor| processor.stacks);
    let (start, end) = ranges.find(|&(start, end)| (start..end).contains(&address))?;
    Some(stack::end_of(start, address).min(end))
}

/// Says for a report on which processor it comes, if it is not the first; nothing otherwise.
pub(crate) struct Here;

impl fmt::Display for Here {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (here, first) = (apic::id(), FIRST.load(Ordering::Relaxed));
        if here == first || first == u32::MAX { Ok(()) } else { write!(out, "\non processor {here}") }
    }
}

/// The processors of the pool.
pub fn status() -> Vec<ProcessorStatus> {
    let status = |processor: &&Processor| ProcessorStatus {
        id: processor.id,
        busy_micros: time::micros_of_counts(processor.busy.load(Ordering::Relaxed)),
        jobs: processor.jobs.load(Ordering::Relaxed),
    };
    OTHERS.get().into_iter().flatten().map(status).collect()
}

/// All processors, the first one first: for it, jobs are turns of tasks.
pub(crate) fn all() -> Vec<ProcessorStatus> {
    let executor = executor::status();
    let busy_micros = time::now().micros.saturating_sub(executor.halted_micros);
    let mut all = status();
    all.insert(0, ProcessorStatus { id: apic::id(), busy_micros, jobs: executor.polls });
    all
}

/// How many there are.
pub(crate) fn count() -> usize {
    OTHERS.get().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_but_the_first_is_started_once() {
        assert_eq!(others_of(&[0, 2, 4, 2, 6, 0], 4), [0, 2, 6]);
        assert!(others_of(&[3], 3).is_empty());
    }

    #[test]
    fn a_list_of_lies_is_cut_short() {
        let listed: Vec<u32> = (0..500_000).collect();
        assert_eq!(others_of(&listed, 0).len(), OTHERS_MAX);
    }
}
