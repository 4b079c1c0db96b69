//! Another kernel: an upgrade and the way back, one that never serves, and power cuts while one arrives.

use super::{BOOT_LIMIT, Bench, Node};
use crate::machine::{Firmware, Forward, Machine};
use crate::ports;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// What the kernel calls itself, and a later one.
const VERSION: &[u8] = concat!("Granary ", env!("CARGO_PKG_VERSION")).as_bytes();
const LATER: &str = "Granary 9.9.9";
/// The first instructions of a kernel: cli, cld, mov esi, ebx.
const ENTRY: &[u8] = &[0xfa, 0xfc, 0x89, 0xde];
/// What no processor does.
const UNDEFINED: &[u8] = &[0x0f, 0x0b];
const SERVES: [&str; 2] = ["kernel slot a serves", "kernel slot b serves"];

/// A node on its own disk, and what tools call it.
fn node<'a>(bench: &'a Bench, firmware: Firmware) -> Result<(Node<'a>, String)> {
    let disk = bench.image("1G", &["admin=0.0.0.0/0,::/0"])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = firmware;
    node.spec.starts_again = true;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 564 });
    Ok((node, format!("tcp!127.0.0.1!{port}")))
}

/// The kernel with some bytes changed, as a file.
fn changed(bench: &Bench, name: &str, from: &[u8], to: &[u8]) -> Result<PathBuf> {
    let mut kernel = std::fs::read(&bench.programs.kernel)?;
    let places = (0..kernel.len() - from.len()).filter(|at| kernel[*at..].starts_with(from));
    let places: Vec<usize> = places.collect();
    ensure!(!places.is_empty(), "the kernel has no bytes {from:x?}");
    // The entry comes first in the file; a name is changed wherever it is.
    let count = if from == ENTRY { 1 } else { places.len() };
    places.iter().take(count).for_each(|at| kernel[*at..*at + to.len()].copy_from_slice(to));
    let path = bench.path(name);
    std::fs::write(&path, kernel)?;
    Ok(path)
}

fn granary(bench: &Bench, words: &[&str]) -> Result<String> {
    bench.programs.granary(words, bench.folder.path())
}

/// Waits until the console has said this so many times.
fn wait_for(machine: &mut Machine, text: &str, times: usize) -> Result<()> {
    let deadline = std::time::Instant::now() + BOOT_LIMIT;
    while machine.console().matches(text).count() < times {
        ensure!(machine.is_running(), "QEMU ended:\n{}", machine.console());
        ensure!(std::time::Instant::now() < deadline, "{text:?} not {times} times:\n{}", machine.console());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// By UEFI: a later kernel is sent, started, and left again.
pub fn there_and_back(bench: &Bench) -> Result<()> {
    let (node, host) = node(bench, Firmware::Uefi)?;
    let later = changed(bench, "later", VERSION, LATER.as_bytes())?;
    let later = later.to_str().context("a path is not UTF-8")?;
    let mut machine = node.boot()?;
    wait_for(&mut machine, SERVES[0], 1)?;
    granary(bench, &["upgrade", "--host", &host, "--restart", later])?;
    wait_for(&mut machine, SERVES[1], 1)?;
    ensure!(machine.console().contains(LATER), "no later kernel:\n{}", machine.console());
    let status = granary(bench, &["status", "--host", &host])?;
    for line in ["kernel-runs b", "kernel-next b", "kernel-served b", "kernel-upgrade a"] {
        ensure!(status.contains(line), "no {line:?} in the status:\n{status}");
    }
    granary(bench, &["rollback", "--host", &host, "--restart"])?;
    wait_for(&mut machine, SERVES[0], 2)?;
    node.stop(machine)
}

/// By BIOS: a kernel that stops at its first instruction is given up after three starts; then the power goes while further
/// ones arrive.
pub fn bad_kernels(bench: &Bench) -> Result<()> {
    let (node, host) = node(bench, Firmware::Bios)?;
    let (broken, later) =
        (changed(bench, "broken", ENTRY, UNDEFINED)?, changed(bench, "later", VERSION, LATER.as_bytes())?);
    let mut machine = node.boot()?;
    let broken = broken.to_str().context("a path is not UTF-8")?;
    granary(bench, &["upgrade", "--host", &host, "--restart", broken])?;
    wait_for(&mut machine, SERVES[0], 2)?;
    let console = machine.console();
    let tries = console.matches("loading granary.b").count();
    ensure!(tries == 3, "it was started {tries} times:\n{console}");
    ensure!(console.contains("was started three times and did not serve"), "nothing is said:\n{console}");
    let status = granary(bench, &["status", "--host", &host])?;
    ensure!(status.contains("kernel-failed b"), "the status is silent:\n{status}");
    let later = later.to_str().context("a path is not UTF-8")?;
    for millis in [20, 90, 250] {
        std::thread::scope(|scope| {
            scope.spawn(|| granary(bench, &["upgrade", "--host", &host, later]));
            std::thread::sleep(Duration::from_millis(millis));
            machine.cut_power()
        })?;
        machine = node.boot()?;
        let slot = machine.console().contains(LATER);
        wait_for(&mut machine, SERVES[usize::from(slot)], 1)?;
    }
    node.stop(machine)
}
