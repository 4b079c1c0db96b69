//! The machine under Granary: memory, interrupts, executor, drivers, and the order in which they come up.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`boot_info`], [`command_line`] | what the loader says | who loaded us |
//! | [`loader`] | what a loader must know of a kernel and tell it | firmware |
//! | [`arch`] | the processor: tables, interrupt entry, exceptions, local APIC | drivers |
//! | [`memory`] | frames, heap, page tables, device registers | devices |
//! | [`acpi`] | firmware's tables; power | AML |
//! | [`interrupts`] | vectors and who waits for them | devices |
//! | [`processors`] | starting the others, and the pool that they are | what they work on |
//! | [`executor`] | ready tasks, timers, when to halt | what tasks do |
//! | [`time`], [`entropy`], [`console`], [`mod@panic`] | one machine service each | storage, net |
//! | [`pci`] | functions, their registers, their interrupt messages | any device |
//! | [`virtio`] | the devices of virtual machines, on the virtio-drivers crate | file systems, packets' meaning |
//! | `drive` | disks behind a controller: waiting, second attempts, recovery | commands, registers |
//! | `ahci` | SATA controllers and their disks | PCI, what is on disks |
//! | `nvme` | NVMe controllers | PCI, what is on disks |
//! | [`intel`] | network cards of the 8254x and 82574 family | packets' meaning |
//! | [`disk`], [`devices`] | disks of every kind; which driver drives what | what a node does with them |
//! | `fw_cfg` | the ports of QEMU's fw_cfg device | what its items mean |
//! | `smbios` | where firmware's word on the machine lies | what it means |
//! | `watchdog` | timers that start the machine again | why it hangs |
//! | `node` | the order in which a machine becomes a venti server | how any of it works |
//! | [`selftest`] | what only a machine can show to work | services |
//!
//! Never: a disk format, a protocol.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
mod ahci;
pub mod arch;
pub mod boot_info;
pub mod command_line;
pub mod console;
pub mod devices;
pub mod disk;
mod drive;
pub mod entropy;
pub mod executor;
mod fw_cfg;
pub mod intel;
pub mod interrupts;
pub mod loader;
pub mod memory;
mod node;
mod nvme;
pub mod panic;
pub mod pci;
pub mod processors;
pub mod selftest;
mod smbios;
mod start;
pub mod time;
pub mod virtio;
mod watchdog;

pub use start::{Machine, start};
