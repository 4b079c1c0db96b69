//! The x86-64 processor: descriptor tables, interrupt entry, exceptions, local APIC, ports.
//!
//! Knows the processor's manuals. Must not know drivers or tasks.

pub mod apic;
pub mod cpu;
pub mod descriptors;
pub mod entry;
pub mod exceptions;
pub mod pic;
pub mod port;
