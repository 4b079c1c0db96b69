//! Captured conversations of the real venti, replayed against our server and our client.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where something is missing")]

mod venti_support;

use bytes::Bytes;
use net::venti::client::{self, Client, Settings};
use net::venti::greeting::OURS;
use net::venti::message::{Message, Tagged};
use net::venti::serve::Limits;
use std::rc::Rc;
use storage::block_type::BlockType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use venti_support::{MemoryBlocks, TestClock, exchange, halves, hex, run, serve, text, unzipped};

const SESSIONS: [&str; 8] = [
    "01-session",
    "02-write",
    "03-read-hit",
    "04-read-miss-all-types",
    "05-sync",
    "06-vac",
    "07-unvac-list",
    "08-wrarena-40-clumps",
];

/// One captured message, its length in front; the greeting's line, or the end (empty).
struct Row {
    from_client: bool,
    name: String,
    bytes: Vec<u8>,
}

fn rows(version: &str, session: &str) -> Vec<Row> {
    let both = ["c2s", "s2c"].map(|way| unzipped(&format!("v{version}-{session}.{way}.bin.gz")));
    let index = text(&format!("v{version}-{session}.index.tsv"));
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let from_client = fields[1] == "C";
        let (offset, length): (usize, usize) = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
        let bytes = both[usize::from(!from_client)][offset..offset + length].to_vec();
        Row { from_client, name: fields[4].to_owned(), bytes }
    };
    index.lines().skip(1).map(row).collect()
}

/// The real server refuses pings; ours answers: `Rping`, same tag.
fn rping(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    let code = reply.len() - 2;
    reply[code] = 3;
    reply
}

#[test]
fn our_server_answers_real_clients_as_the_real_server_did() {
    run(async {
        for version in ["02", "04"] {
            let blocks = Rc::new(MemoryBlocks::default());
            for session in SESSIONS {
                replay_client(&blocks, version, session).await;
            }
        }
    });
}

async fn replay_client(blocks: &Rc<MemoryBlocks>, version: &str, session: &str) {
    let (mut stream, server) = serve(blocks, Limits::default(), 1 << 20);
    let mut ping = None;
    for (number, row) in rows(version, session).iter().enumerate() {
        let expected = match (row.from_client, row.name.as_str()) {
            (true, name) => {
                ping = (name == "Tping").then(|| rping(&row.bytes));
                stream.write_all(&row.bytes).await.unwrap();
                continue;
            }
            (false, "version") => OURS.to_vec(),
            (false, _) => ping.take().unwrap_or_else(|| row.bytes.clone()),
        };
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(Bytes::from(got), Bytes::from(expected), "v{version} {session}, message {number}");
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the server says nothing more and closes");
    server.await.unwrap();
}

#[test]
fn our_client_asks_real_servers_as_real_clients_did() {
    run(async {
        for version in ["02", "04"] {
            for session in &SESSIONS[..7] {
                replay_server(version, session).await;
            }
        }
    });
}

async fn replay_server(version: &str, session: &str) {
    let rows = rows(version, session);
    let (near, mut server) = tokio::io::duplex(1 << 20);
    let width = if version == "02" { 2 } else { 4 };
    let mut requests = Vec::new();
    for row in rows.iter().filter(|row| row.from_client && !["version", "EOF"].contains(&row.name.as_str())) {
        requests.push(Tagged::parse(Bytes::copy_from_slice(&row.bytes[width..])).unwrap().message);
    }
    let Message::Thello(hello) = requests.remove(0) else { panic!("no hello") };
    let uid = if hello.uid.as_bytes() == b"glenda" { "glenda" } else { "anonymous" };
    let ours = tokio::task::spawn_local(async move {
        let (reader, writer) = halves(near);
        let settings = Settings { uid, ..Settings::default() };
        let (client, carrier) = client::connect(reader, writer, TestClock::new(), settings).await.unwrap();
        tokio::task::spawn_local(carrier);
        ask(client, requests).await;
    });
    for (number, row) in rows.iter().enumerate() {
        if !row.from_client {
            server.write_all(&row.bytes).await.unwrap();
            continue;
        }
        let expected = if row.name == "version" { OURS } else { &row.bytes[..] };
        let mut got = vec![0; expected.len()];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(Bytes::from(got), expected, "v{version} {session}, message {number}");
    }
    drop(server);
    ours.await.unwrap();
}

/// Asks one after the other. Results are as the captured server gave them; scores are checked by the client.
async fn ask(client: Client, requests: Vec<Message>) {
    use client::ClientError::Server;
    for request in requests {
        match request {
            Message::Tread { score, block_type, count } => {
                let block_type = BlockType::from_disk(block_type).unwrap();
                let result = client.read(score, block_type, count as usize).await;
                assert!(matches!(result, Ok(_) | Err(Server(_))), "{result:?}");
            }
            Message::Twrite { block_type, lump } => {
                client.write(BlockType::from_disk(block_type).unwrap(), lump).await.unwrap();
            }
            Message::Tsync => client.sync().await.unwrap(),
            Message::Tping => assert_eq!(client.ping().await, Ok(client::Pong::NotServed)),
            Message::Tgoodbye => return client.goodbye().await,
            other => panic!("{other:?}"),
        }
    }
}

/// Where we answer otherwise than the real server, on purpose: what we say.
fn deliberately(name: &str) -> Option<String> {
    let malformed = |code: u8| Some(format!("malformed message of type {code}"));
    match name {
        "sync with trailing byte" => malformed(16),
        "read with one count byte" | "read with three count bytes" => malformed(12),
        "write shorter than its header" => malformed(14),
        "Tauth0" | "type 99" | "type 7 (Rgoodbye)" => Some("unknown request".to_owned()),
        _ => {
            let number = name.strip_prefix("write wire type ")?.strip_suffix(" (invalid)")?;
            Some(format!("illegal block type {number}"))
        }
    }
}

fn rerror(request: &[u8], version: &str, text: &str) -> Vec<u8> {
    let width = if version == "02" { 2 } else { 4 };
    let length = (4 + text.len() as u32).to_be_bytes();
    let mut frame = length[4 - width..].to_vec();
    frame.extend([1, request[width + 1]]);
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(text.as_bytes());
    frame
}

#[test]
fn odd_and_broken_requests_get_the_answers_of_the_real_server_or_better_ones() {
    run(async {
        for version in ["02", "04"] {
            probe(version).await;
        }
    });
}

async fn probe(version: &str) {
    let table = String::from_utf8(unzipped(&format!("probe-v{version}.tsv.gz"))).unwrap();
    let greeting = format!("venti-{version}-probe\n");
    let blocks = Rc::new(MemoryBlocks::default());
    let mut connection = None;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (name, request, reply, meaning) = (fields[0], hex(fields[1]), fields[2], fields[3]);
        if name == "version exchange" {
            continue;
        }
        let fresh = name.starts_with("hello") || name == "ping before hello";
        if fresh || connection.is_none() {
            let (mut stream, _server) = serve(&blocks, Limits::default(), 1 << 20);
            assert_eq!(exchange(&mut stream, greeting.as_bytes(), OURS.len()).await, OURS);
            connection = Some(stream);
        }
        let stream = connection.as_mut().unwrap();
        let expected = match (name, deliberately(name)) {
            (_, Some(text)) => rerror(&request, version, &text),
            ("ping", _) => rping(&request),
            (name, _) if name.starts_with("read score of the empty block") => {
                let mut rread = rerror(&request, version, "");
                rread.truncate(rread.len() - 2);
                let code = rread.len() - 2;
                rread[code - 1] = 2;
                rread[code] = 13;
                rread
            }
            _ if meaning == "close" || meaning == "no reply" => Vec::new(),
            _ => hex(reply),
        };
        let got = exchange(stream, &request, expected.len()).await;
        assert_eq!(Bytes::from(got), Bytes::from(expected), "v{version} {name}");
        if meaning == "close" {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "v{version} {name}");
            connection = None;
        }
    }
}

#[test]
fn first_lines_are_taken_and_refused_as_by_the_real_server() {
    let hello_02 = b"\0\x14\x04\0\0\x0202\0\x09anonymous\0\0\0";
    let hello_04 = b"\0\0\0\x14\x04\0\0\x0204\0\x09anonymous\0\0\0";
    run(async {
        let table = text("version-lines.tsv");
        for row in table.lines().skip(1) {
            let fields: Vec<&str> = row.split('\t').collect();
            let line = hex(fields[0]);
            // On purpose: lines without the whole prefix are refused; who lists both versions may use either.
            let short = line.len() <= 6;
            let both = line.starts_with(b"venti-02:04-") || line.starts_with(b"venti-04:02-");
            for (hello, verdict) in [(&hello_02[..], fields[2]), (&hello_04[..], fields[3])] {
                let (mut stream, _server) =
                    serve(&Rc::new(MemoryBlocks::default()), Limits::default(), 1 << 16);
                stream.write_all(&line).await.unwrap();
                stream.write_all(hello).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                let welcomed = got.len() > OURS.len();
                let wanted = (verdict == "accepted" || both) && !short;
                assert_eq!(welcomed, wanted, "{} then {hello:?}", String::from_utf8_lossy(&line));
            }
        }
    });
}
