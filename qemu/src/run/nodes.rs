//! `./qemu/run --nodes N`: nodes on one virtual network, each the others' peer. What is stored and named on the first is
//! restored from the last with the first switched off.

use super::{BOOT_LIMIT, Node, Ports, RunArgs, STOP_LIMIT, prepare_disk, report};
use crate::machine::{self, Machine, Network, Spec};
use crate::switch::{self, Router};
use crate::tree;
use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// More would want more than a machine has.
const NODES_MAX: u8 = 16;

/// A node, what its peers call it, and where it is on their network.
struct Member<'a> {
    node: Node<'a>,
    name: String,
    address: String,
    disk: PathBuf,
}

/// Runs them: `first` is what they have in common, `disk` what their disks' names begin with.
pub(super) fn run(args: &RunArgs, first: &Node, disk: &Path) -> Result<()> {
    let count = u8::try_from(args.nodes).ok().filter(|count| *count <= NODES_MAX);
    let count = count.with_context(|| format!("--nodes: at most {NODES_MAX}"))?;
    let (router_wire, router_cable) = Wire::new()?;
    let (mut wires, mut members, mut forwards) = (vec![router_wire], Vec::new(), Vec::new());
    for number in 1..=count {
        let (wire, cable) = Wire::new()?;
        wires.push(wire);
        let member = Member::new(args, first, disk, number, Network::Shared(cable, number))?;
        forwards.extend(member.node.ports.forwards().map(|forward| (member.address.clone(), forward)));
        members.push(member);
    }
    let router = Router::arguments(router_cable, &forwards);
    if args.print_command {
        println!("{}", machine::printable(&router));
        for member in &members {
            println!("{}", machine::printable(&member.node.spec.arguments(first.accelerator)?));
        }
        return Ok(());
    }
    for member in &members {
        member.prepare(args, &members)?;
    }
    println!("granary: starting {count} times {} ({})", machine::QEMU, first.accelerator.argument());
    switch::join(wires);
    let _router = Router::start(&router)?;
    let machines = members.iter().map(|member| member.node.spec.start(first.accelerator));
    let mut machines: Vec<Machine> = machines.collect::<Result<_>>()?;
    for (member, machine) in members.iter().zip(&mut machines) {
        member.node.wait(machine)?;
    }
    check(&members, &mut machines)?;
    if !args.once {
        machines[0] = members[0].node.boot()?;
        serve(&members, &mut machines)?;
    }
    for (member, machine) in members.iter().zip(&mut machines) {
        if machine.is_running() {
            machine.press_power_button(STOP_LIMIT).with_context(|| member.name.clone())?;
        }
    }
    println!("granary: clean shutdown");
    if args.once {
        println!("granary: ready");
    }
    Ok(())
}

impl<'a> Member<'a> {
    fn new(
        args: &RunArgs,
        first: &Node<'a>,
        disk: &Path,
        number: u8,
        network: Network,
    ) -> Result<Member<'a>> {
        let disk = disk.with_extension(format!("{number}.img"));
        let ports = if number == 1 { first.ports } else { Ports::choose(args, u16::from(number) - 1)? };
        let spec = Spec { disks: vec![disk.clone()], network, ..first.spec.clone() };
        let Node { accelerator, programs, .. } = *first;
        let node = Node { spec, accelerator, ports, programs, interrupted: first.interrupted.clone() };
        Ok(Member { node, name: format!("node{number}"), address: format!("10.0.2.{}", 100 + number), disk })
    }

    /// Makes its disk, with its address and its peers, if it has none.
    fn prepare(&self, args: &RunArgs, all: &[Member]) -> Result<()> {
        let own = [("sysname", self.name.as_str()), ("gateway", "10.0.2.2"), ("ip6", "none")];
        let mut own = own.map(|(key, value)| format!("{key}={value}")).to_vec();
        own.push(format!("ip={}/24", self.address));
        if !prepare_disk(args, self.node.programs, &self.disk, &own)? {
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        for Member { name, address, .. } in all.iter().filter(|other| other.name != self.name) {
            let file = format!("{name}.info");
            let text = format!("venti=tcp!{address}!17034\n# granary names=tcp!{address}!564\n");
            std::fs::write(folder.path().join(&file), text)?;
            let disk = std::path::absolute(&self.disk)?;
            let disk = disk.to_str().context("the disk's path is not UTF-8")?;
            self.node.programs.granary(&["fat", "put", disk, &file, &file], folder.path())?;
        }
        Ok(())
    }

    /// Calls the node's tree by 9P.
    fn tree(&self, arguments: &[&str]) -> Result<String> {
        let host = format!("tcp!127.0.0.1!{}", self.node.ports.p9);
        let (command, rest) = arguments.split_at(1);
        self.node.programs.granary(&[command, &["--host", &host], rest].concat(), Path::new("."))
    }

    /// Waits until the node shows the name, which it does when everything beneath it is there.
    fn wait_for_name(&self, name: &str) -> Result<()> {
        let began = Instant::now();
        // Until the name has come there is nothing to be shown.
        while !self.tree(&["names", name]).is_ok_and(|shown| shown.contains("published")) {
            ensure!(!self.node.is_interrupted(), "interrupted; the nodes were killed");
            let state = || self.tree(&["peers"]).unwrap_or_default();
            ensure!(began.elapsed() < BOOT_LIMIT, "{name} does not come to {}:\n{}", self.name, state());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("granary: {} shows {name} after {:.1} s", self.name, began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Stores and names a small tree on the first node, and restores it from the last one when all show the name and the
/// first is off.
fn check(members: &[Member], machines: &mut [Machine]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (sample, restored) = (folder.path().join("sample"), folder.path().join("restored"));
    let size = tree::make_sample(&sample)?;
    let (Some((first, others)), Some(last)) = (members.split_first(), members.last()) else { return Ok(()) };
    let programs = first.node.programs;
    let root = programs.vac(&first.node.host(), &sample)?;
    let name = format!("check.{}", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs());
    first.tree(&["names", "--add", &name, &root, "run"])?;
    println!("granary: {} has {name}", first.name);
    others.iter().try_for_each(|other| other.wait_for_name(&name))?;
    for member in members {
        println!("granary: {}'s peers:\n{}", member.name, member.tree(&["peers"])?.trim_end());
    }
    machines[0].press_power_button(STOP_LIMIT)?;
    println!("granary: {} is off", first.name);
    let began = Instant::now();
    programs.unvac(&last.node.host(), &root, &restored)?;
    tree::compare(&sample, &restored)?;
    report(&format!("self-check: restored from {}", last.name), size, began.elapsed());
    Ok(())
}

/// Says where all are, and waits for an interrupt.
fn serve(members: &[Member], machines: &mut [Machine]) -> Result<()> {
    for member in members {
        println!("granary: {} is {} on the nodes' network", member.name, member.address);
        member.node.say_where();
    }
    println!("granary: ready");
    while !members[0].node.is_interrupted() {
        for (member, machine) in members.iter().zip(&mut *machines) {
            ensure!(machine.is_running(), "{}: QEMU has ended:\n{}", member.name, machine.console());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("granary: stopping");
    Ok(())
}
