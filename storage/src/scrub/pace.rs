//! From what was set, and the size of the store, to pauses between small reads.
//!
//! Must not know who waits, nor what is read.

use crate::settings::Scrub;
use core::time::Duration;

/// Bytes that are read at once.
pub const PIECE: usize = 128 << 10;

/// Bytes a second, at least: a small store is verified in one go and then left alone.
const RATE_MIN: u64 = 1 << 20;
/// Bytes a second, at most, where days were set: the disks are the clients', first of all.
const RATE_MAX: u64 = 32 << 20;
/// How long clients can hold up one piece.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// How fast a store is read to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second while no client wants anything.
    rate: u64,
    /// Bytes a second that are enough to be done in time.
    enough: u64,
}

impl Pace {
    /// The pace at which `bytes` are verified as `setting` wants it: in half of the days, so that clients can have the
    /// other half; or at the rate, and at half of it beside clients. `None` when nothing is to be verified at all.
    pub fn new(setting: Scrub, bytes: u64) -> Option<Pace> {
        let in_time = bytes / u64::from(setting.period()?);
        let (rate, enough) = match setting {
            Scrub::Rate(rate) => (rate, rate / 2),
            _ => ((2 * in_time).clamp(RATE_MIN, RATE_MAX), in_time),
        };
        let rate = rate.max(1);
        Some(Pace { rate, enough: enough.clamp(1, rate) })
    }

    /// The pause before the next `bytes` are read.
    pub fn pause(&self, bytes: usize) -> Duration {
        at(self.rate, bytes)
    }

    /// For how much longer clients that are busy can hold them up.
    pub fn patience(&self, bytes: usize) -> Duration {
        at(self.enough, bytes).saturating_sub(self.pause(bytes)).min(PATIENCE_MAX)
    }
}

fn at(rate: u64, bytes: usize) -> Duration {
    Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_store_is_read_in_half_of_its_time_and_with_busy_clients_in_all_of_it() {
        let bytes = 30 * DAY * (8 << 20);
        let pace = Pace::new(Scrub::Days(30), bytes).unwrap();
        assert_eq!(pace.pause(16 << 20), Duration::from_secs(1));
        assert_eq!(pace.pause(16 << 20) + pace.patience(16 << 20), Duration::from_secs(2));
    }

    #[test]
    fn small_stores_are_read_quickly_and_large_ones_no_faster_than_clients_can_bear() {
        let small = Pace::new(Scrub::Days(30), 1000).unwrap();
        assert_eq!(small.pause(PIECE), Duration::from_millis(125));
        assert_eq!(small.patience(PIECE), PATIENCE_MAX);
        let large = Pace::new(Scrub::Days(1), u64::MAX / 4).unwrap();
        assert_eq!(large.pause(32 << 20), Duration::from_secs(1));
        assert_eq!(large.patience(32 << 20), Duration::ZERO);
    }

    #[test]
    fn a_rate_is_kept_and_off_is_off() {
        let pace = Pace::new(Scrub::Rate(4 << 20), 1 << 40).unwrap();
        assert_eq!(pace.pause(1 << 20), Duration::from_millis(250));
        assert_eq!(pace.patience(1 << 20), Duration::from_millis(250));
        assert_eq!(Pace::new(Scrub::Off, 1 << 40), None);
        assert!(Pace::new(Scrub::Rate(0), 0).is_some());
    }
}
