//! The text table inside a Plan 9 partition.
//!
//! Knows the lines `part NAME START END` in the partition's second sector (prep(8)). Must not know what a part holds, nor
//! how sectors are read. Sectors are counted from the start of the Plan 9 partition; END is exclusive.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

/// The table stands in this sector of the Plan 9 partition, all of it.
pub const TABLE_AT: u64 = 1;

/// What a table must begin with.
const MAGIC: &[u8] = b"part";
/// plan9port looks at no more lines than this.
const LINES_MAX: usize = 40;

/// One part of a Plan 9 partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, such as `arenas`.
    pub name: String,
    /// First sector, from the start of the Plan 9 partition.
    pub start: u64,
    /// One past the last sector.
    pub end: u64,
}

/// A line of a table that is not understood. Such lines are skipped, as prep(8) does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the Plan 9 table: {problem}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not four fields that begin with `part`.
    #[error("not of the form `part NAME START END`")]
    Form,
    /// A number that is none.
    #[error("START or END is not a number")]
    Number,
    /// A part without sectors.
    #[error("START is not below END")]
    Empty,
    /// The second part of a name. prep(8) stops here, so nothing behind is read.
    #[error("the name was used before")]
    Duplicate,
}

/// A table as it was read: the parts, and what could not be understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order of the lines.
    pub parts: Vec<Part>,
    /// In the order of the lines.
    pub bad_lines: Vec<BadLine>,
}

/// Reads the table in this sector; `None` where there is none.
pub fn parse(sector: &[u8]) -> Option<Table> {
    if !sector.starts_with(MAGIC) {
        return None;
    }
    let text = sector.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut table = Table::default();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let fields = core::str::from_utf8(bytes).map(str::trim_ascii);
        if fields == Ok("") {
            continue;
        }
        let part = fields.map_err(|_| Problem::Form).and_then(parse_line);
        let duplicate = |part: &Part| table.parts.iter().any(|other| other.name == part.name);
        match part {
            Ok(part) if duplicate(&part) => {
                table.bad_lines.push(BadLine { line, problem: Problem::Duplicate });
                break;
            }
            Ok(part) => table.parts.push(part),
            Err(problem) => table.bad_lines.push(BadLine { line, problem }),
        }
    }
    Some(table)
}

fn parse_line(line: &str) -> Result<Part, Problem> {
    let mut fields = line.split([' ', '\t', '\r']).filter(|field| !field.is_empty());
    let mut field = || fields.next().ok_or(Problem::Form);
    if field()? != "part" {
        return Err(Problem::Form);
    }
    let (name, start, end) = (field()?, field()?, field()?);
    if fields.next().is_some() {
        return Err(Problem::Form);
    }
    let (start, end) = (c_number(start).ok_or(Problem::Number)?, c_number(end).ok_or(Problem::Number)?);
    if start >= end {
        return Err(Problem::Empty);
    }
    Ok(Part { name: name.to_string(), start, end })
}

/// A number as C writes it: `0x` for sixteen, a leading `0` for eight, else ten.
fn c_number(text: &str) -> Option<u64> {
    let digits = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => (hex, 16),
        _ if text.len() > 1 && text.starts_with('0') => (text, 8),
        _ if digits => (text, 10),
        _ => return None,
    };
    u64::from_str_radix(digits, radix).ok()
}

/// Why a table cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// prep(8) would refuse to make this part.
    #[error(
        "part {0:?}: a name has no blanks, slashes or control characters, is used once, and only 9fat starts below 2"
    )]
    Refused(String),
    /// The parts overlap, or one is empty.
    #[error("part {0:?} is empty or overlaps another")]
    Overlap(String),
    /// All lines must fit in one sector.
    #[error("the table does not fit in one sector")]
    TooLong,
}

/// Writes the table for these parts as one sector, so that plan9port's stricter reader takes it too.
pub fn encode(parts: &[Part], sector_size: usize) -> Result<Vec<u8>, EncodeError> {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        let others = parts.get(..index).unwrap_or_default();
        let bad_name =
            part.name.is_empty() || part.name.contains(|c: char| c.is_ascii_control() || " /".contains(c));
        let bad_start = part.start < 2 && part.name != "9fat";
        if bad_name || bad_start || others.iter().any(|other| other.name == part.name) {
            return Err(EncodeError::Refused(part.name.clone()));
        }
        let overlaps = |other: &Part| part.start < other.end && other.start < part.end;
        if part.start >= part.end || others.iter().any(overlaps) {
            return Err(EncodeError::Overlap(part.name.clone()));
        }
        writeln!(text, "part {} {} {}", part.name, part.start, part.end).map_err(|_| EncodeError::TooLong)?;
    }
    if text.len() >= sector_size || parts.len() > LINES_MAX {
        return Err(EncodeError::TooLong);
    }
    let mut sector = text.into_bytes();
    sector.resize(sector_size, 0);
    Ok(sector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn part(name: &str, start: u64, end: u64) -> Part {
        Part { name: name.to_string(), start, end }
    }

    #[test]
    fn reads_what_it_writes() {
        let parts = [part("9fat", 0, 100), part("nvram", 100, 101), part("arenas", 128, 1 << 40)];
        let sector = encode(&parts, 512).unwrap();
        assert_eq!(parse(&sector), Some(Table { parts: parts.to_vec(), bad_lines: vec![] }));
        assert!(sector.starts_with(b"part 9fat 0 100\npart nvram 100 101\n"));
    }

    #[test]
    fn numbers_are_read_as_c_writes_them() {
        let table = parse(b"part a 0x10 040\npart\tb 32\t33\r\n\0junk").unwrap();
        assert_eq!(table.parts, [part("a", 16, 32), part("b", 32, 33)]);
        assert_eq!(table.bad_lines, []);
    }

    #[test]
    fn wrong_lines_are_skipped_and_named() {
        let table =
            parse(b"part a 5\npart b 9 9\npart c 1x 9\npart d +1 9\nparty e 1 2\npart f 2 3\n").unwrap();
        assert_eq!(table.parts, [part("f", 2, 3)]);
        let problems: Vec<_> = table.bad_lines.iter().map(|bad| (bad.line, bad.problem)).collect();
        let expected = [
            (1, Problem::Form),
            (2, Problem::Empty),
            (3, Problem::Number),
            (4, Problem::Number),
            (5, Problem::Form),
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_name_used_twice_ends_the_table_as_in_prep() {
        let table = parse(b"part a 2 3\npart a 4 5\npart b 6 7\n").unwrap();
        assert_eq!(table.parts, [part("a", 2, 3)]);
        assert_eq!(table.bad_lines, [BadLine { line: 2, problem: Problem::Duplicate }]);
    }

    #[test]
    fn refuses_to_write_what_prep_refuses() {
        for bad in [part("a b", 2, 3), part("a/b", 2, 3), part("", 2, 3), part("nvram", 1, 3)] {
            assert_eq!(encode(core::slice::from_ref(&bad), 512), Err(EncodeError::Refused(bad.name)));
        }
        let overlapping = [part("a", 2, 5), part("b", 4, 6)];
        assert_eq!(encode(&overlapping, 512), Err(EncodeError::Overlap("b".to_string())));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_not(text in "part[ \\t0-9a-zx\\n\\r/]{0,600}") {
            for part in parse(text.as_bytes()).unwrap().parts {
                prop_assert!(part.start < part.end);
            }
        }
    }
}
