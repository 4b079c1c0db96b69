//! The map that stands in arena partitions and index sections: named ranges, as text.
//!
//! A decimal count on a line of its own, then per range `name TAB start TAB stop`. What the numbers count (bytes of a
//! partition, buckets, index addresses) is the owner's business.

use super::name::Name;
use super::text::{Lines, TextError, TextFault};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use hashbrown::HashMap;

/// Most ranges in a map (`MaxAMap`).
pub const RANGES_MAX: usize = 31 * 1024;

/// A named range; `stop` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedRange {
    /// Unique within its map.
    pub name: Name,
    /// First number inside.
    pub start: u64,
    /// First number behind.
    pub stop: u64,
}

impl NamedRange {
    /// Numbers in the range; 0 for one that is upside down.
    pub fn len(&self) -> u64 {
        self.stop.saturating_sub(self.start)
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Named ranges in ascending order, without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeMap {
    ranges: Vec<NamedRange>,
}

/// Ranges that make no map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeMapError {
    /// More than [`RANGES_MAX`].
    #[error("a map holds at most {RANGES_MAX} ranges")]
    TooMany,
    /// Upside down, or starting before the range in front has ended.
    #[error("range {0} does not ascend, or overlaps the one in front of it")]
    Order(usize),
    /// A name that an earlier range has.
    #[error("range {0} has the name of range {1}")]
    Twice(usize, usize),
}

impl RangeMap {
    /// Checks order and names. Errors number the ranges from 0.
    pub fn new(ranges: Vec<NamedRange>) -> Result<RangeMap, RangeMapError> {
        if ranges.len() > RANGES_MAX {
            return Err(RangeMapError::TooMany);
        }
        let mut names = HashMap::with_capacity(ranges.len());
        let mut last = 0;
        for (number, range) in ranges.iter().enumerate() {
            if range.start < last || range.stop < range.start {
                return Err(RangeMapError::Order(number));
            }
            last = range.stop;
            if let Some(earlier) = names.insert(range.name, number) {
                return Err(RangeMapError::Twice(number, earlier));
            }
        }
        Ok(RangeMap { ranges })
    }

    /// The ranges in order.
    pub fn ranges(&self) -> &[NamedRange] {
        &self.ranges
    }

    /// End of the last range, 0 without ranges.
    pub fn stop(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.stop)
    }

    /// Reads a map that is all of a NUL padded text.
    pub fn parse(bytes: &[u8]) -> Result<RangeMap, TextError> {
        let mut lines = Lines::new(bytes);
        let map = RangeMap::parse_lines(&mut lines)?;
        lines.finish()?;
        Ok(map)
    }

    /// Reads a map that begins on the next line.
    pub(super) fn parse_lines(lines: &mut Lines<'_>) -> Result<RangeMap, TextError> {
        let count = lines.next_number("the number of ranges")?;
        let too_many = lines.fault(TextFault::TooMany("venti knows at most 31744 ranges"));
        let count = usize::try_from(count).ok().filter(|&count| count <= RANGES_MAX).ok_or(too_many)?;
        let first_line = lines.line() + 1;
        let mut ranges = Vec::new();
        for _ in 0..count {
            let line = lines.next("another range")?;
            let mut fields = line.split('\t');
            let (Some(name), Some(start), Some(stop), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                return Err(lines.fault(TextFault::Fields("a name and two numbers")));
            };
            ranges.push(NamedRange {
                name: lines.name(name)?,
                start: lines.number(start, "the start of a range")?,
                stop: lines.number(stop, "the end of a range")?,
            });
        }
        RangeMap::new(ranges).map_err(|error| match error {
            RangeMapError::TooMany => too_many,
            RangeMapError::Order(number) => TextError { line: first_line + number, fault: TextFault::Order },
            RangeMapError::Twice(number, earlier) => {
                TextError { line: first_line + number, fault: TextFault::Twice(first_line + earlier) }
            }
        })
    }

    /// Appends the text, without padding.
    pub fn print(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", self.ranges.len());
        for range in &self.ranges {
            let _ = writeln!(text, "{}\t{}\t{}", range.name, range.start, range.stop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::ToString;

    fn complaint(text: &str) -> String {
        RangeMap::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_it_prints() {
        let text = "2\narenas0\t794624\t1843200\narenas1\t1843200\t2891776\n";
        let map = RangeMap::parse(format!("{text}\0\0\0").as_bytes()).unwrap();
        assert_eq!(map.ranges()[1].start, 1_843_200);
        assert_eq!(map.stop(), 2_891_776);
        let mut printed = String::new();
        map.print(&mut printed);
        assert_eq!(printed, text);
    }

    #[test]
    fn an_empty_map_is_a_zero() {
        assert_eq!(RangeMap::parse(b"0\n\0"), Ok(RangeMap::default()));
    }

    #[test]
    fn names_the_line_at_fault() {
        for (text, expected) in [
            ("", "line 1: the text ends where the number of ranges must stand"),
            ("1", "line 1: the text ends"),
            ("1x\n", "line 1: the number of ranges must be a decimal number"),
            ("+1\n", "line 1: the number of ranges must be a decimal number"),
            ("01\na\t1\t2\n", "line 1: the number of ranges must be a decimal number"),
            ("31745\n", "line 1: venti knows at most"),
            ("2\na\t1\t2\n", "line 3: the text ends where another range must stand"),
            ("1\na 1 2\n", "line 2: a name and two numbers must stand here"),
            ("1\na\t1\t2\t3\n", "line 2: a name and two numbers"),
            ("1\n\t1\t2\n", "line 2: a name has at least one"),
            ("1\na\t1\t99999999999999999999\n", "line 2: the end of a range must be"),
            ("1\na\t2\t1\n", "line 2: the ranges must ascend"),
            ("2\na\t1\t5\nb\t4\t6\n", "line 3: the ranges must ascend"),
            ("2\na\t1\t2\na\t2\t3\n", "line 3: this name stands on line 2"),
            ("1\na\t1\t2\nmore\n", "line 3: something stands after"),
            ("1\n\u{e9}\t1\t2\n", "line 2: a byte that is no printable"),
        ] {
            let found = complaint(text);
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn whatever_is_read_prints_the_same(text in "[0-3]\n(a|b|[ -~]{0,3}|\t|[0-9]{1,2}|\n|\0){0,20}") {
            if let Ok(map) = RangeMap::parse(text.as_bytes()) {
                let mut printed = String::new();
                map.print(&mut printed);
                prop_assert_eq!(printed.as_str(), text.split('\0').next().unwrap());
            }
        }
    }
}
