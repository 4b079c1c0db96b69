//! PCI: which functions there are, and where their registers lie.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`config`] | the ways to configuration space | registers' meaning |
//! | [`capability`] | the list of capabilities | what they are for |
//! | [`msi`] | a device's only interrupt message | what it means |
//! | [`msix`] | a device's table of interrupt messages | who uses which entry |
//!
//! Firmware (or the hypervisor) has numbered the buses and placed the BARs; we take what we find. Must not
//! know virtio or any other device.

pub mod capability;
pub mod config;
pub mod msi;
pub mod msix;

use crate::acpi::Acpi;
use crate::memory::map_mmio;
use crate::memory::mmio::Registers;
use alloc::vec::Vec;
use capability::capabilities;
pub use config::Configuration;
use core::fmt;
use msix::{CAPABILITY_MSIX, entry_count};
use virtio_drivers::transport::pci::bus::{
    BarInfo, Command, ConfigurationAccess, DeviceFunction, DeviceFunctionInfo, HeaderType, PciRoot,
};

const DEVICES_PER_BUS: u8 = 32;
const FUNCTIONS_PER_DEVICE: u8 = 8;
const NOBODY: u32 = u32::MAX;
const IDS: u8 = 0x00;
const CLASS: u8 = 0x08;
const HEADER_TYPE: u8 = 0x0e;
const MULTIFUNCTION: u8 = 0x80;
const SECONDARY_BUS: u8 = 0x19;

/// A function of a PCI device.
#[derive(Clone, Debug)]
pub struct Function {
    /// How it is reached.
    pub configuration: Configuration,
    /// Where it is.
    pub place: DeviceFunction,
    /// Its ids and class.
    pub info: DeviceFunctionInfo,
    /// Entries in its table of interrupt messages; 0 if it has none.
    pub msix_entries: u16,
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceFunctionInfo { vendor_id, device_id, class, subclass, prog_if, .. } = self.info;
        write!(formatter, "{} {vendor_id:04x}:{device_id:04x} ", self.place)?;
        write!(formatter, "class {class:02x}{subclass:02x}{prog_if:02x}, {} MSI-X", self.msix_entries)
    }
}

impl Function {
    /// Lets the device answer in memory space and reach memory by itself; its interrupt pin stays silent.
    pub fn enable(&mut self) {
        let mut root = PciRoot::new(self.configuration);
        let (_, command) = root.get_status_command(self.place);
        let wanted = Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE;
        root.set_command(self.place, command | wanted);
    }

    /// Its windows of registers. Nobody may be using them: to see their size, the device is cut off for a
    /// moment.
    pub fn bars(&mut self) -> Bars {
        let bars = PciRoot::new(self.configuration).bars(self.place);
        Bars(bars.unwrap_or_else(|error| {
            log::warn!("pci {}: {error}", self.place);
            [const { None }; 6]
        }))
    }
}

/// A function's windows of registers.
#[derive(Clone, Debug)]
pub struct Bars([Option<BarInfo>; 6]);

impl Bars {
    /// Maps `len` bytes from `offset` on in window `bar`; none if they do not all lie in it, or firmware gave
    /// it no place.
    pub fn map(&self, bar: u8, offset: u32, len: u32) -> Option<Registers> {
        let (start, size) = self.0.get(usize::from(bar))?.as_ref()?.memory_address_size()?;
        let end = u64::from(offset) + u64::from(len);
        if start == 0 || len == 0 || end > size {
            return None;
        }
        map_mmio(start.checked_add(u64::from(offset))?, len as usize)
            .inspect_err(|error| log::warn!("pci: {error}"))
            .ok()
    }
}

/// Every function on every bus that can be found. No PCI at all is an empty list.
pub fn functions(acpi: Option<&Acpi>) -> Vec<Function> {
    let windows = acpi.into_iter().flat_map(|acpi| acpi.configuration_spaces.iter().copied());
    let windows: Vec<_> = windows.filter_map(Configuration::window).collect();
    let ways = if windows.is_empty() { alloc::vec![Configuration::Ports] } else { windows };
    ways.into_iter().flat_map(|way| walk(&way)).collect()
}

/// The buses that are reached from the first one, each once, whatever the bridges say.
fn walk(configuration: &Configuration) -> Vec<Function> {
    let first = match configuration {
        Configuration::Window { first_bus, .. } => *first_bus,
        Configuration::Ports => 0,
    };
    let mut found = Vec::new();
    scan_buses(first, |bus| {
        let (functions, behind) = scan_bus(configuration, bus);
        found.extend(functions.into_iter().map(|(place, info)| Function {
            configuration: *configuration,
            place,
            info,
            msix_entries: msix_entries(configuration, place),
        }));
        behind
    });
    found
}

/// Calls `scan`, which names the buses behind a bus, for `first` and all that are named, each once.
fn scan_buses(first: u8, mut scan: impl FnMut(u8) -> Vec<u8>) {
    let mut seen = [false; 256];
    let mut waiting = alloc::vec![first];
    while let Some(bus) = waiting.pop() {
        if !core::mem::replace(&mut seen[usize::from(bus)], true) {
            waiting.extend(scan(bus));
        }
    }
}

type Found = Vec<(DeviceFunction, DeviceFunctionInfo)>;

/// The functions on `bus`, and the buses behind its bridges.
fn scan_bus<C: ConfigurationAccess>(configuration: &C, bus: u8) -> (Found, Vec<u8>) {
    let (mut found, mut behind) = (Vec::new(), Vec::new());
    let byte = |at, register: u8| (configuration.read_word(at, register & !3) >> (8 * (register & 3))) as u8;
    for device in 0..DEVICES_PER_BUS {
        for function in 0..FUNCTIONS_PER_DEVICE {
            let place = DeviceFunction { bus, device, function };
            let Some(info) = read_info(configuration, place) else {
                // Without function 0 there is no device.
                if function == 0 {
                    break;
                }
                continue;
            };
            if info.header_type == HeaderType::PciPciBridge {
                behind.push(byte(place, SECONDARY_BUS));
            }
            found.push((place, info));
            if function == 0 && byte(place, HEADER_TYPE) & MULTIFUNCTION == 0 {
                break;
            }
        }
    }
    (found, behind)
}

fn read_info<C: ConfigurationAccess>(configuration: &C, place: DeviceFunction) -> Option<DeviceFunctionInfo> {
    let ids = configuration.read_word(place, IDS);
    if ids == NOBODY || ids as u16 == u16::MAX {
        return None;
    }
    let [revision, prog_if, subclass, class] = configuration.read_word(place, CLASS).to_le_bytes();
    let header = (configuration.read_word(place, HEADER_TYPE & !3) >> 16) as u8 & !MULTIFUNCTION;
    Some(DeviceFunctionInfo {
        vendor_id: ids as u16,
        device_id: (ids >> 16) as u16,
        class,
        subclass,
        prog_if,
        revision,
        header_type: HeaderType::from(header),
    })
}

fn msix_entries(configuration: &Configuration, place: DeviceFunction) -> u16 {
    let capability = capabilities(configuration, place).find(|entry| entry.id == CAPABILITY_MSIX);
    capability.map_or(0, |entry| entry_count(configuration.read_word(place, entry.offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Device 0 of bus 0 is a bridge to bus 3, device 2 has functions 0 and 5; nothing else answers.
    struct Fake;

    impl ConfigurationAccess for Fake {
        fn read_word(&self, at: DeviceFunction, register: u8) -> u32 {
            let header = match (at.bus, at.device, at.function) {
                (0, 0, _) => 0x01_0000,
                (0, 2, 0) => 0x80_0000,
                (0, 2, 5) => 0,
                _ => return NOBODY,
            };
            match register {
                IDS => 0x1041_1af4,
                CLASS => 0x0200_0001,
                0x0c => header,
                0x18 => 0x0003_0300,
                _ => 0,
            }
        }

        fn write_word(&mut self, _: DeviceFunction, _: u8, _: u32) {
            panic!("looking changes nothing")
        }

        unsafe fn unsafe_clone(&self) -> Fake {
            Fake
        }
    }

    #[test]
    fn finds_functions_and_what_lies_behind_bridges() {
        let (found, behind) = scan_bus(&Fake, 0);
        let places: Vec<_> = found.iter().map(|(place, _)| (place.device, place.function)).collect();
        assert_eq!(places, [(0, 0), (2, 0), (2, 5)]);
        assert_eq!(behind, [3]);
        assert_eq!((found[1].1.vendor_id, found[1].1.device_id, found[1].1.class), (0x1af4, 0x1041, 2));
        assert_eq!(scan_bus(&Fake, 3).0.len(), 0);
    }

    #[test]
    fn bridges_that_lead_in_a_circle_are_walked_once() {
        let mut order = Vec::new();
        scan_buses(0, |bus| {
            order.push(bus);
            alloc::vec![0, bus.wrapping_add(1) % 4]
        });
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn what_lies_outside_a_window_is_not_mapped() {
        let bars = Bars([const { None }; 6]);
        assert!(bars.map(0, 0, 4).is_none());
        assert!(bars.map(7, 0, 4).is_none());
    }
}
