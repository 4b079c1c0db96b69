//! SATA disks (Serial ATA AHCI 1.3.1, ACS-3).
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | `command` | commands, headers and tables in memory | when they are issued |
//! | `health` | how a disk says that it is | how it is asked |
//! | `identify` | what a disk says of itself | how it is asked |
//! | `queueing` | whether commands are queued, and when that is given up | registers |
//! | `port` | a port: issuing, completing, recovery | other ports |
//!
//! Knows the controller's own registers and finding its ports. Must not know PCI, interrupts, time.
//!
//! Of the crates, simple-ahci 0.1 has one slot, waits by spinning, answers with a `bool`, has no flush, and keeps only
//! the last of several disks; so this is ours.

mod command;
#[cfg(test)]
mod fake;
pub(crate) mod health;
mod identify;
mod port;
#[cfg(test)]
mod queue_tests;
mod queueing;
#[cfg(test)]
mod tests;

use crate::drive::{Problem, wait_until};
use crate::memory::mmio::Registers;
use alloc::vec::Vec;
use core::time::Duration;
pub(crate) use port::{FoundDisk, MappedPort, Port};

const CAPABILITIES: usize = 0x00;
const CONTROL: usize = 0x04;
const INTERRUPTS: usize = 0x08;
const PORTS: usize = 0x0c;
const MORE_CAPABILITIES: usize = 0x24;
const HANDOFF: usize = 0x28;

const CONTROL_AHCI: u32 = 1 << 31;
const CONTROL_INTERRUPTS: u32 = 1 << 1;
const CAPABILITY_QUEUES: u32 = 1 << 30;
const CAPABILITY_WIDE: u32 = 1 << 31;
/// Firmware owns it, or is busy with it; and we ask for it.
const HANDOFF_FIRMWARE: u32 = 1 | 1 << 4;
const HANDOFF_OURS: u32 = 1 << 1;
const HANDOFF_LIMIT: Duration = Duration::from_secs(3);

const PORTS_AT: usize = 0x100;
const PORT_LEN: usize = 0x80;
/// Registers that every controller has: with one port.
pub(crate) const REGISTERS_LEN: u32 = (PORTS_AT + PORT_LEN) as u32;
/// Registers of a controller with all ports.
pub(crate) const REGISTERS_LEN_MAX: u32 = (PORTS_AT + 32 * PORT_LEN) as u32;

/// The disks at the ports of the controller behind `registers`, by number of the port. A port that does not work is
/// said and left out.
pub(crate) async fn open(
    registers: Registers,
    interrupts: bool,
    pause: &impl AsyncFn(Duration),
) -> Result<Vec<(u8, FoundDisk<MappedPort>)>, Problem> {
    let capabilities = registers.read32(CAPABILITIES);
    if capabilities == u32::MAX {
        return Err(Problem::Unplugged);
    }
    if registers.read32(MORE_CAPABILITIES) & 1 != 0 {
        registers.write32(HANDOFF, registers.read32(HANDOFF) | HANDOFF_OURS);
        if !wait_until(HANDOFF_LIMIT, pause, || registers.read32(HANDOFF) & HANDOFF_FIRMWARE == 0).await {
            log::warn!("ahci: firmware does not let go of the controller; taking it all the same");
        }
    }
    registers.write32(CONTROL, CONTROL_AHCI);
    let slots = (capabilities >> 8 & 0x1f) as u16 + 1;
    let (queues, wide) = (capabilities & CAPABILITY_QUEUES != 0, capabilities & CAPABILITY_WIDE != 0);
    let mut disks = Vec::new();
    let present = registers.read32(PORTS);
    for number in (0..32u8).filter(|number| present >> number & 1 != 0) {
        let Some(window) = registers.part(PORTS_AT + usize::from(number) * PORT_LEN, PORT_LEN) else { break };
        let mapped = MappedPort { port: window, controller: registers, number };
        match Port::open(mapped, slots, queues, wide, pause).await {
            Ok(found) => disks.extend(found.map(|found| (number, found))),
            Err(problem) => log::error!("ahci port {number}: the disk {problem}; it is not used"),
        }
    }
    if interrupts {
        registers.write32(INTERRUPTS, u32::MAX);
        registers.write32(CONTROL, CONTROL_AHCI | CONTROL_INTERRUPTS);
    }
    Ok(disks)
}
