//! The machine under Granary: memory, interrupts, executor, drivers, and the order in which they come up.
//!
//! Never: a disk format, a protocol.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;
