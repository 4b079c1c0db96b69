//! Every way to boot, and the main job on each: archive, power cut, boot, restore, compare, clean stop.

use super::{BOOT_LIMIT, Bench, Node};
use crate::machine::{Bus, Firmware, Nic, Randomness};
use crate::tree;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

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

/// UEFI firmware starts the disk's own loader; then the same disk goes to a machine with a BIOS.
pub fn uefi_then_bios(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Uefi;
    let score = archive_and_restore(bench, &node)?;
    node.spec.firmware = Firmware::Bios;
    restore(bench, &node, &score, "restored-by-bios")
}

/// The log stands on the screen that UEFI firmware has set up, from the first line on, as well as on the serial port.
pub fn log_on_the_screen(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Uefi;
    let machine = node.boot()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let rows = machine.screen_text(bench.folder.path())?;
        let stands = |text: &str| rows.iter().any(|row| row.contains(text));
        if stands("Granary 0.") && stands("virtio network card at pci") && stands("store: 0 blocks in") {
            break;
        }
        ensure!(Instant::now() < deadline, "the screen shows:\n{}", rows.join("\n"));
        std::thread::sleep(Duration::from_millis(200));
    }
    node.stop(machine)
}

/// UEFI firmware beside the other chipset; it has had the other processors before.
pub fn uefi_of_a_pc(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Uefi;
    node.spec.machine = "pc".into();
    node.spec.processors = 4;
    node.spec.memory = "256M".into();
    main_job(bench, node)
}

/// The loader's words reach the firmware's console, and say what is missing.
pub fn uefi_without_a_kernel(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let name = disk.to_str().unwrap_or_default();
    bench.programs.granary(&["fat", "rm", name, "granary.a"], &bench.programs.root)?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Uefi;
    let mut machine = node.start()?;
    machine.wait_for_console("cannot boot from the boot disk: 9fat holds no kernel", BOOT_LIMIT)?;
    machine.cut_power()
}

/// The older machine type, four processors of which three pack, and no randomness but the processor's.
pub fn pc_with_four_processors(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.machine = "pc".into();
    node.spec.processors = 4;
    node.spec.randomness = Randomness::Processor;
    main_job(bench, node)
}

/// A machine without PCI, whose devices ACPI announces.
pub fn microvm(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.machine = "microvm".into();
    node.spec.processors = 2;
    main_job(bench, node)
}

/// A machine without PCI, ACPI, or a clock: the command line announces devices, dates are wrong and that is said, and the
/// node serves; a reset is its end.
pub fn bare_microvm(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.firmware = Firmware::Direct;
    node.spec.machine = "microvm,acpi=off,rtc=off".into();
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let mut machine = node.boot()?;
    machine.wait_for_console("no real-time clock", BOOT_LIMIT)?;
    let score = bench.programs.vac(&node.host(), &sample)?;
    machine.cut_power()?;
    let mut machine = node.boot()?;
    bench.programs.unvac(&node.host(), &score, &bench.path("restored"))?;
    tree::compare(&sample, &bench.path("restored"))?;
    machine.cut_power()
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

/// An Intel card that interrupts by messages; its cable is pulled and put in again.
pub fn intel_card(bench: &Bench) -> Result<()> {
    cable(bench, Nic::E1000e, "q35")
}

/// A newer one, with advanced descriptors, where QEMU has it.
pub fn newer_intel_card(bench: &Bench) -> Result<()> {
    cable(bench, Nic::Igb, "q35")
}

/// An older one, which cannot, and is looked at from time to time.
pub fn older_intel_card(bench: &Bench) -> Result<()> {
    cable(bench, Nic::E1000, "pc")
}

/// The same of a virtual machine's card.
pub fn virtio_card(bench: &Bench) -> Result<()> {
    cable(bench, Nic::Virtio, "q35")
}

/// The main job; between the two halves the cable is out for a moment.
fn cable(bench: &Bench, nic: Nic, chipset: &str) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    node.spec.nic = nic;
    node.spec.machine = chipset.into();
    let (sample, restored) = (bench.path("sample"), bench.path("restored"));
    tree::make_sample(&sample)?;
    let mut machine = node.boot()?;
    let processors = node.spec.processors;
    if processors > 1 {
        machine.wait_for_console(&format!("{processors} processors: one serves"), BOOT_LIMIT)?;
    }
    let score = bench.programs.vac(&node.host(), &sample)?;
    machine.set_link(false)?;
    machine.wait_for_console(": link down", BOOT_LIMIT)?;
    machine.set_link(true)?;
    machine.wait_for_console(": link up", BOOT_LIMIT)?;
    bench.programs.unvac(&node.host(), &score, &restored)?;
    tree::compare(&sample, &restored)?;
    machine.cut_power()?;
    restore(bench, &node, &score, "restored-after-a-power-cut")
}

pub(super) fn main_job(bench: &Bench, node: Node) -> Result<()> {
    archive_and_restore(bench, &node).map(drop)
}

fn archive_and_restore(bench: &Bench, node: &Node) -> Result<String> {
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let mut machine = node.boot()?;
    let score = bench.programs.vac(&node.host(), &sample)?;
    machine.cut_power()?;
    restore(bench, node, &score, "restored")?;
    Ok(score)
}

/// Boots, restores into a new folder, compares with the sample, stops.
fn restore(bench: &Bench, node: &Node, score: &str, folder: &str) -> Result<()> {
    let restored = bench.path(folder);
    let machine = node.boot()?;
    bench.programs.unvac(&node.host(), score, &restored)?;
    tree::compare(&bench.path("sample"), &restored)?;
    node.stop(machine)
}
