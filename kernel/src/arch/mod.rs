//! The x86-64 processor: descriptor tables, interrupt entry, exceptions, local APIC, ports; the way of the others from
//! reset to our code.
//!
//! Knows the processor's manuals. Must not know drivers or tasks.

pub mod apic;
pub mod cpu;
pub mod descriptors;
pub mod entry;
pub mod exceptions;
pub mod ioapic;
pub mod pic;
pub mod port;
pub mod start_up;
