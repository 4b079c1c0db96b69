//! Secured connections from end to end: who gets in, who does not, and what becomes of a stream that is tampered with.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where something is missing")]

#[path = "secure_support/auth_server.rs"]
mod auth_server;
#[path = "secure_support/others.rs"]
mod others;
mod tcp_support;
mod venti_support;

use auth_server::{AuthServer, account};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use net::auth::dp9ik::TicketError;
use net::auth::dp9ik::client::ClosedAt;
use net::auth::{Domain, UserName};
use net::clock::{Clock, Instant};
use net::secure::{
    AuthServers, Caller, ChannelError, Door, Identity, Means, NoAuthServers, SecureError, Secured, accept,
    dial,
};
use net::tls_psk::TlsError;
use net::venti::connections::Connections;
use net::venti::serve::{Ending, Limits, serve_connection};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use storage::Timestamp;
use tcp_support::Seeded;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::spawn_local;
use venti_support::{MemoryBlocks, Reader, TestClock, Writer, halves, run};

const SERVER: (&str, &str) = ("venti", "kept safe");
const CLIENT: (&str, &str) = ("ada", "lovelace1843");

type Far = Secured<Reader, Writer, Seeded>;

fn means(seed: u64) -> Means<TestClock, Seeded> {
    Means::new(TestClock::new(), Seeded::new(seed))
}

fn identity() -> Identity {
    Identity { account: account(SERVER.0, SERVER.1), domain: Domain::new("lab.example").unwrap() }
}

fn caller((user, password): (&str, &str)) -> Caller {
    Caller { account: account(user, password), domain: None, server: None }
}

/// The authentication server, one connection after another.
struct Here(Rc<AuthServer<Seeded>>);

impl Here {
    fn new() -> Here {
        Here(Rc::new(AuthServer::new(&[SERVER, CLIENT], Seeded::new(77))))
    }
}

impl AuthServers for Here {
    type Reader = Reader;
    type Writer = Writer;

    async fn open(&self, domain: &Domain) -> Result<(Reader, Writer), String> {
        assert_eq!(domain.as_str(), "lab.example");
        let (near, far) = duplex(100);
        let server = Rc::clone(&self.0);
        spawn_local(async move { server.serve(far).await });
        Ok(halves(near))
    }
}

/// Both ends over a pipe that holds `room` bytes.
async fn meet(
    caller: &Caller,
    servers: &impl AuthServers,
    may_connect: impl Fn(&UserName) -> bool,
    room: usize,
) -> (Result<Far, SecureError>, Result<Far, SecureError>) {
    meet_by(caller, servers, may_connect, room, [means(1), means(2)]).await
}

async fn meet_by(
    caller: &Caller,
    servers: &impl AuthServers,
    may_connect: impl Fn(&UserName) -> bool,
    room: usize,
    [server_means, client_means]: [Means<TestClock, Seeded>; 2],
) -> (Result<Far, SecureError>, Result<Far, SecureError>) {
    let (near, far) = duplex(room);
    let identity = identity();
    let server = async {
        let (reader, writer) = halves(far);
        accept(reader, writer, &identity, may_connect, &server_means).await
    };
    let client = async {
        let (reader, writer) = halves(near);
        dial(reader, writer, caller, servers, &client_means).await
    };
    let (server, client) = tokio::join!(server, client);
    (server, client)
}

async fn met(room: usize) -> (Far, Far) {
    let (server, client) = meet(&caller(CLIENT), &Here::new(), |_| true, room).await;
    (server.unwrap_or_else(|error| panic!("{error}")), client.unwrap_or_else(|error| panic!("{error}")))
}

fn failed<T>(result: Result<T, SecureError>) -> SecureError {
    result.err().expect("nobody was to get in")
}

#[test]
fn both_ends_know_each_other_and_talk_both_ways_at_once() {
    run(async {
        for room in [1, 100, 1 << 20] {
            let (mut server, mut client) = met(room).await;
            for end in [&server, &client] {
                assert_eq!((end.user.as_str(), end.server.as_str()), ("ada", "venti"));
            }
            let long: Vec<u8> = (0..=250).cycle().take(if room == 1 { 300 } else { 100_000 }).collect();
            for end in [&mut server, &mut client] {
                // Nobody waits for the other.
                end.writer.flush().await.unwrap();
            }
            let mut taken = [vec![0; long.len()], vec![0; long.len()]];
            let [at_server, at_client] = &mut taken;
            let (one, two, three, four) = tokio::join!(
                server.writer.write_all(&long),
                client.writer.write_all(&long),
                server.reader.read_exact(at_server),
                client.reader.read_exact(at_client),
            );
            assert!(one.is_ok() && two.is_ok() && three.is_ok() && four.is_ok());
            assert_eq!(taken, [long.clone(), long]);
        }
    });
}

#[test]
fn the_servers_own_account_needs_no_authentication_server() {
    run(async {
        let (server, client) =
            meet(&caller(SERVER), &NoAuthServers, |user| user.as_str() == "venti", 100).await;
        assert_eq!(server.ok().unwrap().user, client.ok().unwrap().user);
        let (server, client) = meet(&caller(CLIENT), &NoAuthServers, |_| true, 100).await;
        assert_eq!(failed(server), SecureError::Hungup);
        let error = failed(client);
        assert!(matches!(error, SecureError::NoAuthServer { .. }), "{error}");
        assert!(error.to_string().contains("lab.example: none is known"), "{error}");
    });
}

#[test]
fn a_wrong_password_gets_nobody_in() {
    run(async {
        let (server, client) = meet(&caller((CLIENT.0, "guess")), &Here::new(), |_| true, 100).await;
        assert!(matches!(failed(client), SecureError::Tickets(TicketError::Ticket(_))));
        assert_eq!(failed(server), SecureError::Hungup);
        // Without an authentication server, the client cannot notice; the server does.
        let (server, client) = meet(&caller((SERVER.0, "guess")), &NoAuthServers, |_| true, 100).await;
        assert!(matches!(failed(server), SecureError::Client(_)));
        assert_eq!(failed(client), SecureError::Closed(ClosedAt::Answer));
    });
}

#[test]
fn who_may_not_connect_is_not_answered() {
    run(async {
        let (server, client) = meet(&caller(CLIENT), &Here::new(), |_| false, 100).await;
        assert_eq!(failed(server), SecureError::NotAdmitted(UserName::new("ada").unwrap()));
        assert_eq!(failed(client), SecureError::Closed(ClosedAt::Answer));
    });
}

#[test]
fn a_client_may_want_one_server_and_no_other() {
    run(async {
        let wanted = Some(UserName::new("archive").unwrap());
        let caller = Caller { server: wanted, ..caller(CLIENT) };
        let (_, client) = meet(&caller, &Here::new(), |_| true, 100).await;
        assert!(matches!(failed(client), SecureError::OtherServer { .. }));
    });
}

/// Time that stands still, with everything over that ends within `passed`.
#[derive(Clone)]
struct Still {
    passed: Duration,
}

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::default()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    async fn sleep_until(&self, deadline: Instant) {
        if deadline > Instant::default().plus(self.passed) {
            std::future::pending::<()>().await;
        }
    }
}

#[test]
fn a_silent_peer_is_not_waited_for_without_end() {
    run(async {
        let means = Means::new(Still { passed: Duration::from_secs(30) }, Seeded::new(1));
        let (near, _far) = duplex(4096);
        let (reader, writer) = halves(near);
        assert_eq!(
            failed(accept(reader, writer, &identity(), |_| true, &means).await),
            SecureError::TimedOut
        );
        let (near, _far) = duplex(4096);
        let (reader, writer) = halves(near);
        let dialled = dial(reader, writer, &caller(CLIENT), &NoAuthServers, &means).await;
        assert_eq!(failed(dialled), SecureError::TimedOut);
    });
}

/// An authentication server that takes connections and says nothing.
struct Mute;

impl AuthServers for Mute {
    type Reader = Reader;
    type Writer = Writer;

    async fn open(&self, _: &Domain) -> Result<(Reader, Writer), String> {
        let (near, far) = duplex(4096);
        // As long as the test lasts.
        std::mem::forget(far);
        Ok(halves(near))
    }
}

#[test]
fn a_mute_authentication_server_leaves_time_to_do_without() {
    run(async {
        let (near, far) = duplex(4096);
        let identity = identity();
        let server_means = means(1);
        let client_means = Means::new(Still { passed: Duration::from_secs(15) }, Seeded::new(2));
        let own = caller(SERVER);
        let (server, client) = tokio::join!(
            async {
                let (reader, writer) = halves(far);
                accept(reader, writer, &identity, |_| true, &server_means).await
            },
            async {
                let (reader, writer) = halves(near);
                dial(reader, writer, &own, &Mute, &client_means).await
            },
        );
        assert!(server.is_ok() && client.is_ok());
    });
}

#[test]
fn only_a_stream_that_was_closed_ends_well() {
    run(async {
        let (mut server, mut client) = met(4096).await;
        client.writer.write_all(b"goodbye").await.unwrap();
        client.writer.close(&TestClock::new(), Duration::from_secs(5)).await;
        let mut content = [0; 100];
        assert_eq!(server.reader.read(&mut content).await, Ok(7));
        assert_eq!(server.reader.read(&mut content).await, Ok(0));
        assert_eq!(server.reader.read(&mut content).await, Ok(0));
        assert_eq!(client.writer.write(b"more").await, Err(ChannelError::Tls(TlsError::Over)));
        let Secured { reader, writer, .. } = server;
        drop((reader, writer));
        let cut_off = client.reader.read(&mut content).await;
        assert_eq!(cut_off, Err(ChannelError::Tls(TlsError::Truncated)));
    });
}

/// Carries bytes between two pipes, and alters the last one of what `alter` names.
async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mut left: usize) {
    let mut bytes = [0; 512];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        if (1..=count).contains(&left) {
            bytes[left - 1] ^= 1;
        }
        left = left.saturating_sub(count);
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Both ends, with somebody between who alters one byte of what the client sends.
async fn altered(at: usize) -> (Result<Far, SecureError>, Result<Far, SecureError>) {
    let ((near, left), (far, right)) = (duplex(4096), duplex(4096));
    let (from_client, to_client) = tokio::io::split(left);
    let (from_server, to_server) = tokio::io::split(right);
    spawn_local(carry(from_client, to_server, at));
    spawn_local(carry(from_server, to_client, 0));
    let (identity, caller, here) = (identity(), caller(CLIENT), Here::new());
    let (server_means, client_means) = (means(1), means(2));
    let (reader, writer) = halves(far);
    let server = accept(reader, writer, &identity, |_| true, &server_means);
    let (reader, writer) = halves(near);
    let client = dial(reader, writer, &caller, &here, &client_means);
    tokio::join!(server, client)
}

#[test]
fn who_alters_the_stream_is_noticed_and_both_ends_are_told() {
    // "dp9ik lab.example", challenge, proof; then hello, key exchange, new keys, Finished.
    let handshake = 18 + 8 + 248 + (5 + 91) + (5 + 14) + 6 + (5 + 32);
    run(async {
        let (server, client) = altered(handshake).await;
        assert_eq!(failed(server), SecureError::Tls(TlsError::BadRecord));
        assert_eq!(failed(client), SecureError::Tls(TlsError::Fatal(20)));
        let (server, client) = altered(handshake + 7).await;
        let (mut server, mut client) = (server.ok().unwrap(), client.ok().unwrap());
        client.writer.write_all(b"attack at dawn").await.unwrap();
        let mut content = [0; 100];
        let noticed = server.reader.read(&mut content).await;
        assert_eq!(noticed, Err(ChannelError::Tls(TlsError::BadRecord)));
        assert_eq!(server.writer.write(b"?").await, Err(ChannelError::Tls(TlsError::Over)));
        server.writer.close(&TestClock::new(), Duration::from_secs(5)).await;
        let told = client.reader.read(&mut content).await;
        assert_eq!(told, Err(ChannelError::Tls(TlsError::Fatal(20))));
    });
}

#[test]
fn a_write_that_was_given_up_is_the_last() {
    run(async {
        let (_server, mut client) = met(100).await;
        {
            let mut writing = pin!(client.writer.write(&[7; 5000]));
            // The pipe holds 100 bytes, and nobody reads.
            assert!(futures_util::poll!(writing.as_mut()).is_pending());
        }
        assert_eq!(client.writer.write(b"again").await, Err(ChannelError::GivenUp));
    });
}

/// A pipe that fails.
struct Broken;

impl ErrorType for Broken {
    type Error = ErrorKind;
}

impl Read for Broken {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        Err(ErrorKind::ConnectionReset)
    }
}

impl Write for Broken {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[test]
fn a_door_counts_who_gets_in_and_who_does_not() {
    run(async {
        let door = Door::new(TestClock::new(), Seeded::new(3));
        let peer = "10.0.0.1:999".parse().unwrap();
        assert!(door.let_in((Broken, Broken), peer, &identity(), |_| true).await.is_none());
        let (near, far) = duplex(4096);
        let (identity, own, client_means) = (identity(), caller(SERVER), means(2));
        let (reader, writer) = halves(near);
        let (entered, client) = tokio::join!(
            door.let_in(halves(far), peer, &identity, |_| true),
            dial(reader, writer, &own, &NoAuthServers, &client_means),
        );
        assert!(entered.is_some() && client.is_ok());
        let figures = door.gate.figures();
        assert_eq!((figures.admitted, figures.failed, figures.refused), (1, 1, 0));
    });
}

async fn expect(stream: &mut Far, text: &[u8]) {
    let mut got = vec![0; text.len()];
    stream.reader.read_exact(&mut got).await.unwrap();
    assert_eq!(got, text);
}

#[test]
fn venti_is_served_behind_it() {
    run(async {
        let (server, mut client) = met(4096).await;
        let Secured { mut reader, mut writer, .. } = server;
        let serving = spawn_local(async move {
            let (blocks, clock) = (MemoryBlocks::default(), TestClock::new());
            let ticket = Connections::new(1).admit(clock.now()).unwrap();
            let limits = Limits::default();
            let ending = serve_connection(&mut reader, &mut writer, &blocks, &limits, &clock, &ticket).await;
            writer.close(&clock, Duration::from_secs(5)).await;
            ending
        });
        let mut greeting = [0; 64];
        let count = client.reader.read(&mut greeting).await.unwrap();
        assert!(greeting[..count].starts_with(b"venti-"));
        client.writer.write_all(b"venti-02-test\n").await.unwrap();
        let hello =
            [0, 17, 4, 0, 0, 2, b'0', b'2', 0, 9, b'a', b'n', b'o', b'n', b'y', b'm', b'o', b'u', b's'];
        let mut hello = hello.to_vec();
        hello.extend([0, 0, 0]);
        hello[1] = (hello.len() - 2) as u8;
        client.writer.write_all(&hello).await.unwrap();
        let mut header = [0; 4];
        client.reader.read_exact(&mut header).await.unwrap();
        assert_eq!(header[2..], [5, 0], "Rhello");
        let rest = usize::from(u16::from_be_bytes([header[0], header[1]])) - 2;
        let mut said = vec![0; rest];
        client.reader.read_exact(&mut said).await.unwrap();
        // Ping.
        client.writer.write_all(&[0, 2, 2, 7]).await.unwrap();
        expect(&mut client, &[0, 2, 3, 7]).await;
        client.writer.close(&TestClock::new(), Duration::from_secs(5)).await;
        assert_eq!(serving.await.unwrap(), Ending::PeerClosed);
        assert_eq!(client.reader.read(&mut [0; 9]).await, Ok(0));
    });
}
