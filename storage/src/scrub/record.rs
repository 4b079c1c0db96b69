//! What came of verifying an arena, and all such results as text: a line an arena, readable for people and scripts.
//!
//! Knows the text's form. A line that is none costs itself alone: that arena is verified again, sooner.

use crate::Timestamp;
use crate::format::Name;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt::{self, Write};

/// The last time that an arena was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubRecord {
    /// When the first of it was read.
    pub begun: Timestamp,
    /// When the last of it was read.
    pub ended: Timestamp,
    /// Clumps that were verified, from the first on.
    pub clumps: u32,
    /// Bytes of log that they take.
    pub bytes: u64,
    /// Places that do not hold what they must.
    pub damaged: u32,
    /// Blocks among them of which no good copy is left here.
    pub lost: u32,
    /// What came of the seal.
    pub seal: SealResult,
}

/// What came of an arena's seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SealResult {
    /// The arena is not sealed, or not summed yet.
    #[default]
    None,
    /// Every byte of the arena is as it was when it was sealed.
    Good,
    /// Something has changed since.
    Bad,
}

impl SealResult {
    const WORDS: [(SealResult, &str); 3] =
        [(SealResult::None, "none"), (SealResult::Good, "good"), (SealResult::Bad, "bad")];

    fn parse(text: &str) -> Option<SealResult> {
        Self::WORDS.iter().find(|(_, word)| *word == text).map(|(result, _)| *result)
    }
}

impl fmt::Display for SealResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(result, _)| result == self);
        f.write_str(word.map_or("none", |(_, word)| word))
    }
}

/// The last results of all arenas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubRecords {
    by_arena: BTreeMap<Name, ScrubRecord>,
}

/// A line that is no record. It is left out, and will be gone when the records are written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is no record of an arena, and is left out")]
pub struct BadLine(pub usize);

impl ScrubRecords {
    /// The record of an arena.
    pub fn get(&self, arena: &Name) -> Option<&ScrubRecord> {
        self.by_arena.get(arena)
    }

    /// Replaces the record of an arena.
    pub fn set(&mut self, arena: Name, record: ScrubRecord) {
        self.by_arena.insert(arena, record);
    }

    /// All of them, in the order of the arenas' names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &ScrubRecord)> {
        self.by_arena.iter()
    }

    /// Reads text as [`ScrubRecords::print`] writes it. `#` begins a comment; the last line of an arena counts.
    pub fn parse(text: &[u8]) -> (ScrubRecords, alloc::vec::Vec<BadLine>) {
        let (mut records, mut bad) = (ScrubRecords::default(), alloc::vec::Vec::new());
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match core::str::from_utf8(line).ok().and_then(parse_line) {
                Some((arena, record)) => records.set(arena, record),
                None => bad.push(BadLine(number)),
            }
        }
        (records, bad)
    }

    /// The text that [`ScrubRecords::parse`] reads. Times are seconds since 1970.
    pub fn print(&self) -> String {
        let mut text = String::from("# When Granary last verified each arena, and what came of it.\n");
        for (arena, record) in &self.by_arena {
            let ScrubRecord { begun, ended, clumps, bytes, damaged, lost, seal } = record;
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "begun={} ended={} clumps={clumps} bytes={bytes} damaged={damaged} lost={lost} seal={seal} \
                 arena={arena}",
                begun.0, ended.0
            );
        }
        text
    }
}

/// The arena's name comes last, since it may have blanks.
fn parse_line(line: &str) -> Option<(Name, ScrubRecord)> {
    let (fields, arena) = line.split_once(" arena=")?;
    let mut fields = fields.split(' ');
    let mut field = |key: &str| fields.next()?.strip_prefix(key)?.strip_prefix('=');
    let record = ScrubRecord {
        begun: Timestamp(field("begun")?.parse().ok()?),
        ended: Timestamp(field("ended")?.parse().ok()?),
        clumps: field("clumps")?.parse().ok()?,
        bytes: field("bytes")?.parse().ok()?,
        damaged: field("damaged")?.parse().ok()?,
        lost: field("lost")?.parse().ok()?,
        seal: SealResult::parse(field("seal")?)?,
    };
    fields.next().is_none().then_some((Name::new(arena).ok()?, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn record(bytes: u64) -> ScrubRecord {
        ScrubRecord {
            begun: Timestamp(1_800_000_000),
            ended: Timestamp(1_800_000_060),
            clumps: 7,
            bytes,
            damaged: 2,
            lost: 1,
            seal: SealResult::Bad,
        }
    }

    #[test]
    fn a_line_an_arena() {
        let mut records = ScrubRecords::default();
        records.set(name("arenas0"), record(4711));
        let text = records.print();
        let line = text.lines().nth(1).unwrap();
        assert_eq!(
            line,
            "begun=1800000000 ended=1800000060 clumps=7 bytes=4711 damaged=2 lost=1 seal=bad arena=arenas0"
        );
        assert_eq!(ScrubRecords::parse(text.as_bytes()), (records, vec![]));
    }

    #[test]
    fn lines_that_are_none_cost_themselves_alone() {
        let mut records = ScrubRecords::default();
        records.set(name("arenas1"), record(1));
        let good = records.print();
        let text = alloc::format!(
            "arena=arenas0\nbegun=1 ended=x clumps=1 bytes=1 damaged=0 lost=0 seal=none arena=arenas0\n\r\n{good}\
             begun=1 ended=1 clumps=1 bytes=1 damaged=0 lost=0 seal=none extra=1 arena=arenas2\nbegun=1"
        );
        let (parsed, bad) = ScrubRecords::parse(text.as_bytes());
        assert_eq!(parsed, records);
        assert_eq!(bad, [1, 2, 6, 7].map(BadLine));
        assert_eq!(ScrubRecords::parse(b"\xff\n"), (ScrubRecords::default(), vec![BadLine(1)]));
    }

    proptest! {
        #[test]
        fn reads_what_it_prints(
            arena in "[ -~]{1,63}",
            numbers in any::<(u32, u32, u32, u64, u32, u32)>(),
            seal in 0..3_usize,
        ) {
            let mut records = ScrubRecords::default();
            let (begun, ended, clumps, bytes, damaged, lost) = numbers;
            let (begun, ended) = (Timestamp(begun), Timestamp(ended));
            let seal = SealResult::WORDS[seal].0;
            records.set(name(&arena), ScrubRecord { begun, ended, clumps, bytes, damaged, lost, seal });
            prop_assert_eq!(ScrubRecords::parse(records.print().as_bytes()), (records, vec![]));
        }

        #[test]
        fn any_bytes_are_records_or_not(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            ScrubRecords::parse(&text);
        }
    }
}
