//! The node by HTTP: every page tells the truth, nothing changes anything, and hostile bytes trouble no venti client.

use super::{Bench, Node};
use crate::browser::{self, Seen};
use crate::client::connect_raw;
use crate::http::{Answer, ask, get};
use crate::machine::{Forward, Machine};
use crate::ports;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What the node gives a request to arrive, and some more for a slow machine.
const CUT_OFF: Duration = Duration::from_secs(60);
/// By then connections that were refused are gone.
const LINGER: Duration = Duration::from_secs(10);
/// Connections that the node has at a time, with those that were told to go.
const CONNECTIONS_MAX: u64 = 21;

/// A node whose port 8000 is open, and where it is.
fn node<'a>(bench: &'a Bench) -> Result<(Node<'a>, u16)> {
    let disk = bench.image("1G", &["http=0.0.0.0/0,::/0", "sysname=barn"])?;
    let mut node = bench.node(&disk)?;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 8000 });
    Ok((node, port))
}

fn page(port: u16, path: &str) -> Result<Answer> {
    let answer = get(port, path)?;
    ensure!(answer.status == 200, "{path} is answered with {}: {}", answer.status, answer.body);
    Ok(answer)
}

/// A figure of `/metrics`.
fn metric(port: u16, name: &str) -> Result<u64> {
    let metrics = page(port, "/metrics")?.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let figure = line.with_context(|| format!("no {name} in:\n{metrics}"))?;
    figure.parse().with_context(|| format!("{name} is {figure}"))
}

/// Writes blocks, some twice, and looks at every page.
pub fn shows_the_node(bench: &Bench) -> Result<()> {
    let (node, port) = node(bench)?;
    let machine = node.boot()?;
    let (mut client, mut random) = (node.client()?, Random::new(bench.seed));
    let blocks: Vec<Vec<u8>> = (0..50).map(|_| random.bytes(8192)).collect();
    for block in blocks.iter().chain(&blocks[..10]) {
        client.write(block)?;
    }
    let score = client.write(&[b'x'; 8192])?;
    client.sync()?;
    client.read(&score)?;
    for (name, expected) in [
        ("granary_ready", 1),
        ("granary_store_blocks", 51),
        ("granary_store_duplicates_total", 10),
        ("granary_venti_requests_total{op=\"write\"}", 61),
        ("granary_venti_request_seconds_count{op=\"read\"}", 1),
        ("granary_venti_connections", 1),
        ("granary_store_damage_total", 0),
    ] {
        let found = metric(port, name)?;
        ensure!(found == expected, "{name} is {found}, not {expected}");
    }
    for path in ["/healthz", "/readyz", "/xindex", "/storage"] {
        page(port, path)?;
    }
    let status = page(port, "/")?.body;
    for text in ["<h1>barn</h1>", "serving", "51 stored", "No damage seen", "arenas0", "</html>"] {
        ensure!(status.contains(text), "{text} is not in the status page:\n{status}");
    }
    let hex: String = score.iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(!status.contains(&hex), "the status page names a score");
    let index = page(port, "/index")?.body;
    let places: Vec<&str> = index.lines().filter(|line| line.starts_with("\tarena='arenas0' on ")).collect();
    ensure!(
        places.len() == 1 && places[0].split_whitespace().count() == 5,
        "not for ventiprog's awk:\n{index}"
    );
    ensure!(index.contains("\twritten: clumps=51 compressed clumps=1 "), "wrong counters:\n{index}");
    changes_nothing(port)?;
    in_a_browser(bench, port)?;
    node.stop(machine)
}

/// The status page, drawn by a real browser: all of it comes from the node itself, and nothing is complained of. The picture
/// stays, for people to look at.
fn in_a_browser(bench: &Bench, port: u16) -> Result<()> {
    let picture = bench.programs.target.join("status-page.png");
    // One of a former run proves nothing.
    let _ = std::fs::remove_file(&picture);
    let Seen { tree, complaints } =
        browser::look(&format!("http://127.0.0.1:{port}/"), bench.folder.path(), &picture)?;
    ensure!(complaints.is_empty(), "the browser complains: {complaints:?}");
    let plots = tree.matches("class=\"grid\"").count();
    ensure!(plots == 3, "{plots} plots in the page:\n{tree}");
    for text in ["<h1>barn</h1>", "51 stored", "No damage seen", "arenas0", "</footer>"] {
        ensure!(tree.contains(text), "{text} is not in the page that the browser has:\n{tree}");
    }
    for outside in ["<script", "<img", "<link", "<iframe", "url(", " src="] {
        ensure!(!tree.contains(outside), "the page has {outside}, which fetches something");
    }
    let size = std::fs::metadata(&picture).context("the browser drew no picture")?.len();
    ensure!(size > 10_000, "the picture has {size} bytes: nothing is on it");
    println!("the status page, as a browser draws it: {}", picture.display());
    Ok(())
}

/// What the real server would obey.
fn changes_nothing(port: u16) -> Result<()> {
    for path in
        ["/set?name=devnull&value=1", "/flushicache", "/empty", "/log", "/graph", "/../9fat/granary.ini"]
    {
        let answer = get(port, path)?;
        ensure!(
            answer.status == 404 && answer.body.contains("/metrics"),
            "{path} is answered with {}",
            answer.head
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(port, &format!("{method} /index HTTP/1.1\r\nHost: a\r\n\r\n"))?;
        ensure!(
            answer.status == 405 && answer.head.contains("Allow: GET, HEAD"),
            "{method}: {}",
            answer.head
        );
    }
    let head = ask(port, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    ensure!(head.status == 200 && head.body.is_empty(), "HEAD has a body of {} bytes", head.body.len());
    Ok(())
}

/// Silent and dripping clients, noise, heads without end: venti is served all the time, and the port comes back.
pub fn hostile(bench: &Bench) -> Result<()> {
    let (node, port) = node(bench)?;
    let machine = node.boot()?;
    let (mut honest, mut random) = (node.client()?, Random::new(bench.seed));
    let block = random.bytes(8192);
    let score = honest.write(&block)?;
    honest.sync()?;
    let mut held: Vec<TcpStream> = Vec::new();
    for number in 0..60 {
        let mut stream = connect_raw(port, Duration::from_secs(5))?;
        // Some say nothing, the others begin and do not end.
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ");
        }
        held.push(stream);
        ensure!(honest.read(&score)? == block, "an honest client is no longer served");
    }
    noise(port, &mut random)?;
    ensure!(honest.read(&score)? == block, "an honest client is no longer served");
    page(port, "/healthz").context("those that hold connections keep others out")?;
    let open = metric(port, "granary_http_connections")?;
    ensure!(open <= CONNECTIONS_MAX, "{open} connections are open");
    let deadline = Instant::now() + CUT_OFF;
    for stream in &mut held {
        closes(stream, deadline)?;
    }
    // The node reads on for a moment before it ends a connection that it refused.
    let deadline = Instant::now() + LINGER;
    loop {
        let open = metric(port, "granary_http_connections")?;
        if open == 1 {
            break;
        }
        ensure!(Instant::now() < deadline, "{open} connections are left, of which one is ours");
        std::thread::sleep(Duration::from_millis(200));
    }
    stays_up(&machine)?;
    ensure!(honest.read(&score)? == block, "an honest client is no longer served");
    node.stop(machine)
}

/// Bytes that are no request, and requests that are too long.
fn noise(port: u16, random: &mut Random) -> Result<()> {
    for number in 0..60 {
        let mut stream = connect_raw(port, Duration::from_secs(5))?;
        let size = 1 + random.below(20_000);
        let mut bytes = match number % 4 {
            0 => random.bytes(size),
            1 => [b"GET /".to_vec(), vec![b'a'; size]].concat(),
            2 => [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(size / 6)].concat(),
            _ => b"GET /index HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1 + size / 500),
        };
        let place = random.below(bytes.len());
        bytes[place] = random.next() as u8;
        // The node may close while we still send.
        let _ = stream.write_all(&bytes);
    }
    Ok(())
}

/// Waits until the node has closed this connection.
fn closes(stream: &mut TcpStream, deadline: Instant) -> Result<()> {
    let mut sink = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            _ => ensure!(Instant::now() < deadline, "a client that never asked is not cut off"),
        }
    }
}

fn stays_up(machine: &Machine) -> Result<()> {
    let console = machine.console();
    ensure!(!console.contains("panic"), "the node panicked:\n{console}");
    Ok(())
}
