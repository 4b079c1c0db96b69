//! Every machine: firmware, bus and network card in all combinations, and one image that is carried from each to the next.

use super::{Bench, Node};
use crate::machine::{Bus, Firmware, Nic};
use crate::tree;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Instant;

const FIRMWARES: [Firmware; 3] = [Firmware::Direct, Firmware::Bios, Firmware::Uefi];
const BUSES: [Bus; 4] = [Bus::Virtio, Bus::Scsi, Bus::Nvme, Bus::Ahci];
/// As far as the installed QEMU has them.
const NICS: [Nic; 3] = [Nic::Virtio, Nic::E1000e, Nic::Igb];

/// A machine of the matrix.
struct Cell {
    firmware: Firmware,
    bus: Bus,
    nic: Nic,
    machine: &'static str,
    processors: u32,
    memory: &'static str,
    sector_size: u32,
}

/// All of them. Chipset, processors and memory vary against each other, so that each meets each firmware and bus.
fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (f, firmware) in FIRMWARES.into_iter().enumerate() {
        for (b, bus) in BUSES.into_iter().enumerate() {
            for (n, nic) in NICS.into_iter().filter(|nic| nic.is_known()).enumerate() {
                let memory = match (firmware, ["64M", "1G", "8G"][(f + b + n) % 3]) {
                    // What OVMF itself needs.
                    (Firmware::Uefi, "64M") => "256M",
                    (_, memory) => memory,
                };
                cells.push(Cell {
                    firmware,
                    bus,
                    nic,
                    machine: ["q35", "pc"][(b + n) % 2],
                    processors: [1, 4][(f + b / 2 + n) % 2],
                    memory,
                    sector_size: 512,
                });
            }
        }
    }
    let (firmware, nic, sector_size) = (Firmware::Direct, Nic::Virtio, 4096);
    // QEMU's SATA disks have sectors of 512 bytes only, and SeaBIOS reads no others.
    for bus in [Bus::Virtio, Bus::Scsi, Bus::Nvme] {
        cells.push(Cell { firmware, bus, nic, machine: "q35", processors: 4, memory: "64M", sector_size });
    }
    for (machine, bus) in
        [("microvm", Bus::Virtio), ("microvm", Bus::Scsi), ("microvm,acpi=off", Bus::Virtio)]
    {
        let processors = if bus == Bus::Scsi { 4 } else { 1 };
        cells.push(Cell { firmware, bus, nic, machine, processors, memory: "64M", sector_size: 512 });
    }
    cells
}

/// Archives on the first machine, and restores on each; what each has written the next must read.
pub fn all(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let node = bench.node(&disk)?;
    let machine = node.boot()?;
    let archived = bench.programs.vac(&node.host(), &sample)?;
    node.stop(machine)?;
    let mut last = None;
    for (number, cell) in cells().into_iter().enumerate() {
        let began = Instant::now();
        let name = format!(
            "{:?} {:?} {:?} {} {} processors {} sectors of {}",
            cell.firmware, cell.bus, cell.nic, cell.machine, cell.processors, cell.memory, cell.sector_size
        );
        let written = visit(bench, &disk, &cell, &archived, last.take(), number);
        last = Some(written.with_context(|| name.clone())?);
        println!("  {name}: good ({:.1} s)", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// One machine. Every other one loses its power; the others are switched off.
fn visit(
    bench: &Bench,
    disk: &Path,
    cell: &Cell,
    archived: &str,
    last: Option<([u8; 20], Vec<u8>)>,
    number: usize,
) -> Result<([u8; 20], Vec<u8>)> {
    let mut node: Node = bench.node(disk)?;
    node.spec.firmware = cell.firmware;
    node.spec.bus = cell.bus;
    node.spec.nic = cell.nic;
    node.spec.machine = cell.machine.into();
    node.spec.processors = cell.processors;
    node.spec.memory = cell.memory.into();
    node.spec.sector_size = cell.sector_size;
    let mut machine = node.boot()?;
    if let Some((score, block)) = last {
        ensure!(node.client()?.read(&score)? == block, "what the machine before wrote is other bytes here");
    }
    let restored = bench.path("restored");
    bench.programs.unvac(&node.host(), archived, &restored)?;
    tree::compare(&bench.path("sample"), &restored)?;
    std::fs::remove_dir_all(restored)?;
    let block = format!("written on machine {number}").into_bytes();
    let mut client = node.client()?;
    let score = client.write(&block)?;
    client.sync()?;
    drop(client);
    // Without ACPI there is no button to press.
    if number.is_multiple_of(2) || cell.machine.contains("acpi=off") {
        machine.cut_power()?;
    } else {
        node.stop(machine)?;
    }
    Ok((score, block))
}
