//! What the stack does when too much is asked of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod tcp_support;

use embedded_io_async::{Read, Write};
use net::clock::{Clock, Instant};
use net::tcp::{ConnectError, TcpLimits};
use smoltcp::wire::{EthernetProtocol, TcpControl};
use std::net::Ipv4Addr;
use std::time::Duration;
use tcp_support::frames::{arp_request, ethernet, tcp};
use tcp_support::{Card, Hub, Weather, World, at, fixed, host, limits};

const MINUTE: Duration = Duration::from_secs(60);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FLOODER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 66);

fn syn(card: &Card, port: u16) {
    let packet = tcp((FLOODER, port), (SERVER, 1), TcpControl::Syn, u32::from(port), None);
    card.send(&ethernet(card.address, [2, 0, 0, 0, 0, 1], EthernetProtocol::Ipv4, &packet));
}

#[test]
fn a_flood_of_syns_leaves_memory_flat_and_honest_clients_served() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_micros(200), ..Weather::default() });
    let small = TcpLimits::for_memory(64 << 20);
    let server = host(&hub, 1, fixed(1), small);
    let client = host(&hub, 2, fixed(2), limits());
    let (flooder, clock) = (hub.card(66), world.clone());
    world.run(5 * MINUTE, async move {
        let mut listener = server.listen(1).unwrap();
        let (mut reader, mut writer) = client.connect(at(1, 1)).await.unwrap().split();
        let (mut server_reader, mut server_writer) = listener.accept().await.split();
        flooder.send(&arp_request(flooder.address, FLOODER, SERVER));
        let (watched, flood_clock) = (server.clone(), clock.clone());
        clock.spawn(async move {
            for port in 0..10_000 {
                syn(&flooder, 1024 + port);
                if port % 10 == 0 {
                    flood_clock.sleep(Duration::from_millis(1)).await;
                    let tcp = watched.status(Instant::default()).tcp;
                    assert!(tcp.half_open + tcp.open + tcp.lingering <= small.max_connections);
                    assert!(tcp.buffer_bytes <= small.buffers_total, "{} bytes", tcp.buffer_bytes);
                }
            }
        });
        clock.sleep(Duration::from_millis(500)).await;
        assert!(
            server.status(Instant::default()).tcp.evicted > 1000,
            "{:?}",
            server.status(Instant::default()).tcp
        );
        for _ in 0..20 {
            let mut halves = client.connect(at(1, 1)).await.unwrap().split();
            let mut accepted = listener.accept().await.split();
            halves.1.write_all(b"ping").await.unwrap();
            let mut word = [0; 4];
            accepted.0.read_exact(&mut word).await.unwrap();
            clock.sleep(Duration::from_millis(5)).await;
        }
        writer.write_all(b"still here").await.unwrap();
        let mut words = [0; 10];
        server_reader.read_exact(&mut words).await.unwrap();
        server_writer.write_all(&words).await.unwrap();
        reader.read_exact(&mut words).await.unwrap();
        assert_eq!(&words, b"still here");
        clock.sleep(MINUTE).await;
        let tcp = server.status(Instant::default()).tcp;
        assert_eq!(
            (tcp.half_open, tcp.open, tcp.lingering, tcp.listening),
            (0, 1, 0, 1),
            "and then all is as before"
        );
    });
}

#[test]
fn a_syn_that_is_never_confirmed_is_forgotten_after_a_few_seconds() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather::default());
    let server = host(&hub, 1, fixed(1), limits());
    let (flooder, clock) = (hub.card(66), world.clone());
    world.run(MINUTE, async move {
        let _listener = server.listen(1).unwrap();
        flooder.send(&arp_request(flooder.address, FLOODER, SERVER));
        for port in 0..5 {
            syn(&flooder, 1024 + port);
        }
        clock.sleep(limits().half_open_timeout - Duration::from_millis(10)).await;
        assert_eq!(server.status(Instant::default()).tcp.half_open, 5);
        clock.sleep(Duration::from_millis(20)).await;
        let tcp = server.status(Instant::default()).tcp;
        assert_eq!((tcp.half_open, tcp.half_open_expired, tcp.listening), (0, 5, 1));
    });
}

#[test]
fn when_all_connections_are_in_use_newcomers_are_refused_until_one_ends() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let few = TcpLimits { max_connections: 3, ..limits() };
    let server = host(&hub, 1, fixed(1), few);
    let client = host(&hub, 2, fixed(2), limits());
    let clock = world.clone();
    world.run(5 * MINUTE, async move {
        let mut listener = server.listen(1).unwrap();
        let mut halves = Vec::new();
        for _ in 0..3 {
            halves.push((client.connect(at(1, 1)).await.unwrap(), listener.accept().await));
        }
        for _ in 0..3 {
            assert_eq!(client.connect(at(1, 1)).await.err(), Some(ConnectError::Refused { peer: at(1, 1) }));
        }
        assert_eq!(server.connect(at(2, 1)).await.err(), Some(ConnectError::TooMany { peer: at(2, 1) }));
        let (_, oldest) = halves.remove(0);
        drop(oldest);
        clock.sleep(Duration::from_millis(100)).await;
        let client = client.connect(at(1, 1)).await.unwrap();
        let (mut reader, _writer) = listener.accept().await.split();
        client.split().1.write_all(b"x").await.unwrap();
        assert_eq!(reader.read(&mut [0; 8]).await, Ok(1), "a lingering connection gives way");
    });
}

#[test]
fn a_dropped_connection_gives_its_buffers_back_as_soon_as_its_peer_has_everything() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let server = host(&hub, 1, fixed(1), limits());
    let client = host(&hub, 2, fixed(2), limits());
    let clock = world.clone();
    world.run(5 * MINUTE, async move {
        let mut listener = server.listen(1).unwrap();
        let mut leaving = Vec::new();
        let mut staying = Vec::new();
        for number in 0..40 {
            let stream = client.connect(at(1, 1)).await.unwrap();
            let (_reader, mut writer) = listener.accept().await.split();
            writer.write_all(b"go away").await.unwrap();
            if number % 2 == 0 { leaving.push(stream) } else { staying.push(stream) }
        }
        clock.sleep(Duration::from_millis(100)).await;
        // Half of the peers say goodbye, too, and are in TIME-WAIT here; the others never do.
        drop(leaving);
        clock.sleep(Duration::from_millis(100)).await;
        assert_eq!(server.status(Instant::default()).tcp.lingering, 40);
        clock.sleep(limits().last_wait).await;
        let tcp = server.status(Instant::default()).tcp;
        assert_eq!((tcp.open, tcp.lingering, tcp.listening), (0, 0, 1));
        assert!(tcp.buffer_bytes <= 2 * limits().buffer_max, "{} bytes", tcp.buffer_bytes);
        for stream in staying {
            let mut word = [0; 7];
            let (mut reader, _writer) = stream.split();
            reader.read_exact(&mut word).await.unwrap();
            assert_eq!(&word, b"go away", "what was sent was received before the end");
        }
    });
}

#[test]
fn a_full_card_delays_but_neither_loses_nor_spins() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let server = host(&hub, 1, fixed(1), limits());
    let (card, clock) = (hub.card(2), world.clone());
    let (room, inbox) = (card.room.clone(), card.inbox.clone());
    let rng = tcp_support::Seeded::new(9);
    let (client, runner) = net::tcp::Stack::new(card, fixed(2), limits(), rng, clock.now()).unwrap();
    let runner_clock = world.clone();
    world.spawn(async move { match runner.run(runner_clock).await {} });
    world.run(5 * MINUTE, async move {
        let mut listener = server.listen(1).unwrap();
        let (_client_reader, mut writer) = client.connect(at(1, 1)).await.unwrap().split();
        let (mut reader, _writer) = listener.accept().await.split();
        room.set(0);
        writer.write_all(b"patience").await.unwrap();
        let polls = clock.polls();
        clock.sleep(Duration::from_secs(1)).await;
        assert!(clock.polls() - polls < 300, "{} polls while the card is full", clock.polls() - polls);
        room.set(usize::MAX);
        inbox.wake();
        let mut word = [0; 8];
        reader.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"patience");
    });
}
