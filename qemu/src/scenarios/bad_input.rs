//! What is wrong with a machine is said plainly on its console, and nothing is lost.

use super::Bench;
use crate::machine::Spec;
use anyhow::{Result, ensure};
use std::time::Duration;

/// How long the node may take to say what is wrong.
const LIMIT: Duration = Duration::from_secs(60);

/// A machine without any disk.
pub fn no_disk(bench: &Bench) -> Result<()> {
    let mut spec = Spec::new(&bench.programs.kernel, &bench.path("none"));
    spec.disks.clear();
    let mut machine = spec.start(bench.accelerator)?;
    machine.wait_for_console("no disk", LIMIT)
}

/// A line in granary.ini that is wrong; the node says which, and serves as far as that is safe.
pub fn wrong_setting(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.command_line = "cache=plenty".into();
    let mut machine = node.start()?;
    machine.wait_for_console("cache=plenty", LIMIT)
}

/// A disk that lost its second half since it was formatted.
pub fn shrunk_disk(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    std::fs::OpenOptions::new().write(true).open(&disk)?.set_len(512 << 20)?;
    let before = std::fs::read(&disk)?;
    let node = bench.node(&disk)?;
    let mut machine = node.start()?;
    machine.wait_for_console("has shrunk", LIMIT)?;
    machine.cut_power()?;
    ensure!(std::fs::read(&disk)? == before, "the node wrote to a disk that it could not understand");
    Ok(())
}

/// A network on which nobody answers.
pub fn no_dhcp(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.forwards.clear();
    node.spec.silent_network = true;
    let mut machine = node.start()?;
    machine.wait_for_console("no DHCP answer", LIMIT)
}

/// Neither RDRAND nor a virtio-rng: nothing that needs randomness starts.
pub fn no_randomness(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.randomness = false;
    let mut machine = node.start()?;
    machine.wait_for_console("no randomness", LIMIT)
}
