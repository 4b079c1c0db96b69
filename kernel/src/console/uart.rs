//! The first serial port: a 16550 at 0x3f8, 115200 bits a second, 8 data bits, no parity.
//!
//! Knows its registers. Waits for it, but never for ever.

use crate::arch::port;

const BASE: u16 = 0x3f8;
const INTERRUPTS: u16 = BASE + 1;
const QUEUE_CONTROL: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;
const SCRATCH: u16 = BASE + 7;

const DIVISOR_LATCH: u8 = 1 << 7;
const EMPTY: u8 = 1 << 5;
/// Bytes that an empty queue takes.
const QUEUE_LEN: usize = 16;
/// Looks at the status before a byte is given up: some tenths of a second.
const LOOKS_MAX: u32 = 200_000;

/// The port, known to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uart(());

impl Uart {
    /// Looks for the port and sets it up.
    pub(super) fn find() -> Option<Uart> {
        for probe in [0x5a, 0xa5] {
            write(SCRATCH, probe);
            if read(SCRATCH) != probe {
                return None;
            }
        }
        // No interrupts; divisor 1 for 115200; 8N1; queues on and cleared; DTR, RTS.
        let setup = [
            (INTERRUPTS, 0),
            (LINE_CONTROL, DIVISOR_LATCH),
            (BASE, 1),
            (INTERRUPTS, 0),
            (LINE_CONTROL, 0b11),
            (QUEUE_CONTROL, 0b111),
            (MODEM_CONTROL, 0b11),
        ];
        for (register, value) in setup {
            write(register, value);
        }
        Some(Uart(()))
    }

    /// Bytes that the port takes now.
    pub(super) fn room(self) -> usize {
        if read(LINE_STATUS) & EMPTY != 0 { QUEUE_LEN } else { 0 }
    }

    /// Sends a byte for which there is room.
    pub(super) fn send(self, byte: u8) {
        write(BASE, byte);
    }

    /// Sends a byte when there is room; gives it up if there never is.
    pub(super) fn send_waiting(self, byte: u8) {
        for _ in 0..LOOKS_MAX {
            if self.room() > 0 {
                break;
            }
            core::hint::spin_loop();
        }
        self.send(byte);
    }
}

fn read(register: u16) -> u8 {
    // SAFETY: COM1 is the console's alone, by the PC's convention.
    unsafe { port::read(register) }
}

fn write(register: u16, value: u8) {
    // SAFETY: COM1 is the console's alone, and does not touch memory.
    unsafe { port::write(register, value) }
}
