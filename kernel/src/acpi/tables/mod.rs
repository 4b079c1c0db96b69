//! The tables' layout (ACPI 6.5, chapter 5).
//!
//! Knows bytes. Every table is checked for length and checksum; a bad one is as good as missing, and is mentioned.

mod described;
mod madt;

use alloc::vec::Vec;
pub use described::MmioPlace;
pub use madt::{IoApic, NmiInput};

const RSDP_LEN: usize = 20;
const RSDP_LEN_2: usize = 36;
const HEADER_LEN: usize = 36;
/// Longer tables are lies.
const TABLE_LEN_MAX: usize = 4 << 20;
const TABLES_MAX: usize = 128;
/// Where a PC's BIOS puts the root pointer.
const BIOS_AREA: u64 = 0xe_0000;
const BIOS_AREA_LEN: usize = 0x2_0000;
const HARDWARE_REDUCED: u32 = 1 << 20;
const RESET_SUPPORTED: u32 = 1 << 10;

/// Access to firmware's memory.
pub(super) trait Firmware {
    /// `len` bytes at physical address `address`, if they can be had.
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acpi {
    /// The fixed hardware.
    pub fixed: Fixed,
    /// Local APIC ids of the processors that may be used, in firmware's order.
    pub processors: Vec<u32>,
    /// Whether some of them are listed as those of an x2APIC.
    pub lists_x2apics: bool,
    /// Where processors get their NMIs.
    pub nmi_inputs: Vec<NmiInput>,
    /// PCI configuration spaces in memory.
    pub configuration_spaces: Vec<ConfigurationSpace>,
    /// Where wires become messages.
    pub io_apics: Vec<IoApic>,
    /// virtio devices without a bus.
    pub virtio: Vec<MmioPlace>,
    /// Tables that were not as they should be.
    pub problems: Vec<Problem>,
}

/// A PCI configuration space in memory (PCI Firmware 3.2, 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigurationSpace {
    /// Address of bus 0's part, which need not be there.
    pub base: u64,
    /// PCI segment group.
    pub segment: u16,
    /// First bus.
    pub first_bus: u8,
    /// Last bus.
    pub last_bus: u8,
}

/// The FADT's fixed hardware; ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// The timer of 3.58 MHz.
    pub pm_timer: Option<u16>,
    /// Fixed events: status; enable bits lie [`Fixed::event_len`] / 2 behind.
    pub event: Option<u16>,
    /// Bytes in the event block.
    pub event_len: u8,
    /// Sleep control, and of a second chip.
    pub control: [Option<u16>; 2],
    /// Where to write [`Fixed::enable`] to switch ACPI on.
    pub smi_command: Option<u16>,
    /// What to write there.
    pub enable: u8,
    /// The way to reset.
    pub reset: Option<Reset>,
    /// The values of SLP_TYP for power off, for both control ports.
    pub off: Option<[u8; 2]>,
    /// Sleep control of a machine without the ports above.
    pub sleep: Option<Register>,
    /// Which events came to a machine without the ports above.
    pub events: Option<u64>,
}

/// The FADT's reset register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Where.
    pub register: Register,
    /// What to write.
    pub value: u8,
}

/// A register of the fixed hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// In memory.
    Memory(u64),
    /// A port.
    Port(u16),
}

/// A table that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No root pointer.
    #[error("no root pointer: this machine has no ACPI, or its loader hides it")]
    NoRoot,
    /// A table lies where no memory is, or says a length that cannot be.
    #[error("the table at {0:#x} cannot be read")]
    Unreadable(u64),
    /// A table's bytes do not add up to zero.
    #[error("the table at {0:#x} has a wrong checksum; it is not used")]
    Checksum(u64),
}

impl Acpi {
    /// Reads all tables from the root pointer at `rsdp`, or wherever a BIOS puts one.
    pub(super) fn read(firmware: &impl Firmware, rsdp: Option<u64>) -> Result<Acpi, Problem> {
        let (root, entry_len) = root_table(firmware, rsdp)?;
        let root = table(firmware, root)?;
        let entries = root.get(HEADER_LEN..).unwrap_or_default().chunks_exact(entry_len).take(TABLES_MAX);
        let mut acpi = Acpi::default();
        for entry in entries {
            let address = entry.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
            match table(firmware, address) {
                Ok(table) => acpi.take(firmware, table),
                Err(problem) => acpi.problems.push(problem),
            }
        }
        Ok(acpi)
    }

    fn take(&mut self, firmware: &impl Firmware, bytes: &[u8]) {
        match bytes.get(..4) {
            Some(b"FACP") => {
                self.fixed = fixed(bytes);
                let dsdt =
                    Some(u64_at(bytes, 140)).filter(|&at| at != 0).unwrap_or(u64::from(u32_at(bytes, 40)));
                match table(firmware, dsdt) {
                    Ok(dsdt) => {
                        self.fixed.off = sleep_type_off(dsdt);
                        self.virtio = described::virtio_devices(dsdt);
                        self.fixed.events = described::event_register(dsdt);
                    }
                    Err(problem) => self.problems.push(problem),
                }
            }
            Some(b"APIC") => {
                self.processors = madt::processors(bytes);
                self.lists_x2apics = madt::lists_x2apics(bytes);
                self.nmi_inputs = madt::nmi_inputs(bytes);
                self.io_apics = madt::io_apics(bytes);
            }
            Some(b"MCFG") => self.configuration_spaces = configuration_spaces(bytes),
            _ => {}
        }
    }
}

/// The root table's address and the length of its entries.
fn root_table(firmware: &impl Firmware, rsdp: Option<u64>) -> Result<(u64, usize), Problem> {
    let given = rsdp.and_then(|address| root_pointer(firmware.bytes(address, RSDP_LEN_2)?));
    let found = || {
        let area = firmware.bytes(BIOS_AREA, BIOS_AREA_LEN)?;
        area.windows(RSDP_LEN_2).step_by(16).find_map(root_pointer)
    };
    given.or_else(found).ok_or(Problem::NoRoot)
}

fn root_pointer(bytes: &[u8]) -> Option<(u64, usize)> {
    if !bytes.starts_with(b"RSD PTR ") || sum(bytes.get(..RSDP_LEN)?) != 0 {
        return None;
    }
    let extended = u64_at(bytes, 24);
    let is_extended =
        bytes.get(15).is_some_and(|&revision| revision >= 2) && extended != 0 && sum(bytes) == 0;
    Some(if is_extended { (extended, 8) } else { (u64::from(u32_at(bytes, 16)), 4) })
}

/// The whole table at `address`, checked.
fn table(firmware: &impl Firmware, address: u64) -> Result<&[u8], Problem> {
    let unreadable = Problem::Unreadable(address);
    let header = firmware.bytes(address, HEADER_LEN).ok_or(unreadable)?;
    let len = u32_at(header, 4) as usize;
    if !(HEADER_LEN..=TABLE_LEN_MAX).contains(&len) {
        return Err(unreadable);
    }
    let table = firmware.bytes(address, len).ok_or(unreadable)?;
    if sum(table) == 0 { Ok(table) } else { Err(Problem::Checksum(address)) }
}

fn fixed(fadt: &[u8]) -> Fixed {
    let flags = u32_at(fadt, 112);
    if flags & HARDWARE_REDUCED != 0 {
        return Fixed { reset: reset(fadt, flags), sleep: register(fadt, 244), ..Fixed::default() };
    }
    // Old fields first: they are ports by definition. New ones count where the old are empty.
    let port = |old: usize, new: usize| {
        let old = u16::try_from(u32_at(fadt, old)).ok().filter(|&port| port != 0);
        old.or_else(|| match register(fadt, new) {
            Some(Register::Port(port)) => Some(port),
            _ => None,
        })
    };
    Fixed {
        pm_timer: port(76, 208),
        event: port(56, 148),
        event_len: byte_at(fadt, 88),
        control: [port(64, 172), port(68, 184)],
        smi_command: u16::try_from(u32_at(fadt, 48)).ok().filter(|&port| port != 0),
        enable: byte_at(fadt, 52),
        reset: reset(fadt, flags),
        off: None,
        sleep: None,
        events: None,
    }
}

fn reset(fadt: &[u8], flags: u32) -> Option<Reset> {
    let register = register(fadt, 116).filter(|_| flags & RESET_SUPPORTED != 0)?;
    Some(Reset { register, value: byte_at(fadt, 128) })
}

/// A generic address structure (ACPI 6.5, 5.2.3.2), if it is one that we can reach.
fn register(table: &[u8], offset: usize) -> Option<Register> {
    let address = u64_at(table, offset + 4);
    match byte_at(table, offset) {
        _ if address == 0 => None,
        0 => Some(Register::Memory(address)),
        1 => u16::try_from(address).ok().map(Register::Port),
        _ => None,
    }
}

/// The two values of the package `_S5_`, found by its bytes: `NameOp "_S5_" PackageOp length count value value`.
fn sleep_type_off(dsdt: &[u8]) -> Option<[u8; 2]> {
    let name = dsdt.windows(5).position(|bytes| bytes[0] == 0x08 && bytes[1..] == *b"_S5_");
    let rooted = || {
        dsdt.windows(6).position(|bytes| bytes[..2] == *b"\x08\\" && bytes[2..] == *b"_S5_").map(|at| at + 1)
    };
    let package = dsdt.get(name.or_else(rooted)? + 5..)?;
    let (&0x12, rest) = package.split_first()? else { return None };
    // The length's first byte says how many more it has.
    let rest = rest.get(1 + usize::from(rest.first()? >> 6)..)?;
    let (&count, rest) = rest.split_first()?;
    let (first, rest) = small_integer(rest)?;
    let second = small_integer(rest).map_or(first, |(second, _)| second);
    (count > 0 && first < 8 && second < 8).then_some([first, second])
}

/// An integer as AML writes small ones, and what follows.
fn small_integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    match aml {
        [0x0a, value, rest @ ..] => Some((*value, rest)),
        [value @ (0 | 1), rest @ ..] => Some((*value, rest)),
        _ => None,
    }
}

fn configuration_spaces(mcfg: &[u8]) -> Vec<ConfigurationSpace> {
    let entries = mcfg.get(44..).unwrap_or_default().chunks_exact(16);
    let spaces = entries.map(|entry| ConfigurationSpace {
        base: u64_at(entry, 0),
        segment: u16::from_le_bytes([byte_at(entry, 8), byte_at(entry, 9)]),
        first_bus: byte_at(entry, 10),
        last_bus: byte_at(entry, 11),
    });
    spaces.filter(|space| space.base != 0 && space.first_bus <= space.last_bus).collect()
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// A field; zero if the table is too short to have it.
fn byte_at(table: &[u8], offset: usize) -> u8 {
    table.get(offset).copied().unwrap_or(0)
}

fn u32_at(table: &[u8], offset: usize) -> u32 {
    let field = table.get(offset..).and_then(<[u8]>::first_chunk).copied();
    u32::from_le_bytes(field.unwrap_or_default())
}

fn u64_at(table: &[u8], offset: usize) -> u64 {
    let field = table.get(offset..).and_then(<[u8]>::first_chunk).copied();
    u64::from_le_bytes(field.unwrap_or_default())
}

#[cfg(test)]
mod tests;
