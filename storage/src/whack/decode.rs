//! Unpacking. The input may be anything at all.

use super::is_rare;
use super::lengths::{OFFSET_BASE, OFFSET_BITS, SHORT_LENGTH_BITS, SHORT_LENGTHS};
use alloc::vec;
use alloc::vec::Vec;

/// Bits that a [`window`] has for certain.
const WINDOW_BITS: u32 = 57;

/// Bits of the longest literal.
const LITERAL_BITS_MAX: u32 = 11;

/// Fewer bits than this at the end are padding.
const ITEM_BITS_MIN: usize = 8;

/// Longest length code that is followed: with an offset behind it, it still fits in a window. Venti's encoder stops at
/// 24 bits, its decoder at 25 to 32.
const LENGTH_CODE_BITS_MAX: u32 = 32;

/// A stream that does not unpack to a lump of the size it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It unpacks to more.
    #[error("too much output")]
    TooMuchOutput,
    /// It unpacks to less.
    #[error("partial block: {0} bytes")]
    Partial(usize),
    /// A match that reaches back behind the beginning.
    #[error("offset {offset} out of range at byte {at}")]
    OffsetOutOfRange {
        /// How far back.
        offset: usize,
        /// Bytes unpacked before.
        at: usize,
    },
    /// A length that nothing can have.
    #[error("length out of range at byte {0}")]
    LengthOutOfRange(usize),
    /// It ends inside an item.
    #[error("compressed data overrun")]
    Overrun,
}

/// Unpacks `packed` to exactly `len` bytes.
pub fn decode(packed: &[u8], len: usize) -> Result<Vec<u8>, DecodeError> {
    let mut plain = vec![0; len];
    decode_into(packed, &mut plain)?;
    Ok(plain)
}

/// Unpacks `packed` so that it fills `plain` exactly. After an error `plain` holds anything.
pub fn decode_into(packed: &[u8], plain: &mut [u8]) -> Result<(), DecodeError> {
    let mut decoder = Decoder { packed, at_bit: 0, plain, done: 0, rare: 0xf };
    let bits = packed.len() * 8;
    while decoder.at_bit + ITEM_BITS_MIN <= bits {
        decoder.literals(bits)?;
        if decoder.at_bit + ITEM_BITS_MIN <= bits {
            decoder.item()?;
        }
    }
    if decoder.at_bit > bits {
        return Err(DecodeError::Overrun);
    }
    if decoder.done < decoder.plain.len() { Err(DecodeError::Partial(decoder.done)) } else { Ok(()) }
}

struct Decoder<'a> {
    packed: &'a [u8],
    /// Bits of `packed` used so far. May come to lie behind the end; bits there read as zeros.
    at_bit: usize,
    plain: &'a mut [u8],
    /// Bytes of `plain` made so far.
    done: usize,
    /// Whether each of the last literals was rare; the last one is bit 0, and four count.
    rare: u32,
}

/// At least [`WINDOW_BITS`] bits from `at_bit` on, the first of them the highest.
fn window(packed: &[u8], at_bit: usize) -> u64 {
    let rest = packed.get(at_bit / 8..).unwrap_or_default();
    let word = match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, &byte| (word >> 8) | (u64::from(byte) << 56)),
    };
    word << (at_bit % 8)
}

/// Takes the next literal off a window that begins with one: the byte, and its bits.
fn literal(window: u64, rare_before: bool) -> (u8, u32) {
    if rare_before {
        return ((window >> 55) as u8, 9);
    }
    // The window's first bit is 0, so this is below 128.
    let byte = (window >> 56) as u8;
    match byte {
        32.. => (byte, 8),
        24..32 => (((window >> 53) as u8).wrapping_sub(64), 11),
        _ => (((window >> 54) as u8).wrapping_sub(64), 10),
    }
}

impl Decoder<'_> {
    /// As many literals as stand in the next window.
    fn literals(&mut self, bits: usize) -> Result<(), DecodeError> {
        let mut window = window(self.packed, self.at_bit);
        // An item may begin where at least ITEM_BITS_MIN bits are left.
        let last_start = (bits - ITEM_BITS_MIN - self.at_bit).min((WINDOW_BITS - LITERAL_BITS_MAX) as usize);
        let mut used = 0;
        while window >> 63 == 0 && used <= last_start {
            let (byte, len) = literal(window, self.rare & 0xf != 0);
            *self.plain.get_mut(self.done).ok_or(DecodeError::TooMuchOutput)? = byte;
            self.done += 1;
            self.rare = (self.rare << 1) | u32::from(is_rare(byte));
            window <<= len;
            used += len as usize;
        }
        self.at_bit += used;
        Ok(())
    }

    /// One match, if a match stands next.
    fn item(&mut self) -> Result<(), DecodeError> {
        let window = window(self.packed, self.at_bit);
        if window >> 63 == 0 {
            return Ok(());
        }
        let (length, length_bits) = match SHORT_LENGTHS[(window >> (64 - SHORT_LENGTH_BITS)) as usize] {
            (0, _) => long_length(window).ok_or(DecodeError::LengthOutOfRange(self.done))?,
            (length, bits) => (usize::from(length), u32::from(bits)),
        };
        let window = window << length_bits;
        let class = (window >> 60) as usize;
        let extra_bits = u32::from(OFFSET_BITS[class]);
        let extra = ((window << 4) >> (64 - extra_bits)) as usize;
        self.at_bit += (length_bits + 4 + extra_bits) as usize;
        self.repeat(length, usize::from(OFFSET_BASE[class]) + extra + 1)
    }

    /// Repeats `length` bytes from `offset` back. The two may overlap: what is repeated is repeated again.
    fn repeat(&mut self, length: usize, offset: usize) -> Result<(), DecodeError> {
        let out_of_range = DecodeError::OffsetOutOfRange { offset, at: self.done };
        let from = self.done.checked_sub(offset).ok_or(out_of_range)?;
        let (before, after) = self.plain.split_at_mut(self.done);
        let source = &before[from..];
        if length > after.len() {
            return Err(DecodeError::LengthOutOfRange(self.done));
        }
        if let (Some(source), Some(target), true) =
            (source.first_chunk::<16>(), after.first_chunk_mut::<16>(), length <= 16)
        {
            // Most matches are short and far: a move of fixed size, whose surplus is written over by what follows.
            *target = *source;
        } else if offset >= length {
            after[..length].copy_from_slice(&source[..length]);
        } else {
            repeat_overlapping(source, &mut after[..length]);
        }
        self.done += length;
        Ok(())
    }
}

/// Fills `target` with `source` again and again.
fn repeat_overlapping(source: &[u8], target: &mut [u8]) {
    if let [byte] = source {
        target.fill(*byte);
        return;
    }
    for part in target.chunks_mut(source.len()) {
        part.copy_from_slice(&source[..part.len()]);
    }
}

/// A length whose code has more bits than the table knows, and the code's bits.
fn long_length(window: u64) -> Option<(usize, u32)> {
    let mut bits = 6;
    let mut value = (window >> 58) as u32 - 60;
    let (mut length, mut room, mut grows) = (7, 1, true);
    while value >= room {
        if bits == LENGTH_CODE_BITS_MAX {
            return None;
        }
        length += room;
        value = 2 * (value - room) + ((window >> (63 - bits)) & 1) as u32;
        bits += 1;
        if grows {
            room *= 2;
        }
        grows = !grows;
    }
    Some(((length + value) as usize, bits))
}
