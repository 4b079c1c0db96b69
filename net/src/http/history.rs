//! What the node did lately: samples of its counters in two rings, and what follows from them.
//!
//! Bounded: an hour in steps of ten seconds, and a week in steps of half an hour, 60 KiB in all. Must not know pages.

use crate::clock::Instant;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Time between samples.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// What the fine ring covers.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// Time between samples of the coarse ring.
const LONG_STEP: Duration = Duration::from_secs(1800);
/// What the coarse ring covers.
pub(super) const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Counters at one moment. All but `at` and `used` only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// Bytes of arenas in use.
    pub(super) used: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Microseconds that all reads took together.
    pub(super) read_micros: u64,
    /// The same of writes.
    pub(super) write_micros: u64,
}

/// A value, and when it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) at: Instant,
    pub(super) value: f64,
}

/// The rings.
#[derive(Debug, Default)]
pub(super) struct History {
    hour: VecDeque<Sample>,
    week: VecDeque<Sample>,
}

impl History {
    /// Notes a sample, not older than those before.
    pub(super) fn note(&mut self, sample: Sample) {
        push(&mut self.hour, sample, HOUR);
        if self.week.back().is_none_or(|last| sample.at.since(last.at) >= LONG_STEP) {
            push(&mut self.week, sample, WEEK);
        }
    }

    /// How fast a counter grew in the past hour, each second, from sample to sample.
    pub(super) fn rates(&self, counter: fn(&Sample) -> u64) -> Vec<Point> {
        let pairs = self.hour.iter().zip(self.hour.iter().skip(1));
        let rate = |(before, after): (&Sample, &Sample)| {
            let seconds = after.at.since(before.at).as_secs_f64();
            let grown = counter(after).saturating_sub(counter(before)) as f64;
            Point { at: after.at, value: if seconds > 0.0 { grown / seconds } else { 0.0 } }
        };
        pairs.map(rate).collect()
    }

    /// What one request took in the past hour, in microseconds, from sample to sample; 0 where there was none.
    pub(super) fn times(&self, micros: fn(&Sample) -> u64, requests: fn(&Sample) -> u64) -> Vec<Point> {
        let pairs = self.hour.iter().zip(self.hour.iter().skip(1));
        let time = |(before, after): (&Sample, &Sample)| {
            let micros = micros(after).saturating_sub(micros(before));
            let requests = requests(after).saturating_sub(requests(before));
            Point { at: after.at, value: micros as f64 / requests.max(1) as f64 }
        };
        pairs.map(time).collect()
    }

    /// The space in use over the past week.
    pub(super) fn space(&self) -> Vec<Point> {
        let latest = self.hour.back().filter(|last| self.week.back().is_some_and(|week| week.at < last.at));
        let samples = self.week.iter().chain(latest);
        samples.map(|sample| Point { at: sample.at, value: sample.used as f64 }).collect()
    }

    /// By how much the space in use grew, and in which time: a week, or as long as the node runs.
    pub(super) fn growth(&self) -> Option<(u64, Duration)> {
        let (first, last) = (self.week.front()?, self.hour.back()?);
        Some((last.used.saturating_sub(first.used), last.at.since(first.at)))
    }
}

fn push(ring: &mut VecDeque<Sample>, sample: Sample, span: Duration) {
    ring.push_back(sample);
    while ring.front().is_some_and(|first| sample.at.since(first.at) > span) {
        ring.pop_front();
    }
}

/// When the store will be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forecast {
    /// It has not been watched for long enough.
    Unknown,
    /// Nothing was added for so long.
    Still { seconds: u64 },
    /// So far away, if it goes on as in the past `over` seconds.
    Full { seconds: u64, over: u64 },
}

/// A shorter time says nothing about the next one.
const WATCHED_MIN: u64 = 3600;
/// The same of a store's age, which counts days when nobody wrote.
const AGE_MIN: u64 = 86_400;

/// When `free` more bytes will be full, by what was watched, or else by the age of the `used` ones in seconds.
pub(super) fn forecast(watched: Option<(u64, Duration)>, used: u64, age: Option<u64>, free: u64) -> Forecast {
    let watched = watched.map(|(grown, time)| (grown, time.as_secs()));
    let watched = watched.filter(|(_, seconds)| *seconds >= WATCHED_MIN);
    let aged = age.filter(|seconds| *seconds >= AGE_MIN).map(|seconds| (used, seconds));
    match watched.or(aged) {
        None => Forecast::Unknown,
        Some((0, seconds)) => Forecast::Still { seconds },
        Some((grown, over)) => {
            let seconds = u128::from(free) * u128::from(over) / u128::from(grown);
            Forecast::Full { seconds: u64::try_from(seconds).unwrap_or(u64::MAX), over }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant { micros: seconds * 1_000_000 }
    }

    fn history(samples: u64) -> History {
        let mut history = History::default();
        for number in 0..samples {
            let sample = Sample {
                at: at(number * 10),
                used: number * 1000,
                reads: number * 50,
                read_micros: number * 100_000,
                ..Sample::default()
            };
            history.note(sample);
        }
        history
    }

    #[test]
    fn a_month_takes_no_more_memory_than_a_week() {
        let month = history(30 * 8640);
        assert_eq!((month.hour.len(), month.week.len()), (361, 337));
        assert!((month.hour.capacity() + month.week.capacity()) * size_of::<Sample>() < 80 << 10);
        let (grown, time) = month.growth().unwrap();
        assert!(WEEK - LONG_STEP <= time && time <= WEEK + LONG_STEP, "{time:?}");
        assert_eq!(grown, time.as_secs() / 10 * 1000);
    }

    #[test]
    fn rates_are_per_second_and_times_per_request() {
        let history = history(3);
        let point = |seconds, value| Point { at: at(seconds), value };
        assert_eq!(history.rates(|sample| sample.reads), [point(10, 5.0), point(20, 5.0)]);
        assert_eq!(history.times(|sample| sample.read_micros, |sample| sample.reads)[0], point(10, 2000.0));
        assert_eq!(history.times(|sample| sample.write_micros, |sample| sample.writes)[1], point(20, 0.0));
        assert_eq!(history.space(), [point(0, 0.0), point(20, 2000.0)]);
        assert!(History::default().space().is_empty() && History::default().growth().is_none());
    }

    #[test]
    fn the_future_is_told_from_an_hour_or_a_day_and_not_from_less() {
        let hour = Duration::from_secs(3600);
        assert_eq!(forecast(None, 0, None, 10), Forecast::Unknown);
        assert_eq!(forecast(Some((5, hour / 2)), 5, Some(86_399), 10), Forecast::Unknown);
        let by_age = Forecast::Full { seconds: 172_800, over: 86_400 };
        assert_eq!(forecast(Some((5, hour / 2)), 5, Some(86_400), 10), by_age);
        let by_watching = Forecast::Full { seconds: 7200, over: 3600 };
        assert_eq!(forecast(Some((5, hour)), 5, Some(86_400), 10), by_watching);
        assert_eq!(forecast(Some((0, hour)), 5, None, 10), Forecast::Still { seconds: 3600 });
        let never = Forecast::Full { seconds: u64::MAX, over: 7200 };
        assert_eq!(forecast(Some((1, hour * 2)), 5, None, u64::MAX), never);
    }
}
