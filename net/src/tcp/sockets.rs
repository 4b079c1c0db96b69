//! The table of TCP sockets: who owns each, when it ends, and who gives way when all are in use.
//!
//! smoltcp's `listen` takes one connection per socket and has no backlog. So each port keeps one socket that
//! listens; the SYN that uses it up brings the next one at once, before the next frame is looked at. Knows no
//! addresses, no card.
//!
//! ```text
//!  Listening ──SYN──▶ HalfOpen ──ACK──▶ Ready ──accept──▶ Owned ──both halves dropped──▶ Closing ──▶ gone
//!      ▲                 │ deadline, RST, evicted           ▲                               │ deadline
//!      └─────────────────┘                       connect ───┘                               ▼
//!                                                                                        Aborted ──▶ gone
//! ```

use super::error::ListenError;
use super::limits::TcpLimits;
use super::stack::to_smoltcp_duration;
use super::status::TcpStatus;
use crate::clock::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};

/// A peer that takes a dropped connection's data, but slowly, gets so many times [`TcpLimits::linger`].
const FAREWELLS_MAX: u32 = 20;
/// After its abort a socket may try for so long to send the RST (its neighbour may be unknown).
const ABORT_GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a SYN to this port.
    Listening(u16),
    /// A SYN came; the peer has not confirmed.
    HalfOpen { port: u16, since: Instant, order: u64 },
    /// Stands, and waits to be accepted.
    Ready(u16),
    /// A stream's, or a call of our own that is under way.
    Owned,
    /// Dropped by its stream; `None` until the table next learns the time.
    Closing(Option<Farewell>),
    /// Reset by us: the RST may still have to be sent. `None` as above.
    Aborted(Option<Instant>),
}

/// How long a connection that nobody holds may still deliver what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Farewell {
    /// The end, unless the peer takes something before.
    until: Instant,
    /// The end in any case.
    end: Instant,
    /// Bytes that the peer has not acknowledged.
    queued: usize,
    /// What smoltcp made of it when it was last looked at.
    state: State,
}

struct Slot {
    phase: Phase,
    /// Bytes of both buffers.
    buffers: usize,
}

/// A port that is listened to.
struct Port {
    number: u16,
    /// Connections to accept, oldest first.
    ready: VecDeque<SocketHandle>,
    waker: Option<Waker>,
    /// Closed to newcomers since everything is in use.
    full: bool,
}

/// All TCP sockets.
pub(super) struct Sockets {
    pub(super) set: SocketSet<'static>,
    slots: BTreeMap<SocketHandle, Slot>,
    ports: Vec<Port>,
    limits: TcpLimits,
    /// Scratch of [`Self::sweep`], kept so that a turn allocates nothing.
    swept: Vec<SocketHandle>,
    /// SYNs taken so far: the order of half-open connections.
    syns: u64,
    /// Counters only; the rest is counted when asked for.
    counters: TcpStatus,
}

impl Sockets {
    pub(super) fn new(limits: TcpLimits) -> Sockets {
        let (set, swept) = (SocketSet::new(Vec::new()), Vec::new());
        Sockets {
            set,
            slots: BTreeMap::new(),
            ports: Vec::new(),
            limits,
            swept,
            syns: 0,
            counters: TcpStatus::default(),
        }
    }

    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.set.get_mut(handle)
    }

    pub(super) fn limits(&self) -> &TcpLimits {
        &self.limits
    }

    pub(super) fn listen(&mut self, number: u16) -> Result<(), ListenError> {
        if number == 0 {
            return Err(ListenError::PortZero);
        }
        if self.ports.iter().any(|port| port.number == number) {
            return Err(ListenError::InUse { port: number });
        }
        if self.ports.len() >= TcpLimits::MAX_PORTS {
            return Err(ListenError::TooMany { port: number });
        }
        self.ports.push(Port { number, ready: VecDeque::new(), waker: None, full: false });
        self.replenish(number);
        Ok(())
    }

    /// Stops listening; connections that nobody accepted are reset.
    pub(super) fn unlisten(&mut self, number: u16) {
        self.ports.retain(|port| port.number != number);
        let of_port = |phase| match phase {
            Phase::HalfOpen { port, .. } | Phase::Ready(port) => port == number,
            _ => false,
        };
        let begun: Vec<_> =
            self.slots.iter().filter(|(_, slot)| of_port(slot.phase)).map(|(h, _)| *h).collect();
        for handle in begun {
            self.abort(handle);
        }
        for (handle, _) in self.listening().filter(|(_, port)| *port == number) {
            self.remove(handle);
        }
    }

    /// The oldest connection to accept on `number`, or a promise to wake `waker` when there is one.
    pub(super) fn accept(&mut self, number: u16, waker: &Waker) -> Option<SocketHandle> {
        let port = self.ports.iter_mut().find(|port| port.number == number)?;
        let Some(handle) = port.ready.pop_front() else {
            port.waker = Some(waker.clone());
            return None;
        };
        self.set_phase(handle, Phase::Owned);
        self.counters.accepted = self.counters.accepted.wrapping_add(1);
        Some(handle)
    }

    /// A socket for a call of our own.
    pub(super) fn own(&mut self) -> Option<SocketHandle> {
        let handle = if self.in_use() < self.limits.max_connections { self.create() } else { self.evict() }?;
        self.set_phase(handle, Phase::Owned);
        Some(handle)
    }

    pub(super) fn count_connected(&mut self) {
        self.counters.connected = self.counters.connected.wrapping_add(1);
    }

    /// Whether a local port is free for a call of our own.
    pub(super) fn port_is_free(&self, number: u16) -> bool {
        let taken = |socket: &smoltcp::socket::Socket<'_>| match socket {
            smoltcp::socket::Socket::Tcp(tcp) => {
                tcp.local_endpoint().is_some_and(|local| local.port == number)
            }
            smoltcp::socket::Socket::Dhcpv4(_)
            | smoltcp::socket::Socket::Udp(_)
            | smoltcp::socket::Socket::Dns(_) => false,
        };
        self.ports.iter().all(|port| port.number != number)
            && !self.set.iter().any(|(_, socket)| taken(socket))
    }

    /// Its stream is gone: deliver what is in the buffer, say goodbye, and end within [`TcpLimits::linger`].
    pub(super) fn release(&mut self, handle: SocketHandle) {
        self.socket(handle).close();
        self.set_phase(handle, Phase::Closing(None));
    }

    /// Resets the connection, if there is one.
    fn abort(&mut self, handle: SocketHandle) {
        self.socket(handle).abort();
        self.set_phase(handle, Phase::Aborted(None));
    }

    fn set_phase(&mut self, handle: SocketHandle, phase: Phase) {
        if let Some(slot) = self.slots.get_mut(&handle) {
            slot.phase = phase;
        }
    }

    /// Sockets that count towards [`TcpLimits::max_connections`].
    fn in_use(&self) -> usize {
        self.slots.values().filter(|slot| !matches!(slot.phase, Phase::Listening(_))).count()
    }

    /// The socket of whoever must give way, if there is one.
    fn evict(&mut self) -> Option<SocketHandle> {
        let handle = self.first_to_give_way()?;
        self.counters.evicted = self.counters.evicted.wrapping_add(1);
        Some(handle)
    }

    /// The oldest half-open connection but the newest; else the lingering one that ends first; else the
    /// newest half-open one. Its peer hears nothing of it until it speaks again, and then RST: under a flood
    /// every answer would be one too many.
    fn first_to_give_way(&self) -> Option<SocketHandle> {
        let half_open = |(handle, slot): (&SocketHandle, &Slot)| match slot.phase {
            Phase::HalfOpen { order, .. } => Some((order, *handle)),
            _ => None,
        };
        let lingering = |(handle, slot): (&SocketHandle, &Slot)| match slot.phase {
            Phase::Closing(farewell) => Some((farewell.map(|farewell| farewell.until), *handle)),
            Phase::Aborted(until) => Some((until, *handle)),
            _ => None,
        };
        let half_open = || self.slots.iter().filter_map(half_open);
        let (oldest, newest) = (half_open().min(), half_open().max());
        let older = oldest.filter(|_| oldest != newest).map(|(_, handle)| handle);
        let lingering = || self.slots.iter().filter_map(lingering).min().map(|(_, handle)| handle);
        older.or_else(lingering).or(newest.map(|(_, handle)| handle))
    }

    fn create(&mut self) -> Option<SocketHandle> {
        let used = self.slots.values().map(|slot| slot.buffers).sum();
        let size = self.limits.next_buffer(used, self.slots.len());
        let mut socket = Socket::new(buffer(size)?, buffer(size)?);
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(Some(to_smoltcp_duration(self.limits.keep_alive)));
        socket.set_timeout(Some(to_smoltcp_duration(self.limits.dead_peer_timeout)));
        let handle = self.set.add(socket);
        self.slots.insert(handle, Slot { phase: Phase::Owned, buffers: 2 * size });
        Some(handle)
    }

    fn remove(&mut self, handle: SocketHandle) {
        self.set.remove(handle);
        self.slots.remove(&handle);
    }

    /// Sees to it that `number` has a socket that listens, if at all possible.
    fn replenish(&mut self, number: u16) {
        if self.slots.values().any(|slot| slot.phase == Phase::Listening(number)) {
            return;
        }
        let in_use = self.in_use();
        let handle = if in_use > self.limits.max_connections {
            self.evict()
        } else if in_use < self.limits.max_connections || self.first_to_give_way().is_some() {
            self.create()
        } else {
            None
        };
        let listens = handle.is_some_and(|handle| {
            // `listen` refuses an open socket: what gives way is aborted, and forgotten without a word.
            self.socket(handle).abort();
            let listens = self.socket(handle).listen(number).is_ok();
            assert!(listens, "a closed socket refuses to listen on port {number}");
            self.set_phase(handle, Phase::Listening(number));
            listens
        });
        let Some(port) = self.ports.iter_mut().find(|port| port.number == number) else { return };
        if !listens && !port.full {
            self.counters.refused = self.counters.refused.wrapping_add(1);
        }
        port.full = !listens;
    }

    /// Right after a SYN: whatever it used up is replaced before the next frame.
    pub(super) fn after_syn(&mut self, now: Instant) {
        for (handle, port) in self.listening() {
            if self.socket(handle).state() != State::Listen {
                self.syns = self.syns.wrapping_add(1);
                self.set_phase(handle, Phase::HalfOpen { port, since: now, order: self.syns });
                self.replenish(port);
            }
        }
    }

    /// Brings every slot up to what smoltcp and the clock made of its socket. Whether there is an RST to
    /// send.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        self.after_syn(now);
        let mut to_send = false;
        let mut handles = core::mem::take(&mut self.swept);
        handles.extend(self.slots.keys());
        for handle in handles.drain(..) {
            to_send |= self.sweep_one(handle, now);
        }
        self.swept = handles;
        for index in 0..self.ports.len() {
            if let Some(number) = self.ports.get(index).map(|port| port.number) {
                self.replenish(number);
            }
        }
        self.close_ears();
        to_send
    }

    fn sweep_one(&mut self, handle: SocketHandle, now: Instant) -> bool {
        let Some(phase) = self.slots.get(&handle).map(|slot| slot.phase) else { return false };
        let state = self.socket(handle).state();
        match (phase, state) {
            (Phase::HalfOpen { .. }, State::Listen | State::Closed) => self.remove(handle),
            (Phase::HalfOpen { since, .. }, State::SynReceived) => {
                if now >= since.plus(self.limits.half_open_timeout) {
                    self.counters.half_open_expired = self.counters.half_open_expired.wrapping_add(1);
                    self.remove(handle);
                }
            }
            (Phase::HalfOpen { port, .. }, _) => self.make_ready(handle, port),
            (Phase::Ready(number), State::Closed) => {
                if let Some(port) = self.ports.iter_mut().find(|port| port.number == number) {
                    port.ready.retain(|ready| *ready != handle);
                }
                self.abort(handle);
                return true;
            }
            (Phase::Closing(farewell), _) => return self.sweep_closing(handle, farewell, now),
            (Phase::Aborted(until), _) => self.sweep_aborted(handle, until, now),
            (Phase::Listening(_) | Phase::Ready(_) | Phase::Owned, _) => {}
        }
        false
    }

    fn make_ready(&mut self, handle: SocketHandle, number: u16) {
        self.set_phase(handle, Phase::Ready(number));
        if let Some(port) = self.ports.iter_mut().find(|port| port.number == number) {
            port.ready.push_back(handle);
            if let Some(waker) = port.waker.take() {
                waker.wake();
            }
        }
    }

    /// Whether there is an RST to send.
    fn sweep_closing(&mut self, handle: SocketHandle, farewell: Option<Farewell>, now: Instant) -> bool {
        let TcpLimits { linger, last_wait, .. } = self.limits;
        let socket = self.socket(handle);
        // Nobody reads any more, but the peer may have to send on before it can say goodbye.
        while socket.can_recv() && socket.recv(|data| (data.len(), ())).is_ok() {}
        let (state, queued) = (socket.state(), socket.send_queue());
        let end = farewell.map_or(now.plus(linger * FAREWELLS_MAX), |farewell| farewell.end);
        let has_everything = matches!(state, State::FinWait2 | State::TimeWait);
        let until = match farewell {
            Some(farewell) if state == farewell.state && queued >= farewell.queued => farewell.until,
            _ if has_everything => now.plus(last_wait).min(end),
            _ => now.plus(linger).min(end),
        };
        if now >= until && state == State::TimeWait {
            // Both sides have said goodbye: an RST would tell the peer nothing.
            self.remove(handle);
            return false;
        }
        if state == State::Closed || now >= until {
            self.abort(handle);
            self.sweep_aborted(handle, None, now);
            return true;
        }
        self.set_phase(handle, Phase::Closing(Some(Farewell { until, end, queued, state })));
        false
    }

    fn sweep_aborted(&mut self, handle: SocketHandle, until: Option<Instant>, now: Instant) {
        let until = until.unwrap_or(now.plus(ABORT_GRACE));
        // A closed socket that has a peer has an RST to send.
        if now >= until || self.socket(handle).remote_endpoint().is_none() {
            self.remove(handle);
        } else {
            self.set_phase(handle, Phase::Aborted(Some(until)));
        }
    }

    /// A port keeps no open ear when there is nobody left who could give way; smoltcp then answers SYNs by
    /// RST.
    fn close_ears(&mut self) {
        let in_use = self.in_use();
        assert!(in_use <= self.limits.max_connections, "{in_use} connections are more than allowed");
        if in_use < self.limits.max_connections || self.first_to_give_way().is_some() {
            return;
        }
        for handle in self.listening().map(|(handle, _)| handle) {
            self.remove(handle);
        }
        for port in &mut self.ports {
            self.counters.refused = self.counters.refused.wrapping_add(u64::from(!port.full));
            port.full = true;
        }
    }

    /// The sockets that listen, and to which port: one a port at most.
    fn listening(&self) -> impl Iterator<Item = (SocketHandle, u16)> + use<> {
        let listening = |(handle, slot): (&SocketHandle, &Slot)| match slot.phase {
            Phase::Listening(port) => Some((*handle, port)),
            _ => None,
        };
        let listening = self.slots.iter().filter_map(listening).take(TcpLimits::MAX_PORTS);
        listening.collect::<heapless::Vec<_, { TcpLimits::MAX_PORTS }>>().into_iter()
    }

    /// When [`Self::sweep`] has something to do that no packet announces.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline = |slot: &Slot| match slot.phase {
            Phase::HalfOpen { since, .. } => Some(since.plus(self.limits.half_open_timeout)),
            Phase::Closing(farewell) => Some(farewell.map(|farewell| farewell.until).unwrap_or_default()),
            Phase::Aborted(until) => Some(until.unwrap_or_default()),
            Phase::Listening(_) | Phase::Ready(_) | Phase::Owned => None,
        };
        self.slots.values().filter_map(deadline).min()
    }

    pub(super) fn status(&self) -> TcpStatus {
        let count =
            |wanted: fn(&Phase) -> bool| self.slots.values().filter(|slot| wanted(&slot.phase)).count();
        TcpStatus {
            open: count(|phase| matches!(phase, Phase::Ready(_) | Phase::Owned)),
            half_open: count(|phase| matches!(phase, Phase::HalfOpen { .. })),
            lingering: count(|phase| matches!(phase, Phase::Closing(_) | Phase::Aborted(_))),
            listening: count(|phase| matches!(phase, Phase::Listening(_))),
            buffer_bytes: self.slots.values().map(|slot| slot.buffers).sum(),
            ..self.counters
        }
    }
}

/// A buffer of `size` bytes, unless memory is short: then a SYN is refused, and the node goes on.
fn buffer(size: usize) -> Option<SocketBuffer<'static>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).ok()?;
    bytes.resize(size, 0);
    Some(SocketBuffer::new(bytes))
}
