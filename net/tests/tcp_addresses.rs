//! How a node gets its addresses: static, by DHCP, by routers; that it answers pings; and how it asks for those of others.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod tcp_support;

use embedded_io_async::{Read, Write};
use net::clock::{Clock, Instant};
use net::tcp::{
    Ipv4Settings, Ipv4Status, Ipv6Origin, Ipv6Settings, LookupError, Member, NetSettings, Networks, ReadHalf,
    SettingsError, Stack, WriteHalf,
};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration as WireDuration;
use smoltcp::wire::{
    ArpOperation, ArpPacket, DhcpMessageType, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv4Packet,
    Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags,
    UdpPacket, UdpRepr,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use tcp_support::dhcp_server::{DhcpServer, LEASED, NAMES, SERVER};
use tcp_support::frames::{arp_request, ethernet, ipv4, ping};
use tcp_support::{Card, Hub, Seeded, Weather, World, at, fixed, host, limits};

const MINUTE: Duration = Duration::from_secs(60);

fn settings(ipv4: Ipv4Settings, ipv6: Ipv6Settings) -> NetSettings {
    NetSettings { ipv4, ipv6, ..NetSettings::default() }
}

fn dhcp() -> NetSettings {
    settings(Ipv4Settings::Dhcp, Ipv6Settings::None)
}

#[test]
fn a_lease_is_won_renewed_lost_and_won_again() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let server = DhcpServer::start(&world, &hub, SERVER, 600);
    let stack = host(&hub, 2, dhcp(), limits());
    let clock = world.clone();
    world.run(120 * MINUTE, async move {
        stack.addresses_changed().await;
        assert_eq!(
            stack.status(Instant::default()).ipv4.to_string(),
            "address 10.0.0.15/24 by DHCP, gateway 10.0.0.1"
        );
        assert!(clock.seconds() < 2);
        clock.sleep(30 * MINUTE).await;
        assert_eq!(
            stack.status(Instant::default()).ipv4.address(),
            Some(LEASED),
            "renewed three times by now"
        );
        let renewals = server.heard.borrow().iter().filter(|kind| **kind == DhcpMessageType::Request).count();
        assert!(renewals >= 4, "{:?}", server.heard.borrow());
        assert!(clock.polls() < 200, "{} polls in half an hour", clock.polls());
        *server.answers.borrow_mut() = false;
        stack.addresses_changed().await;
        assert!(matches!(stack.status(Instant::default()).ipv4, Ipv4Status::Searching { .. }));
        *server.answers.borrow_mut() = true;
        stack.addresses_changed().await;
        assert_eq!(stack.status(Instant::default()).ipv4.address(), Some(LEASED));
    });
}

/// Sends so many bytes from one half to the other; the largest frame meanwhile.
async fn largest_frame(hub: &Hub, from: &mut WriteHalf, to: &mut ReadHalf) -> usize {
    hub.largest.set(0);
    let data = vec![7; 100_000];
    let receive = async {
        let mut received = vec![0; data.len()];
        to.read_exact(&mut received).await.map(|()| received)
    };
    let (sent, received) = futures_util::future::join(from.write_all(&data), receive).await;
    sent.unwrap();
    assert_eq!(received.unwrap(), data);
    hub.largest.get()
}

#[test]
fn no_packet_is_larger_than_the_lease_allows() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let server = DhcpServer::start(&world, &hub, SERVER, 600);
    server.says.borrow_mut().options.push((26, 1450_u16.to_be_bytes().into()));
    let (stack, client) = (host(&hub, 2, dhcp(), limits()), host(&hub, 3, fixed(3), limits()));
    let clock = world.clone();
    world.run(MINUTE, async move {
        stack.addresses_changed().await;
        assert_eq!(stack.status(clock.now()).mtu, 1450);
        let mut listener = stack.listen(1).unwrap();
        let (mut reader, mut writer) = client.connect((LEASED, 1).into()).await.unwrap().split();
        let (mut own_reader, mut own_writer) = listener.accept().await.split();
        assert_eq!(largest_frame(&hub, &mut own_writer, &mut reader).await, 1464);
        assert_eq!(largest_frame(&hub, &mut writer, &mut own_reader).await, 1464, "as our MSS says");
    });
}

#[test]
fn no_packet_is_larger_than_a_router_says_and_connections_stand_when_it_says_so() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let auto = settings(Ipv4Settings::None, Ipv6Settings::Auto);
    let (stack, client) = (host(&hub, 1, auto.clone(), limits()), host(&hub, 2, auto, limits()));
    let router = hub.card(200);
    let clock = world.clone();
    world.run(MINUTE, async move {
        let mut listener = stack.listen(1).unwrap();
        let own = stack.status(clock.now()).ipv6[0].address;
        let (mut reader, _writer) = client.connect((own, 1).into()).await.unwrap().split();
        let (_own_reader, mut own_writer) = listener.accept().await.split();
        assert_eq!(largest_frame(&hub, &mut own_writer, &mut reader).await, 1514);
        for (mtu, frame) in [(1400, 1414), (1279, 1514), (1280, 1294), (9000, 1514)] {
            router.send(&router_advert(router.address, Some(mtu)));
            stack.addresses_changed().await;
            assert_eq!(largest_frame(&hub, &mut own_writer, &mut reader).await, frame, "{mtu}");
        }
    });
}

#[test]
fn a_dhcp_server_that_answers_late_is_waited_for() {
    let world = World::default();
    let hub =
        Hub::new(&world, 1, Weather { loss: 100, delay: Duration::from_millis(1), ..Weather::default() });
    let server = DhcpServer::start(&world, &hub, SERVER, 600);
    *server.answers.borrow_mut() = false;
    let stack = host(&hub, 2, dhcp(), limits());
    let clock = world.clone();
    world.run(10 * MINUTE, async move {
        clock.sleep(Duration::from_millis(10_100)).await;
        assert_eq!(stack.status(clock.now()).ipv4.to_string(), "no DHCP answer after 10 s, still trying");
        clock.sleep(MINUTE).await;
        *server.answers.borrow_mut() = true;
        stack.addresses_changed().await;
        assert_eq!(stack.status(Instant::default()).ipv4.address(), Some(LEASED));
    });
}

#[test]
fn a_dhcp_server_without_an_address_of_its_own_is_not_believed() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let _server = DhcpServer::start(&world, &hub, Ipv4Addr::UNSPECIFIED, 20);
    let stack = host(&hub, 2, dhcp(), limits());
    let clock = world.clone();
    world.run(10 * MINUTE, async move {
        clock.sleep(5 * MINUTE).await;
        assert_eq!(
            stack.status(Instant::default()).ipv4.address(),
            None,
            "a renewal to 0.0.0.0 would panic in smoltcp"
        );
    });
}

#[test]
fn a_static_node_answers_pings_and_calls() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let (stack, client) = (host(&hub, 1, fixed(1), limits()), host(&hub, 2, fixed(2), limits()));
    let mut pinger = hub.card(9);
    let (from, to) = (Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 1));
    world.run(MINUTE, async move {
        assert_eq!(stack.status(Instant::default()).ipv4.to_string(), "address 10.0.0.1/24 as set");
        let mut listener = stack.listen(1).unwrap();
        client.connect(at(1, 1)).await.unwrap();
        listener.accept().await;
        pinger.send(&arp_request(pinger.address, from, to));
        pinger.send(&ethernet(pinger.address, [2, 0, 0, 0, 0, 1], EthernetProtocol::Ipv4, &ping(from, to)));
        loop {
            let frame = pinger.next_frame().await;
            let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
            let Ok(ip) = Ipv4Packet::new_checked(frame.payload()) else { continue };
            let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
            assert_eq!((icmp.msg_type(), icmp.data()), (Icmpv4Message::EchoReply, &b"who goes"[..]));
            break;
        }
    });
}

/// Announces 2001:db8::/64 and itself whenever it is asked to.
fn start_router(world: &World, hub: &Hub) {
    let mut card = hub.card(200);
    world.spawn(async move {
        loop {
            let frame = card.next_frame().await;
            let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
            let asked = Ipv6Packet::new_checked(frame.payload()).is_ok_and(|ip| {
                frame.ethertype() == EthernetProtocol::Ipv6
                    && Icmpv6Packet::new_checked(ip.payload())
                        .is_ok_and(|icmp| icmp.msg_type() == Icmpv6Message::RouterSolicit)
            });
            if asked {
                card.send(&router_advert(card.address, None));
            }
        }
    });
}

fn router_advert(hardware: [u8; 6], mtu: Option<u32>) -> Vec<u8> {
    let (router, all) =
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
    let advert = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: WireDuration::from_secs(1800),
        reachable_time: WireDuration::from_secs(0),
        retrans_time: WireDuration::from_secs(0),
        lladdr: Some(EthernetAddress(hardware).into()),
        mtu,
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ADDRCONF | NdiscPrefixInfoFlags::ON_LINK,
            valid_lifetime: WireDuration::from_secs(3600),
            preferred_lifetime: WireDuration::from_secs(3600),
            prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        }),
    });
    let len = advert.buffer_len();
    let repr = Ipv6Repr {
        src_addr: router,
        dst_addr: all,
        next_header: IpProtocol::Icmpv6,
        payload_len: len,
        hop_limit: 255,
    };
    let mut packet = vec![0; 40 + len];
    repr.emit(&mut Ipv6Packet::new_unchecked(&mut packet[..]));
    let mut icmp = Icmpv6Packet::new_unchecked(&mut packet[40..]);
    advert.emit(&router, &all, &mut icmp, &ChecksumCapabilities::default());
    ethernet(hardware, [0x33, 0x33, 0, 0, 0, 1], EthernetProtocol::Ipv6, &packet)
}

#[test]
fn routers_give_ipv6_addresses_that_can_be_called() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    start_router(&world, &hub);
    let auto = settings(Ipv4Settings::None, Ipv6Settings::Auto);
    let (stack, client) = (host(&hub, 1, auto.clone(), limits()), host(&hub, 2, auto, limits()));
    world.run(MINUTE, async move {
        for node in [&stack, &client] {
            while node.status(Instant::default()).ipv6_gateway.is_none() {
                node.addresses_changed().await;
            }
        }
        let status = stack.status(Instant::default());
        assert_eq!(status.ipv6_gateway, Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
        let origins: Vec<_> = status.ipv6.iter().map(|own| own.origin).collect();
        assert_eq!(origins, [Ipv6Origin::LinkLocal, Ipv6Origin::Router]);
        assert_eq!(status.ipv6[1].to_string(), "address 2001:db8::ff:fe00:1/64 by router");
        let mut listener = stack.listen(1).unwrap();
        for own in &status.ipv6 {
            let stream = client.connect((own.address, 1).into()).await.unwrap();
            assert_eq!(
                listener.accept().await.peer_address().port() >= 49152,
                stream.peer_address().port() == 1
            );
        }
    });
}

#[test]
fn impossible_cards_and_settings_are_refused() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather::default());
    let mut card = hub.card(1);
    card.address = [1, 0, 0, 0, 0, 1];
    let now = world.now();
    let made = Stack::new(card, fixed(1), limits(), Seeded::new(1), now);
    assert_eq!(made.err(), Some(SettingsError::HardwareAddress([1, 0, 0, 0, 0, 1])));
    let small = NetSettings { mtu: Some(576), ..fixed(1) };
    let made = Stack::new(hub.card(1), small, limits(), Seeded::new(1), now);
    assert_eq!(made.err(), Some(SettingsError::Mtu(576)));
    let large = NetSettings { mtu: Some(9000), ..fixed(1) };
    let (stack, _) = Stack::new(hub.card(1), large, limits(), Seeded::new(1), now).unwrap();
    assert_eq!(stack.status(now).mtu, 1500, "as the card takes no more");
}

/// A name server: an address a name, and how many of the first questions it leaves unanswered.
struct NameServer {
    address: Ipv4Addr,
    silent: usize,
    names: Vec<(&'static str, Ipv4Addr)>,
}

impl NameServer {
    fn start(mut self, world: &World, hub: &Hub, number: u8) {
        let mut card = hub.card(number);
        world.spawn(async move {
            loop {
                let frame = card.next_frame().await;
                self.serve(&card, &frame);
            }
        });
    }

    fn serve(&mut self, card: &Card, frame: &[u8]) -> Option<()> {
        let ethernet_frame = EthernetFrame::new_checked(frame).ok()?;
        let asker = ethernet_frame.src_addr().0;
        if ethernet_frame.ethertype() == EthernetProtocol::Arp {
            let arp = ArpPacket::new_checked(ethernet_frame.payload()).ok()?;
            if arp.operation() == ArpOperation::Request && arp.target_protocol_addr() == self.address.octets()
            {
                // Tells the asker where the server is, which is answer enough.
                let asker = Ipv4Addr::from(<[u8; 4]>::try_from(arp.source_protocol_addr()).ok()?);
                card.send(&arp_request(card.address, self.address, asker));
            }
            return None;
        }
        let ip = Ipv4Packet::new_checked(ethernet_frame.payload()).ok()?;
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        if udp.dst_port() != 53 || ip.dst_addr() != self.address {
            return None;
        }
        if self.silent > 0 {
            self.silent -= 1;
            return None;
        }
        let reply = self.reply(udp.payload());
        let head = UdpRepr { src_port: 53, dst_port: udp.src_port() };
        let (from, to) = (IpAddress::Ipv4(self.address), IpAddress::Ipv4(ip.src_addr()));
        let len = head.header_len() + reply.len();
        let packet = ipv4(self.address, ip.src_addr(), IpProtocol::Udp, len, |payload| {
            let mut packet = UdpPacket::new_unchecked(payload);
            let fill = |payload: &mut [u8]| payload.copy_from_slice(&reply);
            head.emit(&mut packet, &from, &to, reply.len(), fill, &ChecksumCapabilities::default());
        });
        card.send(&ethernet(card.address, asker, EthernetProtocol::Ipv4, &packet));
        Some(())
    }

    /// The question again, with an address behind it if one is known (RFC 1035, section 4).
    fn reply(&self, question: &[u8]) -> Vec<u8> {
        let wire = |name: &str| {
            let labels = name.split('.').map(|label| [&[label.len() as u8], label.as_bytes()].concat());
            labels.collect::<Vec<_>>().concat()
        };
        let known = |(name, _): &&(&str, Ipv4Addr)| question[12..].starts_with(&wire(name));
        let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
        let address = self.names.iter().find(known).filter(|_| is_a).map(|(_, address)| address);
        let mut reply = question.to_vec();
        reply[2..4].copy_from_slice(&[0x81, 0x80]);
        if let Some(address) = address {
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            reply.extend(address.octets());
        }
        reply
    }
}

/// A node with one card, whose cable is in.
fn alone(stack: Stack) -> Networks {
    Networks::new(vec![Member { stack, link: Box::new(|| true) }])
}

#[test]
fn a_host_is_looked_up_at_the_server_that_dhcp_names_though_questions_get_lost() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    DhcpServer::start(&world, &hub, SERVER, 600);
    let east = Ipv4Addr::new(10, 9, 0, 1);
    NameServer { address: NAMES, silent: 1, names: vec![("east.lab.example", east)] }
        .start(&world, &hub, 253);
    let networks = alone(host(&hub, 2, dhcp(), limits()));
    let clock = world.clone();
    world.run(MINUTE, async move {
        let early = networks.look_up(&clock, "east.lab.example", &[]).await;
        assert_eq!(early, Err(LookupError::NoServer));
        networks.addresses_changed().await;
        assert_eq!(networks.look_up(&clock, "east.lab.example", &[]).await, Ok(vec![east.into()]));
        let wrong = networks.look_up(&clock, "west.lab.example", &[]).await.unwrap_err();
        let expected = "no address of west.lab.example from the name servers 10.0.0.253: check the name, and dns= in granary.ini";
        assert_eq!(wrong.to_string(), expected);
        let bad = networks.look_up(&clock, "a..b", &[]).await;
        assert_eq!(bad, Err(LookupError::BadName { host: "a..b".into() }));
    });
}

#[test]
fn the_next_name_server_is_asked_when_one_is_silent_or_does_not_know() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather::default());
    let (silent, empty, knowing) = (at(200, 0).ip(), Ipv4Addr::new(10, 0, 0, 252), NAMES);
    let east = Ipv4Addr::new(10, 9, 0, 1);
    NameServer { address: empty, silent: 0, names: Vec::new() }.start(&world, &hub, 252);
    NameServer { address: knowing, silent: 0, names: vec![("east.lab.example", east)] }
        .start(&world, &hub, 253);
    let networks = alone(host(&hub, 2, fixed(2), limits()));
    let clock = world.clone();
    world.run(MINUTE, async move {
        let servers = [silent, empty.into(), knowing.into()];
        assert_eq!(networks.look_up(&clock, "east.lab.example", &servers).await, Ok(vec![east.into()]));
        // The silent one has four seconds; a question to the others is lost while their cards are looked for.
        assert_eq!(clock.seconds(), 6);
    });
}
