//! Time: since start from the time stamp counter, the calendar's from the real-time clock.
//!
//! Knows how the counter's rate is found. Must not know who asks.

mod calibrate;
mod rtc;

use crate::acpi::Acpi;
use crate::arch::cpu;
use crate::executor::timers;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use net::clock::{Clock, Instant};
use spin::Once;
use storage::Timestamp;

static COUNTER: Once<Counter> = Once::new();
static TIMER: Once<Rate> = Once::new();
/// Microseconds since 1970 when the counter stood at its start; 0 where nobody knows.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Counts per second of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    hertz: u64,
}

impl Rate {
    fn counts(self, time: Duration) -> u64 {
        let counts = time.as_micros() * u128::from(self.hertz) / 1_000_000;
        u64::try_from(counts).unwrap_or(u64::MAX)
    }
}

/// Enough that the scale's rounding stays below 10⁻⁷, and few enough that no product overflows.
const SCALE_SHIFT: u32 = 44;

#[derive(Clone, Copy, Debug)]
struct Counter {
    started: u64,
    rate: Rate,
    /// Microseconds per count, times 2^[`SCALE_SHIFT`]: a multiplication instead of a division at every look.
    scale: u64,
}

impl Counter {
    fn new(started: u64, rate: Rate) -> Counter {
        let scale = (1_000_000u128 << SCALE_SHIFT) / u128::from(rate.hertz.max(1));
        Counter { started, rate, scale: scale as u64 }
    }

    fn at(&self, stamp: u64) -> Instant {
        let counts = u128::from(stamp.saturating_sub(self.started));
        Instant { micros: ((counts * u128::from(self.scale)) >> SCALE_SHIFT) as u64 }
    }
}

/// Finds the counters' rates and the date. Before, [`now`] is always the start.
pub fn init(acpi: Option<&Acpi>) {
    let started = cpu::time_stamp();
    let (rate, source) = calibrate::time_stamp_rate(acpi);
    let counter = COUNTER.call_once(|| Counter::new(started, rate));
    let timer = TIMER.call_once(|| calibrate::timer_rate(counter.rate));
    let (megahertz, timer_megahertz) = (rate.hertz / 1_000_000, timer.hertz / 1_000_000);
    log::info!("time stamp counter at {megahertz} MHz by {source}, timer at {timer_megahertz} MHz");
    match rtc::read() {
        Some(seconds) => {
            set_wall(seconds * 1_000_000);
            log::info!("{} UTC by the real-time clock", rtc::Date::of(seconds));
        }
        None => log::error!("no real-time clock: dates will be wrong until it is set in the firmware"),
    }
}

/// Time since start.
pub fn now() -> Instant {
    COUNTER.get().map(|counter| counter.at(cpu::time_stamp())).unwrap_or_default()
}

/// How long so many counts of the time stamp counter take.
pub(crate) fn micros_of_counts(counts: u64) -> u64 {
    COUNTER.get().map_or(0, |counter| counter.at(counter.started.saturating_add(counts)).micros)
}

/// Seconds since 1970; since start, if there is no real-time clock.
pub fn wall() -> Timestamp {
    Timestamp(u32::try_from(wall_micros() / 1_000_000).unwrap_or(u32::MAX))
}

/// Microseconds since 1970; since start, if nobody has said what time it is.
pub fn wall_micros() -> u64 {
    STARTED.load(Ordering::Relaxed) + now().micros
}

/// Sets the calendar's time: microseconds since 1970.
pub(crate) fn set_wall(micros: u64) {
    STARTED.store(micros.saturating_sub(now().micros), Ordering::Relaxed);
}

/// Waits without giving way. For a few microseconds, while devices start.
pub fn busy_wait(time: Duration) {
    let Some(counter) = COUNTER.get() else { return };
    let counts = counter.rate.counts(time);
    let start = cpu::time_stamp();
    while cpu::time_stamp().wrapping_sub(start) < counts {
        core::hint::spin_loop();
    }
}

/// `time` in the APIC timer's ticks: at least one; longer than it can count is cut short.
pub(crate) fn timer_ticks(time: Duration) -> u32 {
    let ticks = TIMER.get().map_or(1, |rate| rate.counts(time));
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelClock;

impl Clock for KernelClock {
    fn now(&self) -> Instant {
        now()
    }

    fn wall(&self) -> Timestamp {
        wall()
    }

    async fn sleep_until(&self, deadline: Instant) {
        timers::sleep_until(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_microseconds_within_a_millionth() {
        let counter = Counter::new(1000, Rate { hertz: 2_445_000_000 });
        assert_eq!(counter.at(500).micros, 0);
        let year = 365 * 86_400;
        let micros = counter.at(1000 + year * 2_445_000_000).micros;
        // One part in a million: far below what any calibration of the counter is good for.
        assert!(micros.abs_diff(year * 1_000_000) < year, "{micros}");
    }

    #[test]
    fn times_become_counts() {
        let rate = Rate { hertz: 62_500_000 };
        assert_eq!(rate.counts(Duration::from_millis(10)), 625_000);
        assert_eq!(rate.counts(Duration::MAX), u64::MAX);
    }
}
