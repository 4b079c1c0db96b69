//! Hostile bytes on venti's port: the node stays up, others are served, memory stays flat.

use super::{Bench, Node};
use crate::client::{self, Client, message};
use crate::machine::Machine;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Seconds between the status lines that scenarios read memory from.
const STATUS_SECONDS: u64 = 2;
/// Heap that may come and go between two idle moments.
const SLACK_BYTES: u64 = 2 << 20;

fn with_node(bench: &Bench, attack: impl Fn(&Node, &mut Random) -> Result<()>) -> Result<()> {
    let disk = bench.image("1G", &[&format!("status={STATUS_SECONDS}")])?;
    let node = bench.node(&disk)?;
    let machine = node.boot()?;
    let mut random = Random::new(bench.seed);
    let mut honest = node.client()?;
    let block = random.bytes(8192);
    let score = honest.write(&block)?;
    honest.sync()?;
    // The first round fills what is kept on purpose (caches, pools); the second must add nothing to it.
    let mut heap = Vec::new();
    for _ in 0..2 {
        attack(&node, &mut random)?;
        ensure!(honest.read(&score)? == block, "an honest client is no longer served");
        heap.push(heap_after_quiet(&machine)?);
    }
    println!("  heap after each round: {heap:?} bytes");
    ensure!(heap[1] <= heap[0] + SLACK_BYTES, "memory grew from {} to {} bytes", heap[0], heap[1]);
    node.client()?.sync()?;
    node.stop(machine)
}

/// The heap figure of a status line that was printed after the attack had ended.
fn heap_after_quiet(machine: &Machine) -> Result<u64> {
    std::thread::sleep(Duration::from_secs(3 * STATUS_SECONDS));
    let console = machine.console();
    let line =
        console.lines().rev().find(|line| line.contains("heap=")).context("no status line on the console")?;
    let figure =
        line.split("heap=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    figure.parse().with_context(|| format!("no heap figure in {line:?}"))
}

/// Fuzzed frames, lies about length, hello twice, tags used twice, messages before hello.
pub fn frames(bench: &Bench) -> Result<()> {
    with_node(bench, |node, random| {
        for _ in 0..300 {
            let mut stream = client::connect_raw(node.port, Duration::from_secs(5))?;
            let size = 1 + random.below(3000);
            let noise = random.bytes(size);
            let greeting: &[u8] = if random.below(4) == 0 { b"" } else { b"venti-04:02-noise\n" };
            // The node may close while we still send.
            let _ = stream.write_all(greeting).and_then(|()| stream.write_all(&noise));
        }
        for _ in 0..100 {
            mutated_session(node, random)?;
        }
        lies_about_length(node)?;
        hello_twice(node)?;
        tags_used_twice(node)
    })
}

/// A correct session with one byte changed somewhere.
fn mutated_session(node: &Node, random: &mut Random) -> Result<()> {
    let mut bytes =
        b"venti-04:02-mutant\n\x00\x00\x00\x12\x04\x00\x00\x0204\x00\x09anonymous\x00\x00\x00".to_vec();
    for tag in 0..8 {
        let size = random.below(600);
        let body = client::write_body(&random.bytes(size));
        bytes.extend(u32::try_from(body.len() + 2)?.to_be_bytes());
        bytes.extend([message::WRITE, tag]);
        bytes.extend(body);
    }
    let place = random.below(bytes.len());
    bytes[place] = random.next() as u8;
    let mut stream = client::connect_raw(node.port, Duration::from_secs(5))?;
    let _ = stream.write_all(&bytes);
    stream.shutdown(std::net::Shutdown::Write).ok();
    drain(&mut stream, Duration::from_millis(200));
    Ok(())
}

fn drain(stream: &mut TcpStream, limit: Duration) {
    let mut sink = [0; 4096];
    stream.set_read_timeout(Some(limit)).ok();
    while matches!(stream.read(&mut sink), Ok(count) if count > 0) {}
}

/// Frames that claim to be huge: the connection is closed, and nothing is set aside for them.
fn lies_about_length(node: &Node) -> Result<()> {
    for length in [u32::MAX, 1 << 31, 1 << 24, 70_000] {
        let mut client = node.client()?;
        client.send_raw(&length.to_be_bytes())?;
        // Closed at once or after more bytes; never answered.
        let _ = client.send_raw(&[message::WRITE, 0]);
        client.set_limit(Duration::from_secs(20))?;
        if let Ok(reply) = client.receive() {
            ensure!(
                reply.kind == message::ERROR,
                "a frame of {length} bytes was answered with {}",
                reply.kind
            );
        }
    }
    Ok(())
}

fn hello_twice(node: &Node) -> Result<()> {
    let mut client = node.client()?;
    client.send(message::HELLO, 0, b"\x00\x0204\x00\x09anonymous\x00\x00\x00")?;
    ensure!(client.receive()?.kind == message::ERROR, "a second hello was accepted");
    client.sync()
}

fn tags_used_twice(node: &Node) -> Result<()> {
    let mut client: Client = node.client()?;
    for _ in 0..64 {
        client.send(message::WRITE, 7, &client::write_body(b"one tag for all"))?;
    }
    for _ in 0..64 {
        let reply = client.receive()?;
        ensure!(
            reply.tag == 7 && reply.kind == message::WRITE + 1,
            "a reused tag was answered with {}",
            reply.kind
        );
    }
    Ok(())
}

/// Clients that ask for much and read nothing.
pub fn slow_readers(bench: &Bench) -> Result<()> {
    with_node(bench, |node, random| {
        let mut writer = node.client()?;
        let block = random.bytes(56 * 1024);
        let score = writer.write(&block)?;
        let mut slow = Vec::new();
        for _ in 0..16 {
            let mut client = node.client()?;
            client.set_limit(Duration::from_millis(500))?;
            for tag in 0..=255 {
                if client.send(message::READ, tag, &client::read_body(&score)).is_err() {
                    break;
                }
            }
            slow.push(client);
        }
        ensure!(writer.read(&score)? == block, "slow readers hold up another client");
        Ok(())
    })
}
