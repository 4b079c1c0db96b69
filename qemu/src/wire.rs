//! A bare Ethernet cable to a machine, over UDP on loopback, and frames made by hand. Knows frames; knows no machine.
//!
//! QEMU's own network opens one connection at a time and gives its guest one neighbour. On the cable this process can be
//! any number of hosts, and break every rule.

use anyhow::{Context, Result};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet,
    Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

/// Longer than any frame on the cable.
const FRAME_LEN_MAX: usize = 2048;
/// Everybody.
const BROADCAST: EthernetAddress = EthernetAddress::BROADCAST;

/// This process' end of the cable.
pub struct Wire {
    socket: UdpSocket,
}

/// The two UDP ports of a cable, as QEMU has to know them.
#[derive(Clone, Copy, Debug)]
pub struct WirePorts {
    /// Where frames from the machine come in.
    pub here: u16,
    /// Where the machine takes frames.
    pub there: u16,
}

impl Wire {
    /// A cable whose other end is still loose.
    pub fn new() -> Result<(Wire, WirePorts)> {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP port on loopback");
        let socket = bind()?;
        let here = socket.local_addr()?.port();
        // QEMU takes over this port.
        let there = bind()?.local_addr()?.port();
        socket.connect((Ipv4Addr::LOCALHOST, there))?;
        socket.set_nonblocking(true)?;
        Ok((Wire { socket }, WirePorts { here, there }))
    }

    /// Sends a frame. Like any cable this one may lose it.
    pub fn send(&self, frame: &[u8]) {
        // Refused while the machine is not there, or without room: lost.
        let _ = self.socket.send(frame);
    }

    /// The next frame, if one has come.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; FRAME_LEN_MAX];
        let length = self.socket.recv(&mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }

    /// Waits until a frame may have come.
    pub fn wait(&self, limit: Duration) {
        let patient =
            self.socket.set_nonblocking(false).and_then(|()| self.socket.set_read_timeout(Some(limit)));
        let looked = patient.and_then(|()| self.socket.peek(&mut [0]).map(|_| ()));
        if looked.is_err_and(|error| !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)) {
            // The other end is loose.
            std::thread::sleep(limit);
        }
        // Without it `receive` would wait for its frame for as long as was set above, which does no harm.
        let _ = self.socket.set_nonblocking(true);
    }
}

/// A frame around `payload`.
pub fn ethernet(
    from: EthernetAddress,
    to: EthernetAddress,
    kind: EthernetProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; EthernetFrame::<&[u8]>::buffer_len(payload.len())];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(from);
    frame.set_dst_addr(to);
    frame.set_ethertype(kind);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

/// An IPv4 packet whose payload `fill` writes.
fn ipv4(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let repr =
        Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: len, hop_limit: 64 };
    let mut bytes = vec![0; repr.buffer_len() + len];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    repr.emit(&mut packet, &ChecksumCapabilities::default());
    fill(packet.payload_mut());
    bytes
}

/// A TCP segment.
pub fn tcp(from: Ipv4Addr, to: Ipv4Addr, segment: &TcpRepr<'_>) -> Vec<u8> {
    let (source, target) = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
    ipv4(from, to, IpProtocol::Tcp, segment.buffer_len(), |payload| {
        segment.emit(
            &mut TcpPacket::new_unchecked(payload),
            &source,
            &target,
            &ChecksumCapabilities::default(),
        );
    })
}

/// A datagram.
pub fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), data: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from.1, dst_port: to.1 };
    let (source, target) = (IpAddress::Ipv4(from.0), IpAddress::Ipv4(to.0));
    ipv4(from.0, to.0, IpProtocol::Udp, repr.header_len() + data.len(), |payload| {
        let fill = |payload: &mut [u8]| payload.copy_from_slice(data);
        let checksums = ChecksumCapabilities::default();
        repr.emit(&mut UdpPacket::new_unchecked(payload), &source, &target, data.len(), fill, &checksums);
    })
}

/// An answer to `request`, or a question that tells everybody where `from` is.
pub fn arp(
    hardware: EthernetAddress,
    from: Ipv4Addr,
    to: Ipv4Addr,
    answer: Option<EthernetAddress>,
) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: if answer.is_some() { ArpOperation::Reply } else { ArpOperation::Request },
        source_hardware_addr: hardware,
        source_protocol_addr: from,
        target_hardware_addr: answer.unwrap_or(EthernetAddress([0; 6])),
        target_protocol_addr: to,
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    ethernet(hardware, answer.unwrap_or(BROADCAST), EthernetProtocol::Arp, &bytes)
}

/// An echo request.
pub fn ping4(from: Ipv4Addr, to: Ipv4Addr, data: &[u8]) -> Vec<u8> {
    let repr = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data };
    ipv4(from, to, IpProtocol::Icmp, repr.buffer_len(), |payload| {
        repr.emit(&mut Icmpv4Packet::new_unchecked(payload), &ChecksumCapabilities::default());
    })
}

/// An echo request over IPv6.
pub fn ping6(from: Ipv6Addr, to: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    let icmp = Icmpv6Repr::EchoRequest { ident: 1, seq_no: 2, data };
    let repr = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; repr.buffer_len() + icmp.buffer_len()];
    let mut packet = Ipv6Packet::new_unchecked(&mut bytes[..]);
    repr.emit(&mut packet);
    let mut payload = Icmpv6Packet::new_unchecked(packet.payload_mut());
    icmp.emit(&from, &to, &mut payload, &ChecksumCapabilities::default());
    bytes
}
