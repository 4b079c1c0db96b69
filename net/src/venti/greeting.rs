//! The line that each end sends first, and the choice of a version.
//!
//! Form: `venti-` versions `-` comment, newline; versions are separated by `:`. Existing implementations scan
//! the whole rest of the line for versions, so no word of a comment, cut at `:` and `-`, may be `02` or `04`;
//! anything else is free text for them and may announce what this end can do besides.

use super::Version;
use alloc::vec::Vec;

/// What this end says, as server and as client. 04 stands before 02: two ends that list the same versions in
/// different order could disagree.
pub const OURS: &[u8] = b"venti-04:02-granary have\n";

/// The word with which a server announces that it answers [`super::message::Message::Thave`].
pub const HAVE: &str = "have";

/// What a server says that answers [`super::message::Message::Tnames`], too.
pub const OURS_WITH_NAMES: &[u8] = b"venti-04:02-granary have names\n";

/// The word with which it announces that.
pub const NAMES: &str = "names";

/// Longest line accepted, newline included.
pub const MAX_LINE: usize = 1023;

const PREFIX: &[u8] = b"venti-";

/// The peer's line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The first version in the line that this end speaks, too.
    pub first: Version,
    /// Whether the peer speaks both versions; then the order of its list and of ours may disagree.
    pub both: bool,
    line: Vec<u8>,
}

impl Greeting {
    /// Whether the comment contains `word`; words end at blanks.
    pub fn announces(&self, word: &str) -> bool {
        let text = self.line.get(PREFIX.len()..).unwrap_or_default();
        let comment =
            text.split(|&byte| byte == b'-').skip(1).flat_map(|part| part.split(|&byte| byte == b' '));
        let mut words = comment.filter(|part| !part.is_empty());
        words.any(|part| part == word.as_bytes())
    }
}

/// Why a peer's line was refused. The connection closes without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGreeting {
    /// Something else than venti is speaking.
    #[error("the first line does not begin with `venti-`")]
    NotVenti,
    /// A byte outside 0x20..=0x7f (a carriage return, a tab, UTF-8).
    #[error("the first line holds the byte {0:#04x}, which is no printable ASCII")]
    BadByte(u8),
    /// 1024 bytes or more.
    #[error("the first line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// No common version.
    #[error("the peer speaks neither version 04 nor 02 of the protocol")]
    NoVersion,
}

/// Collects the peer's line from however many pieces it arrives in.
#[derive(Debug, Default)]
pub struct GreetingReader {
    line: Vec<u8>,
}

impl GreetingReader {
    /// Takes bytes from the front of `input`, never beyond the newline. `None`: the line goes on.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<Greeting>, BadGreeting> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if byte == b'\n' {
                return understand(core::mem::take(&mut self.line)).map(Some);
            }
            if self.line.len() + 1 >= MAX_LINE {
                return Err(BadGreeting::TooLong);
            }
            if !(0x20..=0x7f).contains(&byte) {
                return Err(BadGreeting::BadByte(byte));
            }
            if PREFIX.get(self.line.len()).is_some_and(|&wanted| wanted != byte) {
                return Err(BadGreeting::NotVenti);
            }
            self.line.push(byte);
        }
        Ok(None)
    }
}

fn understand(line: Vec<u8>) -> Result<Greeting, BadGreeting> {
    let words = line.strip_prefix(PREFIX).ok_or(BadGreeting::NotVenti)?;
    let mut versions = words.split(|byte| matches!(byte, b':' | b'-')).filter_map(|word| match word {
        b"02" => Some(Version::V02),
        b"04" => Some(Version::V04),
        _ => None,
    });
    let first = versions.next().ok_or(BadGreeting::NoVersion)?;
    let both = versions.any(|version| version != first);
    Ok(Greeting { first, both, line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn read(line: &[u8]) -> Result<Option<Greeting>, BadGreeting> {
        GreetingReader::default().take(&mut &line[..])
    }

    fn version(line: &str) -> Option<Version> {
        read(line.as_bytes()).ok().flatten().map(|greeting| greeting.first)
    }

    #[test]
    fn takes_the_first_version_it_speaks_wherever_it_stands() {
        assert_eq!(version("venti-04:02-libventi\n"), Some(Version::V04));
        assert_eq!(version("venti-02-libventi\n"), Some(Version::V02));
        assert_eq!(version("venti-05-04\n"), Some(Version::V04));
        assert_eq!(version("venti-02:-\n"), Some(Version::V02));
        assert_eq!(version("venti-02\n"), Some(Version::V02));
        assert_eq!(version("venti-03-x\n"), None);
    }

    #[test]
    fn refuses_lines_shorter_than_the_prefix() {
        for line in ["\n", "venti\n"] {
            assert_eq!(read(line.as_bytes()), Err(BadGreeting::NotVenti), "{line:?}");
        }
    }

    #[test]
    fn leaves_what_follows_the_line() {
        let mut input = &b"venti-02-x\nrest"[..];
        assert!(GreetingReader::default().take(&mut input).unwrap().is_some());
        assert_eq!(input, b"rest");
    }

    #[test]
    fn hears_what_a_comment_announces() {
        let greeting = read(b"venti-04:02-granary missing\n").unwrap().unwrap();
        assert!(greeting.both && greeting.announces("missing") && greeting.announces("granary"));
        assert!(!greeting.announces("miss") && !greeting.announces("04:02") && !greeting.announces(""));
    }

    #[test]
    fn bounds_the_line() {
        let longest = format!("venti-02-{}\n", "c".repeat(1013));
        assert_eq!(longest.len(), MAX_LINE);
        assert_eq!(version(&longest), Some(Version::V02));
        let longer = format!("venti-02-{}\n", "c".repeat(1014));
        assert_eq!(read(longer.as_bytes()), Err(BadGreeting::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn reads_any_bytes_in_any_pieces_alike(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            at in 0usize..90,
        ) {
            let mut line = b"venti-04".to_vec();
            line.extend(bytes);
            let whole = read(&line);
            let (front, back) = line.split_at(at.min(line.len()));
            let mut reader = GreetingReader::default();
            let pieces = match reader.take(&mut &front[..]) {
                Ok(None) => reader.take(&mut &back[..]),
                settled => settled,
            };
            prop_assert_eq!(whole, pieces);
        }
    }
}
