//! From leaves to a tree of blocks, in one pass: each block is ready as soon as all below it is.

use crate::archive::entry::{Entry, STREAM_LEN_MAX};
use crate::archive::shape::{DEPTH_MAX, Shape};
use crate::archive::{NewBlock, put_block};
use crate::score::{SCORE_LEN, Score};
use alloc::vec::Vec;

/// A stream being written from its beginning to its end. Holds one pointer block a level.
#[derive(Debug)]
pub struct StreamWriter {
    shape: Shape,
    /// Level i: the scores that go into the pointer block under way i + 1 levels above the leaves.
    levels: Vec<Vec<u8>>,
    leaves: u64,
}

/// A stream that no entry can describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream of {0} bytes is too large for its block size")]
pub struct TooLarge(pub u64);

impl StreamWriter {
    /// An empty stream. The shape's depth is ignored.
    pub fn new(shape: Shape) -> StreamWriter {
        StreamWriter { shape, levels: Vec::new(), leaves: 0 }
    }

    /// Leaves so far.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Appends a leaf (at most the leaf size; what is missing counts as zeros). Blocks that are ready go to
    /// `out`.
    pub fn push_leaf(&mut self, leaf: &[u8], out: &mut Vec<NewBlock>) {
        assert!(leaf.len() <= self.shape.leaf_size as usize, "the caller cuts leaves");
        let score = put_block(self.shape.type_at(0), leaf, out);
        self.push_stored_leaf(score, out);
    }

    /// Appends a leaf that is already stored; [`Score::ZERO`] for one of zeros.
    pub fn push_stored_leaf(&mut self, score: Score, out: &mut Vec<NewBlock>) {
        self.leaves += 1;
        self.push_score(0, score, out);
    }

    fn push_score(&mut self, level: usize, score: Score, out: &mut Vec<NewBlock>) {
        let full = self.shape.pointers_per_block() as usize * SCORE_LEN;
        let (mut level, mut score) = (level, score);
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(block) = self.levels.get_mut(level) else { return };
            block.extend_from_slice(&score.0);
            if block.len() < full {
                return;
            }
            level += 1;
            score = put_block(self.shape.type_at((level as u8).min(DEPTH_MAX)), block, out);
            block.clear();
        }
    }

    /// Ends the stream with `size` bytes; leaves that were not pushed are holes, leaves beyond `size` are an
    /// error. `local` is copied into the entry.
    ///
    /// # Errors
    /// If the stream is too large for its block size.
    pub fn finish(mut self, size: u64, local: bool, out: &mut Vec<NewBlock>) -> Result<Entry, TooLarge> {
        let depth = self.shape.depth_for(size);
        if depth > DEPTH_MAX || size > STREAM_LEN_MAX {
            return Err(TooLarge(size));
        }
        assert!(
            self.leaves <= size.div_ceil(u64::from(self.shape.leaf_size)),
            "all leaves lie within the stream"
        );
        for level in 0..usize::from(depth) {
            let block = self.levels.get_mut(level).map(core::mem::take).unwrap_or_default();
            if !block.is_empty() {
                let score = put_block(self.shape.type_at(level as u8 + 1), &block, out);
                self.push_score(level + 1, score, out);
            }
        }
        let top = self.levels.get(usize::from(depth)).and_then(|block| block.first_chunk::<SCORE_LEN>());
        let shape = Shape { depth, ..self.shape };
        let score = top.map_or(Score::ZERO, |score| Score(*score));
        Ok(Entry { size, local, score, ..Entry { shape, ..Entry::empty(shape) } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::zero;

    fn small() -> Shape {
        Shape { is_directory: false, depth: 0, pointer_size: 260, leaf_size: 256 }
    }

    fn write(leaves: u64, size: u64) -> (Entry, Vec<NewBlock>) {
        let mut out = Vec::new();
        let mut writer = StreamWriter::new(small());
        for number in 0..leaves {
            writer.push_leaf(&(number + 1).to_be_bytes(), &mut out);
        }
        (writer.finish(size, false, &mut out).unwrap(), out)
    }

    #[test]
    fn a_block_is_written_after_all_that_is_below_it_and_the_top_is_last() {
        for leaves in [1, 2, 12, 13, 14, 169, 170, 400] {
            let (entry, blocks) = write(leaves, leaves * 256);
            assert_eq!(entry.shape.depth, small().depth_for(leaves * 256), "{leaves}");
            assert_eq!(
                blocks.last().map(|top| (top.score, top.block_type)),
                Some((entry.score, entry.block_type()))
            );
            for (place, block) in
                blocks.iter().enumerate().filter(|(_, block)| zero::is_pointer(block.block_type))
            {
                for score in block.data.chunks(SCORE_LEN) {
                    assert!(blocks[..place].iter().any(|below| below.score.0 == score));
                }
            }
        }
    }

    #[test]
    fn zeros_are_holes_at_every_level() {
        let mut out = Vec::new();
        let mut writer = StreamWriter::new(small());
        for _ in 0..170 {
            writer.push_leaf(&[0; 256], &mut out);
        }
        let entry = writer.finish(170 * 256, true, &mut out).unwrap();
        assert_eq!((entry.score, entry.shape.depth, out.len()), (Score::ZERO, 3, 0));
    }

    #[test]
    fn a_stream_may_end_after_its_last_leaf_but_not_beyond_what_an_entry_holds() {
        let (entry, _) = write(13, 13 * 13 * 256);
        assert_eq!(entry.shape.depth, 2);
        let too_large = StreamWriter::new(small()).finish(1 << 48, false, &mut Vec::new());
        assert_eq!(too_large, Err(TooLarge(1 << 48)));
    }
}
