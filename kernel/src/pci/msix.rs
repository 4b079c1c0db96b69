//! Interrupts by message, one per entry of a device's table (PCI 3.0, 6.8.2).
//!
//! Knows the table. Must not know which entry a device uses for what.

use super::{Bars, Configuration, capability::capabilities};
use crate::interrupts::MsiMessage;
use crate::memory::mmio::Registers;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

/// MSI-X among the capabilities.
pub const CAPABILITY_MSIX: u8 = 0x11;
/// In the upper half of the capability's first word.
const CONTROL_ENABLE: u32 = 1 << 31;
const CONTROL_MASK_ALL: u32 = 1 << 30;
const ENTRY_LEN: usize = 16;

/// A device's table of messages.
#[derive(Clone, Copy, Debug)]
pub struct Msix {
    table: Registers,
    entries: u16,
    capability: u8,
}

impl Msix {
    /// The table of `function`, if it has one that can be reached.
    pub fn find(configuration: &Configuration, function: DeviceFunction, bars: &Bars) -> Option<Msix> {
        let capability = capabilities(configuration, function).find(|entry| entry.id == CAPABILITY_MSIX)?;
        let entries = entry_count(configuration.read_word(function, capability.offset));
        let place = configuration.read_word(function, capability.register(4)?);
        let (bar, offset) = (place & 7, place & !7);
        let table = bars.map(bar as u8, offset, u32::from(entries) * ENTRY_LEN as u32)?;
        Some(Msix { table, entries, capability: capability.offset })
    }

    /// Entries in the table: at least one, at most 2048.
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Gives `entry` its message and lets it through.
    pub fn set(&self, entry: u16, message: MsiMessage) {
        assert!(entry < self.entries, "entry {entry} of {}", self.entries);
        let at = usize::from(entry) * ENTRY_LEN;
        self.table.write32(at + 12, 1);
        self.table.write32(at, message.address as u32);
        self.table.write32(at + 4, (message.address >> 32) as u32);
        self.table.write32(at + 8, message.data);
        self.table.write32(at + 12, 0);
    }

    /// Switches the device from its interrupt pin to messages. Entries not set must not be used by the
    /// device.
    pub fn enable(&self, configuration: &mut Configuration, function: DeviceFunction) {
        let word = configuration.read_word(function, self.capability);
        configuration.write_word(function, self.capability, (word | CONTROL_ENABLE) & !CONTROL_MASK_ALL);
    }
}

/// Entries by the capability's first word.
pub(super) fn entry_count(word: u32) -> u16 {
    ((word >> 16) as u16 & 0x7ff) + 1
}
