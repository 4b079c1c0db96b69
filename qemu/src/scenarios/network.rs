//! Addresses as set, IPv6, and echoes: on a cable whose other end is this process.

use super::{BOOT_LIMIT, Bench, Node, memory};
use crate::client::Client;
use crate::lessor::Lessor;
use crate::machine::Network;
use crate::neighbour::{MACHINE, MACHINE6, Neighbour};
use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Venti on that node.
pub const VENTI: SocketAddr = SocketAddr::new(IpAddr::V4(MACHINE), PORT);
const VENTI6: SocketAddr = SocketAddr::new(IpAddr::V6(MACHINE6), PORT);
const PORT: u16 = 17034;
/// How long one exchange may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A node with addresses of its own on a cable, and the host at the other end.
pub fn node_on_a_cable<'a>(bench: &'a Bench, memory: &str) -> Result<(Node<'a>, Neighbour)> {
    let addresses = [format!("ip={MACHINE}/24"), format!("ip6={MACHINE6}/64")];
    let disk = bench.image("1G", &[&addresses[0], &addresses[1], memory::SETTING])?;
    let mut node = bench.node(&disk)?;
    let (wire, ports) = Wire::new()?;
    node.spec.forwards.clear();
    node.spec.network = Network::Cable(ports);
    node.spec.memory = memory.into();
    Ok((node, Neighbour::new(wire)))
}

/// A client of a node that may still be starting, or turn newcomers away.
pub fn first_client(neighbour: &Neighbour, venti: SocketAddr) -> Result<Client> {
    let deadline = Instant::now() + BOOT_LIMIT;
    loop {
        match neighbour.connect(venti, LIMIT).and_then(Client::over) {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > deadline => return Err(error.context("the node does not serve")),
            Err(_) => neighbour.turn_for(Duration::from_millis(100)),
        }
    }
}

/// A static IPv4 address and an IPv6 address: both echo, both serve, and a block stored by one is read by the other.
pub fn both_families(bench: &Bench) -> Result<()> {
    let (node, neighbour) = node_on_a_cable(bench, "128M")?;
    let mut machine = node.start()?;
    neighbour.find_machine(BOOT_LIMIT)?;
    neighbour.ping(MACHINE.into(), LIMIT).context("IPv4")?;
    neighbour.ping(MACHINE6.into(), LIMIT).context("IPv6")?;
    let block = b"stored over one family, read over the other";
    let score = first_client(&neighbour, VENTI)?.write(block)?;
    let mut client = first_client(&neighbour, VENTI6).context("IPv6")?;
    ensure!(client.read(&score)? == block, "IPv6 reads another block than IPv4 wrote");
    machine.wait_for_console(&format!("address {MACHINE}/24 as set"), LIMIT)?;
    machine.wait_for_console(&format!("address {MACHINE6}/64 as set"), LIMIT)?;
    drop(client);
    node.stop(machine)
}

/// A DHCP server says that its network carries packets of 1450 bytes: none of the node's is larger, whichever way data go.
pub fn largest_packet(bench: &Bench) -> Result<()> {
    const MTU: u16 = 1450;
    const ETHERNET_LEN: usize = 14;
    let disk = bench.image("1G", &["ip6=none"])?;
    let mut node = bench.node(&disk)?;
    let (wire, ports) = Wire::new()?;
    node.spec.forwards.clear();
    node.spec.network = Network::Cable(ports);
    let neighbour = Neighbour::new(wire);
    let lessor = Rc::new(RefCell::new(Lessor { mtu: MTU, longest: 0 }));
    neighbour.share_with(lessor.clone());
    let mut machine = node.start()?;
    neighbour.find_machine(BOOT_LIMIT)?;
    let block: Vec<u8> =
        (0..50_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut client = first_client(&neighbour, VENTI)?;
    let score = client.write(&block)?;
    ensure!(client.read(&score)? == block, "other bytes come back");
    let longest = lessor.borrow().longest;
    let limit = usize::from(MTU) + ETHERNET_LEN;
    ensure!(longest == limit, "the node's longest frame has {longest} bytes, where {limit} were expected");
    machine.wait_for_console(&format!("packets of at most {MTU} bytes"), LIMIT)?;
    drop(client);
    node.stop(machine)
}
