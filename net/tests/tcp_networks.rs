//! A node with two cards: which way calls take, who is let in by which card, and that one card's loss is not the other's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod tcp_support;

use futures_util::future::{Either, select};
use net::clock::Clock;
use net::tcp::{ConnectError, Ipv4Settings, Ipv6Settings, Member, NetSettings, Networks, Stack, StaticRoute};
use smoltcp::wire::{
    ArpOperation, ArpPacket, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket,
};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tcp_support::frames::arp_request;
use tcp_support::{Hub, Weather, World, host, limits};

const MINUTE: Duration = Duration::from_secs(60);

fn hubs(world: &World) -> (Hub, Hub) {
    let weather = Weather { delay: Duration::from_millis(1), ..Weather::default() };
    (Hub::new(world, 1, weather), Hub::new(world, 2, weather))
}

fn fixed(address: [u8; 4], prefix: u8, gateway: Option<[u8; 4]>) -> NetSettings {
    let ipv4 = Ipv4Settings::Static { address: address.into(), prefix, gateway: gateway.map(Ipv4Addr::from) };
    NetSettings { ipv4, ipv6: Ipv6Settings::None, ..NetSettings::default() }
}

fn networks(stacks: [&Stack; 2]) -> (Networks, [Rc<Cell<bool>>; 2]) {
    let links = [Rc::new(Cell::new(true)), Rc::new(Cell::new(true))];
    let member = |(stack, link): (&Stack, &Rc<Cell<bool>>)| {
        let link = link.clone();
        Member { stack: stack.clone(), link: Box::new(move || link.get()) }
    };
    (Networks::new(stacks.into_iter().zip(&links).map(member).collect()), links)
}

fn at(address: [u8; 4], port: u16) -> SocketAddr {
    (address, port).into()
}

#[test]
fn every_port_is_open_on_every_card_and_answers_leave_by_the_card_that_was_asked() {
    let world = World::default();
    let (public, private) = hubs(&world);
    let outer = host(&public, 1, fixed([10, 0, 0, 1], 24, Some([10, 0, 0, 254])), limits());
    let inner = host(&private, 1, fixed([10, 1, 0, 1], 24, None), limits());
    let (node, _) = networks([&outer, &inner]);
    let client = host(&public, 2, fixed([10, 0, 0, 2], 24, None), limits());
    let friend = host(&private, 2, fixed([10, 1, 0, 2], 24, None), limits());
    world.run(MINUTE, async move {
        let mut listener = node.listen(1).unwrap();
        for (who, own) in [(&client, [10, 0, 0, 1]), (&friend, [10, 1, 0, 1]), (&client, [10, 0, 0, 1])] {
            let stream = who.connect(at(own, 1)).await.unwrap();
            let peer = listener.accept().await.peer_address();
            assert_eq!(peer.ip().to_string(), format!("10.{}.0.2", own[1]));
            drop(stream);
        }
        // A card answers for its own addresses alone.
        let across = client.connect(at([10, 1, 0, 1], 1)).await;
        assert!(across.is_err());
        drop(listener);
        assert!(client.connect(at([10, 0, 0, 1], 1)).await.is_err());
    });
}

#[test]
fn who_comes_by_the_wrong_card_is_not_let_in() {
    let world = World::default();
    let (public, private) = hubs(&world);
    let outer = host(&public, 1, fixed([10, 0, 0, 1], 8, None), limits());
    let inner = host(&private, 1, fixed([10, 1, 0, 1], 24, None), limits());
    let (node, _) = networks([&outer, &inner]);
    let liar = host(&public, 9, fixed([10, 1, 0, 9], 8, None), limits());
    let honest = host(&public, 3, fixed([10, 2, 0, 3], 8, None), limits());
    let friend = host(&private, 9, fixed([10, 1, 0, 9], 24, None), limits());
    let clock = world.clone();
    world.run(MINUTE, async move {
        let mut listener = node.listen(1).unwrap();
        let stream = liar.connect(at([10, 0, 0, 1], 1)).await.unwrap();
        let late = pin!(clock.sleep(Duration::from_secs(5)));
        let let_in = matches!(select(pin!(listener.accept()), late).await, Either::Left(_));
        assert!(!let_in, "an address of the private network from the public one");
        let (mut reader, _writer) = stream.split();
        let mut byte = [0];
        let read = embedded_io_async::Read::read(&mut reader, &mut byte).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}: closed");
        for (who, own, address) in
            [(&honest, [10, 0, 0, 1], "10.2.0.3"), (&friend, [10, 1, 0, 1], "10.1.0.9")]
        {
            let _stream = who.connect(at(own, 1)).await.unwrap();
            assert_eq!(listener.accept().await.peer_address().ip().to_string(), address);
        }
    });
}

/// Answers for every address, as a router does, and notes whom connections are for.
fn start_router(world: &World, hub: &Hub, number: u8, asked: &Rc<Cell<Option<Ipv4Addr>>>) {
    let (mut card, asked) = (hub.card(number), asked.clone());
    world.spawn(async move {
        loop {
            let bytes = card.next_frame().await;
            let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
            if frame.ethertype() == EthernetProtocol::Arp {
                let arp = ArpPacket::new_checked(frame.payload()).unwrap();
                if arp.operation() == ArpOperation::Request {
                    let octets = |address: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(address).unwrap());
                    let (from, to) = (octets(arp.target_protocol_addr()), octets(arp.source_protocol_addr()));
                    card.send(&arp_request(card.address, from, to));
                }
            } else if let Ok(ip) = Ipv4Packet::new_checked(frame.payload())
                && ip.next_header() == IpProtocol::Tcp
                && TcpPacket::new_checked(ip.payload()).is_ok_and(|segment| segment.syn())
            {
                asked.set(Some(ip.dst_addr()));
            }
        }
    });
}

#[test]
fn calls_take_the_card_whose_route_fits_best_and_else_one_whose_cable_is_in() {
    let world = World::default();
    let (public, private) = hubs(&world);
    let route = StaticRoute {
        network: IpAddr::from([10, 9, 0, 0]),
        prefix: 16,
        gateway: IpAddr::from([10, 1, 0, 254]),
    };
    let inner = NetSettings { routes: vec![route], ..fixed([10, 1, 0, 1], 24, Some([10, 1, 0, 254])) };
    let outer = host(&public, 1, fixed([10, 0, 0, 1], 24, Some([10, 0, 0, 254])), limits());
    let inner = host(&private, 1, inner, limits());
    let (node, links) = networks([&outer, &inner]);
    let (by_public, by_private) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    start_router(&world, &public, 254, &by_public);
    start_router(&world, &private, 254, &by_private);
    let clock = world.clone();
    world.run(10 * MINUTE, async move {
        let far = Ipv4Addr::new(192, 0, 2, 7);
        let routed = Ipv4Addr::new(10, 9, 3, 4);
        for (to, outer_link, public, private) in [
            (far, true, Some(far), None),
            (routed, true, None, Some(routed)),
            (far, false, None, Some(far)),
            (Ipv4Addr::new(10, 0, 0, 7), false, Some(Ipv4Addr::new(10, 0, 0, 7)), None),
        ] {
            links[0].set(outer_link);
            by_public.set(None);
            by_private.set(None);
            let call = node.connect((to, 1).into()).await;
            assert!(matches!(call, Err(ConnectError::TimedOut { .. })), "nobody is there");
            assert_eq!((by_public.get(), by_private.get()), (public, private), "{to}");
        }
        let unknown: SocketAddr = "[2001:db8::1]:1".parse().unwrap();
        assert_eq!(node.connect(unknown).await.err(), Some(ConnectError::NoAddress { peer: unknown }));
        assert!(node.can_send_to((far, 1).into()) && !node.can_send_to(unknown));
        assert_eq!(node.status(clock.now()).len(), 2);
        let totals = node.totals(clock.now());
        let each: u64 = node.status(clock.now()).iter().map(|status| status.frames.frames_out).sum();
        assert!(totals.frames.frames_out == each && each > 4, "{totals:?}");
    });
}

#[test]
fn names_are_asked_for_at_the_card_that_leads_to_the_server() {
    let world = World::default();
    let (public, private) = hubs(&world);
    let outer = host(&public, 1, fixed([10, 0, 0, 1], 24, Some([10, 0, 0, 254])), limits());
    let inner = host(&private, 1, fixed([10, 1, 0, 1], 24, None), limits());
    let (node, _) = networks([&outer, &inner]);
    let clock = world.clone();
    let heard = Rc::new(Cell::new(false));
    let (mut server, at_server) = (private.card(53), heard.clone());
    world.spawn(async move {
        loop {
            let bytes = server.next_frame().await;
            let frame = EthernetFrame::new_checked(&bytes[..]).unwrap();
            if frame.ethertype() == EthernetProtocol::Arp {
                server.send(&arp_request(server.address, [10, 1, 0, 53].into(), [10, 1, 0, 1].into()));
            } else if Ipv4Packet::new_checked(frame.payload())
                .is_ok_and(|ip| ip.next_header() == IpProtocol::Udp)
            {
                at_server.set(true);
            }
        }
    });
    world.run(MINUTE, async move {
        let server = IpAddr::from([10, 1, 0, 53]);
        let answer = node.look_up(&clock, "host.example", &[server]).await.unwrap_err();
        assert_eq!(
            answer.to_string(),
            "no address of host.example from the name servers 10.1.0.53: check the name, and dns= in granary.ini"
        );
        assert!(heard.get(), "the question was asked on the private network");
        assert!(node.look_up(&clock, "host.example", &[]).await.is_err(), "nobody is named");
    });
}
