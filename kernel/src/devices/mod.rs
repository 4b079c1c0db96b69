//! Which driver drives which device, and starting them.
//!
//! Knows the table of drivers. Must not know what a node does with disks and cards.

mod card;
pub mod check;
mod drives;
mod microvm;

pub use card::NetworkCard;

use crate::acpi::Acpi;
use crate::command_line::CommandLine;
use crate::disk::{Device, Disk, DiskIdentity, Place};
use crate::executor::spawn;
use crate::executor::timers::sleep_until;
use crate::intel::{self, IntelCard};
use crate::interrupts::InterruptLine;
use crate::pci::{self, Function};
use crate::virtio::attached::Attached;
use crate::virtio::block::{TICK_SECONDS, VirtioBlock};
use crate::virtio::entropy::VirtioEntropy;
use crate::virtio::hal::KernelHal;
use crate::virtio::mmio::MmioError;
use crate::virtio::network::VirtioNetwork;
use crate::virtio::signal::Signal;
use crate::virtio::transport::{PciTransport, TransportError};
use crate::virtio::{Problem, block};
use crate::{entropy, time, watchdog};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use storage::disk::sector_size_of_tables;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::virtio_device_type;

/// How long the start waits for the host's random numbers.
const SEED_WAIT: Duration = Duration::from_millis(200);
/// How often the host is asked for more of them.
const RESEED: Duration = Duration::from_secs(600);
/// How long a disk may take to say who it is before it is left out.
const IDENTIFY_WAIT: Duration = Duration::from_secs(10);

/// What was found and started.
#[derive(Default)]
pub struct Devices {
    /// Disks, by their own names.
    pub disks: Vec<Rc<Disk>>,
    /// Network cards, by their place.
    pub cards: Vec<FoundCard>,
}

/// A network card, and where it is plugged in.
pub struct FoundCard {
    /// The card.
    pub card: NetworkCard,
    /// Where it is.
    pub place: Place,
}

/// What drives a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Block,
    Network,
    Entropy,
    Nvme,
    Ahci,
    Scsi,
    Intel,
}

/// The table of drivers.
fn driver_for(function: &Function) -> Option<Driver> {
    match (function.info.class, function.info.subclass, function.info.prog_if) {
        (0x01, 0x08, 0x02) => return Some(Driver::Nvme),
        (0x01, 0x06, 0x01) => return Some(Driver::Ahci),
        _ => {}
    }
    if intel::generation(function).is_some() {
        return Some(Driver::Intel);
    }
    driver_for_virtio(virtio_device_type(&function.info)?)
}

fn driver_for_virtio(kind: DeviceType) -> Option<Driver> {
    match kind {
        DeviceType::Block => Some(Driver::Block),
        DeviceType::Network => Some(Driver::Network),
        DeviceType::EntropySource => Some(Driver::Entropy),
        DeviceType::ScsiHost => Some(Driver::Scsi),
        _ => None,
    }
}

/// Why a device that we could drive was not started.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Mmio(#[from] MmioError),
    #[error(transparent)]
    Device(#[from] Problem),
    #[error(transparent)]
    Controller(#[from] crate::drive::Problem),
    #[error("has no registers: firmware gave it no address")]
    NoRegisters,
    #[error(transparent)]
    Intel(#[from] intel::Problem),
    #[error("does not say who it is within {} s", IDENTIFY_WAIT.as_secs())]
    Silent,
}

/// Finds and starts every device. What fails is logged and left out.
pub async fn start(acpi: Option<&Acpi>, words: CommandLine<'_>) -> Devices {
    let mut devices = Devices::default();
    let mut functions = pci::functions(acpi);
    functions.sort_by_key(|function| function.place);
    let microvm = microvm::places(acpi, words);
    if functions.is_empty() && microvm.is_empty() {
        log::warn!("no PCI devices");
    }
    // Randomness first: cards and protocols want it.
    functions.sort_by_key(|function| driver_for(function) != Some(Driver::Entropy));
    for function in &mut functions {
        let driver = driver_for(function);
        log::info!("pci {function}{}", if driver.is_some() { "" } else { ", no driver" });
        let Some(driver) = driver else {
            watchdog::offer(function);
            continue;
        };
        if let Err(error) = start_one(driver, function, &mut devices).await {
            log::error!("pci {}: the device {error}; it is not used", function.place);
        }
    }
    microvm::start(&microvm, acpi, &mut devices).await;
    devices.disks.sort_by(|one, other| one.identity().order().cmp(&other.identity().order()));
    for disk in &devices.disks {
        narrow(disk).await;
    }
    devices
}

/// An image that was made for sectors of 512 bytes starts on a disk with longer ones, too.
async fn narrow(disk: &Disk) {
    if let Ok(Some(size)) = sector_size_of_tables(disk).await
        && disk.narrow(size)
    {
        log::info!("{}: its tables count in sectors of {size}, and so do we", disk.identity());
    }
}

async fn start_one(driver: Driver, function: &mut Function, devices: &mut Devices) -> Result<(), StartError> {
    match driver {
        Driver::Block | Driver::Network | Driver::Entropy | Driver::Scsi => {
            let mut transport = PciTransport::open(function)?;
            let (queues, configuration) = match driver {
                Driver::Entropy => (Signal::None, None),
                _ => signals(function, &mut transport, driver == Driver::Network),
            };
            let fallback = fallback_address(function);
            let place = Place::Pci(function.place);
            let plugged =
                Plugged { place, transport: Attached::Pci(transport), queues, configuration, fallback };
            start_virtio(driver, plugged, devices).await?;
        }
        Driver::Intel => devices.cards.push(start_intel(function)?),
        Driver::Nvme => devices.disks.extend(drives::start_nvme(function).await?),
        Driver::Ahci => devices.disks.extend(drives::start_ahci(function).await?),
    }
    Ok(())
}

/// A virtio device that is found, and how it calls.
struct Plugged {
    place: Place,
    transport: Attached,
    queues: Signal,
    configuration: Option<Signal>,
    /// A network card's address, if it has none of its own.
    fallback: [u8; 6],
}

async fn start_virtio(driver: Driver, plugged: Plugged, devices: &mut Devices) -> Result<(), StartError> {
    match driver {
        Driver::Block => devices.disks.push(start_disk(plugged).await?),
        Driver::Network => devices.cards.push(start_card(plugged)?),
        Driver::Entropy => start_entropy(plugged.transport)?,
        Driver::Scsi => devices.disks.extend(drives::start_scsi(plugged).await?),
        Driver::Nvme | Driver::Ahci | Driver::Intel => {}
    }
    Ok(())
}

/// Lets the device interrupt, if that can be done: for queues, and where wanted for changes of its
/// configuration.
fn signals(function: &mut Function, transport: &mut PciTransport, both: bool) -> (Signal, Option<Signal>) {
    let line = |what| InterruptLine::allocate(what);
    let queues = if function.msix_entries > 0 { line("virtio queues") } else { None };
    let Some(queues) = queues else {
        log::warn!("pci {}: no interrupts; looking at it every millisecond", function.place);
        return (Signal::None, None);
    };
    let configuration = if both && function.msix_entries > 1 { line("virtio configuration") } else { None };
    let message = configuration.as_ref().map(InterruptLine::msi_message);
    if !transport.interrupt_by(function, queues.msi_message(), message) {
        return (Signal::None, None);
    }
    (Signal::Interrupt(queues), configuration.map(Signal::Interrupt))
}

async fn start_disk(plugged: Plugged) -> Result<Rc<Disk>, StartError> {
    let Plugged { place, transport, queues: signal, .. } = plugged;
    let disk = VirtioBlock::open::<KernelHal>(transport, alloc::format!("virtio disk at {place}"))?;
    let serial = {
        let asked = pin!(disk.serial());
        let served = pin!(serve_disk(&disk, &signal));
        let deadline = pin!(sleep_until(time::now().plus(IDENTIFY_WAIT)));
        match select(asked, select(served, deadline)).await {
            Either::Left((serial, _)) => serial.unwrap_or_default(),
            Either::Right(_) => return Err(StartError::Silent),
        }
    };
    let geometry = *disk.geometry();
    let identity = DiskIdentity { kind: "virtio", place, unit: String::new(), serial, guid: String::new() };
    let disk = Rc::new(Disk::new(identity, Device::VirtioBlock(disk)));
    log::info!("{}: {}", disk.identity(), describe(&geometry, disk.depth()));
    let served = Rc::clone(&disk);
    spawn(async move {
        if let Device::VirtioBlock(disk) = served.device() {
            serve_disk(disk, &signal).await;
        }
    });
    Ok(disk)
}

fn describe(geometry: &block::geometry::Geometry, depth: usize) -> String {
    let bytes = geometry.sector_count.saturating_mul(geometry.sector_size.into());
    let access = if geometry.read_only { ", read-only" } else { "" };
    let cache = if geometry.flushes { "flushes on demand" } else { "no flush: taken to write through" };
    let (mebibytes, sector) = (bytes >> 20, geometry.sector_size);
    alloc::format!("{mebibytes} MiB in sectors of {sector}{access}, {depth} requests at once, {cache}")
}

/// Looks after a disk for good.
async fn serve_disk(disk: &VirtioBlock<Attached>, signal: &Signal) {
    let tick = Duration::from_secs(TICK_SECONDS);
    let mut next = time::now().plus(tick);
    loop {
        let news = pin!(signal.wait());
        let moment = pin!(sleep_until(next));
        match select(news, moment).await {
            Either::Left(_) => disk.complete(),
            Either::Right(_) => {
                disk.tick();
                next = time::now().plus(tick);
            }
        }
    }
}

fn start_card(plugged: Plugged) -> Result<FoundCard, StartError> {
    let Plugged { place, transport, queues, configuration, fallback } = plugged;
    let card = VirtioNetwork::open::<KernelHal>(transport, queues, configuration, fallback)?;
    let mtu = card.mtu();
    let card = NetworkCard::Virtio(Box::new(card));
    tell_card("virtio", place, &card, mtu);
    Ok(FoundCard { card, place })
}

fn start_intel(function: &mut Function) -> Result<FoundCard, StartError> {
    let generation = intel::generation(function).ok_or(StartError::NoRegisters)?;
    let registers = intel::registers(function)?;
    let line = (function.msix_entries > 0).then(|| InterruptLine::allocate("intel network card")).flatten();
    let signal = match line {
        Some(line) if intel::interrupt_by(function, generation, line.msi_message()) => {
            Signal::Interrupt(line)
        }
        _ => {
            log::warn!("pci {}: no interrupts by message; looking at it every millisecond", function.place);
            Signal::None
        }
    };
    let card = IntelCard::open(registers, generation, signal, fallback_address(function))?;
    let card = NetworkCard::Intel(Box::new(card));
    let place = Place::Pci(function.place);
    tell_card("intel", place, &card, intel::MTU);
    Ok(FoundCard { card, place })
}

/// Locally administered, and the same at each start.
fn fallback_address(function: &Function) -> [u8; 6] {
    let place = function.place;
    [0x02, b'g', b'r', place.bus, place.device, place.function]
}

fn tell_card(kind: &str, place: Place, card: &NetworkCard, mtu: u16) {
    let status = card.status();
    let [a, b, c, d, e, f] = status.address.get();
    let link = if status.link.get() { "up" } else { "down" };
    log::info!(
        "{kind} network card at {place}: {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, MTU {mtu}, link {link}"
    );
}

/// Takes a first seed now, if the host is quick, and others from time to time.
fn start_entropy(transport: Attached) -> Result<(), StartError> {
    let mut source = VirtioEntropy::open::<KernelHal>(transport)?;
    let add = |seed: &[u8]| entropy::add_seed("virtio-rng", seed);
    source.ask();
    let deadline = time::now().plus(SEED_WAIT);
    while time::now() < deadline && !source.seed(add)? {
        core::hint::spin_loop();
    }
    spawn(async move {
        loop {
            source.ask();
            sleep_until(time::now().plus(RESEED)).await;
            if let Err(problem) = source.seed(add) {
                log::error!("virtio random number generator {problem}; it is not used any more");
                return;
            }
        }
    });
    Ok(())
}
