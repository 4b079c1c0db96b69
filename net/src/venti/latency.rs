//! How long requests take, as histograms with fixed bounds: noting one costs a few additions and no memory.
//!
//! Knows durations. Must not know requests.

use core::cell::Cell;
use core::time::Duration;

/// Upper bounds of the buckets in microseconds; one more bucket takes what is longer.
pub const BOUNDS_MICROS: [u64; 18] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Buckets of a histogram.
pub const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// What a histogram held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Requests in each bucket, by [`BOUNDS_MICROS`]; the last one has no bound.
    pub buckets: [u64; BUCKETS],
    /// Microseconds of all requests together.
    pub micros: u64,
}

impl Latencies {
    /// Requests in all.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Microseconds of the average request; 0 without any.
    pub fn mean_micros(&self) -> u64 {
        self.micros.checked_div(self.count()).unwrap_or(0)
    }

    /// The bound that at least `thousandths` of a thousand requests keep; `None` where there are none, or where the
    /// request in question is longer than every bound.
    pub fn bound_micros(&self, thousandths: u64) -> Option<u64> {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut below = 0;
        let found = self.buckets.iter().position(|bucket| {
            below += u128::from(*bucket);
            below >= rank
        });
        found.and_then(|bucket| BOUNDS_MICROS.get(bucket)).copied()
    }
}

/// A histogram that is being filled.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Cell<u64>; BUCKETS],
    micros: Cell<u64>,
}

impl Histogram {
    /// Notes one request.
    pub fn note(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = &self.buckets[BOUNDS_MICROS.partition_point(|bound| *bound < micros)];
        bucket.set(bucket.get() + 1);
        self.micros.set(self.micros.get().saturating_add(micros));
    }

    /// What was noted so far.
    pub fn latencies(&self) -> Latencies {
        Latencies { buckets: self.buckets.each_ref().map(Cell::get), micros: self.micros.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(times: &[u64]) -> Latencies {
        let histogram = Histogram::default();
        times.iter().for_each(|micros| histogram.note(Duration::from_micros(*micros)));
        histogram.latencies()
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let held = histogram(&[0, 25, 26, 50, 10_000_000, 10_000_001]);
        assert_eq!((held.buckets[0], held.buckets[1], held.buckets[17], held.buckets[18]), (2, 2, 1, 1));
        assert_eq!((held.count(), held.micros), (6, 20_000_102));
    }

    #[test]
    fn bounds_are_kept_by_as_many_as_they_say() {
        let mut times = [40; 100];
        times[98] = 900;
        times[99] = 20_000_000;
        let held = histogram(&times);
        assert_eq!([500, 980, 990].map(|share| held.bound_micros(share)), [Some(50), Some(50), Some(1000)]);
        assert_eq!(held.bound_micros(999), None, "longer than every bound");
        assert_eq!(histogram(&[]).bound_micros(500), None);
        assert_eq!((held.mean_micros(), histogram(&[]).mean_micros()), (200_048, 0));
    }

    #[test]
    fn no_time_is_too_long() {
        let held = histogram(&[u64::MAX, u64::MAX]);
        assert_eq!((held.count(), held.micros), (2, u64::MAX));
    }
}
