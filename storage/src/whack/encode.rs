//! Packing, byte for byte as venti does it: greedy, with chains of earlier places that share a hash of three bytes.

use super::lengths::{length_code, offset_code};
use super::{MATCH_LEN_MAX, MATCH_LEN_MIN, OFFSET_MAX, is_rare};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Bits of a place's hash.
const HASH_BITS: u32 = 14;

/// Candidates looked at per place; a match longer than this is good enough, too.
const EFFORT: usize = 48;

/// Number of a block's first place. Places are numbered modulo 2^16, and slots of the tables begin as 0: far enough
/// from here to count as empty, until numbers wrap and place 0 is a place like others. Venti packs so, and so must we
/// to get the same bytes.
const FIRST_PLACE: u16 = 2 * OFFSET_MAX as u16;

const PLACE_MASK: usize = OFFSET_MAX - 1;

/// Packs blocks. Holds the tables (64 KiB), so one encoder serves many blocks.
pub struct Encoder {
    /// The newest place of each hash.
    newest: Box<[u16; 1 << HASH_BITS]>,
    /// For each place, modulo [`OFFSET_MAX`], the one before it with the same hash. Never read where it was not
    /// written for the present block: a chain ends at the first place that is too far back.
    before: Box<[u16; OFFSET_MAX]>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl Encoder {
    /// Allocates the tables.
    pub fn new() -> Encoder {
        Encoder { newest: zeroed(), before: zeroed() }
    }

    /// Packs `plain` and appends the result to `packed`. Returns its length, or `None` if venti would store the block
    /// as it is: too short, or not smaller, or of no promise half way; `packed` is as before then.
    pub fn encode(&mut self, plain: &[u8], packed: &mut Vec<u8>) -> Option<usize> {
        let start = packed.len();
        let mut bits = BitWriter { out: packed, limit: start + plain.len(), pending: 0, count: 0 };
        let packed_whole = self.pack(plain, &mut bits).is_some() && bits.finish().is_some();
        let len = packed.len() - start;
        if packed_whole && len < plain.len() {
            return Some(len);
        }
        packed.truncate(start);
        None
    }

    fn pack(&mut self, plain: &[u8], bits: &mut BitWriter<'_>) -> Option<()> {
        if plain.len() < MATCH_LEN_MIN {
            return None;
        }
        self.newest.fill(0);
        let mut at = 0;
        let mut literals = 0;
        let mut rare = 0x1f_u32;
        let mut check_progress = true;
        while at < plain.len() {
            let (length, offset) = self.longest_match(plain, at);
            if length >= MATCH_LEN_MIN {
                bits.put(length_code(length).bits, length_code(length).len)?;
                let code = offset_code(offset as u32 - 1);
                bits.put(code.bits, code.len)?;
                (at..at + length).for_each(|at| self.enter(plain, at));
                at += length;
                continue;
            }
            let byte = plain[at];
            rare = (rare << 1) | u32::from(is_rare(byte));
            put_literal(bits, byte, rare)?;
            literals += 1;
            if check_progress && at > plain.len() / 2 {
                if 4 * at < 5 * literals {
                    return None;
                }
                check_progress = false;
            }
            self.enter(plain, at);
            at += 1;
        }
        Some(())
    }

    /// Length and distance of the match to use at `at`; length 0 if there is none.
    fn longest_match(&self, plain: &[u8], at: usize) -> (usize, usize) {
        let here = &plain[at..plain.len().min(at + MATCH_LEN_MAX)];
        let Some(&start) = here.first_chunk::<MATCH_LEN_MIN>() else { return (0, 0) };
        let now = place(at);
        let mut candidate = self.newest[hash(start)];
        let (mut best_length, mut best_offset, mut last) = (0, 0, 0);
        for _ in 0..EFFORT {
            let offset = usize::from(now.wrapping_sub(candidate));
            if offset <= last || offset > OFFSET_MAX || offset > at {
                break;
            }
            last = offset;
            let there = &plain[at - offset..];
            // Cheapest first: a longer match must agree where the best one so far ended.
            let may_be_longer = best_length < here.len() && there[best_length] == here[best_length];
            if may_be_longer && there.first_chunk() == Some(&start) {
                let length = common_prefix(here, there);
                if length > best_length {
                    (best_length, best_offset) = (length, offset);
                    if length > EFFORT {
                        break;
                    }
                }
            }
            candidate = self.before[usize::from(candidate) & PLACE_MASK];
        }
        (best_length, best_offset)
    }

    /// Makes the place at `at` known, if three bytes remain there.
    fn enter(&mut self, plain: &[u8], at: usize) {
        if let Some(&start) = plain.get(at..).and_then(|rest| rest.first_chunk::<MATCH_LEN_MIN>()) {
            let now = place(at);
            let newest = &mut self.newest[hash(start)];
            self.before[usize::from(now) & PLACE_MASK] = *newest;
            *newest = now;
        }
    }
}

fn zeroed<const N: usize>() -> Box<[u16; N]> {
    let table = vec![0; N].into_boxed_slice();
    table.try_into().unwrap_or_else(|_| Box::new([0; N]))
}

/// The number of a place, modulo 2^16.
fn place(at: usize) -> u16 {
    FIRST_PLACE.wrapping_add(at as u16)
}

/// Knuth's multiplicative hash of three bytes.
fn hash(start: [u8; MATCH_LEN_MIN]) -> usize {
    let word = u32::from_be_bytes([0, start[0], start[1], start[2]]);
    (word.wrapping_mul(0x6b43_a9b5) >> (32 - HASH_BITS)) as usize
}

/// Bytes at the start of both that are equal.
fn common_prefix(here: &[u8], there: &[u8]) -> usize {
    let mut length = 0;
    for (a, b) in here.chunks_exact(8).zip(there.chunks_exact(8)) {
        let difference = word(a) ^ word(b);
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let tails = here[length..].iter().zip(&there[length..]);
    length + tails.take_while(|(a, b)| a == b).count()
}

/// Eight bytes as a number, the first one lowest.
fn word(chunk: &[u8]) -> u64 {
    chunk.first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes))
}

/// Writes a literal; bit 0 of `rare` says whether it is rare, the next four whether those before it were.
fn put_literal(bits: &mut BitWriter<'_>, byte: u8, rare: u32) -> Option<()> {
    if rare & 0x1e != 0 {
        return bits.put(u32::from(byte), 9);
    }
    if rare & 1 == 0 {
        return bits.put(u32::from(byte), 8);
    }
    let shifted = byte.wrapping_add(64);
    bits.put(u32::from(shifted), if shifted < 96 { 10 } else { 11 })
}

/// Collects bits, the first one highest, and gives up when the output has no chance to be smaller than the input.
struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Longest that `out` may get.
    limit: usize,
    pending: u64,
    /// Bits in `pending` that are not in `out` yet.
    count: u32,
}

impl BitWriter<'_> {
    /// Appends the lowest `len` bits, at most 24 of them.
    fn put(&mut self, bits: u32, len: u32) -> Option<()> {
        self.pending = (self.pending << len) | u64::from(bits);
        self.count += len;
        if self.count >= 32 {
            self.count -= 32;
            self.out.extend_from_slice(&((self.pending >> self.count) as u32).to_be_bytes());
            if self.out.len() > self.limit {
                return None;
            }
        }
        Some(())
    }

    /// Writes what is pending, padded with zeros to a whole byte.
    fn finish(self) -> Option<()> {
        let bytes = self.count.div_ceil(8);
        let aligned = ((self.pending << (32 - self.count)) as u32).to_be_bytes();
        self.out.extend_from_slice(aligned.get(..bytes as usize)?);
        Some(())
    }
}
