//! What came of those who wanted to prove who they are: counts by outcome, and few enough lines in the log.
//!
//! Must not know how anybody proves anything.

use super::SecureError;
use super::gate::Refused;
use crate::clock::Instant;
use crate::tls13::Failure;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::net::SocketAddr;
use core::time::Duration;

/// Lines about refusals in each stretch of time; strangers must not be able to fill the log.
const LINES_MAX: u32 = 10;
const STRETCH: Duration = Duration::from_secs(60);

/// Outcomes so far, of one node.
#[derive(Debug, Default)]
pub struct Logins {
    counts: RefCell<BTreeMap<&'static str, u64>>,
    stretch: Cell<Instant>,
    lines: Cell<u32>,
    unsaid: Cell<u64>,
}

impl Logins {
    /// Somebody was let in.
    pub fn admitted(&self) {
        self.count("admitted");
    }

    /// Somebody was not, by `outcome`; the log says why unless it has said so much that it is enough for now.
    pub fn refused(&self, outcome: &'static str, peer: SocketAddr, why: &dyn Display, now: Instant) {
        self.count(outcome);
        if !self.may_say(now) {
            self.unsaid.set(self.unsaid.get() + 1);
            return;
        }
        match self.unsaid.take() {
            0 => log::warn!("{peer}: login failed: {why}"),
            unsaid => log::warn!("{peer}: login failed: {why} ({unsaid} others since the last line)"),
        }
    }

    /// How often each outcome there was.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.counts.borrow().iter().map(|(outcome, count)| (*outcome, *count)).collect()
    }

    fn count(&self, outcome: &'static str) {
        *self.counts.borrow_mut().entry(outcome).or_default() += 1;
    }

    fn may_say(&self, now: Instant) -> bool {
        if now.since(self.stretch.get()) >= STRETCH {
            self.stretch.set(now);
            self.lines.set(0);
        }
        self.lines.set(self.lines.get().saturating_add(1));
        self.lines.get() <= LINES_MAX
    }
}

impl Refused {
    /// The outcome, in a word for counters.
    pub fn outcome(&self) -> &'static str {
        match self {
            Refused::Busy => "busy",
            Refused::Wait(_) => "must_wait",
        }
    }
}

impl SecureError {
    /// The outcome, in a word for counters.
    pub fn outcome(&self) -> &'static str {
        match self {
            SecureError::NotAdmitted(_) => "no_rights",
            SecureError::TimedOut => "timed_out",
            SecureError::Hungup | SecureError::Stream(_) => "hung_up",
            SecureError::Tls(_) => "tls",
            _ => "unproved",
        }
    }
}

impl Failure {
    /// The outcome, in a word for counters.
    pub fn outcome(&self) -> &'static str {
        match self {
            Failure::Stranger(_) => "stranger",
            Failure::Unproved => "unproved",
            Failure::TooLate => "timed_out",
            Failure::Truncated | Failure::Stream(_) | Failure::Closed => "hung_up",
            // What rustls says of a stranger comes as text.
            Failure::Protocol(text) if text.contains(" is not trusted") => "stranger",
            Failure::Protocol(_) | Failure::UsedUp => "tls",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, Logins};
    use crate::clock::Instant;

    #[test]
    fn everything_is_counted_and_only_so_much_is_said() {
        let logins = Logins::default();
        let peer = "10.0.0.1:5".parse().unwrap();
        let at = |seconds: u64| Instant { micros: seconds * 1_000_000 };
        for _ in 0..1000 {
            logins.refused("stranger", peer, &"no", at(100));
        }
        assert_eq!(logins.unsaid.get(), 1000 - u64::from(LINES_MAX));
        logins.refused("tls", peer, &"no", at(161));
        assert_eq!(logins.unsaid.get(), 0);
        logins.admitted();
        assert_eq!(logins.counts(), [("admitted", 1), ("stranger", 1000), ("tls", 1)]);
    }
}
