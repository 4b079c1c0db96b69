//! Blocks whose stored copy is known to be damaged, so that they can be written anew, or fetched from elsewhere.
//!
//! Bounded: beyond it, damage is still reported, but no longer remembered by block. Must not know who found it.

use super::Damage;
use crate::block_type::BlockType;
use crate::score::Score;
use alloc::collections::BTreeMap;

/// Most blocks that are remembered.
const BLOCKS_MAX: usize = 4096;

/// A block of which a copy is damaged, and no good one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedBlock {
    /// Its score.
    pub score: Score,
    /// Its type.
    pub block_type: BlockType,
    /// What is wrong with the copy, and where.
    pub damage: Damage,
}

/// Damaged copies by their address in the index's space.
#[derive(Debug, Default)]
pub(crate) struct DamagedBlocks {
    by_address: BTreeMap<u64, Copy>,
}

#[derive(Debug)]
struct Copy {
    block: DamagedBlock,
    /// The block is whole elsewhere; the copy is remembered so that nobody is told of it again.
    replaced: bool,
}

impl DamagedBlocks {
    /// Notes a damaged copy. `false`: it was known already.
    pub(crate) fn note(&mut self, address: u64, block: DamagedBlock) -> bool {
        if self.by_address.contains_key(&address) {
            return false;
        }
        if self.by_address.len() < BLOCKS_MAX {
            self.by_address.insert(address, Copy { block, replaced: false });
        }
        true
    }

    /// Notes that the block of a damaged copy is whole elsewhere.
    pub(crate) fn replaced(&mut self, address: u64) {
        if let Some(copy) = self.by_address.get_mut(&address) {
            copy.replaced = true;
        }
    }

    /// Whether the copy at this address is known to be damaged.
    pub(crate) fn is_at(&self, address: u64) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Whether a copy of this block is known to be damaged, and none to be whole.
    pub(crate) fn has(&self, score: &Score, block_type: BlockType) -> bool {
        self.iter().any(|block| (block.score, block.block_type) == (*score, block_type))
    }

    /// Blocks of which no whole copy is known, in the order of their addresses.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DamagedBlock> {
        self.by_address.values().filter(|copy| !copy.replaced).map(|copy| &copy.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Name;
    use crate::store::DamageCause;

    fn block(number: u64) -> DamagedBlock {
        let damage =
            Damage { arena: Name::new("arenas0").unwrap(), offset: number, cause: DamageCause::Unpack };
        DamagedBlock { score: Score::of(&number.to_be_bytes()), block_type: BlockType::DATA, damage }
    }

    #[test]
    fn a_copy_is_new_once_and_its_block_is_damaged_until_it_is_replaced() {
        let mut blocks = DamagedBlocks::default();
        assert!(blocks.note(7, block(1)) && !blocks.note(7, block(1)));
        assert!(blocks.is_at(7) && blocks.has(&block(1).score, BlockType::DATA));
        assert!(!blocks.has(&block(1).score, BlockType::ROOT));
        blocks.replaced(7);
        assert!(blocks.is_at(7) && !blocks.has(&block(1).score, BlockType::DATA));
        assert!(!blocks.note(7, block(1)) && blocks.iter().next().is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let mut blocks = DamagedBlocks::default();
        for number in 0..2 * BLOCKS_MAX as u64 {
            assert!(blocks.note(number, block(number)));
        }
        assert_eq!(blocks.iter().count(), BLOCKS_MAX);
        assert!(!blocks.note(0, block(0)));
    }
}
