//! Frames made by hand, for hosts that are not a stack.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet,
    Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use std::net::Ipv4Addr;

pub const BROADCAST: [u8; 6] = [255; 6];

pub fn ethernet(from: [u8; 6], to: [u8; 6], kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(EthernetAddress(from));
    frame.set_dst_addr(EthernetAddress(to));
    frame.set_ethertype(kind);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

/// An IPv4 packet whose payload `fill` writes.
pub fn ipv4(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let repr =
        Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: len, hop_limit: 64 };
    let mut bytes = vec![0; 20 + len];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    repr.emit(&mut packet, &ChecksumCapabilities::default());
    fill(&mut bytes[20..]);
    bytes
}

/// A TCP segment from `from` to `to`, each an address and a port.
pub fn tcp(
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    control: TcpControl,
    sequence: u32,
    ack: Option<u32>,
) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: from.1,
        dst_port: to.1,
        control,
        seq_number: TcpSeqNumber(sequence as i32),
        ack_number: ack.map(|ack| TcpSeqNumber(ack as i32)),
        window_len: 8192,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (source, target) = (IpAddress::Ipv4(from.0), IpAddress::Ipv4(to.0));
    ipv4(from.0, to.0, IpProtocol::Tcp, repr.buffer_len(), |payload| {
        repr.emit(&mut TcpPacket::new_unchecked(payload), &source, &target, &ChecksumCapabilities::default());
    })
}

/// "Who has `wanted`?", which also tells where `from` is.
pub fn arp_request(hardware: [u8; 6], from: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(hardware),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: wanted,
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    ethernet(hardware, BROADCAST, EthernetProtocol::Arp, &bytes)
}

/// An echo request with 8 bytes of data.
pub fn ping(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let repr = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: b"who goes" };
    ipv4(from, to, IpProtocol::Icmp, repr.buffer_len(), |payload| {
        repr.emit(&mut Icmpv4Packet::new_unchecked(payload), &ChecksumCapabilities::default());
    })
}
