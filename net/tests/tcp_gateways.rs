//! Gateways that are in nobody's network, as clouds have them, and routes that come with a lease.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod tcp_support;

use embedded_io_async::{Read, Write};
use net::clock::Instant;
use net::tcp::{Ipv4Settings, Ipv6Settings, NetSettings, Stack};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Packet,
};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use tcp_support::dhcp_server::{DhcpServer, LEASED, SERVER};
use tcp_support::frames::{arp_request, ethernet};
use tcp_support::{Hub, Weather, World, host, limits};

const MINUTE: Duration = Duration::from_secs(60);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);
const STANDALONE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// A router at `address`, card `number`: answers for itself alone, and sends packets on to the card that has their
/// target. Counts them.
fn router(
    world: &World,
    hub: &Hub,
    number: u8,
    address: Ipv4Addr,
    known: &[(Ipv4Addr, u8)],
) -> Rc<Cell<usize>> {
    let (mut card, known) = (hub.card(number), known.to_vec());
    let carried = Rc::new(Cell::new(0));
    let counter = carried.clone();
    world.spawn(async move {
        loop {
            let frame = card.next_frame().await;
            let Ok(arrived) = EthernetFrame::new_checked(&frame[..]) else { continue };
            match arrived.ethertype() {
                EthernetProtocol::Arp => {
                    if let Some(answer) = answer_to(arrived.payload(), card.address, address) {
                        card.send(&ethernet(
                            card.address,
                            arrived.src_addr().0,
                            EthernetProtocol::Arp,
                            &answer,
                        ));
                    }
                }
                EthernetProtocol::Ipv4 => {
                    let target = Ipv4Packet::new_checked(arrived.payload()).unwrap().dst_addr();
                    if let Some((_, number)) = known.iter().find(|(host, _)| *host == target) {
                        let to = [2, 0, 0, 0, 0, *number];
                        card.send(&ethernet(card.address, to, EthernetProtocol::Ipv4, arrived.payload()));
                        counter.set(counter.get() + 1);
                    }
                }
                _ => {}
            }
        }
    });
    carried
}

/// "I have it", if `packet` asks for `address`.
fn answer_to(packet: &[u8], hardware: [u8; 6], address: Ipv4Addr) -> Option<Vec<u8>> {
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&ArpPacket::new_checked(packet).ok()?).ok()?
    else {
        return None;
    };
    let answer = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(hardware),
        source_protocol_addr: address,
        target_hardware_addr: source_hardware_addr,
        target_protocol_addr: source_protocol_addr,
    };
    let mut bytes = vec![0; answer.buffer_len()];
    answer.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    (target_protocol_addr == address).then_some(bytes)
}

fn standalone(address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> NetSettings {
    let ipv4 = Ipv4Settings::Static { address, prefix, gateway: Some(gateway) };
    NetSettings { ipv4, ipv6: Ipv6Settings::None, ..NetSettings::default() }
}

/// A call from one to `to`, and a word through it.
async fn talk(server: &Stack, client: &Stack, to: Ipv4Addr) {
    let mut listener = server.listen(1).unwrap();
    let (_, mut writer) = client.connect((to, 1).into()).await.unwrap().split();
    let (mut reader, _) = listener.accept().await.split();
    writer.write_all(b"hello").await.unwrap();
    let mut word = [0; 5];
    reader.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hello");
}

fn calm(world: &World) -> Hub {
    Hub::new(world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() })
}

#[test]
fn addresses_that_stand_alone_reach_each_other_through_a_gateway_outside() {
    let world = World::default();
    let hub = calm(&world);
    let other = Ipv4Addr::new(198, 51, 100, 9);
    let carried = router(&world, &hub, 200, GATEWAY, &[(STANDALONE, 1), (other, 2)]);
    let server = host(&hub, 1, standalone(STANDALONE, 32, GATEWAY), limits());
    let client = host(&hub, 2, standalone(other, 32, GATEWAY), limits());
    world.run(MINUTE, async move { talk(&server, &client, STANDALONE).await });
    assert!(carried.get() > 3, "{} packets went through the router", carried.get());
}

#[test]
fn what_a_standalone_host_says_by_arp_is_the_truth() {
    let world = World::default();
    let hub = calm(&world);
    let mut gateway = hub.card(200);
    let stack = host(&hub, 1, standalone(STANDALONE, 32, GATEWAY), limits());
    world.run(MINUTE, async move {
        let call = async { stack.connect((Ipv4Addr::new(9, 9, 9, 9), 1).into()).await.map(|_| ()) };
        let watch = async {
            let question = gateway.next_frame().await;
            let arp = ArpPacket::new_checked(&question[14..]).unwrap();
            assert_eq!(arp.source_protocol_addr(), STANDALONE.octets());
            assert_eq!(arp.target_protocol_addr(), GATEWAY.octets());
            // It asks before it answers, and is answered.
            gateway.send(&arp_request(gateway.address, GATEWAY, STANDALONE));
            let answer = gateway.next_frame().await;
            let arp = ArpPacket::new_checked(&answer[14..]).unwrap();
            assert_eq!(arp.operation(), ArpOperation::Reply);
            assert_eq!(arp.source_protocol_addr(), STANDALONE.octets());
            assert_eq!(arp.target_protocol_addr(), GATEWAY.octets());
            let packet = gateway.next_frame().await;
            assert_eq!(Ipv4Packet::new_checked(&packet[14..]).unwrap().src_addr(), STANDALONE);
        };
        futures_util::future::select(std::pin::pin!(call), std::pin::pin!(watch)).await;
    });
}

#[test]
fn the_gateway_itself_and_the_next_address_are_reached_through_it() {
    let world = World::default();
    let hub = calm(&world);
    let next = Ipv4Addr::new(203, 0, 113, 6);
    router(&world, &hub, 200, GATEWAY, &[(STANDALONE, 1), (next, 2), (GATEWAY, 3)]);
    let client = host(&hub, 1, standalone(STANDALONE, 32, GATEWAY), limits());
    let neighbour = host(&hub, 2, standalone(next, 32, GATEWAY), limits());
    // A service at the gateway's own address, whose way back is through the router, too.
    let service = host(&hub, 3, standalone(GATEWAY, 32, Ipv4Addr::new(10, 1, 1, 1)), limits());
    router(&world, &hub, 201, Ipv4Addr::new(10, 1, 1, 1), &[(STANDALONE, 1)]);
    world.run(MINUTE, async move {
        talk(&neighbour, &client, next).await;
        talk(&service, &client, GATEWAY).await;
    });
}

#[test]
fn a_gateway_outside_of_a_network_with_neighbours_leaves_these_alone() {
    let world = World::default();
    let hub = calm(&world);
    let (own, neighbour) = (Ipv4Addr::new(203, 0, 113, 7), Ipv4Addr::new(203, 0, 113, 9));
    let far = Ipv4Addr::new(198, 51, 100, 9);
    router(&world, &hub, 200, GATEWAY, &[(own, 1), (far, 3)]);
    let client = host(&hub, 1, standalone(own, 24, GATEWAY), limits());
    let near_host = host(&hub, 2, standalone(neighbour, 24, GATEWAY), limits());
    let far_host = host(&hub, 3, standalone(far, 32, GATEWAY), limits());
    world.run(MINUTE, async move {
        talk(&near_host, &client, neighbour).await;
        talk(&far_host, &client, far).await;
    });
}

#[test]
fn routes_of_a_lease_lead_where_they_say_and_count_before_its_router() {
    let world = World::default();
    let hub = calm(&world);
    let server = DhcpServer::start(&world, &hub, SERVER, 600);
    {
        let mut says = server.says.borrow_mut();
        // The default gateway is outside, and told to be a neighbour; the other one is inside.
        says.router = Some(Ipv4Addr::new(10, 0, 0, 77));
        let routes =
            [&[32, 172, 31, 1, 1, 0, 0, 0, 0][..], &[0, 172, 31, 1, 1], &[24, 10, 9, 9, 10, 0, 0, 200]];
        says.options.push((121, routes.concat()));
    }
    let (near, near_gateway) = (Ipv4Addr::new(10, 9, 9, 5), Ipv4Addr::new(10, 0, 0, 200));
    let carried = router(&world, &hub, 200, GATEWAY, &[(LEASED, 2), (STANDALONE, 3)]);
    // Each router knows only what is behind it.
    let carried_near = router(&world, &hub, 201, near_gateway, &[(LEASED, 2), (near, 4)]);
    let stack = host(&hub, 2, NetSettings { ipv6: Ipv6Settings::None, ..NetSettings::default() }, limits());
    let far_host = host(&hub, 3, standalone(STANDALONE, 32, GATEWAY), limits());
    let near_host = host(&hub, 4, standalone(near, 24, near_gateway), limits());
    world.run(MINUTE, async move {
        stack.addresses_changed().await;
        let status = stack.status(Instant::default()).ipv4.to_string();
        assert_eq!(status, "address 10.0.0.15/24 by DHCP, gateway 172.31.1.1");
        talk(&far_host, &stack, STANDALONE).await;
        assert!(carried.get() > 3 && carried_near.get() == 0);
        talk(&near_host, &stack, near).await;
        assert!(carried_near.get() > 3);
    });
}
