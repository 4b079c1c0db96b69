//! How fast bytes may leave, and how long to wait after something failed.

use crate::clock::{Clock, Instant};
use crate::rng::Rng;
use async_lock::Mutex;
use core::time::Duration;

/// Waits after failures: the first one, and the longest.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Spaces out what is sent: at any time no more than a number of bytes per second, and one lump, since the first.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next bytes may go. Held by whose turn it is, so that nothing is kept for those who give up waiting.
    next: Mutex<Instant>,
}

impl Pace {
    /// Returns when so many bytes may be sent, to one after the other.
    pub(super) async fn take(&self, clock: &impl Clock, rate: Option<u64>, bytes: usize) {
        let Some(rate) = rate.filter(|rate| *rate > 0) else { return };
        let mut next = self.next.lock().await;
        let begin = (*next).max(clock.now());
        clock.sleep_until(begin).await;
        let micros = (bytes as u64).saturating_mul(1_000_000) / rate;
        *next = begin.plus(Duration::from_micros(micros));
    }
}

/// How long to wait after so many failures in a row: twice as long each time, and never the same for all.
pub(super) fn wait_after(failures: u32, rng: &impl Rng) -> Duration {
    let longest = WAIT_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(WAIT_MAX);
    let half = longest / 2;
    let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_micros(rng.next_u64() % micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[derive(Clone)]
    struct Fixed(u8);

    impl Rng for Fixed {
        fn fill(&self, target: &mut [u8]) {
            target.fill(self.0);
        }
    }

    #[test]
    fn waits_grow_up_to_a_limit_and_differ() {
        let waits: std::vec::Vec<Duration> =
            (1..40).map(|failures| wait_after(failures, &Fixed(7))).collect();
        assert!(waits.is_sorted_by(|one, next| one <= next || *next >= WAIT_MAX / 2), "{waits:?}");
        assert!(waits.iter().all(|wait| (WAIT_MIN / 2..WAIT_MAX).contains(wait)), "{waits:?}");
        assert_ne!(wait_after(5, &Fixed(1)), wait_after(5, &Fixed(2)));
    }
}
