//! ndb(6) text: records of attributes and values, with everything else that stands in a file kept as it is.
//!
//! Knows the syntax as 9front's libndb reads it. Must not know which attributes mean what.
//!
//! A record begins with a line whose first character is no blank, and goes on through lines that begin with one. A `#`
//! begins a comment, an empty line ends a record, and a last line without its newline is none: whoever wrote it may not
//! have finished. ANTS' scorecopy puts `⊞` in the place of blanks while it works; where it was cut off, they count as
//! the blanks they were.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of an attribute that libndb keeps.
const ATTRIBUTE_LEN_MAX: usize = 31;
/// What scorecopy writes for a blank while it works.
const BLANK_OF_SCORECOPY: char = '⊞';

/// An attribute and its value; the value is empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    /// The attribute.
    pub attribute: String,
    /// The value, without quotes.
    pub value: String,
}

/// A stretch of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its bytes, with its newlines.
    pub raw: Vec<u8>,
    /// What it says. Nothing: a comment, an empty line, or a line that is not whole.
    pub tuples: Vec<Tuple>,
}

impl Item {
    /// The first value of an attribute.
    pub fn value(&self, attribute: &str) -> Option<&str> {
        self.tuples.iter().find(|tuple| tuple.attribute == attribute).map(|tuple| tuple.value.as_str())
    }

    /// Whether it is a whole record.
    pub fn is_record(&self) -> bool {
        !self.tuples.is_empty()
    }

    /// Whether it is a line that was never finished.
    pub fn is_cut_off(&self) -> bool {
        !self.raw.ends_with(b"\n")
    }
}

/// Cuts a file into its items; their bytes one after another are the file again.
pub fn parse(text: &[u8]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    // Comments after a record: they are within it if a line follows that continues it.
    let mut behind: Vec<Item> = Vec::new();
    let mut open = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let other = || Item { raw: line.to_owned(), tuples: Vec::new() };
        match line {
            [b'#', ..] => behind.push(other()),
            [b' ' | b'\t' | b'\r', ..] if open && line.ends_with(b"\n") => {
                if let Some(record) = items.last_mut() {
                    behind.drain(..).for_each(|comment| record.raw.extend_from_slice(&comment.raw));
                    record.raw.extend_from_slice(line);
                    record.tuples.extend(tuples(line));
                }
            }
            [.., b'\n'] => {
                items.append(&mut behind);
                open = !matches!(line, [b'\n' | b' ' | b'\t' | b'\r', ..]);
                let tuples = if open { tuples(line) } else { Vec::new() };
                items.push(Item { tuples, ..other() });
            }
            _ => behind.push(other()),
        }
    }
    items.append(&mut behind);
    items
}

/// The tuples of one line.
fn tuples(line: &[u8]) -> Vec<Tuple> {
    let line = String::from_utf8_lossy(line).replace(BLANK_OF_SCORECOPY, " ");
    let mut rest = line.trim_start_matches(is_blank);
    let mut tuples = Vec::new();
    while !rest.is_empty() && !rest.starts_with('#') {
        let end = rest.find(|c| is_blank(c) || c == '=').unwrap_or(rest.len());
        let (attribute, behind) = rest.split_at(end);
        rest = behind.trim_start_matches(is_blank);
        let value = match rest.strip_prefix('=') {
            Some(behind) => {
                let (value, behind) = cut_value(behind);
                rest = behind.trim_start_matches(is_blank);
                value
            }
            None => "",
        };
        let kept = attribute.char_indices().map(|(at, c)| at + c.len_utf8());
        let kept = kept.take_while(|end| *end <= ATTRIBUTE_LEN_MAX).last().unwrap_or(0);
        tuples.push(Tuple { attribute: attribute[..kept].to_owned(), value: value.to_owned() });
    }
    tuples
}

/// The value behind a `=`, and the rest.
fn cut_value(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find(['"', '\n']).unwrap_or(quoted.len());
        let (value, rest) = quoted.split_at(end);
        return (value, rest.strip_prefix('"').unwrap_or(rest));
    }
    // A comment may begin directly behind the sign.
    let end = if text.starts_with('#') { 0 } else { text.find(is_blank).unwrap_or(text.len()) };
    text.split_at(end)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// A record as one line, with its newline. `None` if an attribute or value cannot be written: ndb has no way to quote a
/// `"` or a newline.
pub fn line<'a>(tuples: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Vec<u8>> {
    let mut line = String::new();
    for (attribute, value) in tuples {
        let illegal = |c: char| is_blank(c) || matches!(c, '=' | '#' | '"' | BLANK_OF_SCORECOPY);
        if attribute.is_empty() || attribute.len() > ATTRIBUTE_LEN_MAX || attribute.contains(illegal) {
            return None;
        }
        if value.contains(['"', '\n', '\r', '\t', BLANK_OF_SCORECOPY]) {
            return None;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let quote = if value.contains(' ') || value.starts_with('#') { "\"" } else { "" };
        line.extend([attribute, "=", quote, value, quote]);
    }
    line.push('\n');
    Some(line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn records(text: &str) -> Vec<Vec<(String, String)>> {
        let pairs = |item: &Item| {
            item.tuples.iter().map(|tuple| (tuple.attribute.clone(), tuple.value.clone())).collect()
        };
        parse(text.as_bytes()).iter().filter(|item| item.is_record()).map(pairs).collect()
    }

    fn check(text: &str, expected: &[&[(&str, &str)]]) {
        let expected: Vec<Vec<(String, String)>> = expected
            .iter()
            .map(|record| record.iter().map(|(a, v)| ((*a).to_owned(), (*v).to_owned())).collect())
            .collect();
        assert_eq!(records(text), expected, "{text:?}");
    }

    #[test]
    fn records_are_read_as_libndb_reads_them() {
        check("a=1 b=2\nc=3\n", &[&[("a", "1"), ("b", "2")], &[("c", "3")]]);
        check("a=1\n\tb=2\n# no end\n c=3\n\nd=4\n", &[&[("a", "1"), ("b", "2"), ("c", "3")], &[("d", "4")]]);
        check("a =1 b= 2\n", &[&[("a", "1"), ("b", ""), ("2", "")]]);
        check("a=\"two words\"b=x\"y\n", &[&[("a", "two words"), ("b", "x\"y")]]);
        check("a=\"no end\n", &[&[("a", "no end")]]);
        check("a=#1 b=2 #c=3\n", &[&[("a", "")]]);
        check("a=x#y #z\n", &[&[("a", "x#y")]]);
        check("alone\n", &[&[("alone", "")]]);
    }

    #[test]
    fn a_last_line_without_newline_is_not_believed() {
        check("a=1\nb=2", &[&[("a", "1")]]);
        assert!(parse(b"a=1\nb=2").last().unwrap().is_cut_off());
    }

    #[test]
    fn the_blanks_of_a_scorecopy_that_was_cut_off_are_blanks() {
        check("a=1⊞b=\"two⊞words\"\n", &[&[("a", "1"), ("b", "two words")]]);
    }

    #[test]
    fn orphaned_continuations_and_comments_are_kept_and_say_nothing() {
        check("\tb=2\n\n c=3\n# d=4\n", &[]);
    }

    #[test]
    fn a_line_is_read_as_it_was_meant() {
        let written = line([("scorename", "a.1"), ("user", "two words"), ("note", ""), ("n", "#1")]).unwrap();
        assert_eq!(written, b"scorename=a.1 user=\"two words\" note= n=\"#1\"\n");
        check(
            core::str::from_utf8(&written).unwrap(),
            &[&[("scorename", "a.1"), ("user", "two words"), ("note", ""), ("n", "#1")]],
        );
        for bad in [("a", "x\"y"), ("a", "x\ny"), ("a b", "x"), ("", "x"), ("a", "x⊞y")] {
            assert_eq!(line([bad]), None, "{bad:?}");
        }
    }

    #[test]
    fn long_attributes_are_cut_where_libndb_cuts_them() {
        let long = "é".repeat(40);
        let read = parse(std::format!("{long}=1\n").as_bytes());
        assert_eq!(read[0].tuples, vec![Tuple { attribute: "é".repeat(15), value: "1".to_owned() }]);
    }

    proptest! {
        #[test]
        fn no_byte_of_a_file_is_lost(text in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b' '), Just(b'\t'), Just(b'#'), Just(b'='), Just(b'"'), any::<u8>()], 0..200)
        ) {
            let again: Vec<u8> = parse(&text).iter().flat_map(|item| item.raw.clone()).collect();
            prop_assert_eq!(again, text);
        }

        #[test]
        fn any_value_is_written_so_that_it_is_read_or_refused(value in "\\PC{0,20}") {
            if let Some(text) = line([("a", value.as_str())]) {
                let read = parse(&text);
                prop_assert_eq!(read[0].value("a"), Some(value.as_str()));
            }
        }
    }
}
