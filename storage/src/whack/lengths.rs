//! The codes of lengths and offsets, as tables that both directions share.

use super::{MATCH_LEN_MAX, MATCH_LEN_MIN};

/// A code: its bits, and how many they are.
#[derive(Clone, Copy)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) len: u32,
}

/// Codes of the lengths 3 to 11.
const SHORT: [Code; 9] = [
    Code { bits: 0x2, len: 2 },
    Code { bits: 0x6, len: 3 },
    Code { bits: 0x1c, len: 5 },
    Code { bits: 0x1d, len: 5 },
    Code { bits: 0x3c, len: 6 },
    Code { bits: 0x7a, len: 7 },
    Code { bits: 0x7b, len: 7 },
    Code { bits: 0xf8, len: 8 },
    Code { bits: 0xf9, len: 8 },
];

/// First length that the rule for long codes gives.
const LONG_FROM: usize = MATCH_LEN_MIN + SHORT.len();

/// The code of a length from 3 to 2051.
pub(super) const fn length_code(length: usize) -> Code {
    assert!(length >= MATCH_LEN_MIN && length <= MATCH_LEN_MAX);
    if length < LONG_FROM {
        return SHORT[length - MATCH_LEN_MIN];
    }
    // Codes of one length serve `room` lengths; then come longer codes, with more room after every second step.
    let (mut first, mut len, mut room) = (500, 9, 4);
    let mut rest = (length - LONG_FROM) as u32;
    while rest >= room {
        rest -= room;
        first = 2 * (first + room);
        if len % 2 == 0 {
            room *= 2;
        }
        len += 1;
    }
    Code { bits: first + rest, len }
}

/// Bits that [`SHORT_LENGTHS`] looks at: every length up to 15 is settled by them.
pub(super) const SHORT_LENGTH_BITS: u32 = 9;

/// Length and code length for what nine bits begin with; length 0 where the code is longer (or is a literal's).
pub(super) const SHORT_LENGTHS: [(u8, u8); 1 << SHORT_LENGTH_BITS] = {
    let mut table = [(0, 0); 1 << SHORT_LENGTH_BITS];
    let mut length = MATCH_LEN_MIN;
    while length <= 15 {
        let code = length_code(length);
        let free = SHORT_LENGTH_BITS - code.len;
        let mut tail = 0;
        while tail < 1 << free {
            table[((code.bits << free) + tail) as usize] = (length as u8, code.len as u8);
            tail += 1;
        }
        length += 1;
    }
    table
};

/// First value that an offset's class stands for, before the extra bits are added.
pub(super) const OFFSET_BASE: [u16; 16] =
    [0, 0x20, 0x40, 0x60, 0x80, 0xc0, 0x100, 0x180, 0x200, 0x300, 0x400, 0x600, 0x800, 0xc00, 0x1000, 0x2000];

/// Extra bits of an offset's class.
pub(super) const OFFSET_BITS: [u8; 16] = [5, 5, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 12, 13];

/// The code of an offset less one, which is below 16384: class and extra bits in one.
pub(super) const fn offset_code(offset_less_one: u32) -> Code {
    let class = match offset_less_one {
        0..0x40 => offset_less_one >> 5,
        0x1000..0x2000 => 14,
        0x2000.. => 15,
        _ => {
            // Two classes for each power of two.
            let log = offset_less_one.ilog2();
            2 * (log - 5) + ((offset_less_one >> (log - 1)) & 1)
        }
    };
    let extra = OFFSET_BITS[class as usize] as u32;
    let rest = offset_less_one - OFFSET_BASE[class as usize] as u32;
    Code { bits: (class << extra) | rest, len: 4 + extra }
}
