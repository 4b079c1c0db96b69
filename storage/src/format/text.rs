//! Lines of the texts on a venti disk, each with its number. Strict, unlike venti's own readers, which skip blanks and
//! comments and take trailing rubbish. Knows nothing of what the lines say.

use super::name::{Name, NameError};

/// A text on a disk that does not say what it must; lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct TextError {
    /// The line at fault.
    pub line: usize,
    /// What is wrong there.
    pub fault: TextFault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// The text ends, but more must follow.
    #[error("the text ends where {0} must stand")]
    Ends(&'static str),
    /// Neither ASCII nor the padding after the end.
    #[error("a byte that is no printable character")]
    NotText,
    /// Something stands after the end.
    #[error("something stands after the end of the text")]
    Trailing,
    /// Not decimal digits only, or too large.
    #[error("{0} must be a decimal number, without anything else, that fits its field")]
    Number(&'static str),
    /// Another word.
    #[error("`{0}` must stand here")]
    Word(&'static str),
    /// Another number of fields.
    #[error("{0} must stand here, separated by tabs")]
    Fields(&'static str),
    /// A name that cannot be one.
    #[error("{0}")]
    Name(NameError),
    /// A name that stood on an earlier line.
    #[error("this name stands on line {0}, too")]
    Twice(usize),
    /// A range that ends before it starts, or starts before the one before it has ended.
    #[error("the ranges must ascend and not overlap")]
    Order,
    /// More lines than venti can hold.
    #[error("{0}")]
    TooMany(&'static str),
}

/// Reads a NUL padded text line by line.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    /// Starts at the first line of `bytes`; the text ends at the first NUL.
    pub(super) fn new(bytes: &'a [u8]) -> Lines<'a> {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        Lines { rest: &bytes[..end], line: 0 }
    }

    /// The line that was read last, for complaints.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// A complaint about the line that was read last.
    pub(super) fn fault(&self, fault: TextFault) -> TextError {
        TextError { line: self.line, fault }
    }

    /// The next line without its newline; `what` says what must stand there.
    pub(super) fn next(&mut self, what: &'static str) -> Result<&'a str, TextError> {
        self.line += 1;
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or(self.fault(TextFault::Ends(what)))?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        if !line.iter().all(|&byte| byte == b'\t' || (0x20..=0x7e).contains(&byte)) {
            return Err(self.fault(TextFault::NotText));
        }
        core::str::from_utf8(line).map_err(|_| self.fault(TextFault::NotText))
    }

    /// A line that is a number.
    pub(super) fn next_number(&mut self, what: &'static str) -> Result<u64, TextError> {
        let line = self.next(what)?;
        self.number(line, what)
    }

    /// A line that is a name.
    pub(super) fn next_name(&mut self, what: &'static str) -> Result<Name, TextError> {
        let line = self.next(what)?;
        self.name(line)
    }

    /// A number on the line read last: digits only, no needless zero, so that printing gives the same text.
    pub(super) fn number(&self, text: &str, what: &'static str) -> Result<u64, TextError> {
        let digits =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse().ok().filter(|_| digits).ok_or(self.fault(TextFault::Number(what)))
    }

    /// A name on the line read last.
    pub(super) fn name(&self, text: &str) -> Result<Name, TextError> {
        Name::new(text).map_err(|cause| self.fault(TextFault::Name(cause)))
    }

    /// Checks that nothing is left.
    pub(super) fn finish(&mut self) -> Result<(), TextError> {
        self.line += 1;
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault(TextFault::Trailing)) }
    }
}
