//! Disks on every bus: with long sectors, in another order, failing, slow, and pulled out.

use super::{Bench, Node, boots};
use crate::client::Client;
use crate::http;
use crate::machine::{Bus, Fault, Firmware, Forward, Machine};
use crate::ports;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

const EVERY_BUS: [Bus; 4] = [Bus::Virtio, Bus::Nvme, Bus::Scsi, Bus::Ahci];
/// Bytes at the start of an image, with the arenas that are filled first.
const WHERE_THE_FIRST_ARENAS_ARE: u64 = 256 << 20;
/// How long the node may take to say what is wrong.
const LIMIT: Duration = Duration::from_secs(60);

/// An image whose tables count in sectors of 512 bytes, on disks that have longer ones.
pub fn long_sectors(bench: &Bench) -> Result<()> {
    // QEMU's SATA disks have sectors of 512 bytes only.
    for bus in [Bus::Nvme, Bus::Scsi, Bus::Virtio] {
        let disk = bench.image("1G", &[])?;
        let mut node = bench.node(&disk)?;
        // SeaBIOS reads sectors of 512 bytes alone.
        node.spec.firmware = Firmware::Direct;
        node.spec.bus = bus;
        node.spec.sector_size = 4096;
        boots::main_job(bench, node).with_context(|| format!("{bus:?}"))?;
        std::fs::remove_file(disk)?;
        for tree in ["sample", "restored"] {
            std::fs::remove_dir_all(bench.path(tree))?;
        }
    }
    Ok(())
}

/// Two disks that hold one store change places, and then buses.
pub fn in_another_order(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &["grow=disks"])?;
    let blank = bench.path("blank");
    std::fs::File::create(&blank)?.set_len(300 << 20)?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.bus = Bus::Nvme;
    node.spec.disks.push(blank);
    let mut machine = node.boot()?;
    machine.wait_for_console("disk1: it was blank; 5 arenas on it belong to the store now", LIMIT)?;
    let score = write_synced(&node, b"written before the disks changed places")?;
    machine.cut_power()?;
    for bus in EVERY_BUS {
        node.spec.disks.reverse();
        node.spec.bus = bus;
        let machine = node.boot().with_context(|| format!("{bus:?}"))?;
        let found = node.client()?.read(&score)?;
        ensure!(found == b"written before the disks changed places", "{bus:?}: other bytes");
        ensure!(!machine.console().contains("it was blank"), "{bus:?}: a disk was added twice");
        write_synced(&node, format!("on {bus:?}").as_bytes())?;
        node.stop(machine)?;
    }
    let disks: Vec<&str> = node.spec.disks.iter().filter_map(|disk| disk.to_str()).collect();
    bench.programs.granary(&[&["disk", "check"], &disks[..]].concat(), bench.folder.path()).map(|_| ())
}

fn write_synced(node: &Node, block: &[u8]) -> Result<[u8; 20]> {
    let mut client = node.client()?;
    let score = client.write(block)?;
    client.sync()?;
    Ok(score)
}

/// A write that fails once is written again, and nobody is troubled where that costs no cache; a flush that fails is
/// told, and the sync after it covers what the first did not.
pub fn errors(bench: &Bench) -> Result<()> {
    for bus in [Bus::Nvme, Bus::Scsi, Bus::Ahci] {
        for fault in [Fault::OneWrite, Fault::OneFlush] {
            one_error(bench, bus, fault).with_context(|| format!("{bus:?}, {fault:?}"))?;
        }
    }
    Ok(())
}

fn one_error(bench: &Bench, bus: Bus, fault: Fault) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.bus = bus;
    node.spec.fault = Some(fault);
    let mut machine = node.boot()?;
    let mut client = node.client()?;
    let score = client.write(b"through an error")?;
    let synced = client.sync();
    // QEMU's SATA disks keep no log of errors, so the disk is reset, and its cache counts as lost: the next sync covers it.
    let may_fail = fault == Fault::OneFlush || bus == Bus::Ahci;
    ensure!(synced.is_ok() || may_fail, "a write that failed once failed the sync");
    if fault == Fault::OneFlush {
        // The start itself may have met the error already; told it is in any case.
        machine.wait_for_console("cannot flush", LIMIT)?;
    }
    drop(client);
    let mut client = node.client()?;
    client.sync().context("the sync after the error")?;
    machine.cut_power()?;
    node.spec.fault = None;
    let machine = node.boot()?;
    ensure!(node.client()?.read(&score)? == b"through an error", "the block came back otherwise");
    node.stop(machine)?;
    Ok(std::fs::remove_file(disk)?)
}

/// A sector that cannot be read: the block there is refused in time, and said; all others are served.
pub fn bad_sector(bench: &Bench) -> Result<()> {
    for bus in EVERY_BUS {
        one_bad_sector(bench, bus).with_context(|| format!("{bus:?}"))?;
    }
    Ok(())
}

fn one_bad_sector(bench: &Bench, bus: Bus) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.bus = bus;
    let mut random = Random::new(bench.seed);
    let machine = node.boot()?;
    let mut client = node.client()?;
    // Neither is in the same request as the other.
    let blocks: Vec<Vec<u8>> = (0..1000).map(|_| random.bytes(8192)).collect();
    let scores = blocks.iter().map(|block| client.write(block)).collect::<Result<Vec<_>>>()?;
    client.sync()?;
    node.stop(machine)?;
    node.spec.fault = Some(Fault::BadSector(sector_of(&disk, &blocks[500])?));
    let mut machine = node.boot()?;
    let mut client = node.client()?;
    ensure!(client.read(&scores[500]).is_err(), "a block was read from a sector that cannot be read");
    machine.wait_for_console("cannot read sectors", LIMIT)?;
    let mut client = node.client()?;
    for at in [0, 999] {
        ensure!(client.read(&scores[at])? == blocks[at], "block {at} came back otherwise");
    }
    node.stop(machine)?;
    Ok(std::fs::remove_file(disk)?)
}

/// The sector in the middle of `block` on an image.
pub(super) fn sector_of(disk: &Path, block: &[u8]) -> Result<u64> {
    let middle = &block[block.len() / 2..][..512];
    let mut image = Vec::new();
    std::fs::File::open(disk)?.take(WHERE_THE_FIRST_ARENAS_ARE).read_to_end(&mut image)?;
    // Most of an image is zero: one look at each byte is quick.
    let start = middle.iter().position(|byte| *byte != 0).context("a block of zeros")?;
    let middle = &middle[start..];
    let mut places = (0..image.len()).filter(|place| image[*place] == middle[0]);
    let place = places.find(|place| image[*place..].starts_with(middle)).context("not on the image")?;
    Ok(place as u64 / 512)
}

/// A disk of a few requests a second.
pub fn slow(bench: &Bench) -> Result<()> {
    for bus in [Bus::Nvme, Bus::Scsi, Bus::Ahci] {
        one_slow_disk(bench, bus).with_context(|| format!("{bus:?}"))?;
    }
    Ok(())
}

fn one_slow_disk(bench: &Bench, bus: Bus) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.bus = bus;
    node.spec.fault = Some(Fault::Slow { requests: 40 });
    let mut machine = node.boot()?;
    let score = write_synced(&node, b"slowly")?;
    machine.cut_power()?;
    let machine = node.boot()?;
    ensure!(node.client()?.read(&score)? == b"slowly", "the block came back otherwise");
    node.stop(machine)?;
    Ok(std::fs::remove_file(disk)?)
}

/// Disks that tell how they are: it is on the console, among the figures, on the page and in the status file.
pub fn health(bench: &Bench) -> Result<()> {
    for (bus, celsius) in [(Bus::Nvme, 50), (Bus::Ahci, 31)] {
        one_health(bench, bus, celsius).with_context(|| format!("{bus:?}"))?;
    }
    Ok(())
}

/// `celsius`: what QEMU's disks on this bus always have.
fn one_health(bench: &Bench, bus: Bus, celsius: i32) -> Result<()> {
    let everybody = "0.0.0.0/0,::/0";
    let disk = bench.image("1G", &[&format!("http={everybody}"), &format!("p9={everybody}")])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.bus = bus;
    let (web, tree) = (ports::choose(0)?, ports::choose(0)?);
    node.spec.forwards.extend([Forward { host: web, guest: 8000 }, Forward { host: tree, guest: 564 }]);
    let mut machine = node.boot()?;
    machine.wait_for_console(&format!("disk granary0: {celsius} °C"), LIMIT)?;
    let metrics = http::get(web, "/metrics")?.body;
    for line in [
        format!("granary_disk_temperature_celsius{{disk=\"granary0\"}} {celsius}"),
        "granary_disk_bad{disk=\"granary0\"} 0".into(),
    ] {
        ensure!(metrics.lines().any(|told| told == line), "{line} is not among the figures:\n{metrics}");
    }
    let page = http::get(web, "/")?.body;
    ensure!(page.contains(&format!("<td>{celsius} °C")), "no temperature on the page:\n{page}");
    let host = format!("tcp!127.0.0.1!{tree}");
    let status = bench.programs.granary(&["status", "--host", &host], bench.folder.path())?;
    let line = format!("disk granary0 good {celsius} °C");
    ensure!(status.lines().any(|told| told.starts_with(&line)), "{line} is not in the status:\n{status}");
    node.stop(machine)?;
    Ok(std::fs::remove_file(disk)?)
}

/// The only disk goes while the node runs: it says so, answers with errors, and stops when it is told to.
pub fn pulled(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    // Of QEMU's buses the one that lets go of a disk without asking the guest.
    node.spec.bus = Bus::Scsi;
    let mut machine = node.boot()?;
    let score = write_synced(&node, b"before the disk went")?;
    machine.pull_disk(0)?;
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    refuses_to_sync(&node, &mut machine)?;
    ensure!(began.elapsed() < LIMIT, "clients waited {:?} for an answer", began.elapsed());
    machine.wait_for_console("cannot write sectors", LIMIT)?;
    machine.press_power_button(crate::run::STOP_LIMIT)?;
    let machine = node.boot()?;
    ensure!(node.client()?.read(&score)? == b"before the disk went", "the block came back otherwise");
    node.stop(machine)
}

fn refuses_to_sync(node: &Node, machine: &mut Machine) -> Result<()> {
    let mut client: Client = node.client()?;
    let written = client.write(b"after the disk went").and_then(|_| client.sync());
    ensure!(written.is_err(), "a sync was answered without a disk:\n{}", machine.console());
    ensure!(machine.is_running(), "the node is gone with its disk:\n{}", machine.console());
    Ok(())
}
