//! Hostile bytes on venti's port: the node stays up, others are served, memory stays flat.

use super::flood::shown;
use super::{BOOT_LIMIT, Bench, Node, memory, network};
use crate::client::{self, Client, message};
use crate::random::Random;
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How often each attack is made: what one leaves behind, the next ones would add to.
const ROUNDS: usize = 3;
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Fuzzed frames, lies about length, hello twice, tags used twice, messages before hello; on a node with as little memory as
/// is promised to be enough.
pub fn frames(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[memory::SETTING])?;
    let mut node = bench.node(&disk)?;
    node.spec.memory = "64M".into();
    let machine = node.boot()?;
    let mut random = Random::new(bench.seed);
    let mut honest = node.client()?;
    let block = random.bytes(8192);
    let score = honest.write(&block)?;
    honest.sync()?;
    let pause = || std::thread::sleep(Duration::from_millis(50));
    let before = memory::next(&machine, pause)?;
    for _ in 0..ROUNDS {
        for _ in 0..100 {
            noise(&node, &mut random)?;
        }
        for _ in 0..50 {
            mutated_session(&node, &mut random)?;
        }
        lies_about_length(&node)?;
        hello_twice(&node)?;
        tags_used_twice(&node)?;
        ensure!(honest.read(&score)? == block, "an honest client is no longer served");
    }
    let after = memory::settles(&machine, before, pause)?;
    println!("  memory: {}", shown(before, after));
    node.client()?.sync()?;
    node.stop(machine)
}

/// A connection that the node has greeted. Without waiting for that, the next ones would come faster than QEMU takes them,
/// and each then costs the second after which a SYN is sent again.
fn greeted(node: &Node) -> Result<TcpStream> {
    let mut stream = client::connect_raw(node.port, LIMIT)?;
    client::read_greeting(&mut stream)?;
    Ok(stream)
}

fn noise(node: &Node, random: &mut Random) -> Result<()> {
    let mut stream = greeted(node)?;
    let size = 1 + random.below(3000);
    let noise = random.bytes(size);
    let greeting: &[u8] = if random.below(4) == 0 { b"" } else { b"venti-04:02-noise\n" };
    // The node may close while we still send.
    let _ = stream.write_all(greeting).and_then(|()| stream.write_all(&noise));
    Ok(())
}

/// A correct session with one byte changed somewhere.
fn mutated_session(node: &Node, random: &mut Random) -> Result<()> {
    let mut bytes = b"venti-04:02-mutant\n".to_vec();
    bytes.extend(client::frame(message::HELLO, 0, client::HELLO)?);
    for tag in 0..8 {
        let size = random.below(600);
        bytes.extend(client::frame(message::WRITE, tag, &client::write_body(&random.bytes(size)))?);
    }
    let place = random.below(bytes.len());
    bytes[place] = random.next() as u8;
    let mut stream = greeted(node)?;
    // Here, too, the node may close first.
    let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    read_to_end(&mut stream)
}

/// The node has to end the connection by itself, now that everything is said.
fn read_to_end(stream: &mut TcpStream) -> Result<()> {
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error).map_err(|error| anyhow::anyhow!("not closed: {error}")),
        }
    }
}

/// Frames that claim to be longer than any request: refused or not, the connection is closed, and nothing is set aside.
fn lies_about_length(node: &Node) -> Result<()> {
    for length in [u32::MAX, 1 << 31, 1 << 24, 70_000] {
        let mut stream = greeted(node)?;
        stream.write_all(b"venti-04:02-liar\n")?;
        stream.write_all(&client::frame(message::HELLO, 0, client::HELLO)?)?;
        stream.write_all(&length.to_be_bytes())?;
        read_to_end(&mut stream)?;
    }
    Ok(())
}

fn hello_twice(node: &Node) -> Result<()> {
    let mut client = node.client()?;
    client.send(message::HELLO, 0, client::HELLO)?;
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

/// Clients that ask for much and read nothing, and others that begin large writes and stop: together nearly as many as a
/// small machine serves. On the cable, as QEMU's own network would take megabytes off the node for each of them.
pub fn slow_peers(bench: &Bench) -> Result<()> {
    let (node, neighbour) = network::node_on_a_cable(bench, "64M")?;
    let machine = node.start()?;
    neighbour.find_machine(BOOT_LIMIT)?;
    let mut honest = network::first_client(&neighbour, network::VENTI)?;
    let block = Random::new(bench.seed).bytes(56 * 1024);
    let score = honest.write(&block)?;
    honest.sync()?;
    let mut reads = Vec::new();
    for tag in 0..=255 {
        reads.extend(client::frame(message::READ, tag, &client::read_body(&score))?);
    }
    let write = client::frame(message::WRITE, 0, &client::write_body(&block))?;
    let before = memory::next(&machine, || neighbour.turn())?;
    for _ in 0..ROUNDS {
        let mut slow = Vec::new();
        for number in 0..120 {
            let mut client = Client::over(neighbour.connect(network::VENTI, LIMIT)?)?;
            client.send_raw(if number % 2 == 0 { &reads } else { &write[..write.len() - 1] })?;
            slow.push(client);
        }
        ensure!(honest.read(&score)? == block, "slow peers hold up another client");
    }
    let after = memory::settles(&machine, before, || neighbour.turn())?;
    println!("  memory: {}", shown(before, after));
    ensure!(honest.read(&score)? == block, "slow peers hold up another client");
    node.stop(machine)
}
