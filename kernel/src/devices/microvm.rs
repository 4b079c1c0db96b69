//! Devices without a bus: those of microVMs.
//!
//! Knows who announces them: ACPI's definition block, or else the command line. Must not know drivers.

use super::{Devices, Driver, Plugged, StartError, driver_for_virtio, start_virtio};
use crate::acpi::{Acpi, MmioPlace};
use crate::arch::ioapic;
use crate::command_line::CommandLine;
use crate::disk::Place;
use crate::interrupts::InterruptLine;
use crate::virtio::attached::Attached;
use crate::virtio::mmio::{MmioTransport, WORD};
use crate::virtio::signal::Signal;
use alloc::vec::Vec;
use virtio_drivers::transport::Transport;

/// More announcements are not looked at.
const DEVICES_MAX: usize = 64;

/// Where devices are said to be, each place once.
pub(super) fn places(acpi: Option<&Acpi>, words: CommandLine<'_>) -> Vec<MmioPlace> {
    let mut places: Vec<MmioPlace> = Vec::new();
    let mut add = |place: MmioPlace| {
        if places.len() < DEVICES_MAX && places.iter().all(|known| known.address != place.address) {
            places.push(place);
        }
    };
    acpi.into_iter().flat_map(|acpi| &acpi.virtio).for_each(|&place| add(place));
    for word in words.words().filter(|word| word.starts_with(WORD)) {
        match MmioPlace::parse(word) {
            Some(place) => add(place),
            None => log::warn!("{word}: not understood; it says {WORD}LENGTH@ADDRESS:INTERRUPT"),
        }
    }
    places
}

/// Starts what is there.
pub(super) async fn start(places: &[MmioPlace], acpi: Option<&Acpi>, devices: &mut Devices) {
    let mut found = Vec::new();
    for place in places {
        match MmioTransport::open(place) {
            Ok(Some(transport)) => found.push((place, transport)),
            Ok(None) => {}
            Err(error) => log::error!("{place}: the device {error}; it is not used"),
        }
    }
    // Randomness first: cards and protocols want it.
    found.sort_by_key(|(_, transport)| driver_for_virtio(transport.device_type()) != Some(Driver::Entropy));
    for (place, transport) in found {
        let kind = transport.device_type();
        let driver = driver_for_virtio(kind);
        log::info!("{place}: {kind:?}{}", if driver.is_some() { "" } else { ", no driver" });
        let Some(driver) = driver else { continue };
        if let Err(error) = start_one(driver, place, transport, acpi, devices).await {
            log::error!("{place}: the device {error}; it is not used");
        }
    }
}

async fn start_one(
    driver: Driver,
    place: &MmioPlace,
    transport: MmioTransport,
    acpi: Option<&Acpi>,
    devices: &mut Devices,
) -> Result<(), StartError> {
    let queues = if driver == Driver::Entropy { Signal::None } else { signal(place, &transport, acpi) };
    let [.., a, b, c] = place.address.to_be_bytes();
    let plugged = Plugged {
        place: Place::Memory(place.address),
        transport: Attached::Mmio(transport),
        queues,
        configuration: None,
        fallback: [0x02, b'g', b'r', a, b, c],
    };
    start_virtio(driver, plugged, devices).await
}

/// Has the device's wire interrupt us.
fn signal(place: &MmioPlace, transport: &MmioTransport, acpi: Option<&Acpi>) -> Signal {
    let listed = acpi.map(|acpi| acpi.io_apics.as_slice()).unwrap_or_default();
    let io_apics = if listed.is_empty() { &[ioapic::USUAL] } else { listed };
    match InterruptLine::allocate("virtio-mmio") {
        Some(line) if ioapic::route(io_apics, place.input, line.msi_message()) => {
            Signal::Wire(line, transport.acknowledgement())
        }
        _ => {
            log::warn!("{place}: no interrupts; looking at it every millisecond");
            Signal::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_once_and_lies_are_left_out() {
        let line = "venti=all virtio_mmio.device=512@0xfeb00000:5 virtio_mmio.device=nonsense \
            virtio_mmio.device=512@0xfeb00200:6 virtio_mmio.device=512@0xfeb00000:7";
        let listed = MmioPlace { address: 0xfeb0_0400, len: 512, input: 24 };
        let acpi = Acpi { virtio: alloc::vec![listed], ..Acpi::default() };
        let places = places(Some(&acpi), CommandLine::new(line));
        let found: Vec<_> = places.iter().map(|place| (place.address, place.input)).collect();
        assert_eq!(found, [(0xfeb0_0400, 24), (0xfeb0_0000, 5), (0xfeb0_0200, 6)]);
    }
}
