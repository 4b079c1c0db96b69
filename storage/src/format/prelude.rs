//! What arena partitions and index sections have in common: the reserved start, the header's place, the text's place.
//!
//! The first 256 KiB belong to nobody (boot blocks; the configuration in their last 8 KiB). A 512-byte header follows,
//! then, from the next block border on, half a MiB of text, then the blocks that the partition is for.

use super::error::{FormatError, Structure};

/// Bytes at a partition's start that formatting leaves alone; the header's offset.
pub const PRELUDE_LEN: u64 = 256 * 1024;

/// Bytes of the header's sector.
pub const HEADER_LEN: u64 = 512;

/// Bytes of text that formatting leaves room for.
pub const TEXT_LEN: u64 = 512 * 1024;

/// Block size unless asked otherwise.
pub const BLOCK_SIZE_DEFAULT: u32 = 8 * 1024;

/// Smallest block that the structures fit in.
pub const BLOCK_SIZE_MIN: u32 = 512;

/// Largest block (`MaxDiskBlock`).
pub const BLOCK_SIZE_MAX: u32 = 64 * 1024;

/// Whether venti can work with blocks of this size: a power of two from 512 bytes to 64 KiB.
pub const fn is_block_size(block_size: u32) -> bool {
    block_size.is_power_of_two() && block_size >= BLOCK_SIZE_MIN && block_size <= BLOCK_SIZE_MAX
}

/// Offset of the text: the first block border behind the header. `block_size` is a power of two.
pub const fn text_base(block_size: u32) -> u64 {
    (PRELUDE_LEN + HEADER_LEN).next_multiple_of(block_size as u64)
}

/// Offset of the first arena or bucket in a partition that is formatted now.
pub const fn block_base(block_size: u32) -> u64 {
    (text_base(block_size) + TEXT_LEN).next_multiple_of(block_size as u64)
}

/// Bytes of a partition that are whole blocks.
pub const fn usable_len(partition_len: u64, block_size: u32) -> u64 {
    partition_len - partition_len % block_size as u64
}

impl Structure {
    pub(super) fn require_block_size(self, block_size: u32) -> Result<(), FormatError> {
        self.require(is_block_size(block_size), "block size", block_size, "a power of two from 512 to 65536")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_blocks_start_where_venti_puts_them() {
        for (block_size, text, blocks) in
            [(8192, 270_336, 794_624), (16384, 278_528, 802_816), (512, 262_656, 786_944)]
        {
            assert_eq!((text_base(block_size), block_base(block_size)), (text, blocks));
        }
    }
}
