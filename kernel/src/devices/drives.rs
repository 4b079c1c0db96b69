//! Starting disks behind controllers, and looking after them.
//!
//! Knows where a controller's registers and interrupts come from. Must not know commands.

use super::{Plugged, StartError};
use crate::disk::{Device, Disk, DiskIdentity, Place};
use crate::drive::{Drive, Engine, Geometry, Host, TICK_SECONDS};
use crate::executor::spawn;
use crate::executor::timers::sleep_until;
use crate::interrupts::InterruptLine;
use crate::pci::msix::Msix;
use crate::pci::{Bars, Function, msi};
use crate::time;
use crate::virtio::hal::KernelHal;
use crate::virtio::scsi::Scsi;
use crate::virtio::signal::Signal;
use crate::{ahci, nvme};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::pending;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};

async fn pause(time: Duration) {
    sleep_until(time::now().plus(time)).await;
}

/// Has the device send one message for everything, by MSI-X or MSI, if it can.
fn one_interrupt(function: &mut Function, bars: &Bars, what: &str) -> Signal {
    let silent = || {
        log::warn!("pci {}: no interrupts; looking at it every millisecond", function.place);
        Signal::None
    };
    let Some(line) = InterruptLine::allocate(what) else { return silent() };
    if let Some(msix) = Msix::find(&function.configuration, function.place, bars) {
        msix.set(0, line.msi_message());
        msix.enable(&mut function.configuration, function.place);
    } else if !msi::enable(&mut function.configuration, function.place, line.msi_message()) {
        return silent();
    }
    Signal::Interrupt(line)
}

/// Has the device send as many messages as it has queues, each its own, if it has MSI-X and there are lines; else one.
fn interrupts(function: &mut Function, bars: &Bars, queues: u16, what: &str) -> Vec<Signal> {
    let table = Msix::find(&function.configuration, function.place, bars);
    let count = table.as_ref().map_or(1, |table| table.entries().min(queues));
    let mut signals = alloc::vec![one_interrupt(function, bars, what)];
    let Some(table) = table.filter(|_| matches!(signals[..], [Signal::Interrupt(_)])) else { return signals };
    for entry in 1..count {
        let Some(line) = InterruptLine::allocate(what) else { break };
        table.set(entry, line.msi_message());
        signals.push(Signal::Interrupt(line));
    }
    signals
}

/// Returns when one of the first two signals has come.
async fn wait_for_any(signals: &[Signal]) {
    match signals {
        [] => pending().await,
        [signal] => signal.wait().await,
        [first, second, ..] => {
            select(pin!(first.wait()), pin!(second.wait())).await;
        }
    }
}

/// Looks after the disks behind these interrupts for good.
async fn serve<E: Engine + 'static>(hosts: Vec<Rc<Host<E>>>, signals: Vec<Signal>) {
    let tick = Duration::from_secs(TICK_SECONDS);
    let mut next = time::now().plus(tick);
    loop {
        match select(pin!(wait_for_any(&signals)), pin!(sleep_until(next))).await {
            Either::Left(_) => hosts.iter().for_each(|host| host.complete()),
            Either::Right(_) => {
                hosts.iter().for_each(|host| host.tick());
                next = time::now().plus(tick);
            }
        }
        // A disk that takes long to come back does not make its neighbours wait.
        for host in hosts.iter().filter(|host| host.wants_recovery()) {
            let host = host.clone();
            spawn(async move { host.recover(&pause).await });
        }
    }
}

/// One of a controller's disks, announced.
fn announce<E: Engine>(
    host: &Rc<Host<E>>,
    identity: DiskIdentity,
    geometry: Geometry,
    model: &str,
    device: impl Fn(Drive<E>) -> Device,
) -> Rc<Disk> {
    let drive = host.add(format!("{identity}"), geometry);
    log::info!("{identity}: {model}, {}", describe(&geometry, drive.depth()));
    Rc::new(Disk::new(identity, device(drive)))
}

fn describe(geometry: &Geometry, depth: usize) -> String {
    let bytes = geometry.sector_count.saturating_mul(geometry.sector_size.into());
    let access = if geometry.read_only { ", read-only" } else { "" };
    let cache = if geometry.flushes { "flushes on demand" } else { "no cache to flush" };
    let (mebibytes, sector) = (bytes >> 20, geometry.sector_size);
    format!("{mebibytes} MiB in sectors of {sector}{access}, {depth} requests at once, {cache}")
}

/// An NVMe controller: a disk for each of its namespaces.
pub(super) async fn start_nvme(function: &mut Function) -> Result<Vec<Rc<Disk>>, StartError> {
    let bars = function.bars();
    // All of the window, up to what the doorbells of many queues take.
    let registers = [0x4000, 0x2000, nvme::REGISTERS_LEN].into_iter().find_map(|len| bars.map(0, 0, len));
    let registers = registers.ok_or(StartError::NoRegisters)?;
    function.enable();
    let signals = interrupts(function, &bars, nvme::QUEUES, "nvme");
    let messages = signals.iter().filter(|signal| matches!(signal, Signal::Interrupt(_))).count();
    let found = nvme::Controller::open(registers, messages as u16, &pause).await?;
    let host = Host::new(found.controller);
    let mut disks = Vec::new();
    for namespace in found.namespaces {
        let identity = DiskIdentity {
            kind: "nvme",
            place: Place::Pci(function.place),
            unit: format!("namespace {}", namespace.number),
            serial: found.serial.clone(),
            guid: namespace.guid,
        };
        disks.push(announce(&host, identity, namespace.geometry, &found.model, Device::Nvme));
    }
    if disks.is_empty() {
        log::warn!("pci {}: an NVMe controller without namespaces", function.place);
    }
    spawn(serve(alloc::vec![host], signals));
    Ok(disks)
}

/// A virtio SCSI host: a disk for each logical unit that is one.
pub(super) async fn start_scsi(plugged: Plugged) -> Result<Vec<Rc<Disk>>, StartError> {
    let Plugged { place, transport, queues: signal, .. } = plugged;
    let (scsi, found) = Scsi::<_, KernelHal>::open(transport, &pause).await?;
    let host = Host::new(scsi);
    let mut disks = Vec::new();
    for disk in found {
        let identity = DiskIdentity {
            kind: "scsi",
            place,
            unit: format!("target {} lun {}", disk.place.target, disk.place.lun),
            serial: disk.serial,
            guid: disk.guid,
        };
        disks.push(announce(&host, identity, disk.geometry, &disk.model, Device::Scsi));
    }
    if disks.is_empty() {
        log::warn!("{place}: a SCSI host without disks");
    }
    spawn(serve(alloc::vec![host], alloc::vec![signal]));
    Ok(disks)
}

/// A SATA controller: a disk for each port that has one.
pub(super) async fn start_ahci(function: &mut Function) -> Result<Vec<Rc<Disk>>, StartError> {
    const REGISTERS_BAR: u8 = 5;
    let bars = function.bars();
    let lens = [ahci::REGISTERS_LEN_MAX, 0x1000, 0x800, ahci::REGISTERS_LEN];
    let registers = lens.into_iter().find_map(|len| bars.map(REGISTERS_BAR, 0, len));
    let registers = registers.ok_or(StartError::NoRegisters)?;
    function.enable();
    let signal = one_interrupt(function, &bars, "ahci");
    let interrupts = matches!(signal, Signal::Interrupt(_));
    let (mut disks, mut hosts) = (Vec::new(), Vec::new());
    for (port, found) in ahci::open(registers, interrupts, &pause).await? {
        let ahci::FoundDisk { port: engine, identity: disk } = found;
        let host = Host::new(engine);
        let identity = DiskIdentity {
            kind: "ahci",
            place: Place::Pci(function.place),
            unit: format!("port {port}"),
            serial: disk.serial,
            guid: disk.guid,
        };
        disks.push(announce(&host, identity, disk.geometry, &disk.model, Device::Ahci));
        hosts.push(host);
    }
    if !hosts.is_empty() {
        spawn(serve(hosts, alloc::vec![signal]));
    }
    Ok(disks)
}
