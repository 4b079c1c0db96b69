//! An honest host on the machine's cable: pings it, and speaks TCP with it over IPv4 and IPv6.
//!
//! Everything happens in the caller's thread, while it waits. Knows smoltcp; knows nothing of venti.

use crate::client::Connection;
use crate::wire::{self, Wire};
use anyhow::{Context, Result, bail, ensure};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, Icmpv4Message, Icmpv4Packet,
    Icmpv6Message, Icmpv6Packet, IpCidr, Ipv4Packet, Ipv6Packet,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The network of the cable.
pub const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The machine over IPv6.
pub const MACHINE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x6772, 0, 0, 0, 0, 0, 1);
/// This host.
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x6772, 0, 0, 0, 0, 0, 2);
const HARDWARE: EthernetAddress = EthernetAddress([0x02, b'h', b'o', b's', b't', 2]);
const BUFFER_LEN: usize = 128 << 10;
/// How long one look at the cable may take while nothing comes.
const LOOK: Duration = Duration::from_millis(5);
const PING: &[u8] = b"is anybody there";

/// Another on the same cable, who sees every frame from the machine: what attackers are.
pub trait Stranger {
    /// Frames to send in answer to one.
    fn hear(&mut self, frame: &[u8]) -> Vec<Vec<u8>>;
    /// Frames to send of its own accord, a few at a time.
    fn more(&mut self) -> Vec<Vec<u8>>;
}

/// The host.
#[derive(Clone)]
pub struct Neighbour(Rc<RefCell<Host>>);

struct Host {
    iface: Interface,
    sockets: SocketSet<'static>,
    cable: Cable,
    began: Instant,
    next_port: u16,
    own: Ipv4Addr,
    machine: Ipv4Addr,
}

/// The cable as smoltcp wants it.
struct Cable {
    wire: Wire,
    inbox: VecDeque<Vec<u8>>,
    /// Where the machine's card is, once it has said so.
    machine: Option<EthernetAddress>,
    echoes: usize,
    stranger: Option<Rc<RefCell<dyn Stranger>>>,
}

impl Neighbour {
    /// A host at this end of a cable.
    pub fn new(wire: Wire) -> Neighbour {
        Neighbour::on(wire, OWN, MACHINE, None)
    }

    /// A host with the address `own` on a network where the machine has the address `machine`; `far` is an address behind it,
    /// whose packets it takes as well.
    pub fn on(wire: Wire, own: Ipv4Addr, machine: Ipv4Addr, far: Option<Ipv4Addr>) -> Neighbour {
        let mut cable = Cable { wire, inbox: VecDeque::new(), machine: None, echoes: 0, stranger: None };
        let began = Instant::now();
        let mut config = Config::new(HardwareAddress::Ethernet(HARDWARE));
        config.random_seed = 1;
        let mut iface = Interface::new(config, &mut cable, smoltcp::time::Instant::ZERO);
        iface.update_ip_addrs(|list| {
            list.extend([IpCidr::new(own.into(), 24), IpCidr::new(OWN6.into(), 64)]);
            list.extend(far.map(|far| IpCidr::new(far.into(), 32)));
        });
        let sockets = SocketSet::new(Vec::new());
        Neighbour(Rc::new(RefCell::new(Host {
            iface,
            sockets,
            cable,
            began,
            next_port: 49_152,
            own,
            machine,
        })))
    }

    /// Sends a frame of any kind.
    pub fn send(&self, frame: &[u8]) {
        self.0.borrow().cable.wire.send(frame);
    }

    /// Puts another on the cable, who acts whenever this host does.
    pub fn share_with(&self, stranger: Rc<RefCell<dyn Stranger>>) {
        self.0.borrow_mut().cable.stranger = Some(stranger);
    }

    /// Takes in what has come, and sends what is due; waits a little if nothing has come.
    pub fn turn(&self) {
        self.0.borrow_mut().turn();
    }

    /// Takes turns for so long.
    pub fn turn_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Where the machine's card is; asks until it answers.
    pub fn find_machine(&self, limit: Duration) -> Result<EthernetAddress> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(machine) = self.0.borrow().cable.machine {
                return Ok(machine);
            }
            ensure!(Instant::now() < deadline, "the machine answers no ARP request");
            let (own, machine) = (self.0.borrow().own, self.0.borrow().machine);
            self.send(&wire::arp(HARDWARE, own, machine, None));
            self.turn_for(Duration::from_millis(50));
        }
    }

    /// Waits for the answer to an echo request to `address`; asks again, as packets may be lost.
    pub fn ping(&self, address: IpAddr, limit: Duration) -> Result<()> {
        let machine = self.find_machine(limit)?;
        let deadline = Instant::now() + limit;
        let before = self.0.borrow().cable.echoes;
        let (packet, kind) = match address {
            IpAddr::V4(address) => (wire::ping4(self.0.borrow().own, address, PING), EthernetProtocol::Ipv4),
            IpAddr::V6(address) => (wire::ping6(OWN6, address, PING), EthernetProtocol::Ipv6),
        };
        while self.0.borrow().cable.echoes == before {
            ensure!(Instant::now() < deadline, "no echo from {address}");
            self.send(&wire::ethernet(HARDWARE, machine, kind, &packet));
            self.turn_for(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A connection to a port of the machine.
    pub fn connect(&self, to: SocketAddr, limit: Duration) -> Result<NeighbourStream> {
        let stream = {
            let mut host = self.0.borrow_mut();
            let host = &mut *host;
            let buffer = || SocketBuffer::new(vec![0; BUFFER_LEN]);
            let handle = host.sockets.add(Socket::new(buffer(), buffer()));
            host.next_port = host.next_port.checked_add(1).unwrap_or(49_152);
            let socket = host.sockets.get_mut::<Socket<'_>>(handle);
            let called = socket.connect(host.iface.context(), to, host.next_port);
            called.map_err(|error| anyhow::anyhow!("cannot call {to}: {error}"))?;
            NeighbourStream { host: self.clone(), handle, limit }
        };
        let state = stream.wait(|socket| match socket.state() {
            State::SynSent | State::SynReceived => None,
            state => Some(state),
        });
        match state.with_context(|| format!("{to} does not answer"))? {
            State::Established | State::CloseWait => Ok(stream),
            _ => bail!("{to} refuses connections"),
        }
    }
}

impl Neighbour {
    /// The next connection from the machine to `port` of this host.
    pub fn accept(&self, port: u16, limit: Duration) -> Result<NeighbourStream> {
        let stream = {
            let mut host = self.0.borrow_mut();
            let buffer = || SocketBuffer::new(vec![0; BUFFER_LEN]);
            let handle = host.sockets.add(Socket::new(buffer(), buffer()));
            let listens = host.sockets.get_mut::<Socket<'_>>(handle).listen(port);
            listens.map_err(|error| anyhow::anyhow!("port {port}: {error}"))?;
            NeighbourStream { host: self.clone(), handle, limit }
        };
        stream
            .wait(|socket| socket.may_recv().then_some(()))
            .with_context(|| format!("nobody calls port {port}"))?;
        Ok(stream)
    }
}

impl Host {
    fn turn(&mut self) {
        if !self.cable.take_in() {
            self.cable.wire.wait(LOOK);
        }
        let now = self.now();
        self.iface.poll(now, &mut self.cable, &mut self.sockets);
    }

    fn now(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros(
            i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX),
        )
    }
}

impl Cable {
    /// Whether anything had come.
    fn take_in(&mut self) -> bool {
        let mut any = false;
        if let Some(stranger) = &self.stranger {
            stranger.borrow_mut().more().iter().for_each(|frame| self.wire.send(frame));
        }
        while let Some(frame) = self.wire.receive() {
            any = true;
            if let Some(stranger) = &self.stranger {
                stranger.borrow_mut().hear(&frame).iter().for_each(|answer| self.wire.send(answer));
            }
            self.note(&frame);
            self.inbox.push_back(frame);
        }
        any
    }

    fn note(&mut self, frame: &[u8]) {
        let Ok(frame) = EthernetFrame::new_checked(frame) else { return };
        if frame.dst_addr() != HARDWARE {
            return;
        }
        self.machine = Some(frame.src_addr());
        let echo = match frame.ethertype() {
            EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload()).is_ok_and(|packet| {
                let icmp = Icmpv4Packet::new_checked(packet.payload());
                icmp.is_ok_and(|icmp| icmp.msg_type() == Icmpv4Message::EchoReply && icmp.data() == PING)
            }),
            EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(frame.payload()).is_ok_and(|packet| {
                let icmp = Icmpv6Packet::new_checked(packet.payload());
                icmp.is_ok_and(|icmp| icmp.msg_type() == Icmpv6Message::EchoReply && icmp.payload() == PING)
            }),
            _ => false,
        };
        self.echoes += usize::from(echo);
    }
}

/// A connection of a [`Neighbour`].
pub struct NeighbourStream {
    host: Neighbour,
    handle: SocketHandle,
    limit: Duration,
}

impl NeighbourStream {
    /// Takes turns until `look` finds something, or the limit is over.
    fn wait<T>(&self, mut look: impl FnMut(&mut Socket<'static>) -> Option<T>) -> io::Result<T> {
        let deadline = Instant::now() + self.limit;
        loop {
            let found = look(self.host.0.borrow_mut().sockets.get_mut(self.handle));
            if let Some(found) = found {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.host.turn();
        }
    }
}

impl Read for NeighbourStream {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.wait(|socket| match socket.recv_slice(target) {
            Ok(0) if socket.may_recv() => None,
            Ok(count) => Some(count),
            Err(_) => Some(0),
        })
    }
}

impl Write for NeighbourStream {
    fn write(&mut self, source: &[u8]) -> io::Result<usize> {
        self.wait(|socket| match socket.send_slice(source) {
            Ok(0) => None,
            Ok(count) => Some(Ok(count)),
            Err(_) => Some(Err(io::ErrorKind::BrokenPipe.into())),
        })?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for NeighbourStream {
    fn set_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.limit = limit;
        Ok(())
    }
}

impl Drop for NeighbourStream {
    fn drop(&mut self) {
        let mut host = self.host.0.borrow_mut();
        host.sockets.get_mut::<Socket<'_>>(self.handle).abort();
        let now = host.now();
        let Host { iface, sockets, cable, .. } = &mut *host;
        // Sends the RST, if the cable takes it.
        iface.poll_egress(now, cable, sockets);
        sockets.remove(self.handle);
    }
}

impl Device for Cable {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Sender<'_>)> {
        let frame = self.inbox.pop_front()?;
        Some((Received(frame), Sender(&self.wire)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sender<'_>> {
        Some(Sender(&self.wire))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Sender<'a>(&'a Wire);

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        self.0.send(&frame);
        result
    }
}
