//! A DHCP server on the machine's cable, and the length of the longest frame that it hears. Knows one lease.

use crate::neighbour::{MACHINE, Stranger};
use crate::wire;
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Ipv4Packet, UdpPacket,
};
use std::net::Ipv4Addr;

/// The server.
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
const HARDWARE: EthernetAddress = EthernetAddress([0x02, b'd', b'h', b'c', b'p', 1]);
/// The option that says the largest packet (RFC 2132, section 5.1).
const MTU: u8 = 26;
const LEASE_SECONDS: u32 = 3600;

/// The server, with one address to give.
pub struct Lessor {
    /// The largest packet that it allows.
    pub mtu: u16,
    /// Bytes of the longest frame from the machine.
    pub longest: usize,
}

impl Lessor {
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        if frame.ethertype() != EthernetProtocol::Ipv4 || udp.dst_port() != 67 {
            return None;
        }
        let request = DhcpPacket::new_checked(udp.payload()).ok()?;
        let request = DhcpRepr::parse(&request).ok()?;
        let message_type = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        let mtu = self.mtu.to_be_bytes();
        // Like many a server it says no more than it is asked for.
        let asked = request.parameter_request_list.is_some_and(|list| list.contains(&MTU));
        let options = asked.then_some(DhcpOption { kind: MTU, data: &mtu });
        let reply = DhcpRepr {
            message_type,
            your_ip: MACHINE,
            server_identifier: Some(OWN),
            router: Some(OWN),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            lease_duration: Some(LEASE_SECONDS),
            dns_servers: None,
            requested_ip: None,
            client_identifier: None,
            parameter_request_list: None,
            max_size: None,
            additional_options: options.as_slice(),
            ..request
        };
        let mut payload = vec![0; reply.buffer_len()];
        reply.emit(&mut DhcpPacket::new_unchecked(&mut payload[..])).ok()?;
        let packet = wire::udp((OWN, 67), (Ipv4Addr::BROADCAST, 68), &payload);
        Some(wire::ethernet(HARDWARE, EthernetAddress::BROADCAST, EthernetProtocol::Ipv4, &packet))
    }
}

impl Stranger for Lessor {
    fn hear(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.longest = self.longest.max(frame.len());
        self.answer(frame).into_iter().collect()
    }

    fn more(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
