//! I/O ports.
//!
//! Knows `in` and `out`. Must not know what listens.

use x86_64::instructions::port::{Port, PortRead, PortWrite};

/// Reads from port `number`.
///
/// # Safety
/// Reading there must not take anything from a device that somebody else drives.
pub unsafe fn read<T: PortRead>(number: u16) -> T {
    // SAFETY: the caller's promise.
    unsafe { Port::new(number).read() }
}

/// Writes to port `number`.
///
/// # Safety
/// The device there must be the caller's, and the command must not make it touch memory that is not its own.
pub unsafe fn write<T: PortWrite>(number: u16, value: T) {
    // SAFETY: the caller's promise.
    unsafe { Port::new(number).write(value) }
}
