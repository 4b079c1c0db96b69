//! Every structure of four stores that plan9port's venti filled: it reads as the tables beside them say, and what was
//! read writes the same bytes again.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use storage::block_type::BlockType;
use storage::format::arena_head::ArenaHead;
use storage::format::arena_partition::ArenaPartitionHeader;
use storage::format::arena_tail::{ArenaTail, seal_of};
use storage::format::bloom::{BloomHeader, is_in_header, set, test};
use storage::format::bucket::{self, Bucket, IndexEntry};
use storage::format::clump::{ClumpError, ClumpHeader, Encoding};
use storage::format::config::{CONFIG_OFFSET, VentiConfig};
use storage::format::directory::{DirectoryRecord, RecordError};
use storage::format::geometry::ArenaGeometry;
use storage::format::index_config::{BucketSpread, IndexConfig};
use storage::format::index_section::IndexSectionHeader;
use storage::format::prelude::{PRELUDE_LEN, usable_len};
use storage::format::range_map::{NamedRange, RangeMap};
use storage::format::seal::Sealer;
use storage::score::Score;
use storage::whack::{Encoder, decode};

const STORES: [&str; 4] = ["main", "small/v4", "small/b16k", "small/b512"];

fn folder(store: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/venti").join(store)
}

fn image(store: &str, name: &str) -> Option<Vec<u8>> {
    let file = std::fs::File::open(folder(store).join(format!("{name}.img.gz"))).ok()?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// The lines of a table: each by the names of the columns.
fn table(store: &str, name: &str) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(folder(store).join(name)).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').map(String::from).collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    let columns = columns.iter().map(|column| column.trim_start_matches('#').to_string());
    let columns: Vec<String> = columns.collect();
    lines.map(|line| columns.iter().cloned().zip(line).collect()).collect()
}

fn at(bytes: &[u8], offset: u64, len: usize) -> &[u8] {
    &bytes[offset as usize..][..len]
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes.split(|&byte| byte == 0).next().unwrap()).unwrap()
}

/// One arena with its partition's bytes.
struct Arena<'a> {
    partition: &'a [u8],
    range: NamedRange,
    geometry: ArenaGeometry,
    head: ArenaHead,
    tail: ArenaTail,
}

impl Arena<'_> {
    fn log(&self) -> &[u8] {
        at(self.partition, self.geometry.log_base(), self.geometry.size() as usize)
    }

    fn tail_block(&self) -> &[u8] {
        at(self.partition, self.geometry.tail_offset(), self.geometry.block_size() as usize)
    }

    /// Offset, header and packed bytes of every clump, as the log has them up to its end mark.
    fn clumps(&self) -> Vec<(u64, ClumpHeader, &[u8])> {
        let mut clumps = Vec::new();
        let mut offset = 0;
        loop {
            match ClumpHeader::parse(&self.log()[offset as usize..], self.tail.clump_magic) {
                Ok(header) => {
                    let clump = at(self.log(), offset, header.clump_len());
                    assert_eq!(header.encode(self.tail.clump_magic), clump[..38]);
                    clumps.push((offset, header, &clump[38..]));
                    offset += header.clump_len() as u64;
                }
                Err(error) => {
                    assert_eq!(error, ClumpError::EndOfLog);
                    assert_eq!(offset, self.tail.written.used);
                    return clumps;
                }
            }
        }
    }
}

/// The arenas of a partition; header, map, heads and tails are checked to be what they would be written as.
fn arenas(partition: &[u8]) -> Vec<Arena<'_>> {
    let sector = at(partition, PRELUDE_LEN, 512);
    let header = ArenaPartitionHeader::parse(sector).unwrap();
    assert_eq!(header.encode(), sector);
    let text = at(partition, header.map_base(), header.map_len() as usize);
    let map = RangeMap::parse(text).unwrap();
    let mut printed = String::new();
    map.print(&mut printed);
    assert_eq!(printed, text_of(text));
    header.check_map(&map, partition.len() as u64).unwrap();
    let arena = |range: &NamedRange| {
        let geometry = ArenaGeometry::new(range.start, range.stop, header.block_size).unwrap();
        let block = at(partition, range.start, header.block_size as usize);
        let head = ArenaHead::parse(block).unwrap();
        assert_eq!(head.encode(), block);
        assert_eq!((head.name, head.arena_len), (range.name, range.len()));
        let block = at(partition, geometry.tail_offset(), header.block_size as usize);
        let tail = ArenaTail::parse(block).unwrap();
        let mut again = block.to_vec();
        tail.encode_into(&mut again);
        assert!(again == block, "tail of {}", range.name);
        assert_eq!((tail.name, tail.clump_magic, tail.version), (head.name, head.clump_magic, head.version));
        Arena { partition, range: *range, geometry, head, tail }
    };
    map.ranges().iter().map(arena).collect()
}

#[test]
fn heads_and_tails_say_what_the_table_says() {
    let images = [image("main", "arenas").unwrap(), image("main", "extra").unwrap()];
    let found: Vec<Arena<'_>> = images.iter().flat_map(|image| arenas(image)).collect();
    let expected = table("main", "ARENAS.tsv");
    assert_eq!((found.len(), expected.len()), (18, 18));
    for (arena, row) in found.iter().zip(&expected) {
        let tail = &arena.tail;
        assert_eq!(tail.indexed, tail.written, "everything in this store is indexed");
        let counters = tail.written;
        for (column, value) in [
            ("arena", arena.range.name.to_string()),
            ("start", arena.geometry.start().to_string()),
            ("stop", arena.geometry.stop().to_string()),
            ("data_base", arena.geometry.log_base().to_string()),
            ("data_size", arena.geometry.size().to_string()),
            ("version", arena.head.version.number().to_string()),
            ("clumpmagic", format!("{:08x}", tail.clump_magic)),
            ("blocksize", arena.head.block_size.to_string()),
            ("ctime", tail.created_at.0.to_string()),
            ("wtime", tail.written_at.0.to_string()),
            ("clumps", counters.clumps.to_string()),
            ("cclumps", counters.compressed_clumps.to_string()),
            ("used", counters.used.to_string()),
            ("uncsize", counters.uncompressed_size.to_string()),
            ("sealed", u8::from(counters.sealed).to_string()),
            ("seal_score", seal_of(arena.tail_block()).unwrap().to_string()),
        ] {
            assert_eq!(row[column], value, "{column} of {}", arena.range.name);
        }
    }
}

#[test]
fn tails_before_indexing_have_both_sets_of_counters() {
    for (offset, sealed) in [(1_835_008, true), (2_883_584, true), (3_932_160, false)] {
        let name = format!("unindexed/arenas-tail-at-{offset}.bin");
        let block = std::fs::read(folder("main").join(name)).unwrap();
        let tail = ArenaTail::parse(&block).unwrap();
        assert_eq!((tail.indexed.clumps, tail.indexed.sealed), (0, false));
        assert!(tail.written.clumps > 0 && tail.written.sealed == sealed);
        let mut again = vec![0xff; block.len()];
        again[block.len() - 20..].fill(0);
        tail.encode_into(&mut again);
        assert!(again == block);
    }
}

#[test]
fn seals_recompute() {
    let image = image("main", "arenas").unwrap();
    let mut sealed = 0;
    for arena in arenas(&image).iter().filter(|arena| arena.tail.indexed.sealed) {
        let mut sealer = Sealer::new(&arena.geometry);
        let bytes = at(&image, arena.geometry.start(), arena.geometry.len() as usize);
        bytes.chunks(100_000).for_each(|chunk| sealer.update(chunk).unwrap());
        assert_eq!(sealer.finish().ok(), seal_of(arena.tail_block()), "{}", arena.range.name);
        sealed += 1;
    }
    assert_eq!(sealed, 2);
}

#[test]
fn every_clump_is_in_the_manifest_and_in_the_directory() {
    for store in STORES {
        let image = image(store, "arenas").unwrap();
        let mut rows = table(store, "MANIFEST.tsv").into_iter();
        for arena in arenas(&image) {
            let clumps = arena.clumps();
            assert_eq!(clumps.len() as u32, arena.tail.written.clumps, "{store}");
            for (number, (offset, header, _)) in clumps.iter().enumerate() {
                let row = rows.next().unwrap();
                for (column, value) in [
                    ("arena", arena.range.name.to_string()),
                    ("clump", number.to_string()),
                    ("offset", offset.to_string()),
                    ("score", header.score.to_string()),
                    ("type", header.block_type.decoded().to_string()),
                    ("disktype", header.block_type.to_disk().to_string()),
                    ("size", header.lump_len.to_string()),
                    ("disksize", header.stored_len.to_string()),
                    ("encoding", if header.encoding == Encoding::Plain { "1" } else { "2" }.to_string()),
                ] {
                    assert_eq!(row[column], value, "{store} {column} of clump {number}");
                }
                let record = record_of(&arena, number as u32);
                assert_eq!(DirectoryRecord::parse(record), Ok(DirectoryRecord::from(header)));
                assert_eq!(DirectoryRecord::from(header).encode(), record);
            }
            let behind = record_of(&arena, clumps.len() as u32);
            assert_eq!(DirectoryRecord::parse(behind), Err(RecordError::Unwritten), "{store}");
        }
        assert!(rows.next().is_none(), "{store}: the log lacks clumps");
    }
}

fn record_of<'a>(arena: &'a Arena<'_>, number: u32) -> &'a [u8] {
    let (block, inside) = arena.geometry.record_place(number);
    at(arena.partition, arena.geometry.directory_block(block).unwrap() + inside as u64, 25)
}

#[test]
fn every_clump_unpacks_to_its_score_and_packs_as_venti_packed_it() {
    let mut encoder = Encoder::new();
    let mut packed_clumps = 0;
    for store in STORES {
        let image = image(store, "arenas").unwrap();
        for arena in arenas(&image) {
            for (offset, header, stored) in arena.clumps() {
                let place = format!("{store} {} {offset}", arena.range.name);
                let mut packed = Vec::new();
                if header.encoding == Encoding::Plain {
                    assert_eq!(Score::of(stored), header.score, "{place}");
                    assert_eq!(encoder.encode(stored, &mut packed), None, "{place}");
                } else {
                    let plain = decode(stored, header.lump_len.into()).unwrap();
                    assert_eq!(Score::of(&plain), header.score, "{place}");
                    encoder.encode(&plain, &mut packed).unwrap();
                    assert!(packed == stored, "{place} packs to other bytes");
                    packed_clumps += 1;
                }
            }
        }
    }
    assert!(packed_clumps > 700, "{packed_clumps}");
}

/// The index sections of a store, with their headers checked.
fn sections(store: &str) -> Vec<(IndexSectionHeader, Vec<u8>)> {
    let images = ["isect", "isect0", "isect1"].iter().filter_map(|name| image(store, name));
    let check = |bytes: Vec<u8>| {
        let sector = at(&bytes, PRELUDE_LEN, 512);
        let header = IndexSectionHeader::parse(sector).unwrap();
        assert_eq!(header.encode(), sector, "{store}");
        assert_eq!(header.claimed_len(), usable_len(bytes.len() as u64, header.block_size));
        (header, bytes)
    };
    images.map(check).collect()
}

#[test]
fn every_clump_is_in_its_bucket_and_nothing_else_is() {
    for store in STORES {
        let sections = sections(store);
        let (first, bytes) = &sections[0];
        let text = at(bytes, first.text_base(), first.text_len() as usize);
        let config = IndexConfig::parse(text).unwrap();
        assert!(config.encode(text.len()).unwrap() == text, "{store}");
        let spread = BucketSpread::new(config.sections.stop()).unwrap();
        let mut entries = 0;
        for (section, bytes) in &sections {
            for number in section.start..section.stop {
                let place = section.bucket_offset(number).unwrap();
                let block = at(bytes, place, section.block_size as usize);
                entries += check_bucket(block, section.bucket_magic, |entry| {
                    assert_eq!(spread.bucket_of(&entry.score), number);
                });
            }
        }
        let image = image(store, "arenas").unwrap();
        let mut clumps = 0;
        for arena in arenas(&image) {
            let base = config.arenas.ranges().iter().find(|range| range.name == arena.range.name).unwrap();
            assert_eq!(base.len(), arena.geometry.size());
            for (offset, header, _) in arena.clumps() {
                let bucket = spread.bucket_of(&header.score);
                let (section, bytes) =
                    sections.iter().find(|(section, _)| section.bucket_offset(bucket).is_some()).unwrap();
                let block = at(bytes, section.bucket_offset(bucket).unwrap(), section.block_size as usize);
                let bucket = Bucket::parse(block, section.bucket_magic).unwrap();
                let expected = IndexEntry {
                    score: header.score,
                    block_type: header.block_type,
                    address: base.start + offset,
                    lump_len: header.lump_len,
                    read_hint: IndexEntry::read_hint_for(header.stored_len),
                };
                assert_eq!(bucket.find(&header.score, header.block_type), Some(expected), "{store}");
                clumps += 1;
            }
        }
        assert_eq!(entries, clumps, "{store}: entries and clumps");
    }
}

/// Checks that a bucket is sorted and is what inserting its entries in reverse makes; returns how many it holds.
fn check_bucket(block: &[u8], magic: u32, check: impl Fn(&IndexEntry)) -> usize {
    let bucket = Bucket::parse(block, magic).unwrap();
    assert!(bucket.is_sorted());
    let entries: Vec<IndexEntry> = bucket.iter().collect();
    assert_eq!(entries.len(), bucket.len());
    let mut again = vec![0; block.len()];
    for entry in entries.iter().rev() {
        check(entry);
        bucket::insert(&mut again, magic, entry).unwrap();
    }
    assert!(entries.is_empty() || again == block);
    entries.len()
}

#[test]
fn the_bloom_filter_has_the_bits_of_every_clump_and_no_others() {
    let filter = image("main", "bloom").unwrap();
    let header = BloomHeader::parse(&filter).unwrap();
    assert_eq!((header.hashes(), header.size() as usize), (32, filter.len()));
    let mut again = vec![0; filter.len()];
    again[..16].copy_from_slice(&header.encode());
    let mut pieces = again.clone();
    let mut blind = Vec::new();
    let image = image("main", "arenas").unwrap();
    for arena in arenas(&image) {
        for (_, clump, _) in arena.clumps() {
            assert!(header.may_contain(&filter, &clump.score));
            header.mark(&mut again, &clump.score);
            for bit in header.positions(&clump.score) {
                if test(&filter, 0, bit) == Some(false) {
                    assert!(is_in_header(bit));
                    blind.push((clump.score, clump.block_type));
                }
                for (number, piece) in pieces.chunks_mut(65536).enumerate() {
                    set(piece, number as u64 * 65536, bit);
                }
            }
        }
    }
    assert!(again == filter && pieces == filter);
    let expected = table("main", "BLOOM-BLIND.tsv").remove(0);
    let block_type = BlockType::from_decoded(expected["type"].parse().unwrap()).unwrap();
    assert_eq!(blind, [(expected["score"].parse().unwrap(), block_type)]);
}

#[test]
fn configurations_read_as_files_and_inside_a_partition() {
    for store in STORES {
        let text = std::fs::read(folder(store).join("venti.conf")).unwrap();
        let config = VentiConfig::parse(&text).unwrap();
        assert_eq!(config.index.unwrap().as_str(), "main");
        assert_eq!(VentiConfig::parse(config.to_string().as_bytes()), Ok(config.clone()));
        if store == "main" {
            assert_eq!((config.sections.len(), config.arenas.len()), (2, 2));
            assert_eq!((config.mem, config.icmem), (Some(4 << 20), Some(8 << 20)));
            let image = image("main", "arenas").unwrap();
            assert_eq!(VentiConfig::parse_block(at(&image, CONFIG_OFFSET, 8192)), Ok(config));
        }
    }
}
