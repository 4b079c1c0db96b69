//! A DHCP server with one address to give.

use super::frames::{BROADCAST, arp_request, ethernet, ipv4};
use super::{Card, Hub, World};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetFrame,
    EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, UdpPacket, UdpRepr,
};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
/// The name server that it names.
pub const NAMES: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 253);
pub const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 15);

/// A DHCP server with one address to give, and a switch.
#[derive(Clone)]
pub struct DhcpServer {
    pub says: Rc<RefCell<Says>>,
    pub answers: Rc<RefCell<bool>>,
    pub heard: Rc<RefCell<Vec<DhcpMessageType>>>,
    /// From where it sends.
    source: Ipv4Addr,
}

/// What it says with the address.
pub struct Says {
    pub mask: Ipv4Addr,
    pub router: Option<Ipv4Addr>,
    /// By number, to those who ask for them.
    pub options: Vec<(u8, Vec<u8>)>,
}

impl DhcpServer {
    pub fn start(world: &World, hub: &Hub, source: Ipv4Addr, lease_seconds: u32) -> DhcpServer {
        let answers = Rc::new(RefCell::new(true));
        let (mask, router) = (Ipv4Addr::new(255, 255, 255, 0), Some(Ipv4Addr::new(10, 0, 0, 1)));
        let says = Rc::new(RefCell::new(Says { mask, router, options: Vec::new() }));
        let server = DhcpServer { says, answers, heard: Rc::default(), source };
        let (running, mut card) = (server.clone(), hub.card(254));
        world.spawn(async move {
            loop {
                let frame = card.next_frame().await;
                running.serve(&card, &frame, lease_seconds);
            }
        });
        server
    }

    fn serve(&self, card: &Card, frame: &[u8], lease_seconds: u32) -> Option<()> {
        let ethernet_frame = EthernetFrame::new_checked(frame).ok()?;
        if ethernet_frame.ethertype() == EthernetProtocol::Arp {
            let arp = ArpPacket::new_checked(ethernet_frame.payload()).ok()?;
            if arp.operation() == ArpOperation::Request {
                // Tells the asker where the server is, which is answer enough.
                card.send(&arp_request(card.address, self.source, LEASED));
            }
            return None;
        }
        let ip = Ipv4Packet::new_checked(ethernet_frame.payload()).ok()?;
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        let request = DhcpPacket::new_checked(udp.payload()).ok()?;
        let request = DhcpRepr::parse(&request).ok()?;
        self.heard.borrow_mut().push(request.message_type);
        let answer = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        let asked = |kind: u8| request.parameter_request_list.is_some_and(|list| list.contains(&kind));
        if *self.answers.borrow() {
            let says = self.says.borrow();
            let options = says.options.iter().filter(|(kind, _)| asked(*kind));
            let options: Vec<_> = options.map(|(kind, data)| DhcpOption { kind: *kind, data }).collect();
            let reply = DhcpRepr {
                message_type: answer,
                your_ip: LEASED,
                server_identifier: Some(SERVER),
                router: says.router,
                dns_servers: Some([NAMES].into_iter().collect()),
                subnet_mask: Some(says.mask),
                lease_duration: Some(lease_seconds),
                requested_ip: None,
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                additional_options: &options,
                ..request
            };
            self.send(card, &reply);
        }
        Some(())
    }

    fn send(&self, card: &Card, reply: &DhcpRepr<'_>) {
        let udp = UdpRepr { src_port: 67, dst_port: 68 };
        let (from, to) = (IpAddress::Ipv4(self.source), IpAddress::Ipv4(Ipv4Addr::BROADCAST));
        let len = udp.header_len() + reply.buffer_len();
        let packet = ipv4(self.source, Ipv4Addr::BROADCAST, IpProtocol::Udp, len, |payload| {
            udp.emit(
                &mut UdpPacket::new_unchecked(payload),
                &from,
                &to,
                reply.buffer_len(),
                |payload| reply.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
                &ChecksumCapabilities::default(),
            );
        });
        card.send(&ethernet(card.address, BROADCAST, EthernetProtocol::Ipv4, &packet));
    }
}
