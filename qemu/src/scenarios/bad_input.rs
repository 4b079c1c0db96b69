//! What is wrong with a machine is said plainly on its console, and nothing is lost.

use super::Bench;
use crate::machine::{Firmware, Network, Randomness, Spec};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

/// How long the node may take to say what is wrong.
const LIMIT: Duration = Duration::from_secs(60);

/// Where everything but the index and the arenas lies, on an image as we make it.
const TABLES_AND_FAT_LEN: u64 = 104 << 20;

/// A machine without any disk.
pub fn no_disk(bench: &Bench) -> Result<()> {
    let mut spec = Spec::new(&bench.programs.kernel, &bench.path("none"));
    spec.disks.clear();
    let mut machine = spec.start(bench.accelerator)?;
    machine.wait_for_console("no disk", LIMIT)
}

/// Changes bytes of an image's tables or of its 9fat, which must hold `before` once; `after` is as long.
fn alter(disk: &Path, before: &[u8], after: &[u8]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(disk)?;
    let mut bytes = Vec::new();
    (&file).take(TABLES_AND_FAT_LEN).read_to_end(&mut bytes)?;
    let first = *before.first().context("nothing to be changed")?;
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(place, _)| place);
    let places: Vec<usize> = starts.filter(|place| bytes[*place..].starts_with(before)).collect();
    ensure!(places.len() == 1 && before.len() == after.len(), "the image holds it {} times", places.len());
    file.seek(SeekFrom::Start(u64::try_from(places[0])?))?;
    Ok(file.write_all(after)?)
}

/// A line in granary.ini that is wrong, and a word on the command line: the node says which, and serves all the same.
pub fn wrong_setting(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &["sysname=unlucky"])?;
    alter(&disk, b"sysname=unlucky", b"sysnome=unlucky")?;
    let mut node = bench.node(&disk)?;
    // Nobody else passes a command line.
    node.spec.firmware = Firmware::Direct;
    node.spec.command_line = "cache=plenty".into();
    let mut machine = node.boot()?;
    machine.wait_for_console("granary.ini:3: there is no setting \"sysnome\"", LIMIT)?;
    machine.wait_for_console("command line:1: cache=plenty", LIMIT)?;
    node.client()?.sync()?;
    node.stop(machine)
}

/// A partition that holds nothing known, and a disk without any: both are said, left alone, and harm nobody.
pub fn unknown_partition(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    alter(&disk, b"part nvram ", b"part fossi ")?;
    let blank = bench.path("blank");
    std::fs::File::create(&blank)?.set_len(64 << 20)?;
    let mut node = bench.node(&disk)?;
    node.spec.disks.insert(0, blank.clone());
    // A BIOS would boot the first disk, or nothing.
    node.spec.firmware = Firmware::Direct;
    let mut machine = node.boot()?;
    machine.wait_for_console("disk0: no partitions", LIMIT)?;
    machine.wait_for_console("disk1: partition fossi holds nothing that is known here", LIMIT)?;
    let score = node.client()?.write(b"on the second of two disks")?;
    node.client()?.sync()?;
    node.stop(machine)?;
    ensure!(std::fs::read(&blank)?.iter().all(|byte| *byte == 0), "the blank disk was written to");
    let machine = node.boot()?;
    ensure!(node.client()?.read(&score)? == b"on the second of two disks", "the block came back otherwise");
    node.stop(machine)
}

/// A blank disk becomes arenas of the store once the settings say so, and is part of it from then on.
pub fn blank_disk_is_added(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &["grow=disks"])?;
    let blank = bench.path("blank");
    std::fs::File::create(&blank)?.set_len(300 << 20)?;
    let mut node = bench.node(&disk)?;
    let mut machine = node.boot()?;
    let score = node.client()?.write(b"before there was more room")?;
    machine.press_power_button(crate::run::STOP_LIMIT)?;
    node.spec.disks.push(blank);
    let mut machine = node.boot()?;
    machine.wait_for_console("disk1: it was blank; 5 arenas on it belong to the store now", LIMIT)?;
    node.client()?.sync()?;
    machine.cut_power()?;
    let mut machine = node.boot()?;
    ensure!(node.client()?.read(&score)? == b"before there was more room", "the block came back otherwise");
    ensure!(!machine.console().contains("it was blank"), "the disk was added twice");
    machine.press_power_button(crate::run::STOP_LIMIT)?;
    let disks: Vec<&str> = node.spec.disks.iter().filter_map(|disk| disk.to_str()).collect();
    let checked = [&["disk", "check"], &disks[..]].concat();
    bench.programs.granary(&checked, bench.folder.path()).map(|_| ())
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
    node.spec.network = Network::Silent;
    let mut machine = node.start()?;
    machine.wait_for_console("no DHCP answer", LIMIT)
}

/// Neither RDRAND nor a virtio-rng: nothing that needs randomness starts.
pub fn no_randomness(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.randomness = Randomness::None;
    let mut machine = node.start()?;
    machine.wait_for_console("no randomness", LIMIT)
}
