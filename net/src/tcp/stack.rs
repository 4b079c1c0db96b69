//! The handle on the stack, and one turn of its work. Knows what must happen in which order, not when to
//! wait.

use super::TcpLimits;
use super::addresses::Addresses;
use super::error::{ConnectError, ListenError, SettingsError};
use super::listener::Listener;
use super::nic::{Nic, Traffic, Watched};
use super::runner::Runner;
use super::settings::{MTU_MAX, MTU_MIN, NetSettings};
use super::sockets::Sockets;
use super::status::NetStatus;
use super::stream::{Connection, TcpStream};
use crate::clock::Instant;
use crate::rng::Rng;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Poll, Waker};
use core::time::Duration;
use event_listener::Event;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult};
use smoltcp::phy::Device;
use smoltcp::socket::tcp::State as TcpState;
use smoltcp::wire::{ETHERNET_HEADER_LEN, EthernetAddress, HardwareAddress};

/// Frames taken in, and rounds of sending, before other tasks get their turn.
const BATCH: usize = 64;
/// Ports for calls of our own (RFC 6335, section 6).
const FIRST_OWN_PORT: u16 = 49152;
/// Own ports that are tried before giving up: far more than can be in use.
const OWN_PORT_TRIES: usize = 64;
/// Waiting time when smoltcp wants to be polled at once although a turn moved nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// The network, from any task: cheap to clone. Needs its [`Runner`] to run.
#[derive(Clone)]
pub struct Stack {
    pub(super) shared: Rc<Shared>,
}

/// What the handles and the runner share.
pub(super) struct Shared {
    pub(super) state: RefCell<State>,
    /// An address came or went.
    pub(super) addresses_changed: Event,
    random: Rc<dyn Fn() -> u64>,
}

/// Everything but the card.
pub(super) struct State {
    pub(super) iface: Interface,
    pub(super) sockets: Sockets,
    pub(super) addresses: Addresses,
    traffic: Rc<Traffic>,
    hardware: [u8; 6],
    /// Largest frame of the card, in bytes with its Ethernet header.
    card_frame_max: usize,
    /// Largest frame that is sent at present.
    frame_max: usize,
    random: Rc<dyn Fn() -> u64>,
    /// Of the last turn.
    pub(super) now: Instant,
    /// A stream was used since the last turn.
    pub(super) kicked: bool,
    /// The runner, asleep.
    pub(super) runner: Option<Waker>,
}

/// What the runner does after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another turn, after other tasks had theirs.
    Again,
    /// Wait for the card or a stream, or until then.
    Wait(Option<Instant>),
}

impl Stack {
    /// Sets up the network on `nic`. Nothing is sent before the [`Runner`] runs.
    ///
    /// # Errors
    /// Says which setting, or which property of the card, is impossible.
    pub fn new<N: Nic>(
        mut nic: N,
        settings: NetSettings,
        limits: TcpLimits,
        rng: impl Rng,
        now: Instant,
    ) -> Result<(Stack, Runner<N>), SettingsError> {
        settings.check()?;
        let hardware = nic.hardware_address();
        let address = EthernetAddress(hardware);
        if !address.is_unicast() || hardware == [0; 6] {
            return Err(SettingsError::HardwareAddress(hardware));
        }
        let card_frame_max = card_frame_max(nic.capabilities().max_transmission_unit)?;
        let frame_max = frame_max(settings.mtu, card_frame_max);
        let random: Rc<dyn Fn() -> u64> = Rc::new(move || rng.next_u64());
        let traffic = Rc::new(Traffic::default());
        let mut device = Watched { nic: &mut nic, traffic: &traffic, frame_max };
        let mut iface = interface(hardware, &mut device, random(), now);
        let mut sockets = Sockets::new(limits);
        let addresses = Addresses::new(settings, address, &mut iface, &mut sockets.set, &traffic, now);
        let state = State {
            iface,
            sockets,
            addresses,
            traffic,
            hardware,
            card_frame_max,
            frame_max,
            random: random.clone(),
            now,
            kicked: false,
            runner: None,
        };
        let shared = Shared { state: RefCell::new(state), addresses_changed: Event::new(), random };
        let shared = Rc::new(shared);
        Ok((Stack { shared: shared.clone() }, Runner::new(nic, shared)))
    }

    /// Listens on `port` of all addresses, until the [`Listener`] is dropped.
    ///
    /// # Errors
    /// Port 0, a port in use, or more than [`TcpLimits::MAX_PORTS`].
    pub fn listen(&self, port: u16) -> Result<Listener, ListenError> {
        self.shared.state.borrow_mut().sockets.listen(port)?;
        Ok(Listener::new(self.shared.clone(), port))
    }

    /// Calls `peer`. Dropping the future gives up the call.
    ///
    /// # Errors
    /// Refused, not answered in [`TcpLimits::connect_timeout`], no address to call from, or everything in
    /// use.
    pub async fn connect(&self, peer: SocketAddr) -> Result<TcpStream, ConnectError> {
        let connection = self.call(peer)?;
        let (started, limits) = {
            let state = self.shared.state.borrow();
            (state.now, *state.sockets.limits())
        };
        poll_fn(|cx| {
            let mut state = self.shared.state.borrow_mut();
            let now = state.now;
            let socket = state.sockets.socket(connection.handle());
            match socket.state() {
                TcpState::SynSent | TcpState::SynReceived => {
                    socket.register_send_waker(cx.waker());
                    Poll::Pending
                }
                TcpState::Closed if now.since(started) >= limits.connect_timeout => {
                    Poll::Ready(Err(ConnectError::TimedOut { peer }))
                }
                TcpState::Closed => Poll::Ready(Err(ConnectError::Refused { peer })),
                _ => {
                    socket.set_timeout(Some(to_smoltcp_duration(limits.dead_peer_timeout)));
                    state.sockets.count_connected();
                    Poll::Ready(Ok(()))
                }
            }
        })
        .await?;
        Ok(TcpStream::new(connection))
    }

    fn call(&self, peer: SocketAddr) -> Result<Connection, ConnectError> {
        let mut state = self.shared.state.borrow_mut();
        let state = &mut *state;
        if !state.has_address_for(peer)
            || peer.port() == 0
            || !smoltcp::wire::IpAddress::from(peer.ip()).is_unicast()
        {
            return Err(ConnectError::NoAddress { peer });
        }
        let port = self.own_port(&state.sockets).ok_or(ConnectError::TooMany { peer })?;
        let handle = state.sockets.own().ok_or(ConnectError::TooMany { peer })?;
        let timeout = to_smoltcp_duration(state.sockets.limits().connect_timeout);
        let socket = state.sockets.socket(handle);
        socket.abort();
        socket.set_timeout(Some(timeout));
        let called = socket.connect(state.iface.context(), peer, port);
        state.kick();
        let connection = Connection::new(self.shared.clone(), handle, peer);
        called.map(|()| connection).map_err(|_| ConnectError::NoAddress { peer })
    }

    fn own_port(&self, sockets: &Sockets) -> Option<u16> {
        (0..OWN_PORT_TRIES).map(|_| self.random_port()).find(|port| sockets.port_is_free(*port))
    }

    /// One of the ports for calls of our own.
    pub(super) fn random_port(&self) -> u16 {
        let span = u64::from(u16::MAX - FIRST_OWN_PORT) + 1;
        FIRST_OWN_PORT.saturating_add(u16::try_from((self.shared.random)() % span).unwrap_or(0))
    }

    /// How the network stands at this moment.
    pub fn status(&self, now: Instant) -> NetStatus {
        let state = self.shared.state.borrow();
        NetStatus {
            hardware_address: state.hardware,
            ipv4: state.addresses.ipv4(now),
            ipv6: state.addresses.ipv6(),
            ipv6_gateway: state.addresses.ipv6_gateway(),
            mtu: u16::try_from(state.frame_max - ETHERNET_HEADER_LEN).unwrap_or(u16::MAX),
            frames: state.traffic.counters(),
            tcp: state.sockets.status(),
        }
    }

    /// How well this card leads to `address`: the bits of the most specific network or route that it has for it now.
    pub(super) fn fit(&self, address: IpAddr) -> Option<u8> {
        self.shared.state.borrow().addresses.fit(address)
    }

    /// Returns when an address comes or goes (a lease, a prefix). What it is now tells [`Stack::status`];
    /// read that first, and again after each return.
    pub async fn addresses_changed(&self) {
        self.shared.addresses_changed.listen().await;
    }
}

impl Shared {
    pub(super) fn kick(&self) {
        self.state.borrow_mut().kick();
    }
}

impl State {
    /// Wakes the runner: a stream has something to send or to announce.
    pub(super) fn kick(&mut self) {
        self.kicked = true;
        if let Some(runner) = self.runner.take() {
            runner.wake();
        }
    }

    /// Whether there is an address of the peer's kind to send from.
    pub(super) fn has_address_for(&self, peer: SocketAddr) -> bool {
        match peer {
            SocketAddr::V4(_) => self.iface.ipv4_addr().is_some(),
            SocketAddr::V6(_) => self.iface.ipv6_addr().is_some(),
        }
    }

    /// Takes in what the card has, sends what is due, and says what comes next. The second value tells
    /// whether addresses changed.
    pub(super) fn turn<N: Device>(&mut self, nic: &mut N, now: Instant) -> (Next, bool) {
        self.now = now;
        self.kicked = false;
        let traffic = self.traffic.clone();
        let mut device = Watched { nic, traffic: &traffic, frame_max: self.frame_max };
        let before = traffic.counters();
        let (emptied, mut changed) = self.take_in(&mut device, now);
        changed |= self.follow(&mut device, now);
        self.addresses.solicit(&mut device, now);
        let mut drained = self.send_out(&mut device, now);
        if self.sockets.sweep(now) {
            drained = self.send_out(&mut device, now);
            self.sockets.sweep(now);
        }
        let moved = traffic.counters() != before;
        // Without room at the card, what is due cannot be sent: the card says when there is room again.
        let blocked = traffic.take_exhausted();
        if !emptied || (!drained && !blocked) {
            return (Next::Again, changed);
        }
        let deadline = self.deadline(now);
        let next = match deadline {
            Some(deadline) if deadline <= now && moved && !blocked => Next::Again,
            Some(deadline) if deadline <= now => Next::Wait(Some(now.plus(PAUSE))),
            later => Next::Wait(later),
        };
        (next, changed)
    }

    /// Takes in frames. Whether the card has no more, and whether addresses changed.
    fn take_in<N: Device>(&mut self, device: &mut Watched<'_, N>, now: Instant) -> (bool, bool) {
        let mut changed = false;
        self.iface.poll_maintenance(to_smoltcp(now));
        for _ in 0..BATCH {
            let taken = self.iface.poll_ingress_single(to_smoltcp(now), device, &mut self.sockets.set);
            if taken == PollIngressSingleResult::None {
                return (true, changed);
            }
            if device.traffic.take_syn() {
                self.sockets.after_syn(now);
            }
            changed |= self.follow(device, now);
        }
        (false, changed)
    }

    /// Takes in what the network says of itself. Whether addresses changed, or the largest packet.
    fn follow<N: Device>(&mut self, device: &mut Watched<'_, N>, now: Instant) -> bool {
        let changed = self.addresses.update(device.traffic, &mut self.iface, &mut self.sockets.set, now);
        let frame_max = frame_max(self.addresses.mtu(), self.card_frame_max);
        if frame_max == self.frame_max {
            return changed;
        }
        // smoltcp asks for the largest packet once. A new interface has to find its neighbours anew; connections stand.
        self.frame_max = frame_max;
        device.frame_max = frame_max;
        self.iface = interface(self.hardware, device, (self.random)(), now);
        self.addresses.apply(&mut self.iface, device.traffic);
        true
    }

    /// Sends what is due. Whether nothing is left, or the card is full.
    fn send_out<N: Device>(&mut self, device: &mut Watched<'_, N>, now: Instant) -> bool {
        (0..BATCH).any(|_| {
            let sent = self.iface.poll_egress(to_smoltcp(now), device, &mut self.sockets.set);
            sent == PollResult::None
        })
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let iface = self
            .iface
            .poll_at(to_smoltcp(now), &self.sockets.set)
            .map(|at| Instant { micros: u64::try_from(at.total_micros()).unwrap_or(0) });
        iface.into_iter().chain(self.sockets.deadline()).chain(self.addresses.deadline()).min()
    }
}

fn interface(hardware: [u8; 6], device: &mut impl Device, seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(hardware)));
    config.random_seed = seed;
    Interface::new(config, device, to_smoltcp(now))
}

/// Largest frame of a card that takes `card` bytes with the Ethernet header.
fn card_frame_max(card: usize) -> Result<usize, SettingsError> {
    let mtu = card.saturating_sub(ETHERNET_HEADER_LEN).min(usize::from(MTU_MAX));
    if mtu < usize::from(MTU_MIN) {
        return Err(SettingsError::Mtu(u16::try_from(mtu).unwrap_or(u16::MAX)));
    }
    Ok(mtu + ETHERNET_HEADER_LEN)
}

/// Largest frame where packets may be of `mtu` bytes and the card takes frames of `card`.
fn frame_max(mtu: Option<u16>, card: usize) -> usize {
    mtu.map_or(card, |mtu| (usize::from(mtu) + ETHERNET_HEADER_LEN).min(card))
}

/// Our time as smoltcp's.
pub(super) fn to_smoltcp(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.micros).unwrap_or(i64::MAX))
}

/// Our duration as smoltcp's.
pub(super) fn to_smoltcp_duration(duration: Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
