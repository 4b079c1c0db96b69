//! The arithmetic of a stream's tree: how deep it is, what a pointer covers.

use crate::block_type::BlockType;
use crate::score::SCORE_LEN;

/// Most levels of pointer blocks.
pub const DEPTH_MAX: u8 = 7;
/// Bytes in the largest pointer block that vac makes.
const POINTER_SIZE_MAX: u32 = 60_000;

/// How a stream is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The leaves are blocks of entries.
    pub is_directory: bool,
    /// Levels of pointer blocks, at most [`DEPTH_MAX`].
    pub depth: u8,
    /// Bytes in a pointer block before truncation. At least 256.
    pub pointer_size: u32,
    /// Bytes in a leaf before truncation. At least 256.
    pub leaf_size: u32,
}

impl Shape {
    /// What vac makes of a block size (at least 256): pointer blocks of whole scores, at most 60000 bytes.
    pub fn for_block_size(block_size: u32, is_directory: bool) -> Shape {
        let score_len = SCORE_LEN as u32;
        let pointer_size = block_size.min(POINTER_SIZE_MAX) / score_len * score_len;
        Shape { is_directory, depth: 0, pointer_size, leaf_size: block_size }
    }

    /// Scores in a pointer block.
    pub fn pointers_per_block(&self) -> u64 {
        u64::from(self.pointer_size) / SCORE_LEN as u64
    }

    /// Entries in a leaf of a directory. They do not straddle blocks.
    pub fn entries_per_leaf(&self) -> u32 {
        self.leaf_size / crate::archive::entry::ENTRY_LEN as u32
    }

    /// The least depth for a stream of `size` bytes; more than [`DEPTH_MAX`] means that it is too large.
    pub fn depth_for(&self, size: u64) -> u8 {
        let mut blocks = size.div_ceil(u64::from(self.leaf_size));
        let mut depth = 0;
        while blocks > 1 {
            blocks = blocks.div_ceil(self.pointers_per_block());
            depth += 1;
        }
        depth
    }

    /// Bytes of the stream below a block `depth` levels above the leaves, `u64::MAX` if they cannot be
    /// counted.
    pub fn span(&self, depth: u8) -> u64 {
        self.pointers_per_block()
            .checked_pow(u32::from(depth))
            .and_then(|leaves| leaves.checked_mul(u64::from(self.leaf_size)))
            .unwrap_or(u64::MAX)
    }

    /// The type of a block `depth` levels above the leaves.
    pub fn type_at(&self, depth: u8) -> BlockType {
        let leaf = if self.is_directory { BlockType::DIRECTORY } else { BlockType::DATA };
        BlockType::pointer(depth).unwrap_or(leaf)
    }

    /// Bytes in a directory stream of `slots` entries.
    pub fn directory_size(&self, slots: u64) -> u64 {
        let per_leaf = u64::from(self.entries_per_leaf());
        u64::from(self.leaf_size) * (slots / per_leaf)
            + crate::archive::entry::ENTRY_LEN as u64 * (slots % per_leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_is_the_least_that_holds_the_stream() {
        let shape = Shape::for_block_size(8192, false);
        assert_eq!((shape.pointer_size, shape.pointers_per_block()), (8180, 409));
        let two_levels = 8192 * 409 * 409;
        for (size, depth) in [
            (0, 0),
            (1, 0),
            (8192, 0),
            (8193, 1),
            (8192 * 409, 1),
            (8192 * 409 + 1, 2),
            (two_levels, 2),
            (two_levels + 1, 3),
        ] {
            assert_eq!(shape.depth_for(size), depth, "{size}");
            assert!(shape.span(depth) >= size);
        }
    }

    #[test]
    fn no_size_and_no_depth_overflows() {
        let shape = Shape { is_directory: true, depth: 7, pointer_size: u32::MAX, leaf_size: u32::MAX };
        assert_eq!(shape.span(7), u64::MAX);
        let narrow = Shape { pointer_size: 256, leaf_size: 256, ..shape };
        assert!(narrow.depth_for(u64::MAX) > DEPTH_MAX);
    }

    #[test]
    fn pointer_blocks_of_large_block_sizes_are_limited() {
        assert_eq!(Shape::for_block_size(131_072, false).pointer_size, 60_000);
        assert_eq!(Shape::for_block_size(512, false).pointer_size, 500);
    }

    #[test]
    fn slots_fill_whole_leaves_first() {
        let shape = Shape::for_block_size(8192, true);
        assert_eq!(shape.directory_size(3), 120);
        assert_eq!(shape.directory_size(204), 8192);
        assert_eq!(shape.directory_size(205), 8232);
    }
}
