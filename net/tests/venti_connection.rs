//! Whole connections over pipes of the host: many clients, slow ones, hostile ones.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where something is missing")]

mod venti_support;

use bytes::Bytes;
use net::venti::client::{self, Client, ClientError, Settings};
use net::venti::message::{Message, Tagged};
use net::venti::serve::{Ending, Limits};
use net::venti::{MAX_LUMP, Version};
use proptest::prelude::*;
use std::rc::Rc;
use std::time::Duration;
use storage::block_type::BlockType;
use storage::score::Score;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use venti_support::{MemoryBlocks, TestClock, exchange, halves, run, serve};

const OPENING: &[u8] = b"venti-04-x\n\0\0\0\x14\x04\0\0\x0204\0\x09anonymous\0\0\0";
/// Our greeting and Rhello.
const WELCOME: usize = 25 + 19;

async fn connect(stream: DuplexStream) -> Client {
    let (reader, writer) = halves(stream);
    let (client, carrier) =
        client::connect(reader, writer, TestClock::new(), Settings::default()).await.unwrap();
    tokio::task::spawn_local(carrier);
    client
}

fn lump(client: usize, number: usize) -> Bytes {
    let length = 1 + (client * 7919 + number * 104_729) % MAX_LUMP;
    let mut bytes = vec![client as u8; length];
    bytes.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, digit)| *byte = digit);
    Bytes::from(bytes)
}

fn frame(tag: u8, message: Message) -> Vec<u8> {
    let mut out = Vec::new();
    let lump = Tagged { tag, message }.encode(Version::V04, &mut out).unwrap_or_default();
    out.extend_from_slice(&lump);
    out
}

fn write_of(tag: u8, length: usize) -> Vec<u8> {
    frame(tag, Message::Twrite { block_type: tag % 16, lump: Bytes::from(vec![tag; length]) })
}

#[test]
fn sixteen_clients_write_and_read_at_once() {
    run(async {
        let blocks = Rc::new(MemoryBlocks::default());
        blocks.slowness.set(3);
        let work = (0..16).map(|number| {
            let (stream, server) = serve(&blocks, Limits::default(), 4096);
            tokio::task::spawn_local(async move {
                let client = connect(stream).await;
                let lumps: Vec<Bytes> = (0..40).map(|lump_number| lump(number, lump_number)).collect();
                let writes = lumps.iter().map(|lump| client.write(BlockType::DATA, lump.clone()));
                let scores = futures_util::future::try_join_all(writes).await.unwrap();
                client.sync().await.unwrap();
                let reads = scores.iter().map(|&score| client.read(score, BlockType::DATA, MAX_LUMP));
                assert_eq!(futures_util::future::try_join_all(reads).await.unwrap(), lumps);
                client.goodbye().await;
                server.await.unwrap()
            })
        });
        for ending in futures_util::future::join_all(work).await {
            assert!(matches!(ending.unwrap(), Ending::Session(_)));
        }
        assert_eq!(blocks.synced.get(), blocks.writes.get());
    });
}

#[test]
fn a_sync_covers_writes_that_are_not_answered_yet() {
    run(async {
        let blocks = Rc::new(MemoryBlocks::default());
        blocks.slowness.set(50);
        let (mut stream, _server) = serve(&blocks, Limits::default(), 1 << 20);
        let mut bytes = OPENING.to_vec();
        for tag in 0..9 {
            bytes.extend(frame(tag, Message::Twrite { block_type: 13, lump: lump(1, tag.into()) }));
        }
        bytes.extend(frame(9, Message::Tsync));
        bytes.extend(frame(10, Message::Tsync));
        exchange(&mut stream, &bytes, WELCOME + 9 * 26 + 6 + 6).await;
        assert_eq!(blocks.synced.get(), 9);
    });
}

#[test]
fn a_tag_that_is_used_twice_is_answered_twice() {
    run(async {
        let (mut stream, _server) = serve(&Rc::new(MemoryBlocks::default()), Limits::default(), 1 << 16);
        let one = frame(3, Message::Twrite { block_type: 13, lump: Bytes::from_static(b"one") });
        let two = frame(3, Message::Twrite { block_type: 13, lump: Bytes::from_static(b"two") });
        let got = exchange(&mut stream, &[OPENING, &one, &two].concat(), WELCOME + 2 * 26).await;
        for word in [b"one", b"two"] {
            let reply = frame(3, Message::Rwrite(Score::of(word)));
            assert!(got.windows(reply.len()).any(|window| window == reply));
        }
    });
}

#[test]
fn a_client_that_half_closes_gets_its_answers() {
    run(async {
        let blocks = Rc::new(MemoryBlocks::default());
        blocks.slowness.set(5);
        let (mut stream, server) = serve(&blocks, Limits::default(), 1 << 16);
        let write = frame(1, Message::Twrite { block_type: 13, lump: Bytes::from_static(b"last words") });
        stream.write_all(&[OPENING, &write, &frame(2, Message::Tsync)].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), WELCOME + 26 + 6);
        assert_eq!(server.await.unwrap(), Ending::PeerClosed);
    });
}

#[test]
fn a_client_that_does_not_listen_is_read_no_further_and_then_dropped() {
    run(async {
        let blocks = Rc::new(MemoryBlocks::default());
        let limits = Limits { bytes: 1 << 20, stall: Duration::from_millis(200), ..Limits::default() };
        let (mut stream, server) = serve(&blocks, limits, 1 << 16);
        let lump = Bytes::from(vec![5; MAX_LUMP]);
        let score = Score::of(&lump);
        let write = frame(0, Message::Twrite { block_type: 13, lump });
        exchange(&mut stream, &[OPENING, &write].concat(), WELCOME + 26).await;
        let read = frame(1, Message::Tread { score, block_type: 13, count: MAX_LUMP as u32 });
        let reads = read.repeat(40_000);
        let mut sent = 0;
        let stuck = tokio::time::timeout(Duration::from_secs(5), async {
            while sent < reads.len() {
                match stream.write(&reads[sent..]).await {
                    Ok(count) => sent += count,
                    Err(_) => break,
                }
            }
        });
        assert!(stuck.await.is_ok() && sent < reads.len(), "the server stops reading and then closes");
        assert_eq!(server.await.unwrap(), Ending::Stalled);
    });
}

#[test]
fn who_never_says_hello_is_dropped_and_who_is_idle_stays() {
    run(async {
        let limits = Limits { hello: Duration::from_millis(100), ..Limits::default() };
        let blocks = Rc::new(MemoryBlocks::default());
        let (_silent, server) = serve(&blocks, limits, 1 << 16);
        let (mut idle, _) = serve(&blocks, limits, 1 << 16);
        exchange(&mut idle, OPENING, WELCOME).await;
        assert_eq!(server.await.unwrap(), Ending::NoHello);
        tokio::time::sleep(Duration::from_millis(150)).await;
        exchange(&mut idle, &frame(1, Message::Tping), 6).await;
    });
}

#[test]
fn who_stops_within_a_request_is_dropped_and_who_is_slow_is_not() {
    run(async {
        let limits = Limits { stall: Duration::from_millis(400), ..Limits::default() };
        let blocks = Rc::new(MemoryBlocks::default());
        let (mut slow, _) = serve(&blocks, limits, 1 << 16);
        let (mut stuck, server) = serve(&blocks, limits, 1 << 16);
        let write = write_of(5, 12);
        stuck.write_all(&[OPENING, &write[..20]].concat()).await.unwrap();
        slow.write_all(OPENING).await.unwrap();
        for piece in write.chunks(4) {
            slow.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        assert_eq!(server.await.unwrap(), Ending::Unfinished);
        exchange(&mut slow, &[], WELCOME + 26).await;
    });
}

#[test]
fn a_lying_server_is_found_out() {
    run(async {
        let (near, mut server) = tokio::io::duplex(1 << 16);
        let lies = tokio::task::spawn_local(async move {
            let client = connect(near).await;
            let wanted = Score::of(b"truth");
            let read = client.read(wanted, BlockType::DATA, 100).await;
            assert_eq!(read, Err(ClientError::WrongScore { wanted, got: Score::of(b"a lie") }));
            let write = client.write(BlockType::DATA, Bytes::from_static(b"truth")).await;
            assert_eq!(write, Err(ClientError::WrongScore { wanted, got: Score::NULL }));
            assert!(matches!(client.sync().await, Err(ClientError::Protocol(_))));
            assert!(client.sync().await.is_err(), "a stray reply ends the connection");
        });
        server.write_all(b"venti-04:02-liar\n\0\0\0\x0f\x05\0\0\x09anonymous\0\0").await.unwrap();
        // Greeting and hello; a read; a write; a sync.
        let lies_told = [
            (20 + 24, None),
            (30, Some(frame(0, Message::Rread(Bytes::from_static(b"a lie"))))),
            (15, Some(frame(0, Message::Rwrite(Score::NULL)))),
            (6, Some(frame(77, Message::Rsync))),
        ];
        for (length, reply) in lies_told {
            server.read_exact(&mut vec![0; length]).await.unwrap();
            server.write_all(&reply.unwrap_or_default()).await.unwrap();
        }
        lies.await.unwrap();
    });
}

#[test]
fn a_dead_server_is_given_up() {
    run(async {
        let (near, mut server) = tokio::io::duplex(1 << 16);
        server.write_all(b"venti-04:02-dead\n\0\0\0\x0f\x05\0\0\x09anonymous\0\0").await.unwrap();
        let (reader, writer) = halves(near);
        let settings = Settings { stall: Duration::from_millis(100), ..Settings::default() };
        let (client, carrier) = client::connect(reader, writer, TestClock::new(), settings).await.unwrap();
        tokio::task::spawn_local(carrier);
        tokio::time::sleep(Duration::from_millis(150)).await;
        let (first, second) = futures_util::join!(client.sync(), client.ping());
        assert_eq!((first, second), (Err(ClientError::TimedOut), Err(ClientError::TimedOut)));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_bytes_end_a_connection_at_worst(
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                (any::<u8>(), 0usize..300).prop_map(|(tag, length)|
                    write_of(tag, length)),
                (any::<u8>(), any::<u32>()).prop_map(|(tag, count)|
                    frame(tag, Message::Tread { score: Score::of(&[tag]), block_type: tag % 16, count })),
                any::<u8>().prop_map(|tag| frame(tag, Message::Tsync)),
            ],
            0..20,
        ),
        greeted in any::<bool>(),
    ) {
        run(async {
            let (stream, server) = serve(&Rc::new(MemoryBlocks::default()), Limits::default(), 512);
            let (mut reader, mut writer) = tokio::io::split(stream);
            let drain = async {
                let mut sink = Vec::new();
                reader.read_to_end(&mut sink).await.unwrap();
            };
            let send = async {
                if greeted && writer.write_all(OPENING).await.is_err() {
                    return;
                }
                for part in &parts {
                    if writer.write_all(part).await.is_err() {
                        return;
                    }
                }
                // The server may have gone first.
                writer.shutdown().await.unwrap_or_default();
            };
            futures_util::join!(drain, send);
            server.await.unwrap();
        });
    }
}
