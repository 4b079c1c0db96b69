//! Venti's disk structures. What parses must encode to bytes that parse to the same, and keep the bounds it promises.

use crate::Input;
use std::fmt::Debug;
use storage::block_type::BlockType;
use storage::format::arena_head::ArenaHead;
use storage::format::arena_partition::ArenaPartitionHeader;
use storage::format::arena_tail::ArenaTail;
use storage::format::bloom::BloomHeader;
use storage::format::bucket::{self, Bucket, IndexEntry, InsertError, Inserted};
use storage::format::clump::{CLUMP_HEADER_LEN, ClumpHeader, Encoding};
use storage::format::directory::{DirectoryRecord, RECORD_LEN};
use storage::format::geometry::ArenaGeometry;
use storage::format::index_config::{BucketSpread, IndexConfig};
use storage::format::index_section::IndexSectionHeader;
use storage::format::prelude::HEADER_LEN;
use storage::format::range_map::RangeMap;
use storage::score::{SCORE_LEN, Score};

/// Most buckets and ranges that are looked at one by one.
const MANY: usize = 64;

fn same<T: PartialEq + Debug, E: PartialEq + Debug>(again: Result<T, E>, value: T) {
    assert_eq!(again, Ok(value));
}

/// A score made of the next bytes.
fn score(input: &mut Input<'_>) -> Score {
    let mut score = [0; SCORE_LEN];
    score.iter_mut().zip(input.take(SCORE_LEN)).for_each(|(to, from)| *to = *from);
    Score(score)
}

/// The header of an arena partition, then its map.
pub fn arena_partition(data: &[u8]) {
    let Ok(header) = ArenaPartitionHeader::parse(data) else { return };
    same(ArenaPartitionHeader::parse(&header.encode()), header);
    let Ok(map) = RangeMap::parse(data.get(HEADER_LEN as usize..).unwrap_or_default()) else { return };
    let mut text = String::new();
    map.print(&mut text);
    same(RangeMap::parse(text.as_bytes()), map.clone());
    if header.check_map(&map, map.stop()).is_ok() {
        for range in map.ranges().iter().take(MANY) {
            assert!(range.start >= header.map_base() && range.stop <= map.stop());
            geometry(range.start, range.stop, header.block_size);
        }
    }
}

/// What the geometry of an arena says must lie inside it.
fn geometry(start: u64, stop: u64, block_size: u32) {
    let Ok(arena) = ArenaGeometry::new(start, stop, block_size) else { return };
    assert!(arena.log_base() < arena.tail_offset() && arena.tail_offset() + u64::from(block_size) <= stop);
    for number in [0, 1, 1000, u32::MAX] {
        let (block, offset) = arena.record_place(number);
        assert!(offset + RECORD_LEN <= block_size as usize);
        if let Some(block) = arena.directory_block(block) {
            assert!(block >= arena.log_base() && block + u64::from(block_size) <= arena.tail_offset());
        }
        assert!(arena.log_base() + arena.log_limit(number) <= arena.tail_offset());
        for used in [0, arena.size(), u64::MAX] {
            assert!(!arena.fits(used, number, u16::MAX) || used < arena.size());
        }
    }
}

/// The head block of an arena.
pub fn arena_head(data: &[u8]) {
    if let Ok(head) = ArenaHead::parse(data) {
        same(ArenaHead::parse(&head.encode()), head);
        geometry(1 << 20, (1_u64 << 20).saturating_add(head.arena_len), head.block_size);
    }
}

/// The tail block of an arena.
pub fn arena_tail(data: &[u8]) {
    let Ok(tail) = ArenaTail::parse(data) else { return };
    let mut block = vec![0xa5; data.len().max(512)];
    tail.encode_into(&mut block);
    same(ArenaTail::parse(&block), tail);
    assert!(block[block.len() - SCORE_LEN..].iter().all(|byte| *byte == 0xa5), "the seal was touched");
}

/// A clump: header and content, of an arena whose magic number is the one that stands there.
pub fn clump(data: &[u8]) {
    let magic = Input(data).word();
    let Ok(header) = ClumpHeader::parse(data, magic) else { return };
    same(ClumpHeader::parse(&header.encode(magic), magic), header);
    assert!(ClumpHeader::parse(data, !magic).is_err());
    let record = DirectoryRecord::from(&header);
    same(DirectoryRecord::parse(&record.encode()), record);
    assert_eq!(record.clump_len(), header.clump_len());
    let stored = data.get(CLUMP_HEADER_LEN..header.clump_len());
    if let (Some(stored), Encoding::Whack) = (stored, header.encoding) {
        if let Ok(plain) = storage::whack::decode(stored, header.lump_len.into()) {
            assert_eq!(plain.len(), usize::from(header.lump_len));
        }
    }
}

/// Records of a clump directory.
pub fn directory(data: &[u8]) {
    for bytes in data.chunks(RECORD_LEN) {
        if let Ok(record) = DirectoryRecord::parse(bytes) {
            same(DirectoryRecord::parse(&record.encode()), record);
        }
    }
}

/// The header of an index section.
pub fn index_section(data: &[u8]) {
    let Ok(header) = IndexSectionHeader::parse(data) else { return };
    same(IndexSectionHeader::parse(&header.encode()), header);
    assert!(header.text_base() + header.text_len() <= u64::from(header.block_base));
    for bucket in [header.start, header.stop.wrapping_sub(1), header.stop, 0, u32::MAX] {
        if let Some(offset) = header.bucket_offset(bucket) {
            assert!(offset >= u64::from(header.block_base));
            assert!(offset + u64::from(header.block_size) <= header.claimed_len());
        }
    }
}

/// The text that describes an index, and the buckets of a score in it.
pub fn index_config(data: &[u8]) {
    let Ok(config) = IndexConfig::parse(data) else { return };
    same(IndexConfig::parse(config.print().as_bytes()), config.clone());
    if let Ok(padded) = config.encode(data.len() + 4096) {
        same(IndexConfig::parse(&padded), config.clone());
    }
    if let Ok(spread) = BucketSpread::new(config.sections.stop()) {
        for score in [Score([0; SCORE_LEN]), Score([0xff; SCORE_LEN]), Score::of(data)] {
            assert!(spread.bucket_of(&score) < spread.buckets());
        }
    }
}

/// A bucket: parsed, searched, inserted into, thinned out.
pub fn bucket(data: &[u8]) {
    let mut input = Input(data);
    let version = input.byte();
    let entry = IndexEntry {
        score: score(&mut input),
        block_type: BlockType::from_disk(input.byte()).unwrap_or(BlockType::DATA),
        address: input.word().into(),
        lump_len: input.short(),
        read_hint: input.byte(),
    };
    let mut block = input.0.to_vec();
    // The magic number stands behind the count; version 1 has none.
    let magic = if version == 1 { 0 } else { Input(block.get(2..).unwrap_or_default()).word() };
    let Ok(before) = Bucket::parse(&block, magic) else {
        assert!(matches!(bucket::insert(&mut block, magic, &entry), Err(InsertError::Damaged(_))));
        return;
    };
    let (count, sorted) = (before.len(), before.is_sorted());
    assert!(before.iter().count() <= count && count <= bucket::capacity(block.len()));
    if sorted {
        before.iter().for_each(|entry| assert_eq!(before.find(&entry.score, entry.block_type), Some(entry)));
    }
    let inserted = bucket::insert(&mut block, magic, &entry);
    let after = Bucket::parse(&block, magic).expect("inserting keeps a bucket a bucket");
    assert_eq!(after.len(), count + usize::from(inserted == Ok(Inserted::New)));
    if sorted && inserted.is_ok() {
        assert!(after.is_sorted());
        assert_eq!(after.find(&entry.score, entry.block_type), Some(entry));
    }
    let gone = bucket::retain(&mut block, magic, |other| other.address % 2 == 0).expect("it is a bucket");
    let kept = Bucket::parse(&block, magic).expect("thinning out keeps a bucket a bucket");
    assert!(gone + kept.len() >= count && kept.iter().all(|entry| entry.address % 2 == 0));
    assert!(!sorted || kept.is_sorted());
}

/// A bloom filter, whole or cut off.
pub fn bloom(data: &[u8]) {
    let mut input = Input(data);
    let score = score(&mut input);
    let mut filter = input.0.to_vec();
    let Ok(header) = BloomHeader::parse(&filter) else { return };
    same(BloomHeader::parse(&header.encode()), header);
    header.mark(&mut filter, &score);
    assert!(header.may_contain(&filter, &score), "a score that was marked is hidden");
    same(BloomHeader::parse(&filter), header);
    assert!(header.positions(&score).all(|bit| u64::from(bit) < 8 * u64::from(header.size())));
}
