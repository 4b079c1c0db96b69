//! Score → index address, in memory, in a little more than eight bytes a block.
//!
//! One `u64` a block: bits of its score above, its address below. The list is cut into segments by the first bits of
//! the score, each sorted, so that a search looks at one small piece. The score is not kept whole: an answer is a
//! *candidate*, and the clump at its address says whether it is the block. A wrong candidate costs one disk read, and
//! is as rare as two scores that agree in all bits kept (beyond the segment's, some twenty for a store of a tebibyte).
//!
//! Must not know clumps, arenas or disks.

use crate::block_type::BlockType;
use crate::score::Score;
use alloc::vec::Vec;

/// Blocks in a segment, about, when the store is as full as it was said to become.
const SEGMENT_AIM: u64 = 512;

/// Most segments: their own cost stays below two bytes a block for stores that need so many.
const SEGMENTS_MAX: u64 = 1 << 22;

/// What a block costs in memory, about, everything included.
pub const BYTES_PER_BLOCK: u64 = 10;

/// Candidates for blocks: for every one of a store, or for those that its index on disk does not have yet.
#[derive(Debug)]
pub struct MemoryIndex {
    segments: Vec<Vec<u64>>,
    segment_bits: u32,
    address_bits: u32,
    len: u64,
    /// Segments are unsorted while a store is being opened: appending and sorting once is far cheaper.
    filling: bool,
}

impl MemoryIndex {
    /// An index for addresses below `address_limit`, made for about `blocks` blocks (more fit, only slower). It is in
    /// filling mode until [`MemoryIndex::finish_filling`].
    pub fn new(address_limit: u64, blocks: u64) -> MemoryIndex {
        let address_bits = address_bits(address_limit);
        let count = (blocks / SEGMENT_AIM).clamp(1, SEGMENTS_MAX).next_power_of_two();
        let segment_bits = count.trailing_zeros().min(address_bits);
        let mut segments = Vec::new();
        segments.resize_with(1 << segment_bits, Vec::new);
        MemoryIndex { segments, segment_bits, address_bits, len: 0, filling: true }
    }

    /// The segment of a block, and the tag bits of its slots.
    fn place(&self, score: &Score, block_type: BlockType) -> (usize, u64) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&score.0[..8]);
        let prefix = u64::from_be_bytes(bytes);
        let segment = prefix.checked_shr(u64::BITS - self.segment_bits).unwrap_or(0) as usize;
        // The type stirs the tag, so that asking for a block by another type is a miss without a disk read.
        let stir = u64::from(block_type.to_disk()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let tag = (prefix << self.segment_bits) ^ stir;
        (segment, tag & !self.address_mask())
    }

    fn address_mask(&self) -> u64 {
        (1 << self.address_bits) - 1
    }

    /// Notes that the block lies at `address`. Several addresses of one block are kept, lowest first.
    pub fn insert(&mut self, score: &Score, block_type: BlockType, address: u64) {
        assert!(address <= self.address_mask(), "an address beyond the end of the store");
        let (segment, tag) = self.place(score, block_type);
        let slot = tag | address;
        let slots = &mut self.segments[segment];
        if slots.len() == slots.capacity() {
            // Small exact steps: doubling would waste a quarter of the index on average.
            slots.reserve_exact((slots.len() / 16).max(8));
        }
        if self.filling {
            slots.push(slot);
            self.len += 1;
        } else if let Err(at) = slots.binary_search(&slot) {
            slots.insert(at, slot);
            self.len += 1;
        }
    }

    /// Forgets that the block lies at `address`.
    pub fn remove(&mut self, score: &Score, block_type: BlockType, address: u64) {
        let (segment, tag) = self.place(score, block_type);
        let slots = &mut self.segments[segment];
        let found = if self.filling {
            slots.iter().position(|slot| *slot == tag | address)
        } else {
            slots.binary_search(&(tag | address)).ok()
        };
        if let Some(at) = found {
            slots.remove(at);
            self.len -= 1;
        }
    }

    /// Makes room for addresses up to `address_limit`. Fewer bits of the scores are kept then.
    pub fn widen(&mut self, address_limit: u64) {
        let old_mask = self.address_mask();
        self.address_bits = address_bits(address_limit).max(self.address_bits);
        let mask = self.address_mask();
        for slots in self.segments.iter_mut().filter(|_| mask != old_mask) {
            slots.iter_mut().for_each(|slot| *slot = *slot & !mask | *slot & old_mask);
            if !self.filling {
                slots.sort_unstable();
            }
        }
    }

    /// Forgets every address that `keep` does not like, and gives the memory back.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        let mask = self.address_mask();
        for slots in &mut self.segments {
            slots.retain(|slot| keep(slot & mask));
            slots.shrink_to_fit();
        }
        self.len = self.segments.iter().map(|slots| slots.len() as u64).sum();
    }

    /// Sorts what was inserted so far; from now on it stays sorted.
    pub fn finish_filling(&mut self) {
        for slots in &mut self.segments {
            slots.sort_unstable();
            slots.dedup();
        }
        self.len = self.segments.iter().map(|slots| slots.len() as u64).sum();
        self.filling = false;
    }

    /// Addresses where the block may lie, in ascending order. None means: surely not in the store.
    pub fn candidates(&self, score: &Score, block_type: BlockType) -> impl Iterator<Item = u64> + use<'_> {
        debug_assert!(!self.filling);
        let (segment, tag) = self.place(score, block_type);
        let mask = self.address_mask();
        let slots = &self.segments[segment];
        let start = slots.partition_point(|slot| *slot < tag);
        slots[start..].iter().take_while(move |slot| **slot & !mask == tag).map(move |slot| slot & mask)
    }

    /// Slots kept: blocks, and second copies of blocks.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the index takes, about, without looking.
    pub fn estimate_bytes(&self) -> u64 {
        self.len.saturating_mul(BYTES_PER_BLOCK)
    }

    /// Bytes that the index takes, those not yet used included.
    pub fn memory_bytes(&self) -> u64 {
        let slots: usize = self.segments.iter().map(Vec::capacity).sum();
        (slots * size_of::<u64>() + self.segments.capacity() * size_of::<Vec<u64>>()) as u64
    }
}

fn address_bits(address_limit: u64) -> u32 {
    (u64::BITS - address_limit.leading_zeros()).clamp(1, 56)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(number: u64) -> Score {
        Score::of(&number.to_be_bytes())
    }

    fn found(index: &MemoryIndex, number: u64) -> Vec<u64> {
        index.candidates(&score(number), BlockType::DATA).collect()
    }

    #[test]
    fn every_block_is_found_and_little_else() {
        let mut index = MemoryIndex::new(1 << 40, 100_000);
        for number in 0..50_000 {
            index.insert(&score(number), BlockType::DATA, number * 8000);
        }
        index.finish_filling();
        for number in 50_000..100_000 {
            index.insert(&score(number), BlockType::DATA, number * 8000);
        }
        assert_eq!(index.len(), 100_000);
        let mut wrong = 0;
        for number in 0..100_000 {
            let found = found(&index, number);
            assert!(found.contains(&(number * 8000)));
            wrong += found.len() - 1;
        }
        let false_hits: usize = (100_000..200_000).map(|number| found(&index, number).len()).sum();
        assert!(wrong + false_hits < 20, "{wrong} and {false_hits} wrong candidates");
    }

    #[test]
    fn a_block_costs_at_most_ten_bytes() {
        for blocks in [20_000_u64, 200_000] {
            let mut index = MemoryIndex::new(1 << 36, blocks);
            for number in 0..blocks {
                index.insert(&score(number), BlockType::DATA, number * 8000);
            }
            index.finish_filling();
            let per_block = index.memory_bytes() as f64 / blocks as f64;
            assert!(per_block <= BYTES_PER_BLOCK as f64, "{per_block} bytes a block for {blocks}");
        }
    }

    #[test]
    fn a_block_of_another_type_is_another_block() {
        let mut index = MemoryIndex::new(1 << 30, 10);
        index.insert(&score(1), BlockType::DATA, 77);
        index.finish_filling();
        assert_eq!(index.candidates(&score(1), BlockType::DIRECTORY).count(), 0);
        assert_eq!(found(&index, 1), [77]);
    }

    #[test]
    fn second_copies_come_in_the_order_of_the_log_and_can_be_forgotten() {
        let mut index = MemoryIndex::new(1 << 30, 10);
        index.finish_filling();
        for address in [500, 100, 300, 100] {
            index.insert(&score(1), BlockType::DATA, address);
        }
        assert_eq!(found(&index, 1), [100, 300, 500]);
        index.remove(&score(1), BlockType::DATA, 100);
        assert_eq!((found(&index, 1), index.len()), (alloc::vec![300, 500], 2));
    }
    #[test]
    fn addresses_can_be_forgotten_by_the_thousand_while_filling_and_after() {
        for filled in [false, true] {
            let mut index = MemoryIndex::new(1 << 30, 10_000);
            (0..10_000).for_each(|number| index.insert(&score(number), BlockType::DATA, number * 10));
            if filled {
                index.finish_filling();
            }
            index.retain(|address| address >= 50_000);
            assert_eq!(index.len(), 5000);
            index.finish_filling();
            assert_eq!((found(&index, 4999), found(&index, 5000)), (Vec::new(), alloc::vec![50_000]));
            assert!(index.memory_bytes() <= 5000 * BYTES_PER_BLOCK);
        }
    }
    #[test]
    fn addresses_may_become_larger_than_was_thought() {
        let mut index = MemoryIndex::new(1 << 20, 1000);
        index.finish_filling();
        (0..1000).for_each(|number| index.insert(&score(number), BlockType::DATA, number * 1000));
        index.widen(1 << 40);
        (1000..2000).for_each(|number| index.insert(&score(number), BlockType::DATA, number << 28));
        for number in 0..1000 {
            assert!(found(&index, number).contains(&(number * 1000)));
            assert!(found(&index, number + 1000).contains(&((number + 1000) << 28)));
        }
        assert_eq!(index.len(), 2000);
    }
}
