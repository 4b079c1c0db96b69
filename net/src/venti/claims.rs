//! Blocks that somebody is about to write: who asked first brings a block, and others need not.
//!
//! Bounded in number and time. Must not know what is stored.

use crate::clock::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;
use storage::block_type::BlockType;
use storage::score::Score;

/// Blocks that are expected at a time; beyond that, several may bring the same one.
const CLAIMS_MAX: usize = 16_384;
/// How long a block is expected from one and the same.
const PATIENCE: Duration = Duration::from_secs(15);

type Block = (Score, BlockType);

/// Who brings which block.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_block: BTreeMap<Block, Claim>,
    /// In the order in which they were made.
    made: VecDeque<(Instant, Block)>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    asker: u64,
    until: Instant,
}

impl Claims {
    /// Whether `asker` may bring the block; from now on nobody else may, for a while.
    pub(super) fn claim(&mut self, block: Block, asker: u64, now: Instant) -> bool {
        self.forget_old(now);
        match self.by_block.get(&block) {
            Some(claim) if claim.asker != asker => return false,
            Some(_) => return true,
            None => {}
        }
        if self.made.len() < CLAIMS_MAX {
            let until = now.plus(PATIENCE);
            self.by_block.insert(block, Claim { asker, until });
            self.made.push_back((until, block));
        }
        true
    }

    /// The block has come.
    pub(super) fn settle(&mut self, block: &Block) {
        self.by_block.remove(block);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((_, block)) = self.made.pop_front_if(|(until, _)| *until <= now) {
            // It may have come, and be claimed anew.
            if self.by_block.get(&block).is_some_and(|claim| claim.until <= now) {
                self.by_block.remove(&block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64) -> Block {
        (Score::of(&number.to_be_bytes()), BlockType::DATA)
    }

    #[test]
    fn who_asks_first_brings_a_block_until_it_came_or_time_is_up() {
        let mut claims = Claims::default();
        let (start, later) = (Instant::default(), Instant::default().plus(PATIENCE));
        assert!(claims.claim(block(1), 7, start) && claims.claim(block(1), 7, start));
        assert!(!claims.claim(block(1), 8, start));
        assert!(claims.claim(block(1), 8, later), "the first one did not bring it");
        claims.settle(&block(1));
        assert!(claims.claim(block(1), 9, later));
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let mut claims = Claims::default();
        let start = Instant::default();
        for number in 0..2 * CLAIMS_MAX as u64 {
            assert!(claims.claim(block(number), 1, start));
        }
        assert_eq!(claims.by_block.len(), CLAIMS_MAX);
        claims.claim(block(0), 2, start.plus(PATIENCE));
        assert_eq!((claims.by_block.len(), claims.made.len()), (1, 1));
    }
}
