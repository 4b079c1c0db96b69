//! Interrupts as events that tasks wait for.
//!
//! Knows vectors and who waits. Handlers only acknowledge and set a bit; the executor wakes the waiters in its own time.
//! Must not know devices.

use crate::acpi::Acpi;
use crate::arch::descriptors::{
    DEVICE_VECTORS, FIRST_DEVICE_VECTOR, SPURIOUS_VECTOR, TIMER_VECTOR, WAKE_VECTOR,
};
use crate::arch::{apic, pic};
use atomic_waker::AtomicWaker;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::Poll;

/// What a device writes where to interrupt us (MSI, PCI 3.0, 6.8.1; Intel SDM vol. 3A, 10.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiMessage {
    /// The address.
    pub address: u64,
    /// The word to write there.
    pub data: u32,
}

/// Interrupts since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterruptStatus {
    /// From devices that have a line.
    pub device: u64,
    /// From the timer.
    pub timer: u64,
    /// From one processor to another.
    pub wake: u64,
    /// Withdrawn by the APIC before it could say what for.
    pub spurious: u64,
    /// With a vector that nobody has.
    pub unknown: u64,
}

struct Slot {
    /// It has interrupted since its waiter last looked.
    fired: AtomicBool,
    waker: AtomicWaker,
    count: AtomicU64,
}

static SLOTS: [Slot; DEVICE_VECTORS] =
    [const { Slot { fired: AtomicBool::new(false), waker: AtomicWaker::new(), count: AtomicU64::new(0) } };
        DEVICE_VECTORS];
/// Lines given out so far: the first of the slots.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
/// One bit a slot: to be woken.
static PENDING: [AtomicU64; DEVICE_VECTORS.div_ceil(64)] =
    [const { AtomicU64::new(0) }; DEVICE_VECTORS.div_ceil(64)];
static TIMER: AtomicU64 = AtomicU64::new(0);
static WAKE: AtomicU64 = AtomicU64::new(0);
static SPURIOUS: AtomicU64 = AtomicU64::new(0);
static UNKNOWN: AtomicU64 = AtomicU64::new(0);

/// One source of interrupts: a vector of its own. Never given back; devices live as long as the machine.
#[derive(Debug)]
pub struct InterruptLine {
    slot: &'static Slot,
    index: usize,
}

impl core::fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Slot").field("count", &self.count).finish_non_exhaustive()
    }
}

impl InterruptLine {
    /// A line that nobody has, for the device called `name`; none when all are given out, or when the processor cannot be
    /// reached by a message (an APIC id above 254).
    pub fn allocate(name: &str) -> Option<InterruptLine> {
        if apic::id() >= 0xff {
            return None;
        }
        let index = ALLOCATED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next < DEVICE_VECTORS).then_some(next + 1)
        });
        let index = index.ok()?;
        log::debug!("interrupt vector {:#x}: {name}", usize::from(FIRST_DEVICE_VECTOR) + index);
        Some(InterruptLine { slot: SLOTS.get(index)?, index })
    }

    /// What the device must write to interrupt.
    pub fn msi_message(&self) -> MsiMessage {
        MsiMessage {
            address: 0xfee0_0000 | u64::from(apic::id()) << 12,
            data: (usize::from(FIRST_DEVICE_VECTOR) + self.index) as u32,
        }
    }

    /// Returns when the device has interrupted since the last return, at once if it already has. So: look at the device,
    /// wait, look again; nothing is lost in between. One task at a time.
    pub async fn wait(&self) {
        poll_fn(|context| {
            if self.take() {
                return Poll::Ready(());
            }
            self.slot.waker.register(context.waker());
            if self.take() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether the device has interrupted since the last look; forgets it.
    pub fn take(&self) -> bool {
        self.slot.fired.swap(false, Ordering::AcqRel)
    }

    /// Interrupts since start.
    pub fn count(&self) -> u64 {
        self.slot.count.load(Ordering::Relaxed)
    }
}

/// Turns the controllers on; interrupts stay off until the executor waits for the first one.
///
/// # Errors
/// If the local APIC cannot be mapped.
pub fn init(acpi: Option<&Acpi>) -> Result<(), crate::memory::MemoryError> {
    pic::silence();
    let kind = apic::init_first(acpi)?;
    log::info!("interrupts by {kind}, processor {}", apic::id());
    Ok(())
}

/// The figures.
pub fn status() -> InterruptStatus {
    InterruptStatus {
        device: SLOTS.iter().map(|slot| slot.count.load(Ordering::Relaxed)).sum(),
        timer: TIMER.load(Ordering::Relaxed),
        wake: WAKE.load(Ordering::Relaxed),
        spurious: SPURIOUS.load(Ordering::Relaxed),
        unknown: UNKNOWN.load(Ordering::Relaxed),
    }
}

/// The handler of every vector that is not an exception. Allocates nothing, takes no lock.
pub(crate) fn entered(vector: u8) {
    if vector == SPURIOUS_VECTOR {
        SPURIOUS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let index = usize::from(vector).checked_sub(usize::from(FIRST_DEVICE_VECTOR));
    match index.and_then(|index| SLOTS.get(index).map(|slot| (index, slot))) {
        Some((index, slot)) if index < ALLOCATED.load(Ordering::Relaxed) => {
            slot.count.fetch_add(1, Ordering::Relaxed);
            slot.fired.store(true, Ordering::Release);
            PENDING[index / 64].fetch_or(1 << (index % 64), Ordering::Release);
        }
        _ if vector == TIMER_VECTOR => {
            TIMER.fetch_add(1, Ordering::Relaxed);
        }
        // Whoever halted looks for itself what there is.
        _ if vector == WAKE_VECTOR => {
            WAKE.fetch_add(1, Ordering::Relaxed);
        }
        _ => {
            UNKNOWN.fetch_add(1, Ordering::Relaxed);
        }
    }
    apic::end_of_interrupt();
}

/// Whether [`deliver`] has something to do.
pub(crate) fn is_pending() -> bool {
    PENDING.iter().any(|word| word.load(Ordering::Acquire) != 0)
}

/// Wakes whoever waits for what has interrupted. From the executor only: wakers take locks.
pub(crate) fn deliver() {
    for (base, word) in (0..).step_by(64).zip(&PENDING) {
        if word.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let mut bits = word.swap(0, Ordering::AcqRel);
        while bits != 0 {
            SLOTS[base + bits.trailing_zeros() as usize].waker.wake();
            bits &= bits - 1;
        }
    }
}
