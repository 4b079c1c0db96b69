//! The log's last lines, in memory of a fixed size, and what a line is: time, level, source, text.
//!
//! Knows lines and their order. Must not know who logs, nor where lines go. Nothing here allocates but what is read out,
//! so that a line can be kept at any time.

use alloc::vec::Vec;
use chrono::{DateTime, Datelike, Timelike};
use core::fmt::{self, Write};
use log::Level;

/// Bytes of the longest line; longer ones are cut.
pub const LINE_MAX: usize = 1024;
/// Bytes of lines that a node keeps.
pub const JOURNAL_LEN: usize = 64 << 10;

/// A text on one line: what would break it, or steer a terminal, becomes `?`.
#[derive(Clone, Debug, Default)]
pub struct Line(heapless::String<LINE_MAX>);

impl Line {
    /// What `text` shows.
    pub fn new(text: fmt::Arguments<'_>) -> Line {
        let mut line = Line::default();
        // A line cannot fail: what does not fit is cut.
        let _ = line.write_fmt(text);
        line
    }

    /// It.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            let letter = if letter.is_control() { '?' } else { letter };
            if self.0.push(letter).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A time as RFC 3339 writes it, in UTC, to the millisecond: microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        let (year, month, day) = (at.year(), at.month(), at.day());
        let (hour, minute, second) = (at.hour(), at.minute(), at.second());
        let millis = at.timestamp_subsec_millis();
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// A level in a word, as lines have it.
pub const fn level_word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// The last lines, `N` bytes of them.
pub struct Journal<const N: usize> {
    bytes: [u8; N],
    /// Bytes that were ever written.
    end: u64,
}

impl<const N: usize> Default for Journal<N> {
    fn default() -> Journal<N> {
        Journal::new()
    }
}

impl<const N: usize> Journal<N> {
    /// One without lines.
    pub const fn new() -> Journal<N> {
        Journal { bytes: [0; N], end: 0 }
    }

    /// Adds a line: `TIME LEVEL SOURCE: TEXT`.
    pub fn push(&mut self, at: Stamp, level: Level, source: &str, text: &Line) {
        // Nothing here fails.
        let _ = writeln!(self, "{at} {} {source}: {}", level_word(level), text.as_str());
    }

    /// The lines from `position` on, whole ones only, and where the next read goes on. What is no longer there is passed
    /// over: then the first value says how many bytes were.
    pub fn since(&self, position: u64) -> (u64, Vec<u8>, u64) {
        let oldest = self.end.saturating_sub(N as u64);
        let first = position.clamp(oldest, self.end);
        let at = |position: u64| (position % N as u64) as usize;
        let mut lines: Vec<u8> = (first..self.end).map(|position| self.bytes[at(position)]).collect();
        if first > position {
            // The first line is cut.
            let cut = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1);
            lines.drain(..cut);
        }
        (self.end - lines.len() as u64 - position.min(self.end), lines, self.end)
    }

    /// All of them.
    pub fn text(&self) -> Vec<u8> {
        self.since(0).1
    }
}

impl<const N: usize> Write for Journal<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.bytes[(self.end % N as u64) as usize] = byte;
            self.end += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;
    use std::format;

    const AT: Stamp = Stamp(1_782_641_666_123_456);

    #[test]
    fn a_line_says_when_how_grave_where_and_what() {
        let mut journal = Journal::<200>::new();
        journal.push(
            AT,
            Level::Warn,
            "net::http",
            &Line::new(format_args!("no {}", "room\x1b[2J\nerror fake")),
        );
        let text = String::from_utf8(journal.text()).unwrap();
        assert_eq!(text, "2026-06-28T10:14:26.123Z warn net::http: no room?[2J?error fake\n");
    }

    #[test]
    fn long_lines_are_cut_at_a_letter() {
        let line = Line::new(format_args!("{}", "é".repeat(2000)));
        assert_eq!(line.as_str().len(), LINE_MAX);
    }

    proptest! {
        #[test]
        fn the_newest_whole_lines_are_kept_and_a_reader_misses_only_what_is_gone(
            lens in proptest::collection::vec(0..90_usize, 1..60),
            reads in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let mut journal = Journal::<300>::new();
            let (mut all, mut position, mut read) = (String::new(), 0, String::new());
            let mut missed = 0;
            for (number, (len, reads)) in lens.iter().zip(reads).enumerate() {
                let text = format!("{number} {}", "x".repeat(*len));
                journal.push(AT, Level::Info, "a", &Line::new(format_args!("{text}")));
                all += &format!("{AT} info a: {text}\n");
                let kept = String::from_utf8(journal.text()).unwrap();
                prop_assert!(all.ends_with(&kept));
                prop_assert!(kept.len() <= 300 && (kept.len() == all.len() || kept.len() > 300 - 150));
                if reads {
                    let (lost, lines, next) = journal.since(position);
                    missed += lost;
                    read += core::str::from_utf8(&lines).unwrap();
                    position = next;
                    prop_assert_eq!(read.len() as u64 + missed, all.len() as u64);
                    prop_assert!(all.ends_with(core::str::from_utf8(&lines).unwrap()));
                }
            }
        }
    }
}
