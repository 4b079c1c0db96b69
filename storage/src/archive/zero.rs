//! Zero truncation: clients leave out a block's end where it says nothing, and put it back after reading.
//!
//! Data and directory blocks lose trailing zero bytes, pointer blocks trailing zero scores (venti(6)).
//! Truncation may cut inside an entry.

use crate::archive::root::ROOT_LEN;
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use alloc::vec::Vec;

/// What of `block` is stored.
pub fn truncate(block_type: BlockType, block: &[u8]) -> &[u8] {
    let kept = match block_type {
        BlockType::ROOT => block.len().min(ROOT_LEN),
        BlockType::DATA | BlockType::DIRECTORY => {
            block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
        }
        _pointers => {
            let (scores, _slop) = block.as_chunks::<SCORE_LEN>();
            scores.iter().rposition(|score| *score != Score::ZERO.0).map_or(0, |last| (last + 1) * SCORE_LEN)
        }
    };
    block.get(..kept).unwrap_or(block)
}

/// The block of `len` bytes that was stored as `stored`; bytes of `stored` beyond `len` are dropped.
///
/// Allocates `len` bytes: the caller bounds it.
pub fn extend(block_type: BlockType, stored: &[u8], len: usize) -> Vec<u8> {
    let mut block = Vec::with_capacity(len);
    if is_pointer(block_type) {
        let (scores, _slop) = stored.as_chunks::<SCORE_LEN>();
        let room = len / SCORE_LEN;
        let absent = core::iter::repeat_n(&Score::ZERO.0, room);
        scores.iter().chain(absent).take(room).for_each(|score| block.extend_from_slice(score));
    } else {
        block.extend_from_slice(stored.get(..len).unwrap_or(stored));
    }
    block.resize(len, 0);
    block
}

/// Whether blocks of this type are scores, one after another.
pub fn is_pointer(block_type: BlockType) -> bool {
    !matches!(block_type, BlockType::ROOT | BlockType::DATA | BlockType::DIRECTORY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn pointers() -> BlockType {
        BlockType::pointer(3).unwrap()
    }

    #[test]
    fn data_loses_its_trailing_zero_bytes_and_gets_them_back() {
        assert_eq!(truncate(BlockType::DATA, &[0, 7, 0, 0]), &[0, 7]);
        assert_eq!(truncate(BlockType::DIRECTORY, &[0; 40]), &[] as &[u8]);
        assert_eq!(extend(BlockType::DATA, &[0, 7], 4), [0, 7, 0, 0]);
    }

    #[test]
    fn pointers_lose_slop_and_trailing_zero_scores() {
        let one = Score::of(b"one").0;
        let block = [one.as_slice(), &Score::ZERO.0, &Score::ZERO.0, &[9; 7]].concat();
        assert_eq!(truncate(pointers(), &block), one);
        let restored = [one.as_slice(), &Score::ZERO.0, &Score::ZERO.0, &[0; 7]].concat();
        assert_eq!(extend(pointers(), &one, 67), restored);
        assert_eq!(extend(pointers(), &[one.as_slice(), &[1, 2]].concat(), 67), restored);
    }

    #[test]
    fn a_root_is_cut_to_its_length() {
        assert_eq!(truncate(BlockType::ROOT, &[0; 301]).len(), 300);
        assert_eq!(truncate(BlockType::ROOT, &[0; 299]).len(), 299);
    }

    proptest! {
        #[test]
        fn extension_undoes_truncation(mut block in proptest::collection::vec(0_u8..3, 0..200), zeros in 0_usize..99) {
            block.extend(vec![0; zeros]);
            let data = truncate(BlockType::DATA, &block);
            prop_assert_eq!(extend(BlockType::DATA, data, block.len()), block);
        }
    }
}
