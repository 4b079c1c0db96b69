//! What firmware calls the machine: its SMBIOS table, mapped and read.
//!
//! Knows where firmware's memory is. Must not know the table, nor who asks.

use crate::memory::map_firmware;
use storage::cloud::smbios::{self, Memory, System};

/// Firmware's memory, mapped on demand.
struct Mapped;

impl Memory for Mapped {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        map_firmware(address, len).ok()
    }
}

/// What the machine is; `entry` is where the loader says that the entry point lies. `None` also where firmware says nothing.
pub(crate) fn read(entry: Option<u64>) -> Option<System> {
    match smbios::read(&Mapped, entry) {
        Ok(system) => system,
        Err(error) => {
            log::warn!("{error}");
            None
        }
    }
}
