//! What all sections of an index say alike: which sections there are, which buckets each has, and which arenas the
//! index covers, at which addresses. And the arithmetic that follows: from score to bucket, from clump to address.

use super::name::Name;
use super::prelude::is_block_size;
use super::range_map::{NamedRange, RangeMap};
use super::text::{Lines, TextError, TextFault};
use crate::score::Score;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// First address of the index's address space (`IndexBase`).
pub const ADDRESS_BASE: u64 = 1024 * 1024;

const TITLE: &str = "venti index configuration";
const VERSION: u64 = 1;

/// The text at the start of every section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexConfig {
    /// The index's name.
    pub name: Name,
    /// Bytes in a bucket.
    pub block_size: u32,
    /// The sections in order, with the buckets that each has.
    pub sections: RangeMap,
    /// The arenas in order, with the addresses that each takes: as many as its log and directory have bytes.
    pub arenas: RangeMap,
}

/// A text that does not fit between the header and the first bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text takes {need} bytes, but there is room for {room}: fewer, larger arenas are needed")]
pub struct TextTooLong {
    /// Bytes of the text.
    pub need: usize,
    /// Bytes there are.
    pub room: usize,
}

impl IndexConfig {
    /// Reads the NUL padded text.
    pub fn parse(bytes: &[u8]) -> Result<IndexConfig, TextError> {
        let mut lines = Lines::new(bytes);
        if lines.next(TITLE)? != TITLE {
            return Err(lines.fault(TextFault::Word(TITLE)));
        }
        if lines.next_number("the version")? != VERSION {
            return Err(lines.fault(TextFault::Word("1")));
        }
        let name = lines.next_name("the index's name")?;
        let what = "the block size, a power of two from 512 to 65536,";
        let block_size = u32::try_from(lines.next_number(what)?).ok().filter(|&size| is_block_size(size));
        let block_size = block_size.ok_or(lines.fault(TextFault::Number(what)))?;
        let sections = RangeMap::parse_lines(&mut lines)?;
        let arenas = RangeMap::parse_lines(&mut lines)?;
        lines.finish()?;
        Ok(IndexConfig { name, block_size, sections, arenas })
    }

    /// The text without padding; parsing it gives the same again.
    pub fn print(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{TITLE}\n{VERSION}\n{}\n{}", self.name, self.block_size);
        self.sections.print(&mut text);
        self.arenas.print(&mut text);
        text
    }

    /// The text as it stands on disk: NUL padded to `len` bytes.
    pub fn encode(&self, len: usize) -> Result<Vec<u8>, TextTooLong> {
        pad_text(self.print(), len)
    }
}

/// Pads a text with NUL bytes to `len`, of which at least one must remain, since it ends the text for readers.
pub fn pad_text(text: String, len: usize) -> Result<Vec<u8>, TextTooLong> {
    let mut bytes = text.into_bytes();
    if bytes.len() >= len {
        return Err(TextTooLong { need: bytes.len(), room: len });
    }
    bytes.resize(len, 0);
    Ok(bytes)
}

/// How scores are spread over buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketSpread {
    buckets: u32,
    divisor: u64,
}

/// A number of buckets that venti refuses: no divisor yields exactly that many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no divisor of the scores yields {0} buckets: the index's section map is damaged")]
pub struct BadBucketCount(pub u64);

impl BucketSpread {
    /// The spread over the buckets of all sections; `buckets` is the end of the section map.
    pub fn new(buckets: u64) -> Result<BucketSpread, BadBucketCount> {
        let count = u32::try_from(buckets).ok().filter(|&count| count > 0).ok_or(BadBucketCount(buckets))?;
        let divisor = (1u64 << 32).div_ceil(buckets);
        if u64::from(u32::MAX) / divisor + 1 == buckets {
            Ok(BucketSpread { buckets: count, divisor })
        } else {
            Err(BadBucketCount(buckets))
        }
    }

    /// Number of buckets.
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// How many score prefixes share a bucket: `div` in venti's words.
    pub fn divisor(&self) -> u64 {
        self.divisor
    }

    /// The bucket of a score, below [`BucketSpread::buckets`].
    pub fn bucket_of(&self, score: &Score) -> u32 {
        // Fits: the prefix does, and the divisor is at least 1.
        (u64::from(score.prefix()) / self.divisor) as u32
    }
}

/// The arena map of a new index: arenas of these names and sizes (log and directory together) get addresses one
/// after another, behind those of `existing` (as `fmtindex -a` leaves them).
pub fn place_arenas(
    existing: &RangeMap,
    arenas: impl IntoIterator<Item = (Name, u64)>,
) -> Result<RangeMap, super::range_map::RangeMapError> {
    let mut ranges = existing.ranges().to_vec();
    let mut start = existing.ranges().last().map_or(ADDRESS_BASE, |last| last.stop);
    for (name, size) in arenas {
        let stop = start.checked_add(size).ok_or(super::range_map::RangeMapError::Order(ranges.len()))?;
        ranges.push(NamedRange { name, start, stop });
        start = stop;
    }
    RangeMap::new(ranges)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use std::string::ToString;

    const TEXT: &str = "venti index configuration\n1\nmain\n8192\n2\nisect0\t0\t287\nisect1\t287\t446\n\
                        2\narenas0\t1048576\t2080768\narenas1\t2080768\t3112960\n";

    #[test]
    fn reads_what_it_prints() {
        let config = IndexConfig::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(config.print(), TEXT);
        assert_eq!(config.sections.stop(), 446);
        let padded = config.encode(8192).unwrap();
        assert_eq!(padded.len(), 8192);
        assert_eq!(IndexConfig::parse(&padded), Ok(config.clone()));
        assert_eq!(config.encode(TEXT.len()), Err(TextTooLong { need: TEXT.len(), room: TEXT.len() }));
    }

    #[test]
    fn names_the_line_at_fault() {
        for (from, to, expected) in [
            ("venti i", "Venti i", "line 1: `venti index configuration` must stand here"),
            ("\n1\n", "\n2\n", "line 2: `1` must stand here"),
            ("main", "", "line 3: a name has at least"),
            ("8192", "8191", "line 4: the block size, a power of two"),
            ("287\t446", "286\t446", "line 7: the ranges must ascend"),
            ("arenas1", "arenas0", "line 10: this name stands on line 9, too"),
            ("3112960\n", "3112960", "line 10: the text ends where another range"),
        ] {
            let found = IndexConfig::parse(TEXT.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn spreads_scores_as_venti_does() {
        let spread = BucketSpread::new(446).unwrap();
        assert_eq!(spread.divisor(), 9_629_972);
        let score = "bd99126ad6d3f1be5754bde2b2932d4d819183cc".parse().unwrap();
        assert_eq!(spread.bucket_of(&score), 330);
        assert_eq!(spread.bucket_of(&Score([0xff; 20])), 445);
        for bad in [0, 1 << 32, 1 << 33, (1 << 31) + 1, 1_000_000_007] {
            assert_eq!(BucketSpread::new(bad), Err(BadBucketCount(bad)));
        }
        assert_eq!(BucketSpread::new(1).unwrap().bucket_of(&Score([0xff; 20])), 0);
    }

    #[test]
    fn arenas_take_addresses_one_after_another() {
        let names = ["a", "b", "c"].map(|name| Name::new(name).unwrap());
        let map = place_arenas(&RangeMap::default(), [(names[0], 10), (names[1], 20)]).unwrap();
        let more = place_arenas(&map, [(names[2], 5)]).unwrap();
        let stops: std::vec::Vec<u64> = more.ranges().iter().map(|range| range.stop - ADDRESS_BASE).collect();
        assert_eq!(stops, [10, 30, 35]);
        assert!(place_arenas(&map, [(names[0], 1)]).is_err());
        assert!(place_arenas(&map, [(names[2], u64::MAX)]).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(TEXT.as_bytes(), |bytes| {
            if let Ok(config) = IndexConfig::parse(bytes) {
                let _ = BucketSpread::new(config.sections.stop());
                assert_eq!(IndexConfig::parse(config.print().as_bytes()), Ok(config));
            }
        });
    }
}
