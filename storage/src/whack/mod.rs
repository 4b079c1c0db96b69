//! Venti's compression: LZ77 with fixed codes, in both directions, bit for bit as venti has it (plan9port
//! `venti/srv/whack.c`, `unwhack.c`). Knows nothing of clumps.
//!
//! A stream is a string of items, most significant bit first, the last byte padded with zero bits:
//!
//! - a *literal* begins with 0. How it goes on depends on the last four literals: were any of them *rare* (below 32 or
//!   above 127), 8 bits follow as they are; else common bytes take 8 bits in all and rare ones 10 or 11;
//! - a *match* begins with 1: a length code, then an offset code, saying how many bytes to repeat from how far back.

mod decode;
mod encode;
mod lengths;

pub use decode::{DecodeError, decode, decode_into};
pub use encode::Encoder;

/// Shortest match.
const MATCH_LEN_MIN: usize = 3;

/// Longest match that the encoder makes: what 24 bits can say.
const MATCH_LEN_MAX: usize = 2051;

/// How far back a match may reach.
const OFFSET_MAX: usize = 16 * 1024;

/// Whether a literal is one of those that text seldom has.
const fn is_rare(byte: u8) -> bool {
    byte < 32 || byte > 127
}

#[cfg(test)]
mod tests;
