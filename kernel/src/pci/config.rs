//! Access to the configuration space of PCI functions.
//!
//! Knows the two ways to it: the window in memory that ACPI's MCFG names (ECAM), and the two ports of old
//! (mechanism #1, PCI 3.0, 3.2.2.3.2). Must not know what the registers mean.

use crate::acpi::ConfigurationSpace;
use crate::arch::port;
use crate::memory::map_mmio;
use crate::memory::mmio::Registers;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;
/// Bytes of configuration space of one function in the window.
const FUNCTION_LEN: usize = 4096;
const FUNCTIONS_PER_BUS: usize = 256;
/// What nobody answers.
const NOTHING: u32 = u32::MAX;

/// A way to the configuration space of one group of buses. Cheap to copy; one processor uses it.
#[derive(Clone, Copy, Debug)]
pub enum Configuration {
    /// A window in memory.
    Window {
        /// The window, from `first_bus` on.
        registers: Registers,
        /// The first bus in it.
        first_bus: u8,
    },
    /// The ports, which reach segment 0 alone. Without a PCI bus they answer that nothing is there.
    Ports,
}

impl Configuration {
    /// The way by the window that firmware describes.
    pub fn window(space: ConfigurationSpace) -> Option<Configuration> {
        let buses = usize::from(space.last_bus.checked_sub(space.first_bus)?) + 1;
        let bus_len = FUNCTION_LEN * FUNCTIONS_PER_BUS;
        let start = space.base.checked_add(u64::from(space.first_bus) * bus_len as u64)?;
        let registers = map_mmio(start, buses * bus_len).ok()?;
        Some(Configuration::Window { registers, first_bus: space.first_bus })
    }

    /// Where a register lies in the window, if the window reaches so far.
    fn offset(registers: &Registers, first_bus: u8, at: DeviceFunction, register: u8) -> Option<usize> {
        let bus = usize::from(at.bus.checked_sub(first_bus)?);
        let function = bus * FUNCTIONS_PER_BUS + usize::from(at.device) * 8 + usize::from(at.function);
        let offset = function * FUNCTION_LEN + usize::from(register & !3);
        (offset < registers.len()).then_some(offset)
    }

    /// Writes 8 bits and no others, for devices that tell accesses apart by their width.
    pub fn write8(&self, at: DeviceFunction, register: u8, value: u8) {
        match self {
            Configuration::Window { registers, first_bus } => {
                if let Some(offset) = Self::offset(registers, *first_bus, at, register) {
                    registers.write8(offset + usize::from(register & 3), value);
                }
            }
            Configuration::Ports => {
                // SAFETY: the address port only chooses what the data port shows.
                unsafe { port::write(ADDRESS_PORT, port_address(at, register)) };
                // SAFETY: as in `write_word`.
                unsafe { port::write(DATA_PORT + u16::from(register & 3), value) };
            }
        }
    }

    /// The same with 16 bits; `register` is even.
    pub fn write16(&self, at: DeviceFunction, register: u8, value: u16) {
        match self {
            Configuration::Window { registers, first_bus } => {
                if let Some(offset) = Self::offset(registers, *first_bus, at, register) {
                    registers.write16(offset + usize::from(register & 2), value);
                }
            }
            Configuration::Ports => {
                // SAFETY: as above.
                unsafe { port::write(ADDRESS_PORT, port_address(at, register)) };
                // SAFETY: as in `write_word`.
                unsafe { port::write(DATA_PORT + u16::from(register & 2), value) };
            }
        }
    }

    /// Reads 16 bits.
    pub fn read16(&self, at: DeviceFunction, register: u8) -> u16 {
        (self.read_word(at, register & !3) >> (8 * u32::from(register & 2))) as u16
    }
}

/// The word for the address port.
fn port_address(at: DeviceFunction, register: u8) -> u32 {
    let function = u32::from(at.bus) << 16 | u32::from(at.device) << 11 | u32::from(at.function) << 8;
    ENABLE | function | u32::from(register & !3)
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, at: DeviceFunction, register: u8) -> u32 {
        match self {
            Configuration::Window { registers, first_bus } => {
                Self::offset(registers, *first_bus, at, register)
                    .map_or(NOTHING, |offset| registers.read32(offset))
            }
            Configuration::Ports => {
                // SAFETY: the address port only chooses what the data port shows.
                unsafe { port::write(ADDRESS_PORT, port_address(at, register)) };
                // SAFETY: reading configuration space takes nothing from a device.
                unsafe { port::read(DATA_PORT) }
            }
        }
    }

    fn write_word(&mut self, at: DeviceFunction, register: u8, data: u32) {
        match self {
            Configuration::Window { registers, first_bus } => {
                if let Some(offset) = Self::offset(registers, *first_bus, at, register) {
                    registers.write32(offset, data);
                }
            }
            Configuration::Ports => {
                // SAFETY: as in `read_word`.
                unsafe { port::write(ADDRESS_PORT, port_address(at, register)) };
                // SAFETY: the caller configures a device that it drives; devices reach memory only by what
                // drivers tell them later.
                unsafe { port::write(DATA_PORT, data) };
            }
        }
    }

    unsafe fn unsafe_clone(&self) -> Configuration {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_address_bus_device_function_and_register() {
        let at = DeviceFunction { bus: 0x12, device: 0x1f, function: 7 };
        assert_eq!(port_address(at, 0x3d), 0x8012_ff3c);
    }

    #[test]
    fn a_window_ends_where_firmware_says() {
        let memory = core::ptr::NonNull::dangling();
        // SAFETY: never read or written here: only its length is looked at.
        let registers = unsafe { Registers::new(memory, 2 << 20) };
        let offset = |bus, device| {
            Configuration::offset(&registers, 4, DeviceFunction { bus, device, function: 1 }, 0x10)
        };
        assert_eq!(offset(4, 0), Some(0x1010));
        assert_eq!(offset(5, 31), Some(0x1f_9010));
        assert_eq!(offset(6, 0), None);
        assert_eq!(offset(3, 0), None);
    }
}
