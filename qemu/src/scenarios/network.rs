//! Addresses as set, IPv6, and echoes: on a cable whose other end is this process.

use super::{BOOT_LIMIT, Bench, Node, memory};
use crate::client::{self, Client};
use crate::lessor::Lessor;
use crate::machine::Network;
use crate::neighbour::{MACHINE, MACHINE6, Neighbour};
use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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

/// The second network: the machine, the host at the other end of its cable, and a peer behind that.
const MACHINE_INSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const HOST_INSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const FAR_PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// Two cards on two networks, the second one on the card that is found first: clients on both, a peer called by a static route
/// through the second, and the second goes on while the first one's cable is out.
pub fn two_networks(bench: &Bench) -> Result<()> {
    let settings = [
        format!("ip={MACHINE}/24"),
        "ip6=none".into(),
        // QEMU's first card, which is also the first by its place.
        "card.2=52:54:00:12:34:56".into(),
        format!("ip.2={MACHINE_INSIDE}/24"),
        "ip6.2=none".into(),
        format!("route.2=203.0.113.0/24 {HOST_INSIDE}"),
    ];
    let disk = bench.image("1G", &settings.each_ref().map(String::as_str))?;
    std::fs::write(bench.path("far.info"), format!("venti=tcp!{FAR_PEER}!{PORT}\n"))?;
    let image = disk.to_str().context("the disk's path is not UTF-8")?;
    bench.programs.granary(&["fat", "put", image, "far.info", "far.info"], &bench.path(""))?;
    let mut node = bench.node(&disk)?;
    let (inside, first) = Wire::new()?;
    let (outside, second) = Wire::new()?;
    node.spec.forwards.clear();
    node.spec.network = Network::Cable(first);
    node.spec.second_cable = Some(second);
    let (outer, inner) =
        (Neighbour::new(outside), Neighbour::on(inside, HOST_INSIDE, MACHINE_INSIDE, Some(FAR_PEER)));
    let mut machine = node.start()?;
    machine.wait_for_console("network 2: the card 52:54:00:12:34:56", BOOT_LIMIT)?;
    outer.find_machine(BOOT_LIMIT)?;
    let block = b"stored from one network, read from the other";
    let score = first_client(&outer, VENTI)?.write(block)?;
    let mut peer = inner.accept(PORT, BOOT_LIMIT).context("the peer behind the route")?;
    client::read_greeting(&mut peer)?;
    drop(peer);
    inner.find_machine(LIMIT)?;
    let venti = SocketAddr::new(MACHINE_INSIDE.into(), PORT);
    let mut client = first_client(&inner, venti)?;
    ensure!(client.read(&score)? == block, "the networks do not show the same store");
    machine.set_link_of("net1", false)?;
    machine.wait_for_console("link down", LIMIT)?;
    let score = client.write(b"while the other cable is out")?;
    machine.set_link_of("net1", true)?;
    machine.wait_for_console("link up", LIMIT)?;
    let read = first_client(&outer, VENTI)?.read(&score)?;
    ensure!(read == b"while the other cable is out", "other bytes after the cable came back");
    drop(client);
    node.stop(machine)
}
