//! TCP between two stacks over a simulated link: what streams promise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod tcp_support;

use embedded_io_async::{Read, Write};
use net::clock::Instant;
use net::tcp::{ConnectError, ReadHalf, Stack, TcpError, TcpLimits, WriteHalf};
use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;
use tcp_support::{Hub, Segments, Weather, World, at, bytes, fixed, host, limits};

const MINUTE: Duration = Duration::from_secs(60);

fn pair(world: &World, weather: Weather) -> (Hub, Stack, Stack) {
    pair_by(world, weather, Segments::Stack)
}

fn pair_by(world: &World, weather: Weather, segments: Segments) -> (Hub, Stack, Stack) {
    let hub = Hub::new(world, 7, weather);
    hub.segments.set(segments);
    let (a, b) = (host(&hub, 1, fixed(1), limits()), host(&hub, 2, fixed(2), limits()));
    (hub, a, b)
}

/// A connection from the second stack to port 1 of the first: the server's halves, then the client's.
async fn connect(server: &Stack, client: &Stack) -> ((ReadHalf, WriteHalf), (ReadHalf, WriteHalf)) {
    let mut listener = server.listen(1).unwrap();
    let client = client.connect(at(1, 1)).await.unwrap();
    let accepted = listener.accept().await;
    assert_eq!(accepted.peer_address().ip(), at(2, 1).ip());
    (accepted.split(), client.split())
}

async fn read_all(reader: &mut ReadHalf) -> Result<Vec<u8>, TcpError> {
    let mut all = Vec::new();
    let mut part = vec![0; 9000];
    loop {
        match reader.read(&mut part).await? {
            0 => return Ok(all),
            len => all.extend_from_slice(&part[..len]),
        }
    }
}

const ROUGH: Weather = Weather { loss: 50, duplicate: 20, reorder: 50, delay: Duration::from_millis(1) };

/// Sends 2 MiB each way, and compares.
async fn exchange(clock: World, server: Stack, client: Stack) {
    let ((mut server_reads, mut server_writes), (mut reader, mut writer)) = connect(&server, &client).await;
    let (up, down) = (bytes(1, 2 << 20), bytes(2, 2 << 20));
    let (expected_up, expected_down) = (up.clone(), down.clone());
    clock.spawn(async move { server_writes.write_all(&down).await.unwrap() });
    clock.spawn(async move { writer.write_all(&up).await.unwrap() });
    let done = Rc::new(Cell::new(false));
    let up_done = done.clone();
    clock.spawn(async move {
        assert!(read_all(&mut server_reads).await.unwrap() == expected_up);
        up_done.set(true);
    });
    assert!(read_all(&mut reader).await.unwrap() == expected_down);
    while !done.get() {
        clock.sleep(Duration::from_secs(1)).await;
    }
}

#[test]
fn megabytes_arrive_intact_both_ways_through_loss_reordering_and_duplicates() {
    let world = World::default();
    let (hub, server, client) = pair(&world, ROUGH);
    world.run(60 * MINUTE, exchange(world.clone(), server, client));
    assert_eq!(hub.largest.get(), 1514);
}

#[test]
fn so_they_do_where_cards_cut_the_segments() {
    let world = World::default();
    let (hub, server, client) = pair_by(&world, ROUGH, Segments::Card);
    world.run(60 * MINUTE, exchange(world.clone(), server, client));
    assert_eq!(hub.largest.get(), 1514, "what is cut fits a packet");
}

#[test]
fn so_they_do_where_nobody_does() {
    let world = World::default();
    let (hub, server, client) = pair_by(&world, ROUGH, Segments::Nobody);
    world.run(60 * MINUTE, exchange(world.clone(), server, client));
    assert!(hub.largest.get() > 3 * 1514, "frames of {} bytes at most", hub.largest.get());
}

#[test]
fn a_clean_link_is_filled_and_small_writes_share_packets() {
    let world = World::default();
    let weather = Weather { delay: Duration::from_micros(100), ..Weather::default() };
    let (_hub, server, client) = pair(&world, weather);
    let clock = world.clone();
    world.run(MINUTE, async move {
        let ((mut server_reads, _server_writes), (_reader, mut writer)) = connect(&server, &client).await;
        let data = bytes(3, 4 << 20);
        let expected = data.clone();
        let (before, start) = (client.status(Instant::default()).frames.frames_out, clock.micros());
        clock.spawn(async move {
            for piece in data.chunks(100) {
                writer.write_all(piece).await.unwrap();
            }
        });
        assert!(read_all(&mut server_reads).await.unwrap() == expected);
        let frames = client.status(Instant::default()).frames.frames_out - before;
        assert!(frames < 4 * (4 << 20) / 1460 / 3, "{frames} frames for 4 MiB");
        let took = clock.micros() - start;
        assert!(took < 1_000_000, "4 MiB took {took} µs of simulated time");
    });
}

#[test]
fn all_connections_that_a_small_machine_takes_talk_at_once() {
    let small = TcpLimits::for_memory(64 << 20);
    let most = small.max_connections;
    assert!(most >= 128);
    let world = World::default();
    let weather = Weather { loss: 10, delay: Duration::from_millis(1), ..Weather::default() };
    let hub = Hub::new(&world, 5, weather);
    let server = host(&hub, 1, fixed(1), small);
    let client = host(&hub, 2, fixed(2), limits());
    let (clock, open) = (world.clone(), Rc::new(Cell::new(0)));
    world.run(5 * MINUTE, async move {
        let mut listener = server.listen(1).unwrap();
        for number in 0..most {
            let (client, open) = (client.clone(), open.clone());
            clock.spawn(async move {
                let (mut reader, mut writer) = client.connect(at(1, 1)).await.unwrap().split();
                let sent = bytes(number as u64, 20_000);
                writer.write_all(&sent).await.unwrap();
                let mut got = vec![0; sent.len()];
                reader.read_exact(&mut got).await.unwrap();
                assert!(got == sent);
                open.set(open.get() + 1);
                pending::<()>().await;
            });
        }
        for _ in 0..most {
            let (mut reader, mut writer) = listener.accept().await.split();
            clock.spawn(async move {
                let mut data = vec![0; 20_000];
                reader.read_exact(&mut data).await.unwrap();
                writer.write_all(&data).await.unwrap();
                pending::<()>().await;
            });
        }
        while open.get() < most {
            clock.sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(server.status(Instant::default()).tcp.open, most);
        assert!(server.status(Instant::default()).tcp.buffer_bytes <= 8 << 20);
        assert_eq!(client.connect(at(1, 1)).await.err(), Some(ConnectError::Refused { peer: at(1, 1) }));
    });
}

#[test]
fn a_peer_that_stops_reading_stalls_only_itself() {
    let world = World::default();
    let (_hub, server, client) =
        pair(&world, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let clock = world.clone();
    world.run(10 * MINUTE, async move {
        let ((_server_reads, mut stalled), (mut lazy, _lazy_writes)) = connect(&server, &client).await;
        let stuck = Rc::new(Cell::new(true));
        let (data, freed) = (bytes(1, 4 << 20), stuck.clone());
        let expected = data.clone();
        clock.spawn(async move {
            stalled.write_all(&data).await.unwrap();
            freed.set(false);
        });
        clock.sleep(5 * MINUTE).await;
        assert!(stuck.get(), "4 MiB went into the buffers of two sockets");
        let ((mut reads, _writes), (_client_reads, mut writes)) = connect(&server, &client).await;
        writes.write_all(b"others").await.unwrap();
        let mut word = [0; 6];
        reads.read_exact(&mut word).await.unwrap();
        let polls = clock.polls();
        clock.sleep(MINUTE).await;
        assert!(clock.polls() - polls < 200, "waiting costs {} polls a minute", clock.polls() - polls);
        assert!(read_all(&mut lazy).await.unwrap() == expected, "what it missed it still gets");
    });
}

#[test]
fn connections_close_in_every_order() {
    let world = World::default();
    let (_hub, server, client) =
        pair(&world, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let clock = world.clone();
    world.run(5 * MINUTE, async move {
        for order in 0..6 {
            let ((mut reads, mut writes), (mut client_reads, mut client_writes)) =
                connect(&server, &client).await;
            client_writes.write_all(b"last words").await.unwrap();
            match order {
                0 => drop((client_reads, client_writes)),
                1 => client_writes.finish().await.unwrap(),
                2 => client_writes.close(),
                3 => drop(client_writes),
                4 => {
                    writes.close();
                    assert_eq!(
                        writes.write(b"more").await,
                        Err(TcpError::Closed { peer: writes.peer_address() })
                    );
                    assert_eq!(read_all(&mut client_reads).await.unwrap(), b"");
                    client_writes.finish().await.unwrap();
                }
                _ => {
                    writes.close();
                    client_writes.close();
                }
            }
            assert_eq!(read_all(&mut reads).await.unwrap(), b"last words", "order {order}");
            if order < 4 && order > 0 {
                writes.write_all(b"answer").await.unwrap();
                writes.finish().await.unwrap();
            }
        }
        clock.sleep(MINUTE).await;
        let (server, client) = (server.status(Instant::default()).tcp, client.status(Instant::default()).tcp);
        assert_eq!((server.open, server.lingering, client.open, client.lingering), (0, 0, 0, 0));
        assert_eq!((server.buffer_bytes, client.buffer_bytes), (0, 0), "no listener, no memory");
    });
}

#[test]
fn a_dropped_connection_still_delivers_but_does_not_wait_for_ever() {
    let world = World::default();
    let (hub, server, client) =
        pair(&world, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let clock = world.clone();
    world.run(5 * MINUTE, async move {
        let ((mut reads, writes), (client_reads, mut client_writes)) = connect(&server, &client).await;
        client_writes.write_all(&bytes(1, 100_000)).await.unwrap();
        drop((client_reads, client_writes));
        assert!(read_all(&mut reads).await.unwrap() == bytes(1, 100_000));
        drop((reads, writes));
        let (_server_halves, mut client_halves) = connect(&server, &client).await;
        client_halves.1.write_all(b"into the void").await.unwrap();
        hub.unplug(1);
        drop(client_halves);
        clock.sleep(limits().linger / 2).await;
        assert_eq!(client.status(Instant::default()).tcp.lingering, 1);
        clock.sleep(limits().linger).await;
        assert_eq!(client.status(Instant::default()).tcp.lingering, 0);
    });
}

#[test]
fn a_peer_that_vanishes_is_noticed_by_reader_and_writer() {
    let world = World::default();
    let (hub, server, client) =
        pair(&world, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    let clock = world.clone();
    world.run(10 * MINUTE, async move {
        let ((mut reads, _writes), client_halves) = connect(&server, &client).await;
        let ((_reads, mut writes), others) = connect(&server, &client).await;
        clock.sleep(5 * MINUTE).await;
        let peer = reads.peer_address();
        assert_eq!(
            server.status(Instant::default()).tcp.open,
            2,
            "idle ones stay while the peer answers probes"
        );
        hub.unplug(2);
        writes.write_all(b"hello?").await.unwrap();
        let start = clock.seconds();
        assert_eq!(reads.read(&mut [0]).await, Err(TcpError::Lost { peer }));
        assert!((50..80).contains(&(clock.seconds() - start)));
        clock.sleep(MINUTE).await;
        assert!(writes.write(b"?").await.is_err());
        drop((client_halves, others));
    });
}

#[test]
fn calls_that_cannot_succeed_end_with_their_reason() {
    let world = World::default();
    let (hub, _server, client) =
        pair(&world, Weather { delay: Duration::from_millis(1), ..Weather::default() });
    world.run(MINUTE, async move {
        assert_eq!(client.connect(at(1, 9)).await.err(), Some(ConnectError::Refused { peer: at(1, 9) }));
        assert_eq!(client.connect(at(9, 9)).await.err(), Some(ConnectError::TimedOut { peer: at(9, 9) }));
        let ipv6 = "[2001:db8::1]:1".parse().unwrap();
        assert_eq!(client.connect(ipv6).await.err(), Some(ConnectError::NoAddress { peer: ipv6 }));
        drop(hub);
    });
}

#[test]
fn an_idle_node_sleeps() {
    let world = World::default();
    let hub = Hub::new(&world, 1, Weather::default());
    let stack = host(&hub, 1, fixed(1), limits());
    let auto = host(&hub, 2, net::tcp::NetSettings::default(), limits());
    let clock = world.clone();
    world.run(60 * MINUTE, async move {
        let _listener = (stack.listen(1).unwrap(), auto.listen(1).unwrap());
        clock.sleep(MINUTE).await;
        let polls = clock.polls();
        clock.sleep(10 * MINUTE).await;
        // DHCP asks every 3 s, router discovery ever more seldom.
        assert!(clock.polls() - polls < 500, "{} polls in ten idle minutes", clock.polls() - polls);
    });
}
