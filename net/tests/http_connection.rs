//! HTTP connections over pipes: what is answered, what is refused, who is cut off.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails as loudly as the test")]

mod venti_support;

use net::clock::Clock;
use net::http::{
    Body, ContentType, Ending, HEAD_MAX, Limits, Pages, Refusal, Response, Status, serve_connection,
};
use net::venti::connections::{Connections, Ticket};
use proptest::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use venti_support::{TestClock, halves, run};

/// Three pages: one whole, one in pieces, one endless.
#[derive(Default)]
struct TestPages {
    answers: Cell<usize>,
}

impl Pages for TestPages {
    fn answer(&self, path: &str) -> Response {
        let body = match path {
            "/whole" => Body::Whole("all of it\n".into()),
            "/pieces" => Body::Pieces(Box::new(["one\n".to_owned(), "three\n".to_owned()].into_iter())),
            "/endless" => Body::Pieces(Box::new(std::iter::repeat_n("x".repeat(4096), 1 << 20))),
            _ => return Response::text(Status::NotFound, "no such page\n"),
        };
        Response { status: Status::Ok, content_type: ContentType::Text, body }
    }

    fn answered(&self, _: Status) {
        self.answers.set(self.answers.get() + 1);
    }
}

fn quick() -> Limits {
    Limits { request: Duration::from_millis(60), answer: Duration::from_millis(60), ..Limits::default() }
}

fn ticket() -> Ticket {
    Connections::new(1).admit(TestClock::new().now()).unwrap()
}

/// Serves one end of a pipe; returns the other one.
fn serve(pages: &Rc<TestPages>, limits: Limits, ticket: Ticket) -> (DuplexStream, JoinHandle<Ending>) {
    let (near, far) = tokio::io::duplex(16 << 10);
    let pages = pages.clone();
    let server = tokio::task::spawn_local(async move {
        let (reader, writer) = halves(far);
        serve_connection(reader, writer, &*pages, &limits, &TestClock::new(), &ticket).await
    });
    (near, server)
}

/// Sends `bytes`, then nothing more; returns everything that came, and how it ended.
async fn exchange(bytes: &[u8]) -> (String, Ending) {
    let (mut stream, server) = serve(&Rc::default(), Limits::default(), ticket());
    // It may be refused before all was sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    (String::from_utf8(answer).unwrap(), server.await.unwrap())
}

fn check(request: &str, status: &str, body: &str, ending: Ending) {
    run(async {
        let (answer, ended) = exchange(request.as_bytes()).await;
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.lines().next(), Some(format!("HTTP/1.1 {status}").as_str()), "{request:?}");
        assert_eq!((rest, ended), (body, ending), "{request:?}");
    });
}

#[test]
fn whole_answers_and_pieces_reach_old_and_new_clients() {
    let close = "Host: a\r\nConnection: close\r\n\r\n";
    check(&format!("GET /whole HTTP/1.1\r\n{close}"), "200 OK", "all of it\n", Ending::Served);
    let chunks = "4\r\none\n\r\n6\r\nthree\n\r\n0\r\n\r\n";
    check(&format!("GET /pieces HTTP/1.1\r\n{close}"), "200 OK", chunks, Ending::Served);
    check("GET /pieces HTTP/1.0\r\n\r\n", "200 OK", "one\nthree\n", Ending::Served);
    let kept = "Connection: keep-alive\r\n\r\n";
    check(&format!("GET /pieces HTTP/1.0\r\n{kept}"), "200 OK", "one\nthree\n", Ending::Served);
    check(&format!("GET /whole HTTP/1.0\r\n{kept}"), "200 OK", "all of it\n", Ending::PeerClosed);
    check(&format!("GET /nothing HTTP/1.1\r\n{close}"), "404 Not Found", "no such page\n", Ending::Served);
}

#[test]
fn head_gives_the_head_of_get_and_no_body() {
    run(async {
        for path in ["/whole", "/pieces"] {
            let request =
                |method: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let (got, _) = exchange(request("GET").as_bytes()).await;
            let (headed, ended) = exchange(request("HEAD").as_bytes()).await;
            assert_eq!(headed, format!("{}\r\n\r\n", got.split_once("\r\n\r\n").unwrap().0));
            assert_eq!(ended, Ending::Served);
        }
    });
}

#[test]
fn refusals_are_answered_and_end_the_connection() {
    let refused = |request: &str, status: &str, refusal: Refusal| {
        check(request, status, &format!("{refusal}\n"), Ending::Refused(refusal));
    };
    let after = "GET /whole HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n";
    refused(&format!("{post}{after}"), "405 Method Not Allowed", Refusal::Method);
    let body = "GET /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n";
    refused(&format!("{body}{after}"), "413 Content Too Large", Refusal::Body);
    refused("rubbish\r\n\r\n", "400 Bad Request", Refusal::Malformed);
    refused("GET / HTTP/3.0\r\n\r\n", "505 HTTP Version Not Supported", Refusal::Version);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX));
    refused(&long, "431 Request Header Fields Too Large", Refusal::TooLarge);
}

#[test]
fn requests_follow_one_another_however_they_are_cut() {
    run(async {
        let pages = Rc::<TestPages>::default();
        let (mut stream, server) = serve(&pages, Limits::default(), ticket());
        let request = b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
        for byte in &request {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(&request).await.unwrap();
        stream.write_all(b"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert_eq!((answers.matches("all of it\n").count(), pages.answers.get()), (7, 7));
        assert_eq!(server.await.unwrap(), Ending::Served);
    });
}

#[test]
fn whoever_is_slow_is_cut_off() {
    run(async {
        // Nothing at all.
        let (mut stream, server) = serve(&Rc::default(), quick(), ticket());
        assert_eq!(server.await.unwrap(), Ending::Idle);
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        // A head that comes byte by byte: every byte renews nothing.
        let (mut stream, server) = serve(&Rc::default(), quick(), ticket());
        let drip = tokio::task::spawn_local(async move {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(matches!(server.await.unwrap(), Ending::Refused(Refusal::Late | Refusal::Malformed)));
        drip.abort();
        // A head that never ends.
        let (mut stream, server) = serve(&Rc::default(), quick(), ticket());
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        drop(stream);
        assert_eq!(server.await.unwrap(), Ending::Refused(Refusal::Late));
        // An answer that nobody takes.
        let (mut stream, server) = serve(&Rc::default(), quick(), ticket());
        stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(server.await.unwrap(), Ending::Stalled);
    });
}

#[test]
fn those_that_never_asked_make_room_for_others() {
    run(async {
        let connections = Connections::new(2);
        let now = TestClock::new().now();
        let pages = Rc::<TestPages>::default();
        let (mut asked, _server) = serve(&pages, Limits::default(), connections.admit(now).unwrap());
        asked.write_all(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        asked.read_u8().await.unwrap();
        let (_silent, server) = serve(&pages, Limits::default(), connections.admit(now).unwrap());
        let newcomer = connections.admit(now).unwrap();
        assert_eq!(server.await.unwrap(), Ending::Evicted);
        drop(newcomer);
        asked.write_all(b"GET /whole HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut rest = String::new();
        asked.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("all of it\n"));
        assert!(connections.counters().bytes_in > 80 && connections.counters().bytes_out > 400);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a request says, none of it stands in the answer's head.
    #[test]
    fn no_request_splits_an_answer(
        noise in prop::collection::vec(any::<u8>(), 0..200), start in 0usize..4, end in any::<bool>(),
    ) {
        let start = ["", "GET /", "GET /whole?", "GET /whole HTTP/1.1\r\nHost: a\r\nX: "][start];
        let end: &[u8] = if end { b" HTTP/1.1\r\nHost: a\r\n\r\n" } else { b"" };
        let bytes = [start.as_bytes(), b"Set-Cookie:%0d%0aSet-Cookie:", &noise, end].concat();
        run(async {
            let (answer, _) = exchange(&bytes).await;
            if let Some((head, _)) = answer.split_once("\r\n\r\n") {
                assert!(head.starts_with("HTTP/1.1 "), "{answer:?}");
                assert!(!answer.contains("Set-Cookie"), "{answer:?}");
                assert!(head.split("\r\n").all(|line| line.is_ascii() && !line.contains(['\r', '\n'])));
            } else {
                assert!(answer.is_empty(), "{answer:?}");
            }
        });
    }
}
