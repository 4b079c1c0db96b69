//! The two 8259 interrupt controllers, silenced.
//!
//! Knows how to mask them. Nothing of ours uses them.

use super::descriptors::PIC_VECTORS;
use super::port;

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;

/// Moves the controllers' vectors away from the exceptions and masks every line. Harmless where there are none.
pub fn silence() {
    // ICW1 (begin, with ICW4), ICW2 (vectors), ICW3 (wiring), ICW4 (8086 mode), OCW1 (mask all).
    let commands = [
        (MASTER, 0x11),
        (SLAVE, 0x11),
        (MASTER + 1, PIC_VECTORS),
        (SLAVE + 1, PIC_VECTORS + 8),
        (MASTER + 1, 4),
        (SLAVE + 1, 2),
        (MASTER + 1, 1),
        (SLAVE + 1, 1),
        (MASTER + 1, 0xff),
        (SLAVE + 1, 0xff),
    ];
    for (number, command) in commands {
        // SAFETY: only this function drives the 8259s, and they do not touch memory.
        unsafe { port::write::<u8>(number, command) };
    }
}
