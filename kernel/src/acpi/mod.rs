//! ACPI: what firmware's tables tell about the machine.
//!
//! Knows where tables are found and which of them matter: FADT, MADT, MCFG, and of the DSDT one object. Must not know AML
//! (the interpreter would be larger than the rest of the kernel), nor what uses the findings.

pub mod power;
mod tables;

use crate::memory::map_firmware;
use alloc::vec::Vec;
use tables::Firmware;
pub use tables::{Acpi, ConfigurationSpace, IoApic, MmioPlace, NmiInput};

/// Firmware's memory, mapped on demand.
struct Mapped;

impl Firmware for Mapped {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        map_firmware(address, len).ok()
    }
}

/// Reads the tables. `rsdp` is where the loader says that the root pointer lies; otherwise it is looked for in the BIOS area.
pub fn init(rsdp: Option<u64>) -> Option<Acpi> {
    match Acpi::read(&Mapped, rsdp) {
        Ok(acpi) => {
            let processors = acpi.processors.len();
            log::info!(
                "ACPI: {processors} processors, PCI configuration at {:x?}",
                bases(&acpi.configuration_spaces)
            );
            acpi.problems.iter().for_each(|problem| log::warn!("ACPI: {problem}"));
            power::init(&acpi.fixed);
            Some(acpi)
        }
        Err(error) => {
            log::warn!("ACPI: {error}");
            None
        }
    }
}

fn bases(spaces: &[ConfigurationSpace]) -> Vec<u64> {
    spaces.iter().map(|space| space.base).collect()
}
