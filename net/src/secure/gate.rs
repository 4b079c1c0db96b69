//! How many may prove themselves at a time, and how often somebody may fail.
//!
//! A proof costs the server milliseconds of arithmetic. So there is a bound on proofs under way, a smaller one for each
//! address, and an address that failed often waits longer and longer.

use crate::clock::Instant;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::{IpAddr, Ipv6Addr};
use core::num::NonZeroUsize;
use core::time::Duration;
use lru::LruCache;

/// Proofs under way.
const AT_ONCE: usize = 16;
/// Proofs under way from one address.
const AT_ONCE_EACH: usize = 4;
/// Failures in a row that cost nothing.
const FREE: u32 = 4;
/// The wait after the next one; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait, and how long a failure is remembered.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered; the oldest are forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Why somebody is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many at once.
    #[error("too many are proving themselves at once")]
    Busy,
    /// Too many failures.
    #[error("this address failed too often, and is not heard for {} s", .0.as_secs().max(1))]
    Wait(Duration),
}

/// How many came, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Proved themselves and were let in.
    pub admitted: u64,
    /// Did not.
    pub failed: u64,
    /// Were not heard.
    pub refused: u64,
}

/// The bound on proofs, of one node.
#[derive(Default)]
pub struct Gate {
    under_way: RefCell<Vec<IpAddr>>,
    failures: RefCell<Option<LruCache<IpAddr, Failures>>>,
    figures: Cell<Figures>,
}

#[derive(Clone, Copy)]
struct Failures {
    in_row: u32,
    until: Instant,
}

impl Gate {
    /// A gate at which nobody has been.
    pub fn new() -> Rc<Gate> {
        Rc::default()
    }

    /// Whether `peer` may try to prove itself now.
    ///
    /// # Errors
    /// Not now. It must not be answered at all.
    pub fn enter(self: &Rc<Gate>, peer: IpAddr, now: Instant) -> Result<Pass, Refused> {
        let peer = neighbourhood(peer);
        let entered = self.check(peer, now);
        if entered.is_err() {
            self.count(|figures| figures.refused += 1);
        }
        entered?;
        self.under_way.borrow_mut().push(peer);
        Ok(Pass { gate: Rc::clone(self), peer })
    }

    /// What came of all so far.
    pub fn figures(&self) -> Figures {
        self.figures.get()
    }

    fn check(&self, peer: IpAddr, now: Instant) -> Result<(), Refused> {
        if let Some(failures) = self.failures.borrow_mut().as_mut().and_then(|all| all.get(&peer))
            && failures.in_row > FREE
            && failures.until > now
        {
            return Err(Refused::Wait(failures.until.since(now)));
        }
        let under_way = self.under_way.borrow();
        let of_peer = under_way.iter().filter(|other| **other == peer).count();
        if under_way.len() < AT_ONCE && of_peer < AT_ONCE_EACH { Ok(()) } else { Err(Refused::Busy) }
    }

    fn count(&self, change: impl FnOnce(&mut Figures)) {
        let mut figures = self.figures.get();
        change(&mut figures);
        self.figures.set(figures);
    }

    fn failed(&self, peer: IpAddr, now: Instant) {
        let mut failures = self.failures.borrow_mut();
        let failures = failures.get_or_insert_with(|| LruCache::new(REMEMBERED));
        let before = failures.get(&peer).copied().filter(|before| before.until.plus(LONGEST_WAIT) > now);
        let in_row = before.map_or(1, |before| before.in_row.saturating_add(1));
        let doublings = in_row.saturating_sub(FREE + 1).min(16);
        let wait = if in_row > FREE { FIRST_WAIT * (1 << doublings) } else { Duration::ZERO };
        failures.put(peer, Failures { in_row, until: now.plus(wait.min(LONGEST_WAIT)) });
    }
}

/// Leave to prove oneself, once.
pub struct Pass {
    gate: Rc<Gate>,
    peer: IpAddr,
}

impl Pass {
    /// The proof is good.
    pub fn admitted(self) {
        self.gate.count(|figures| figures.admitted += 1);
        if let Some(failures) = self.gate.failures.borrow_mut().as_mut() {
            failures.pop(&self.peer);
        }
    }

    /// It is not, or did not come.
    pub fn failed(self, now: Instant) {
        self.gate.count(|figures| figures.failed += 1);
        self.gate.failed(self.peer, now);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut under_way = self.gate.under_way.borrow_mut();
        if let Some(at) = under_way.iter().position(|peer| *peer == self.peer) {
            under_way.swap_remove(at);
        }
    }
}

/// Whoever has one address of IPv6 has all of its network.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Gate, Refused};
    use crate::clock::Instant;
    use core::net::IpAddr;
    use core::time::Duration;
    use std::vec::Vec;

    fn at(seconds: u64) -> Instant {
        Instant { micros: seconds * 1_000_000 }
    }

    fn peer(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn few_prove_themselves_at_once_and_fewer_from_one_address() {
        let gate = Gate::new();
        let mut passes: Vec<_> = (0..4).map(|_| gate.enter(peer(1), at(0)).unwrap()).collect();
        assert_eq!(gate.enter(peer(1), at(0)).err(), Some(Refused::Busy));
        passes.extend((0..12).map(|last| gate.enter(peer(2 + last / 4), at(0)).unwrap()));
        assert_eq!(gate.enter(peer(9), at(0)).err(), Some(Refused::Busy));
        passes.pop().unwrap().admitted();
        gate.enter(peer(9), at(0)).unwrap().admitted();
        assert_eq!(gate.figures(), Figures { admitted: 2, failed: 0, refused: 2 });
    }

    #[test]
    fn who_fails_often_waits_longer_each_time_and_others_do_not() {
        let gate = Gate::new();
        let mut now = 0;
        for waits in [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60] {
            gate.enter(peer(1), at(now)).unwrap().failed(at(now));
            if waits > 0 {
                let refused = Refused::Wait(Duration::from_secs(waits));
                assert_eq!(gate.enter(peer(1), at(now)).err(), Some(refused));
                gate.enter(peer(2), at(now)).unwrap();
            }
            now += waits;
        }
        gate.enter(peer(1), at(now)).unwrap().admitted();
        gate.enter(peer(1), at(now)).unwrap().failed(at(now));
        assert!(gate.enter(peer(1), at(now)).is_ok());
    }

    #[test]
    fn failures_are_forgiven_in_time_and_networks_of_ipv6_fail_together() {
        let gate = Gate::new();
        let [one, other] = ["fd00::1", "fd00::2"].map(|address| address.parse().unwrap());
        (0..5).for_each(|_| gate.enter(one, at(0)).unwrap().failed(at(0)));
        assert_eq!(gate.enter(other, at(0)).err(), Some(Refused::Wait(Duration::from_secs(1))));
        gate.enter(one, at(61)).unwrap().failed(at(61));
        assert!(gate.enter(other, at(61)).is_ok());
    }
}
