//! A machine whose only disk is blank becomes a node by itself; one whose disk is somebody's does not.

use super::Bench;
use crate::machine::Firmware;
use anyhow::{Context, Result, ensure};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// How long the node may take to say what it does.
const LIMIT: Duration = Duration::from_secs(60);
/// What it says when it begins with a disk that is blank.
const BEGINS: &str = "it is laid out now";

/// The power goes while the disk is laid out, and again when something is stored on it; then somebody's disk.
pub fn becomes_a_node(bench: &Bench) -> Result<()> {
    let disk = bench.path("blank.img");
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&disk)?;
    file.set_len(300 << 20)?;
    let mut node = bench.node(&disk)?;
    // A blank disk starts nothing.
    node.spec.firmware = Firmware::Direct;
    node.spec.command_line = "venti=0.0.0.0/0".into();
    // Slow, so that there is a middle to be cut off in.
    node.spec.fault = Some(crate::machine::Fault::Slow { requests: 100 });
    let mut machine = node.start()?;
    machine.wait_for_console(BEGINS, LIMIT)?;
    machine.cut_power()?;
    node.spec.fault = None;
    let mut machine = node.boot()?;
    machine.wait_for_console("it is this node's disk now", LIMIT)?;
    let mut client = node.client()?;
    let score = client.write(b"the first block of a new node")?;
    client.sync()?;
    machine.cut_power()?;
    let machine = node.boot()?;
    ensure!(
        node.client()?.read(&score)? == b"the first block of a new node",
        "the block came back otherwise"
    );
    ensure!(!machine.console().contains("laid out"), "the disk was laid out twice:\n{}", machine.console());
    node.stop(machine)?;
    let checked = ["disk", "check", disk.to_str().context("not UTF-8")?];
    bench.programs.granary(&checked, bench.folder.path())?;
    somebodys(bench)
}

/// One byte, far from both ends, that is not zero.
fn somebodys(bench: &Bench) -> Result<()> {
    let disk = bench.path("used.img");
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&disk)?;
    file.set_len(300 << 20)?;
    file.write_all_at(b"x", 64 << 20)?;
    let before = std::fs::read(&disk)?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    let mut machine = node.start()?;
    machine.wait_for_console("something stands on it", LIMIT)?;
    machine.wait_for_console("nothing is served", LIMIT)?;
    machine.press_power_button(crate::run::STOP_LIMIT)?;
    ensure!(std::fs::read(&disk)? == before, "a disk that is not blank was written to");
    Ok(())
}
