//! A block's type, by the number that stands on the disk and on the wire.
//!
//! Venti's programs use another numbering inside (their API's); [`BlockType::decoded`] gives it, since messages show it.

/// A legal block type. Identity of a block is its score together with this.
///
/// Pointer blocks above data and above directories share a number: a server cannot tell them apart and need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockType(u8);

impl BlockType {
    /// The root of an archive.
    pub const ROOT: BlockType = BlockType(1);
    /// A block of directory entries.
    pub const DIRECTORY: BlockType = BlockType(2);
    /// A leaf of plain data.
    pub const DATA: BlockType = BlockType(13);

    /// A pointer block `depth` (1..=7) levels above its leaves.
    pub const fn pointer(depth: u8) -> Option<BlockType> {
        if depth >= 1 && depth <= 7 { Some(BlockType(2 + depth)) } else { None }
    }

    /// The type with this number on disk or wire; `None` for the illegal ones (0, 10, 11, 12, 14 and up).
    pub const fn from_disk(number: u8) -> Option<BlockType> {
        match number {
            1..=9 | 13 => Some(BlockType(number)),
            _ => None,
        }
    }

    /// The number on disk and wire.
    pub const fn to_disk(self) -> u8 {
        self.0
    }

    /// The number that venti's programs show: 0 data, 8 directory, 9..=15 pointers, 16 root.
    pub const fn decoded(self) -> u8 {
        match self.0 {
            1 => 16,
            2 => 8,
            13 => 0,
            pointer => pointer + 6,
        }
    }

    /// The type that a person or program names by venti's own number (0 to 16).
    pub const fn from_decoded(number: u8) -> Option<BlockType> {
        match number {
            0 => Some(BlockType::DATA),
            8 => Some(BlockType::DIRECTORY),
            16 => Some(BlockType::ROOT),
            1..=7 => BlockType::pointer(number),
            9..=15 => BlockType::pointer(number - 8),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_agree_with_venti() {
        for (decoded, disk) in [(0, 13), (1, 3), (7, 9), (8, 2), (9, 3), (15, 9), (16, 1)] {
            assert_eq!(BlockType::from_decoded(decoded).map(BlockType::to_disk), Some(disk));
        }
        for disk in 0..=255 {
            if let Some(block_type) = BlockType::from_disk(disk) {
                assert_eq!(BlockType::from_decoded(block_type.decoded()), Some(block_type));
            } else {
                assert!(matches!(disk, 0 | 10..=12 | 14..), "{disk}");
            }
        }
    }
}
