//! The watchdog: a timer of the machine that starts it again unless somebody winds it up in time.
//!
//! | part | knows |
//! |---|---|
//! | `esb` | Intel's 6300ESB, a PCI device; hypervisors have it |
//! | `tco` | the timer in Intel's ICH9 and ICH10 chip sets |
//!
//! Armed once the node serves, wound up by the executor's loop: a task that does not return stops that loop, and then the machine.
//! Off after a clean stop. Must not know tasks, nor why they hang.

mod esb;
mod tco;

use crate::pci::Function;
use core::sync::atomic::{AtomicU64, Ordering};
use net::clock::Instant;
use spin::Mutex;

/// How long the executor may be away.
pub(crate) const PATIENCE_SECONDS: u16 = 60;
/// How often the timer is wound up, in microseconds.
const WIND_EVERY: u64 = 1_000_000;
/// No watchdog runs.
const NEVER: u64 = u64::MAX;

/// A timer that restarts the machine.
trait Timer {
    /// Lets it run out in so many seconds.
    fn start(&mut self, seconds: u16);
    /// Begins those seconds anew.
    fn wind(&mut self);
    /// Stops it.
    fn stop(&mut self);
}

/// The watchdogs that we drive.
enum Watchdog {
    Esb(esb::Esb<esb::Device>),
    Tco(tco::Tco<tco::Device>),
}

impl Watchdog {
    fn timer(&mut self) -> &mut dyn Timer {
        match self {
            Watchdog::Esb(timer) => timer,
            Watchdog::Tco(timer) => timer,
        }
    }
}

static WATCHDOG: Mutex<Option<Watchdog>> = Mutex::new(None);
/// When it is wound up again, in microseconds since start.
static WIND_AT: AtomicU64 = AtomicU64::new(NEVER);

/// Takes a watchdog that is found, the first one.
pub(crate) fn offer(function: &mut Function) {
    let found = match () {
        () if esb::is_ours(function) => esb::Device::open(function).map(|device| {
            log::info!("watchdog: 6300ESB at pci {}", function.place);
            Watchdog::Esb(esb::Esb::new(device))
        }),
        () if tco::is_ours(function) => tco::Device::open(function).map(|device| {
            log::info!("watchdog: TCO timer of the chip set at pci {}", function.place);
            Watchdog::Tco(tco::Tco::new(device))
        }),
        () => return,
    };
    let mut watchdog = WATCHDOG.lock();
    // A device of its own was put there for this.
    if watchdog.is_none() || matches!(found, Some(Watchdog::Esb(_))) {
        *watchdog = found.or(watchdog.take());
    }
}

/// From now on the machine starts again when the executor is away for so long. `false`: it has no watchdog.
pub(crate) fn arm(seconds: u16, now: Instant) -> bool {
    match &mut *WATCHDOG.lock() {
        Some(watchdog) => {
            watchdog.timer().start(seconds);
            WIND_AT.store(now.micros + WIND_EVERY, Ordering::Relaxed);
            true
        }
        None => false,
    }
}

/// Winds it up, if it is time. Called wherever the executor's loop comes round.
pub(crate) fn wind(now: Instant) {
    if now.micros < WIND_AT.load(Ordering::Relaxed) {
        return;
    }
    if let Some(watchdog) = &mut *WATCHDOG.lock() {
        watchdog.timer().wind();
    }
    WIND_AT.store(now.micros + WIND_EVERY, Ordering::Relaxed);
}

/// When it wants to be wound up.
pub(crate) fn next_wind() -> Option<Instant> {
    Some(WIND_AT.load(Ordering::Relaxed)).filter(|at| *at != NEVER).map(|micros| Instant { micros })
}

/// Stops it: before the machine stops for good. Takes no lock for good.
pub(crate) fn disarm() {
    WIND_AT.store(NEVER, Ordering::Relaxed);
    if let Some(Some(watchdog)) = WATCHDOG.try_lock().as_deref_mut() {
        watchdog.timer().stop();
    }
}
