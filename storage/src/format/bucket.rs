//! One block of an index section: the entries of all scores that fall into it, sorted.
//!
//! Knows a block and its section's magic number; which bucket a score belongs to is [`super::index_config`]'s.

use super::clump::CLUMP_HEADER_LEN;
use super::error::{FormatError, Structure};
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use core::cmp::Ordering;
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an entry.
pub const ENTRY_LEN: usize = size_of::<RawEntry>();

/// Bytes in front of the entries.
pub const BUCKET_HEADER_LEN: usize = size_of::<RawHeader>();

/// Unit of [`IndexEntry::read_hint`], in bytes.
pub const READ_HINT_UNIT: usize = 512;

const IT: Structure = Structure::Bucket;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    count: U16,
    magic: U32, // 0 in version 1
}
const _: () = assert!(size_of::<RawHeader>() == 6 && offset_of!(RawHeader, magic) == 2);

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    score: [u8; SCORE_LEN],
    reserved: [u8; 6], // once a time and a train number; venti writes zeros and ignores them
    address: U64,
    lump_len: U16,
    block_type: u8,
    read_hint: u8,
}
const _: () = assert!(size_of::<RawEntry>() == 38 && offset_of!(RawEntry, address) == 26);

/// Where the clump of a score and type stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The lump's score.
    pub score: Score,
    /// The lump's type.
    pub block_type: BlockType,
    /// Place of the clump in the index's address space (see [`super::index_config::ADDRESS_BASE`]).
    pub address: u64,
    /// Bytes of the lump.
    pub lump_len: u16,
    /// How much to read, in units of [`READ_HINT_UNIT`], rounded up. A hint only.
    pub read_hint: u8,
}

impl IndexEntry {
    /// The hint for a clump that holds `stored_len` bytes behind its header.
    pub fn read_hint_for(stored_len: u16) -> u8 {
        let units = (CLUMP_HEADER_LEN + usize::from(stored_len)).div_ceil(READ_HINT_UNIT);
        u8::try_from(units).unwrap_or(u8::MAX)
    }

    /// The entry as it stands on disk.
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        zerocopy::transmute!(RawEntry {
            score: self.score.0,
            reserved: [0; 6],
            address: self.address.into(),
            lump_len: self.lump_len.into(),
            block_type: self.block_type.to_disk(),
            read_hint: self.read_hint,
        })
    }
}

impl RawEntry {
    /// `None` for a type that no block has; such an entry answers no question.
    fn entry(&self) -> Option<IndexEntry> {
        Some(IndexEntry {
            score: Score(self.score),
            block_type: BlockType::from_disk(self.block_type)?,
            address: self.address.get(),
            lump_len: self.lump_len.get(),
            read_hint: self.read_hint,
        })
    }

    fn compare(&self, score: &Score, block_type: BlockType) -> Ordering {
        self.score.cmp(&score.0).then(self.block_type.cmp(&block_type.to_disk()))
    }
}

/// Entries that fit in a bucket of `block_size` bytes.
pub fn capacity(block_size: usize) -> usize {
    block_size.saturating_sub(BUCKET_HEADER_LEN) / ENTRY_LEN
}

/// The entries of a bucket.
#[derive(Clone, Copy)]
pub struct Bucket<'a> {
    entries: &'a [RawEntry],
}

impl<'a> Bucket<'a> {
    /// Looks at a block of a section with this bucket magic number (0 for version 1). Another number in the block
    /// means that nothing was written there since formatting. A count that the block has no room for is an error.
    pub fn parse(block: &'a [u8], magic: u32) -> Result<Bucket<'a>, FormatError> {
        let (header, _) = IT.take::<RawHeader>(block)?;
        let stale = magic != 0 && header.magic.get() != magic;
        let count = if stale { 0 } else { header.count.get() };
        IT.require(
            usize::from(count) <= capacity(block.len()),
            "count",
            count,
            "no more than fit in the block",
        )?;
        let bytes = block.get(BUCKET_HEADER_LEN..).unwrap_or_default();
        let entries = <[RawEntry]>::ref_from_prefix_with_elems(bytes, usize::from(count));
        Ok(Bucket { entries: entries.map_or(&[], |(entries, _)| entries) })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of this score and type.
    pub fn find(&self, score: &Score, block_type: BlockType) -> Option<IndexEntry> {
        let at = self.entries.binary_search_by(|entry| entry.compare(score, block_type)).ok()?;
        self.entries.get(at)?.entry()
    }

    /// The entries in their order; leaves out those of an illegal type.
    pub fn iter(&self) -> impl Iterator<Item = IndexEntry> + use<'a> {
        self.entries.iter().filter_map(RawEntry::entry)
    }

    /// Whether the entries ascend by score, then type, without a double: what [`Bucket::find`] relies on.
    pub fn is_sorted(&self) -> bool {
        let key = |entry: &RawEntry| (entry.score, entry.block_type);
        self.entries.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
    }
}

/// What [`insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The entry is new.
    New,
    /// An entry of that score and type was there and has been replaced.
    Replaced,
}

/// Why [`insert`] did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// No room. Venti keeps such entries in memory only and never counts them as indexed.
    #[error(
        "bucket overflow: the bucket holds {0} entries, all it has room for; the index needs more buckets"
    )]
    Full(usize),
    /// The block is no bucket; write an empty one over it and insert again what belongs there.
    #[error(transparent)]
    Damaged(#[from] FormatError),
}

/// Puts an entry where it belongs in a block of a section with this bucket magic number, replacing one of the same
/// score and type. A block that was never written is a bucket from then on.
pub fn insert(block: &mut [u8], magic: u32, entry: &IndexEntry) -> Result<Inserted, InsertError> {
    let bucket = Bucket::parse(block, magic)?;
    let count = bucket.len();
    let found = bucket.entries.binary_search_by(|other| other.compare(&entry.score, entry.block_type));
    let (at, outcome) = match found {
        Ok(at) => (at, Inserted::Replaced),
        Err(_) if count >= capacity(block.len()) => return Err(InsertError::Full(count)),
        Err(at) => (at, Inserted::New),
    };
    let place = BUCKET_HEADER_LEN + at * ENTRY_LEN;
    if outcome == Inserted::New {
        let end = BUCKET_HEADER_LEN + count * ENTRY_LEN;
        block.copy_within(place..end, place + ENTRY_LEN);
        write_header(block, count + 1, magic);
    }
    block[place..place + ENTRY_LEN].copy_from_slice(&entry.encode());
    Ok(outcome)
}

/// Keeps the entries that `keep` likes, in their order; drops the others and those of an illegal type. Returns how
/// many went.
pub fn retain(
    block: &mut [u8],
    magic: u32,
    mut keep: impl FnMut(&IndexEntry) -> bool,
) -> Result<usize, FormatError> {
    let count = Bucket::parse(block, magic)?.len();
    let (mut from, mut to) = (BUCKET_HEADER_LEN, BUCKET_HEADER_LEN);
    for _ in 0..count {
        let (entry, _) = IT.take::<RawEntry>(&block[from..])?;
        if entry.entry().is_some_and(|entry| keep(&entry)) {
            block.copy_within(from..from + ENTRY_LEN, to);
            to += ENTRY_LEN;
        }
        from += ENTRY_LEN;
    }
    let gone = (from - to) / ENTRY_LEN;
    if gone > 0 {
        block[to..from].fill(0);
        write_header(block, count - gone, magic);
    }
    Ok(gone)
}

/// The magic number that stands in a block; only in version 2 it is one.
pub fn magic_of(block: &[u8]) -> Option<u32> {
    let (header, _) = RawHeader::ref_from_prefix(block).ok()?;
    Some(header.magic.get())
}

/// Makes the block an empty bucket, all zero but for the magic number.
pub fn clear(block: &mut [u8], magic: u32) {
    block.fill(0);
    write_header(block, 0, magic);
}

fn write_header(block: &mut [u8], count: usize, magic: u32) {
    assert!(count <= capacity(block.len()));
    // At most 1724 entries fit in the largest block.
    let header = RawHeader { count: (count as u16).into(), magic: magic.into() };
    block[..BUCKET_HEADER_LEN].copy_from_slice(header.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;
    use std::vec::Vec;

    const MAGIC: u32 = 0xcafe_f00d;

    fn entry(number: u8, disk_type: u8) -> IndexEntry {
        IndexEntry {
            score: Score([number; SCORE_LEN]),
            block_type: BlockType::from_disk(disk_type).unwrap(),
            address: u64::from(number) << 20,
            lump_len: 8192,
            read_hint: IndexEntry::read_hint_for(8192),
        }
    }

    #[test]
    fn the_hint_counts_the_header_and_rounds_up() {
        for (stored, hint) in [(1, 1), (474, 1), (475, 2), (8192, 17), (57344, 113)] {
            assert_eq!(IndexEntry::read_hint_for(stored), hint);
        }
    }

    #[test]
    fn finds_by_score_and_type() {
        let mut block = vec![0xaa; 512];
        for number in [7, 1, 3, 9] {
            assert_eq!(insert(&mut block, MAGIC, &entry(number, 13)), Ok(Inserted::New));
        }
        assert_eq!(insert(&mut block, MAGIC, &entry(3, 2)), Ok(Inserted::New));
        assert_eq!(insert(&mut block, MAGIC, &entry(3, 13)), Ok(Inserted::Replaced));
        let bucket = Bucket::parse(&block, MAGIC).unwrap();
        assert_eq!(bucket.len(), 5);
        assert!(bucket.is_sorted());
        assert_eq!(bucket.find(&Score([3; 20]), BlockType::DIRECTORY), Some(entry(3, 2)));
        assert_eq!(bucket.find(&Score([3; 20]), BlockType::ROOT), None);
        assert_eq!(bucket.find(&Score([4; 20]), BlockType::DATA), None);
    }

    #[test]
    fn another_magic_number_means_empty_but_version_1_has_none() {
        let mut block = vec![0; 512];
        insert(&mut block, MAGIC, &entry(1, 13)).unwrap();
        assert!(Bucket::parse(&block, MAGIC + 1).unwrap().is_empty());
        assert_eq!(Bucket::parse(&block, 0).unwrap().len(), 1);
    }

    #[test]
    fn a_full_bucket_takes_no_more_and_stays_as_it_is() {
        let mut block = vec![0; 512];
        assert_eq!(capacity(512), 13);
        for number in 0..13 {
            insert(&mut block, 0, &entry(number, 13)).unwrap();
        }
        let before = block.clone();
        assert_eq!(insert(&mut block, 0, &entry(99, 13)), Err(InsertError::Full(13)));
        assert_eq!(block, before);
        assert_eq!(insert(&mut block, 0, &entry(5, 13)), Ok(Inserted::Replaced));
    }

    #[test]
    fn a_count_beyond_the_block_is_damage() {
        let mut block = vec![0; 512];
        block[1] = 14;
        assert!(Bucket::parse(&block, 0).is_err());
        assert!(matches!(insert(&mut block, 0, &entry(1, 13)), Err(InsertError::Damaged(_))));
        clear(&mut block, 0);
        assert!(Bucket::parse(&block, 0).unwrap().is_empty());
    }

    #[test]
    fn retain_drops_what_is_not_wanted_and_illegal_types() {
        let mut block = vec![0; 512];
        for number in 0..6 {
            insert(&mut block, MAGIC, &entry(number, 13)).unwrap();
        }
        block[BUCKET_HEADER_LEN + ENTRY_LEN + 36] = 0xff;
        assert_eq!(retain(&mut block, MAGIC, |entry| entry.address != 3 << 20), Ok(2));
        let left: Vec<u8> = Bucket::parse(&block, MAGIC).unwrap().iter().map(|e| e.score.0[0]).collect();
        assert_eq!(left, [0, 2, 4, 5]);
        assert!(block[BUCKET_HEADER_LEN + 4 * ENTRY_LEN..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut block = vec![0; 512];
        (0..10).for_each(|number| assert!(insert(&mut block, 0, &entry(number, 13)).is_ok()));
        never_panics(&block, |bytes| {
            if let Ok(bucket) = Bucket::parse(bytes, 0) {
                assert!(bucket.iter().count() <= bucket.len());
                bucket.find(&Score([3; 20]), BlockType::DATA);
                let mut copy = bytes.to_vec();
                let _ = insert(&mut copy, 0, &entry(3, 2));
                retain(&mut copy, 0, |entry| entry.score.0[0] & 1 == 0).unwrap();
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn behaves_like_a_sorted_map(inserts in proptest::collection::vec((0u8..8, 1u8..10, any::<u64>()), 0..20)) {
            let mut block = vec![0; 512];
            let mut model = BTreeMap::new();
            for (number, disk_type, address) in inserts {
                let it = IndexEntry { address, ..entry(number, disk_type) };
                let key = (it.score, it.block_type);
                let expected = match (model.contains_key(&key), model.len()) {
                    (true, _) => Ok(Inserted::Replaced),
                    (false, 13) => Err(InsertError::Full(13)),
                    (false, _) => Ok(Inserted::New),
                };
                prop_assert_eq!(insert(&mut block, MAGIC, &it), expected);
                if expected.is_ok() {
                    model.insert(key, it);
                }
            }
            let bucket = Bucket::parse(&block, MAGIC).unwrap();
            prop_assert!(bucket.is_sorted());
            prop_assert_eq!(bucket.iter().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
        }
    }
}
