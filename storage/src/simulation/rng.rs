//! Pseudo-random numbers from a seed (splitmix64): repeatable, and good enough to choose faults. Never for secrets.

use core::cell::Cell;

/// A stream of numbers that depends on its seed alone.
#[derive(Debug)]
pub struct SeededRng {
    state: Cell<u64>,
}

impl SeededRng {
    /// The stream of this seed.
    pub fn new(seed: u64) -> SeededRng {
        SeededRng { state: Cell::new(seed) }
    }

    /// Any number.
    pub fn next_u64(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit` (0 for a limit of 0).
    pub fn below(&self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next_u64() % limit }
    }

    /// True `times` out of `out_of`.
    pub fn chance(&self, times: u64, out_of: u64) -> bool {
        self.below(out_of) < times
    }

    /// Fills `target`.
    pub fn fill(&self, target: &mut [u8]) {
        for chunk in target.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}
