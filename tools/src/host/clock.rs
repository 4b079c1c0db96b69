//! The host's time.

use net::clock::{Clock, Instant};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};
use storage::Timestamp;

static START: LazyLock<tokio::time::Instant> = LazyLock::new(tokio::time::Instant::now);

/// Time since the first clock of this process was asked, and the calendar's. All clocks agree.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant { micros: u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX) }
    }

    fn wall(&self) -> Timestamp {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        Timestamp(u32::try_from(since_1970).unwrap_or(u32::MAX))
    }

    async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(*START + Duration::from_micros(deadline.micros)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_until_the_deadline_and_not_at_all_when_it_has_passed() {
        crate::host::run(async {
            let clock = HostClock;
            let deadline = clock.now().plus(Duration::from_millis(20));
            clock.sleep_until(deadline).await;
            assert!(clock.now() >= deadline);
            clock.sleep_until(Instant::default()).await;
            Ok(())
        })
        .unwrap();
    }
}
