//! Every way to boot, and the main job on each: archive, power cut, boot, restore, compare, clean stop.

use super::{Bench, Node};
use crate::machine::{Bus, Firmware, Randomness};
use crate::tree;
use anyhow::Result;

/// QEMU loads the kernel.
pub fn direct(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    main_job(bench, node)
}

/// SeaBIOS starts the disk's own loader.
pub fn bios(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Bios;
    main_job(bench, node)
}

/// The loader beside another chipset, and with little memory.
pub fn bios_of_a_small_pc(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Bios;
    node.spec.machine = "pc".into();
    node.spec.memory = "64M".into();
    main_job(bench, node)
}

/// The older machine type, processors that nobody uses yet, and no randomness but the processor's.
pub fn pc_with_four_processors(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.machine = "pc".into();
    node.spec.processors = 4;
    node.spec.randomness = Randomness::Processor;
    main_job(bench, node)
}

/// As little memory as is promised to be enough for a small disk, and no randomness but the host's.
pub fn little_memory(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.memory = "64M".into();
    node.spec.randomness = Randomness::Device;
    main_job(bench, node)
}

/// Memory on both sides of the hole below 4 GiB.
pub fn much_memory(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.memory = "8G".into();
    main_job(bench, node)
}

/// An NVMe controller; the same image.
pub fn nvme(bench: &Bench) -> Result<()> {
    on_bus(bench, Bus::Nvme, Firmware::Direct)
}

/// SeaBIOS reads the loader from NVMe, and the loader the kernel.
pub fn nvme_by_bios(bench: &Bench) -> Result<()> {
    on_bus(bench, Bus::Nvme, Firmware::Bios)
}

/// virtio-scsi; the same image.
pub fn scsi(bench: &Bench) -> Result<()> {
    on_bus(bench, Bus::Scsi, Firmware::Direct)
}

/// SeaBIOS reads from virtio-scsi.
pub fn scsi_by_bios(bench: &Bench) -> Result<()> {
    on_bus(bench, Bus::Scsi, Firmware::Bios)
}

/// SATA, as the machine has it; the same image.
pub fn ahci(bench: &Bench) -> Result<()> {
    on_bus(bench, Bus::Ahci, Firmware::Direct)
}

/// SeaBIOS reads from SATA.
pub fn ahci_by_bios(bench: &Bench) -> Result<()> {
    on_bus(bench, Bus::Ahci, Firmware::Bios)
}

fn on_bus(bench: &Bench, bus: Bus, firmware: Firmware) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = firmware;
    node.spec.bus = bus;
    main_job(bench, node)
}

pub(super) fn main_job(bench: &Bench, node: Node) -> Result<()> {
    let (sample, restored) = (bench.path("sample"), bench.path("restored"));
    tree::make_sample(&sample)?;
    let mut machine = node.boot()?;
    let score = bench.programs.vac(&node.host(), &sample)?;
    machine.cut_power()?;
    let machine = node.boot()?;
    bench.programs.unvac(&node.host(), &score, &restored)?;
    tree::compare(&sample, &restored)?;
    node.stop(machine)
}
