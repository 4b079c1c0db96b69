//! How many connections there may be, who has to go when one too many comes, and what they all did.

use super::latency::{Histogram, Latencies};
use super::signal::Signal;
use crate::clock::Instant;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

/// What was served since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections let in.
    pub accepted: u64,
    /// Connections turned away because all others were busy.
    pub refused: u64,
    /// Idle connections closed to make room.
    pub evicted: u64,
    /// Treads answered by the store.
    pub reads: u64,
    /// Twrites answered by the store.
    pub writes: u64,
    /// Tsyncs answered by the store.
    pub syncs: u64,
    /// Rerrors sent.
    pub errors: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// All connections of a listener, or of several.
pub struct Connections {
    max: usize,
    open: RefCell<Vec<Rc<Member>>>,
    counters: Cell<Counters>,
    times: [Histogram; Operation::ALL.len()],
}

/// What the store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Tread.
    Read,
    /// Twrite.
    Write,
    /// Tsync.
    Sync,
}

impl Operation {
    /// Every one.
    pub const ALL: [Operation; 3] = [Operation::Read, Operation::Write, Operation::Sync];
}

struct Member {
    welcomed: Cell<bool>,
    last_active: Cell<Instant>,
    under_way: Cell<usize>,
    evicted: Cell<bool>,
    signal: Signal,
}

/// A connection's place among the others; given back when dropped.
pub struct Ticket {
    connections: Rc<Connections>,
    member: Rc<Member>,
}

impl Connections {
    /// At most `max` at a time (at least one).
    pub fn new(max: usize) -> Rc<Connections> {
        Rc::new(Connections {
            max: max.max(1),
            open: RefCell::default(),
            counters: Cell::default(),
            times: Default::default(),
        })
    }

    /// Lets a connection in. Beyond the limit the one that is idle for longest is told to end, those that
    /// never said hello first; `None` if all are busy, or if those told to end have not gone yet.
    pub fn admit(self: &Rc<Connections>, now: Instant) -> Option<Ticket> {
        let mut open = self.open.borrow_mut();
        if open.len() >= self.max {
            let room = open.len() < self.max + self.max / 4 + 1;
            let idle = open.iter().filter(|member| member.under_way.get() == 0 && !member.evicted.get());
            let oldest = idle.min_by_key(|member| (member.welcomed.get(), member.last_active.get()));
            let Some(member) = oldest.filter(|_| room) else {
                self.count(|counters| counters.refused += 1);
                return None;
            };
            member.evicted.set(true);
            member.signal.notify();
            self.count(|counters| counters.evicted += 1);
        }
        let member = Rc::new(Member {
            welcomed: Cell::new(false),
            last_active: Cell::new(now),
            under_way: Cell::new(0),
            evicted: Cell::new(false),
            signal: Signal::default(),
        });
        open.push(Rc::clone(&member));
        self.count(|counters| counters.accepted += 1);
        Some(Ticket { connections: Rc::clone(self), member })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// What was served so far.
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    /// How long the store took for each request of this kind.
    pub fn latencies(&self, operation: Operation) -> Latencies {
        self.times[operation as usize].latencies()
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }
}

impl Ticket {
    /// A number that no other connection has at the same time.
    pub(super) fn number(&self) -> u64 {
        Rc::as_ptr(&self.member).addr() as u64
    }

    pub(crate) fn touch(&self, now: Instant) {
        self.member.last_active.set(now);
    }

    pub(crate) fn welcome(&self) {
        self.member.welcomed.set(true);
    }

    pub(super) fn welcomed(&self) -> bool {
        self.member.welcomed.get()
    }

    /// Requests whose replies are not sent yet.
    pub(crate) fn set_under_way(&self, requests: usize) {
        self.member.under_way.set(requests);
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        self.connections.count(change);
    }

    /// Notes a request that the store has answered, and how long it took.
    pub(super) fn note(&self, operation: Operation, time: Duration) {
        self.count(|counters| match operation {
            Operation::Read => counters.reads += 1,
            Operation::Write => counters.writes += 1,
            Operation::Sync => counters.syncs += 1,
        });
        self.connections.times[operation as usize].note(time);
    }

    /// Returns when this connection has to make room.
    pub(crate) async fn evicted(&self) {
        self.member.signal.until(|| self.member.evicted.get()).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().retain(|member| !Rc::ptr_eq(member, &self.member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn at(micros: u64) -> Instant {
        Instant { micros }
    }

    #[test]
    fn the_longest_idle_goes_and_those_without_hello_go_first() {
        let connections = Connections::new(3);
        let tickets: Vec<Ticket> = (0..3).filter_map(|second| connections.admit(at(second))).collect();
        tickets[0].welcome();
        tickets[1].welcome();
        let newcomer = connections.admit(at(9)).unwrap();
        assert!(tickets[2].evicted().now_or_never().is_some(), "it never said hello");
        newcomer.welcome();
        drop(tickets.into_iter().next_back());
        assert_eq!((connections.open(), connections.counters().evicted), (1, 1));
    }

    #[test]
    fn busy_connections_stay_and_a_flood_is_refused() {
        let connections = Connections::new(2);
        let busy: Vec<Ticket> = (0..2).filter_map(|_| connections.admit(at(0))).collect();
        for ticket in &busy {
            ticket.set_under_way(1);
        }
        assert!(connections.admit(at(1)).is_none());
        busy[0].set_under_way(0);
        let _third = connections.admit(at(2)).unwrap();
        assert!(busy[0].evicted().now_or_never().is_some() && busy[1].evicted().now_or_never().is_none());
        for _ in 0..100 {
            assert!(connections.admit(at(3)).is_none(), "the evicted one has not gone yet");
        }
        assert_eq!((connections.open(), connections.counters().refused), (3, 101));
    }
}
