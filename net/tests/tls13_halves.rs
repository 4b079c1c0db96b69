//! TLS 1.3 over pipes: both halves side by side, and how a connection ends that is cut off or never begins.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as loudly as the test")]

mod venti_support;

use embedded_io_async::{ErrorKind, Read as _, Write as _};
use net::auth::thumbprint::Thumbprints;
use net::rng::Rng;
use net::tls13::{Failure, Identity, Ours, Secured, Source, accept, dial};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use venti_support::{Reader, TestClock, Writer, halves, run};

/// Not random, and never the same twice.
#[derive(Clone)]
struct Counting;

static NEXT: AtomicU64 = AtomicU64::new(1);
static SOURCE: Source<Counting> = Source::new(Counting);
const PATIENCE: Duration = Duration::from_secs(20);

impl Rng for Counting {
    fn fill(&self, target: &mut [u8]) {
        for (place, byte) in target.iter_mut().enumerate() {
            let number = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            *byte = (number.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8 ^ place as u8;
        }
    }
}

type Ends = (Secured<Reader, Writer>, Secured<Reader, Writer>);

async fn meet(
    client: DuplexStream,
    server: DuplexStream,
) -> (Result<Secured<Reader, Writer>, Failure>, Result<Secured<Reader, Writer>, Failure>) {
    let identities = ["a", "b"].map(|name| Identity::generate(&Counting, name).unwrap());
    let mut trusted = Thumbprints::default();
    identities.iter().for_each(|identity| drop(trusted.add(&identity.line("peer")).unwrap()));
    let trusted = Arc::new(trusted);
    let ours = |at: usize| Ours { identity: &identities[at], trusted: trusted.clone(), source: &SOURCE };
    let (clock, (client_in, client_out), (server_in, server_out)) =
        (TestClock::new(), halves(client), halves(server));
    futures_util::future::join(
        dial(client_in, client_out, ours(0), &clock, PATIENCE),
        accept(server_in, server_out, ours(1), &clock, PATIENCE),
    )
    .await
}

async fn connected(room: usize) -> Ends {
    let (client, server) = tokio::io::duplex(room);
    let (client, server) = meet(client, server).await;
    (client.unwrap(), server.unwrap())
}

#[test]
fn both_halves_of_both_ends_work_side_by_side_through_a_narrow_pipe() {
    run(async {
        let (mut client, mut server) = connected(700).await;
        assert_eq!((client.peer.grant.name.as_str(), client.peer.to_string().len()), ("peer", 15));
        let text: Vec<u8> = (0..300_000_u32).map(|number| (number / 3) as u8).collect();
        let (mut to_server, mut to_client) = (vec![0; text.len()], vec![0; text.len()]);
        let (sent, said, heard, read) = futures_util::join!(
            client.writer.write_all(&text),
            server.writer.write_all(&text),
            server.reader.read_exact(&mut to_server),
            client.reader.read_exact(&mut to_client),
        );
        sent.unwrap();
        said.unwrap();
        heard.unwrap();
        read.unwrap();
        assert!(to_server == text && to_client == text);
        client.writer.close().await.unwrap();
        assert_eq!(server.reader.read(&mut to_server).await, Ok(0));
        assert_eq!(client.writer.write(b"x").await, Err(Failure::Closed));
    });
}

#[test]
fn a_stream_that_ends_without_a_goodbye_was_cut_off() {
    run(async {
        let (client, mut server) = connected(1 << 16).await;
        drop(client);
        assert_eq!(server.reader.read(&mut [0; 9]).await, Err(Failure::Truncated));
        let (mut client, server) = connected(1 << 16).await;
        drop(server);
        assert_eq!(client.reader.read(&mut [0; 9]).await, Err(Failure::Truncated));
    });
}

#[test]
fn whoever_says_nothing_is_given_up_on() {
    run(async {
        tokio::time::pause();
        let ((client, _silent), (server, _mute)) = (tokio::io::duplex(1 << 16), tokio::io::duplex(1 << 16));
        let (client, server) = meet(client, server).await;
        assert_eq!((client.err(), server.err()), (Some(Failure::TooLate), Some(Failure::TooLate)));
    });
}

#[test]
fn whoever_speaks_something_else_is_told_so_and_left() {
    run(async {
        for speech in [&b"venti-02:04-libventi\n"[..], b"GET / HTTP/1.0\r\n\r\n", &[0; 300]] {
            let ((client, mut other_server), (server, mut other_client)) =
                (tokio::io::duplex(1 << 16), tokio::io::duplex(1 << 16));
            other_server.write_all(speech).await.unwrap();
            other_client.write_all(speech).await.unwrap();
            let (client, server) = meet(client, server).await;
            assert!(matches!(
                (client.err(), server.err()),
                (Some(Failure::Protocol(_)), Some(Failure::Protocol(_)))
            ));
            let mut told = Vec::new();
            other_client.read_to_end(&mut told).await.unwrap();
            assert_eq!(told.first(), Some(&21), "an alert");
        }
    });
}

#[test]
fn what_fails_beneath_is_told() {
    run(async {
        let (client, server) = tokio::io::duplex(1 << 16);
        drop(server);
        let (clock, (reader, writer)) = (TestClock::new(), halves(client));
        let identity = Identity::generate(&Counting, "a").unwrap();
        let ours = Ours { identity: &identity, trusted: Arc::default(), source: &SOURCE };
        let ended = dial(reader, writer, ours, &clock, PATIENCE).await.map(drop);
        assert_eq!(ended, Err(Failure::Stream(ErrorKind::BrokenPipe)));
    });
}
