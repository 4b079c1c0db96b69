//! Words on the screen, by the BIOS, and on the first serial port, by its registers (16550, 115200 bits a second).

use crate::firmware::{self, Registers, SCRATCH_LEN};
use core::fmt::{self, Write};

const PORT: u16 = 0x3f8;
const LINE_STATUS: u16 = PORT + 5;
const CAN_SEND: u8 = 0x20;
/// A port that is not there, or stuck, must not hold us.
const TRIES_MAX: u32 = 100_000;

const VIDEO: u8 = 0x10;
const TELETYPE: u32 = 0x0e00;

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            // Screen and port know no more than ASCII.
            put(if byte.is_ascii() { byte } else { b'?' });
        }
        Ok(())
    }
}

/// Says a line.
pub fn say(line: fmt::Arguments<'_>) {
    // This console never fails.
    let _ = writeln!(Console, "{line}");
}

/// Sets up the serial port.
pub fn start() {
    // No interrupts; divisor 1; 8 bits, no parity, 1 stop bit; buffers on; ready.
    for (offset, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 0xc7), (4, 3)] {
        out(PORT + offset, value);
    }
}

fn put(byte: u8) {
    let registers = Registers { eax: TELETYPE | u32::from(byte), ebx: 7, ..Registers::default() };
    // SAFETY: the service writes to the screen alone.
    unsafe { firmware::call(VIDEO, registers, &mut [0; SCRATCH_LEN]) };
    for _ in 0..TRIES_MAX {
        if inb(LINE_STATUS) & CAN_SEND != 0 {
            break;
        }
    }
    out(PORT, byte);
}

fn out(port: u16, value: u8) {
    // SAFETY: only the first serial port's registers are written, and they reach no memory.
    unsafe { core::arch::asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: the line status register has no side effect that matters, and reaches no memory.
    unsafe { core::arch::asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}
