//! QEMU's fw_cfg device, by its I/O ports.
//!
//! Knows the ports, and that they are looked at inside a virtual machine only. Must not know what items mean.

use crate::arch::{cpu, port};
use alloc::vec::Vec;
use storage::cloud::fw_cfg::{self, FwCfgError, Registers};

/// Selects an item (QEMU, "QEMU Firmware Configuration (fw_cfg) Device").
const SELECTOR: u16 = 0x510;
/// Gives its bytes.
const DATA: u16 = 0x511;

struct Ports;

impl Registers for Ports {
    fn select(&mut self, key: u16) {
        // SAFETY: in a virtual machine nothing but fw_cfg is at this port, and choosing an item to read alters nothing.
        unsafe { port::write(SELECTOR, key) }
    }

    fn next(&mut self) -> u8 {
        // SAFETY: reading gives the next byte of the item; nobody else drives the device.
        unsafe { port::read(DATA) }
    }
}

/// The item with settings; `None` where there is none, or no such device.
///
/// # Errors
/// See [`FwCfgError`].
pub(crate) fn settings() -> Result<Option<Vec<u8>>, FwCfgError> {
    if cpu::hypervisor().is_none() {
        return Ok(None);
    }
    fw_cfg::read(&mut Ports)
}
