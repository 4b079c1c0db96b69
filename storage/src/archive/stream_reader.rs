//! From a stream's entry to its bytes, in order, with any number of blocks under way.
//!
//! The reader says which blocks it wants; whoever can fetch them does, in any order, and hands them back. It
//! holds at most the window's leaves and the pointer blocks above them. Depth falls with every block, so that
//! no stream goes round in circles; sizes that entries claim cost nothing where no block is behind them.

use crate::archive::BLOCK_LEN_MAX;
use crate::archive::entry::{Entry, is_nothing};
use crate::archive::shape::Shape;
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use alloc::collections::VecDeque;
use bytes::Bytes;

/// A block that the reader needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// To be handed back with the block.
    pub id: u64,
    /// Which block.
    pub score: Score,
    /// Its type.
    pub block_type: BlockType,
    /// Bytes that it can have at most.
    pub len_max: u32,
}

/// The next bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes, then zeros up to `len` bytes in all.
    Data {
        /// What is stored of the leaf, cut at the stream's end.
        bytes: Bytes,
        /// Bytes of the stream that it stands for.
        len: u64,
    },
    /// So many zeros.
    Hole {
        /// Bytes of the stream that it stands for.
        len: u64,
    },
}

/// A stream being read from its beginning to its end.
#[derive(Debug)]
pub struct StreamReader {
    shape: Shape,
    nodes: VecDeque<Node>,
    last_id: u64,
    only_scores: bool,
}

/// A part of the stream, in order.
#[derive(Debug)]
enum Node {
    /// A block not fetched; `id` is 0 until somebody was asked for it.
    Block { score: Score, depth: u8, len: u64, id: u64 },
    /// Bytes or zeros that wait for their turn.
    Ready(Piece),
}

impl StreamReader {
    /// A reader of all of the entry's stream.
    pub fn new(entry: &Entry) -> StreamReader {
        let shape = entry.shape;
        let mut nodes = VecDeque::new();
        if entry.size > 0 {
            nodes.push_back(Node::of(entry.score, shape.depth, entry.size));
        }
        StreamReader { shape, nodes, last_id: 0, only_scores: false }
    }

    /// A reader of the scores of the entry's leaves, without the leaves: for [`StreamReader::next_score`]
    /// alone.
    pub fn of_scores(entry: &Entry) -> StreamReader {
        StreamReader { only_scores: true, ..StreamReader::new(entry) }
    }

    /// The next block to fetch among the first `window` parts of what is not read yet; `None` if none of them
    /// needs one that was not given out before.
    pub fn want(&mut self, window: usize) -> Option<Want> {
        let id = self.last_id + 1;
        let (shape, lowest) = (self.shape, u8::from(self.only_scores));
        let wanted = self.nodes.iter_mut().take(window).find_map(|node| match node {
            Node::Block { score, depth, id: asked @ 0, .. } if *depth >= lowest => {
                *asked = id;
                let size = if *depth == 0 { shape.leaf_size } else { shape.pointer_size };
                let block_type = shape.type_at(*depth);
                Some(Want { id, score: *score, block_type, len_max: size.min(BLOCK_LEN_MAX) })
            }
            _ => None,
        })?;
        self.last_id = id;
        Some(wanted)
    }

    /// Takes a block that was wanted. One that was not is ignored.
    pub fn supply(&mut self, id: u64, stored: Bytes) {
        let asked = |node: &Node| matches!(node, Node::Block { id: asked, .. } if *asked == id && id != 0);
        let Some(at) = self.nodes.iter().position(asked) else { return };
        let Some(Node::Block { depth, len, .. }) = self.nodes.get(at) else { return };
        let (depth, len) = (*depth, *len);
        if depth == 0 {
            let kept = usize::try_from(len).map_or(stored.len(), |len| len.min(stored.len()));
            let piece = Piece::Data { bytes: stored.slice(..kept), len };
            if let Some(node) = self.nodes.get_mut(at) {
                *node = Node::Ready(piece);
            }
            return;
        }
        let behind = self.nodes.split_off(at + 1);
        self.nodes.pop_back();
        self.expand(&stored, depth - 1, len);
        self.nodes.extend(behind);
    }

    /// Appends what a pointer block stands for: `len` bytes of blocks `depth` levels above the leaves.
    fn expand(&mut self, stored: &[u8], depth: u8, len: u64) {
        let span = self.shape.span(depth);
        let (scores, _slop) = stored.as_chunks::<SCORE_LEN>();
        let fan_out = usize::try_from(self.shape.pointers_per_block()).unwrap_or(usize::MAX);
        let mut left = len;
        for score in scores.iter().take(fan_out) {
            if left == 0 {
                return;
            }
            self.nodes.push_back(Node::of(Score(*score), depth, left.min(span)));
            left -= left.min(span);
        }
        if left > 0 {
            self.nodes.push_back(Node::Ready(Piece::Hole { len: left }));
        }
    }

    /// The next bytes, if they are there. They come without gaps from the beginning on.
    pub fn next_piece(&mut self) -> Option<Piece> {
        match self.nodes.pop_front()? {
            Node::Ready(piece) => Some(piece),
            block => {
                self.nodes.push_front(block);
                None
            }
        }
    }

    /// The score of the next leaf, or [`Score::ZERO`] for several of zeros, with the bytes that it stands
    /// for; of a reader made by [`StreamReader::of_scores`].
    pub fn next_score(&mut self) -> Option<(Score, u64)> {
        match self.nodes.pop_front()? {
            Node::Block { score, depth: 0, len, .. } => Some((score, len)),
            Node::Ready(Piece::Hole { len }) => Some((Score::ZERO, len)),
            other => {
                self.nodes.push_front(other);
                None
            }
        }
    }

    /// Whether everything was given out.
    pub fn is_finished(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl Node {
    fn of(score: Score, depth: u8, len: u64) -> Node {
        if is_nothing(score) {
            Node::Ready(Piece::Hole { len })
        } else {
            Node::Block { score, depth, len, id: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::NewBlock;
    use crate::archive::stream_writer::StreamWriter;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn shape() -> Shape {
        Shape { is_directory: false, depth: 0, pointer_size: 260, leaf_size: 256 }
    }

    fn write(content: &[u8]) -> (Entry, Vec<NewBlock>) {
        let mut out = Vec::new();
        let mut writer = StreamWriter::new(shape());
        content.chunks(256).for_each(|leaf| writer.push_leaf(leaf, &mut out));
        (writer.finish(content.len() as u64, false, &mut out).unwrap(), out)
    }

    fn read(entry: &Entry, window: usize, mut fetch: impl FnMut(&Want) -> Bytes) -> Vec<u8> {
        let mut reader = StreamReader::new(entry);
        let (mut content, mut wants) = (Vec::new(), Vec::new());
        while !reader.is_finished() {
            wants.extend(core::iter::from_fn(|| reader.want(window)));
            // The last one asked for is answered first.
            let want = wants.pop().unwrap();
            reader.supply(want.id, fetch(&want));
            while let Some(piece) = reader.next_piece() {
                let (bytes, len) = match piece {
                    Piece::Data { bytes, len } => (bytes, len),
                    Piece::Hole { len } => (Bytes::new(), len),
                };
                let from = content.len();
                content.extend_from_slice(&bytes);
                content.resize(from + len as usize, 0);
            }
        }
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_written_is_read_in_order_whatever_the_order_of_the_blocks(
            size in 1_usize..60_000, seed in any::<u8>(), window in 1_usize..40, holes in 1_usize..5,
        ) {
            let byte = |at: usize| if (at / 256).is_multiple_of(holes) { (at / 251) as u8 ^ seed } else { 0 };
            let content: Vec<u8> = (0..size).map(byte).collect();
            let (entry, blocks) = write(&content);
            if entry.score != Score::ZERO {
                let stored = |want: &Want| {
                    let same = |b: &&NewBlock| b.score == want.score && b.block_type == want.block_type;
                    blocks.iter().find(same).unwrap().data.clone()
                };
                prop_assert!(read(&entry, window, stored) == content);
            }
        }

        #[test]
        fn hostile_blocks_give_exactly_the_size_that_was_claimed(
            garbage in proptest::collection::vec(any::<u8>(), 1..600), size in 1_u64..40_000,
        ) {
            let depth = shape().depth_for(size);
            let entry = Entry { size, score: Score::of(b"x"), ..Entry::empty(shape()) };
            let entry = Entry { shape: Shape { depth, ..shape() }, ..entry };
            let content = read(&entry, 8, |_| Bytes::from(garbage.clone()));
            prop_assert_eq!(content.len() as u64, size);
        }
    }

    #[test]
    fn an_entry_that_claims_256_terabytes_of_nothing_is_one_hole() {
        let entry = Entry { size: (1 << 48) - 1, ..Entry::empty(shape()) };
        let entry = Entry { shape: Shape { depth: 7, leaf_size: 57344, ..shape() }, ..entry };
        let mut reader = StreamReader::new(&entry);
        assert_eq!(reader.want(100), None);
        assert_eq!(reader.next_piece(), Some(Piece::Hole { len: (1 << 48) - 1 }));
        assert!(reader.is_finished());
    }

    #[test]
    fn the_scores_of_leaves_come_without_the_leaves() {
        let content: Vec<u8> = (0..9000_u32).map(|at| (at / 256) as u8).collect();
        let (entry, blocks) = write(&content);
        let mut reader = StreamReader::of_scores(&entry);
        let mut scores = Vec::new();
        while !reader.is_finished() {
            if let Some(want) = reader.want(4) {
                let block =
                    blocks.iter().find(|b| b.score == want.score && b.block_type == want.block_type).unwrap();
                assert_ne!(block.block_type, BlockType::DATA);
                reader.supply(want.id, block.data.clone());
            }
            scores.extend(core::iter::from_fn(|| reader.next_score()));
        }
        let leaves: Vec<_> = content.chunks(256).collect();
        assert_eq!(scores.len(), leaves.len());
        assert_eq!(scores[1], (Score::of(leaves[1]), 256));
        assert_eq!(scores[0], (Score::ZERO, 256));
    }

    #[test]
    fn a_null_score_is_a_hole_and_needs_no_block() {
        let entry = Entry { size: 99, score: Score::NULL, ..Entry::empty(shape()) };
        assert_eq!(StreamReader::new(&entry).next_piece(), Some(Piece::Hole { len: 99 }));
    }
}
