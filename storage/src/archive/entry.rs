//! Entries: the 40 bytes that describe a stream.

use crate::archive::BLOCK_LEN_MAX;
use crate::archive::shape::{DEPTH_MAX, Shape};
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};

/// Bytes in an entry.
pub const ENTRY_LEN: usize = 40;
/// Largest stream: sizes have 48 bits.
pub const STREAM_LEN_MAX: u64 = (1 << 48) - 1;

const ACTIVE: u8 = 0x01;
const DIRECTORY: u8 = 0x02;
const DEPTH: u8 = 0x1c;
const DEPTH_SHIFT: u32 = 2;
const LOCAL: u8 = 0x20;
/// Sizes are in floating form. (9front: "no archive"; such entries have nothing below.)
const LARGE_SIZES: u8 = 0x40;
const NO_ARCHIVE: u8 = 0x80;
/// Sizes that stand for the zeros which old vacs wrote for empty streams.
const SIZE_WHERE_NONE: u32 = 4096;

/// An active entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Generation of the slot; file entries repeat it.
    pub generation: u32,
    /// The stream's block sizes, depth and kind.
    pub shape: Shape,
    /// Means nothing in venti; vac leaves it set where it changed a block after its first write.
    pub local: bool,
    /// Fossil's mark on temporary files; such entries have size 0 and nothing below.
    pub no_archive: bool,
    /// Bytes in the stream (48 bits).
    pub size: u64,
    /// The top block; [`Score::ZERO`] where there is none.
    pub score: Score,
}

/// Bytes that are no entry of a stream that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Fewer than 40 bytes.
    #[error("entry cut off after {0} bytes")]
    Length(usize),
    /// A block size below 256.
    #[error("entry with impossible block sizes {pointer_size} and {leaf_size}")]
    BlockSize {
        /// Bytes in a pointer block.
        pointer_size: u32,
        /// Bytes in a leaf block.
        leaf_size: u32,
    },
    /// More bytes than the tree's depth can hold.
    #[error("entry with {size} bytes in a tree of depth {depth}")]
    Depth {
        /// Bytes in the stream.
        size: u64,
        /// Levels of pointer blocks.
        depth: u8,
    },
}

impl Entry {
    /// The entry of a stream without bytes.
    pub fn empty(shape: Shape) -> Entry {
        let shape = Shape { depth: 0, ..shape };
        Entry { generation: 0, shape, local: false, no_archive: false, size: 0, score: Score::ZERO }
    }

    /// Reads one entry; `None` for a slot that is not in use.
    pub fn parse(bytes: &[u8]) -> Result<Option<Entry>, BadEntry> {
        let fields: &[u8; ENTRY_LEN] =
            bytes.get(..ENTRY_LEN).and_then(|b| b.try_into().ok()).ok_or(BadEntry::Length(bytes.len()))?;
        let flags = fields[8];
        if flags & ACTIVE == 0 {
            return Ok(None);
        }
        let mut score = [0; SCORE_LEN];
        score.copy_from_slice(&fields[20..]);
        let score = Score(score);
        let size = u64::from_be_bytes([
            0, 0, fields[14], fields[15], fields[16], fields[17], fields[18], fields[19],
        ]);
        let raw = [u16::from_be_bytes([fields[4], fields[5]]), u16::from_be_bytes([fields[6], fields[7]])];
        let [pointer_size, leaf_size] = sizes(raw, flags, size == 0 && is_nothing(score))?;
        let depth = (flags & DEPTH) >> DEPTH_SHIFT;
        let shape = Shape { is_directory: flags & DIRECTORY != 0, depth, pointer_size, leaf_size };
        if depth < shape.depth_for(size) {
            return Err(BadEntry::Depth { size, depth });
        }
        Ok(Some(Entry {
            generation: u32::from_be_bytes([fields[0], fields[1], fields[2], fields[3]]),
            shape,
            local: flags & LOCAL != 0,
            no_archive: flags & NO_ARCHIVE != 0,
            size,
            score,
        }))
    }

    /// The 40 bytes.
    ///
    /// # Errors
    /// If a block size above 65535 cannot be written exactly.
    pub fn to_bytes(&self) -> Result<[u8; ENTRY_LEN], SizeNotExact> {
        assert!(
            self.size <= STREAM_LEN_MAX && self.shape.depth <= DEPTH_MAX,
            "a stream is bounded when it is made"
        );
        let shape = &self.shape;
        let mut flags = ACTIVE | (shape.depth << DEPTH_SHIFT);
        for (set, flag) in
            [(shape.is_directory, DIRECTORY), (self.local, LOCAL), (self.no_archive, NO_ARCHIVE)]
        {
            flags |= if set { flag } else { 0 };
        }
        let sizes = match (u16::try_from(shape.pointer_size), u16::try_from(shape.leaf_size)) {
            (Ok(pointer), Ok(leaf)) => [pointer, leaf],
            _ => {
                flags |= LARGE_SIZES;
                [FloatingSize::of(shape.pointer_size)?.0, FloatingSize::of(shape.leaf_size)?.0]
            }
        };
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&self.generation.to_be_bytes());
        bytes[4..6].copy_from_slice(&sizes[0].to_be_bytes());
        bytes[6..8].copy_from_slice(&sizes[1].to_be_bytes());
        bytes[8] = flags;
        bytes[14..20].copy_from_slice(&self.size.to_be_bytes()[2..]);
        bytes[20..].copy_from_slice(&self.score.0);
        Ok(bytes)
    }

    /// The type of the top block.
    pub fn block_type(&self) -> BlockType {
        self.shape.type_at(self.shape.depth)
    }
}

/// Whether a score names no block at all.
pub fn is_nothing(score: Score) -> bool {
    score == Score::ZERO || score == Score::NULL
}

/// The sizes in an entry's two fields. Where nothing hangs below the entry, absurd ones do no harm.
fn sizes(raw: [u16; 2], flags: u8, nothing_below: bool) -> Result<[u32; 2], BadEntry> {
    let large = flags & LARGE_SIZES != 0;
    let sizes = raw.map(|size| if large { FloatingSize(size).value() } else { u32::from(size) });
    if sizes.iter().all(|size| *size >= 256) {
        return Ok(sizes);
    }
    let [pointer_size, leaf_size] = sizes;
    if nothing_below {
        Ok([SIZE_WHERE_NONE; 2])
    } else {
        Err(BadEntry::BlockSize { pointer_size, leaf_size })
    }
}

/// The entries of a directory block, by slot. Slots that are not in use are left out; the last one may have
/// been cut by zero truncation. Slots that make no sense are given as errors.
pub fn entries_of(stored: &[u8]) -> impl Iterator<Item = (usize, Result<Entry, BadEntry>)> + '_ {
    stored
        .get(..stored.len().min(BLOCK_LEN_MAX as usize))
        .unwrap_or(stored)
        .chunks(ENTRY_LEN)
        .enumerate()
        .filter_map(|(slot, cut)| {
            let mut whole = [0; ENTRY_LEN];
            whole.iter_mut().zip(cut).for_each(|(to, from)| *to = *from);
            Entry::parse(&whole).transpose().map(|entry| (slot, entry))
        })
}

/// A size with eleven significant bits: `(raw >> 5) << (raw & 31)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatingSize(pub u16);

/// A block size that has no floating form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block size {0} cannot be written exactly: choose a multiple of a larger power of two")]
pub struct SizeNotExact(pub u32);

impl FloatingSize {
    /// The size it stands for, `u32::MAX` where that is more than 32 bits hold.
    pub fn value(self) -> u32 {
        let size = u64::from(self.0 >> 5) << (self.0 & 31);
        u32::try_from(size).unwrap_or(u32::MAX)
    }

    /// The form of `size`, if it has one.
    pub fn of(size: u32) -> Result<FloatingSize, SizeNotExact> {
        let shift = (32 - size.leading_zeros()).saturating_sub(11);
        let significant = size >> shift;
        if significant << shift != size {
            return Err(SizeNotExact(size));
        }
        u16::try_from(significant << 5 | shift).map(FloatingSize).map_err(|_| SizeNotExact(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn shape(depth: u8) -> Shape {
        Shape { is_directory: false, depth, pointer_size: 8180, leaf_size: 8192 }
    }

    #[test]
    fn sizes_above_65535_are_floating_and_exact_or_refused() {
        for (size, raw) in [(131_072, 0x8007), (65_536, 0x8006), (2047, 0xffe0), (1 << 31, 0x8015)] {
            assert_eq!(FloatingSize::of(size), Ok(FloatingSize(raw)), "{size}");
            assert_eq!(FloatingSize(raw).value(), size);
        }
        assert_eq!(FloatingSize::of(65_537), Err(SizeNotExact(65_537)));
        assert_eq!(FloatingSize(0xffff).value(), u32::MAX);
    }

    #[test]
    fn unused_slots_are_nothing_whatever_the_rest_says() {
        let mut bytes = [0xff; ENTRY_LEN];
        bytes[8] = 0xfe;
        assert_eq!(Entry::parse(&bytes), Ok(None));
    }

    #[test]
    fn block_sizes_of_zero_are_good_only_where_nothing_hangs_below() {
        let mut bytes = [0; ENTRY_LEN];
        bytes[8] = ACTIVE;
        bytes[20..].copy_from_slice(&Score::ZERO.0);
        assert_eq!(Entry::parse(&bytes).unwrap().unwrap().shape.leaf_size, 4096);
        bytes[20] ^= 1;
        assert!(matches!(Entry::parse(&bytes), Err(BadEntry::BlockSize { .. })));
    }

    #[test]
    fn a_tree_too_shallow_for_its_size_is_refused() {
        let bytes = Entry { size: 8192, ..Entry::empty(shape(0)) }.to_bytes().unwrap();
        assert!(Entry::parse(&bytes).unwrap().is_some());
        let bytes = Entry { size: 8193, ..Entry::empty(shape(0)) }.to_bytes().unwrap();
        assert_eq!(Entry::parse(&bytes), Err(BadEntry::Depth { size: 8193, depth: 0 }));
    }

    #[test]
    fn the_last_entry_of_a_block_may_have_been_cut() {
        let entry = Entry {
            score: Score([[7; 19].as_slice(), &[0]].concat().try_into().unwrap()),
            ..Entry::empty(shape(0))
        };
        let block = [entry.to_bytes().unwrap(), entry.to_bytes().unwrap()].concat();
        let read: Vec<_> = entries_of(&block[..79]).collect();
        assert_eq!(read, [(0, Ok(entry)), (1, Ok(entry))]);
    }

    proptest! {
        #[test]
        fn an_entry_that_parses_is_written_back_alike(
            bytes in proptest::array::uniform32(any::<u8>()), flags in any::<u8>(),
        ) {
            let mut raw = [0; ENTRY_LEN];
            raw[..32].copy_from_slice(&bytes);
            raw[8] = flags | ACTIVE;
            if let Ok(Some(entry)) = Entry::parse(&raw) && let Ok(again) = entry.to_bytes() {
                prop_assert_eq!(Entry::parse(&again), Ok(Some(entry)));
            }
        }
    }
}
