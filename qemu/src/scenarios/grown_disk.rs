//! An image on a disk that is larger than it, and a disk that grows later: the node uses all of it, and loses nothing.

use super::colony::until;
use super::{BOOT_LIMIT, Bench, Node};
use crate::http;
use crate::machine::{Fault, Firmware, Forward};
use crate::ports;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

const BLOCK: &[u8] = b"stored before the disk grew again";

/// First on a larger disk, by a BIOS; then larger still, with the power gone in the middle, several times.
pub fn is_used_to_its_end(bench: &Bench) -> Result<()> {
    let disk = bench.image("300M", &["http=0.0.0.0/0,::/0"])?;
    let mut node = bench.node(&disk)?;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 8000 });
    extend(&disk, 700)?;
    node.spec.firmware = Firmware::Bios;
    let mut machine = node.boot()?;
    machine.wait_for_console("disk0: it has grown: ", BOOT_LIMIT)?;
    let first = capacity(port)?;
    ensure!(first > 550 << 20, "only {first} bytes of 700 MiB are for blocks");
    let score = node.client()?.write(BLOCK)?;
    node.client()?.sync()?;
    machine.cut_power()?;
    extend(&disk, 1500)?;
    cut_off(&mut node)?;
    node.spec.firmware = Firmware::Direct;
    for firmware in [Firmware::Direct, Firmware::Bios] {
        node.spec.firmware = firmware;
        let machine = node.boot()?;
        ensure!(node.client()?.read(&score)? == BLOCK, "the block came back otherwise");
        let second = capacity(port)?;
        ensure!(second > first + (700 << 20), "{first} bytes for blocks became {second}");
        node.stop(machine)?;
    }
    let checked = ["disk", "check", disk.to_str().context("not UTF-8")?];
    bench.programs.granary(&checked, bench.folder.path()).map(|_| ())
}

/// Makes the file a larger disk.
fn extend(disk: &Path, mebibytes: u64) -> Result<()> {
    Ok(std::fs::OpenOptions::new().write(true).open(disk)?.set_len(mebibytes << 20)?)
}

/// Starts the machine with a slow disk and cuts the power a little later each time.
fn cut_off(node: &mut Node<'_>) -> Result<()> {
    node.spec.firmware = Firmware::Direct;
    node.spec.fault = Some(Fault::Slow { requests: 200 });
    for millis in [100, 250, 400] {
        let mut machine = node.start()?;
        machine.wait_for_console("disk at ", BOOT_LIMIT)?;
        std::thread::sleep(Duration::from_millis(millis));
        machine.cut_power()?;
    }
    node.spec.fault = None;
    Ok(())
}

/// Bytes of all arenas, by the node's own `/storage`, which is there soon after venti.
fn capacity(port: u16) -> Result<u64> {
    until(BOOT_LIMIT, || Ok(http::get(port, "/readyz")?.status == 200))?;
    let page = http::get(port, "/storage")?.body;
    let figure = page.lines().find_map(|line| line.trim().strip_prefix("total space=")?.split(' ').next());
    let figure = figure.with_context(|| format!("no total space in:\n{page}"))?;
    figure.replace(',', "").parse().with_context(|| format!("total space is {figure}"))
}
