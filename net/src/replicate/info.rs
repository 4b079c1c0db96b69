//! A peer's `NAME.info` in 9fat, in ANTS' syntax: an rc script that names the peer and how far it is.
//!
//! ```text
//! venti=tcp!10.0.0.2!17034          where the peer's venti is
//! # granary names=tcp!10.0.0.2!564  where its names are, by 9P; none are exchanged without
//! # granary names=direct            or so: over the connection to its venti, if that is a Granary behind keys
//! # granary way=tls                 clear, auth (p9any and TLS-PSK) or tls (TLS 1.3); the port of venti tells it otherwise
//! # granary pin=sha256=4ac0…         with tls: the certificate that the peer must show
//! # granary server=barn              with auth: the account that the peer must have; ours unless given
//! # granary auth=tcp!10.0.0.9        with auth: who gives us tickets
//! # granary rate=10M                bytes per second at most
//! # granary hours=22-6              only between these hours (UTC)
//! arenas0=0x12f3126                 the peer has everything before this offset of arenas0's log
//! # granary hole arenas0 0x52 4ac0…/2   but for this block, which could not be read
//! ```
//!
//! `ventiprog` goes on from what we write, and we from what it writes: the last assignment counts, comments are its own
//! affair, and nothing in front of our own lines is ever changed. Must not know who writes the file, nor when.

use super::way::{Access, Way};
use crate::dial::Dial;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use chrono::DateTime;
use core::fmt::Write;
use core::str::FromStr;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::format::config::parse_size;
use storage::score::Score;

/// How the names of such files end.
pub const SUFFIX: &str = ".info";
/// A longer file is refused.
pub const FILE_LEN_MAX: usize = 1 << 20;
/// Blocks that could not be read and are still owed to a peer: beyond that, somebody must look after the disk first.
pub const HOLES_MAX: usize = 4096;

/// The line from which on the file is ours.
const OURS: &str = "# granary: this node writes what follows, and writes it anew";
/// How our other lines begin.
const PREFIX: &str = "# granary ";

/// A place in the log of an arena.
pub type Place = (String, u64);

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Where the peer's venti is.
    pub venti: Option<Dial>,
    /// Where its names are, by 9P.
    pub names: Option<Dial>,
    /// `names=direct`: they are exchanged over the connection to its venti.
    pub names_directly: bool,
    /// By which way, and who must be there.
    pub access: Access,
    /// Bytes per second at most.
    pub rate: Option<u64>,
    /// When it may be sent to.
    pub hours: Option<Hours>,
    /// For each arena, the offset in its log before which the peer has everything, but for `holes`.
    pub cursors: BTreeMap<String, u64>,
    /// Clumps that could not be read, and which blocks they should be.
    pub holes: BTreeMap<Place, Option<(Score, BlockType)>>,
    /// Lines that were not understood.
    pub problems: Vec<Problem>,
    /// What stands in front of our own lines, to the byte.
    head: Vec<u8>,
}

/// A line that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Problem {
    /// Its number, from 1.
    pub line: usize,
    /// Why not.
    pub what: String,
}

/// Hours of the day, UTC; the second one is the first that is outside. `22-6` goes on over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: u32,
    to: u32,
}

impl Hours {
    /// Whether `now` is within.
    pub fn contain(self, now: Timestamp) -> bool {
        let hour = now.0 / 3600 % 24;
        match self.from <= self.to {
            true => (self.from..self.to).contains(&hour),
            false => hour >= self.from || hour < self.to,
        }
    }
}

impl FromStr for Hours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Hours, &'static str> {
        let hour = |text: &str| text.trim().parse::<u32>().ok().filter(|hour| *hour <= 24);
        let hours = text.split_once('-').and_then(|(from, to)| Some((hour(from)?, hour(to)?)));
        match hours {
            Some((from, to)) if from != to => Ok(Hours { from, to }),
            _ => Err("hours are two numbers from 0 to 24, as in 22-6"),
        }
    }
}

impl Info {
    /// Reads a file. What is not understood is in `problems`, and stays in the file.
    pub fn parse(text: &[u8]) -> Info {
        let mut info = Info::default();
        let mut is_ours = false;
        let lines = text[..text.len().min(FILE_LEN_MAX)].split_inclusive(|byte| *byte == b'\n');
        for (number, raw) in (1..).zip(lines) {
            let line = String::from_utf8_lossy(raw);
            is_ours |= line.trim_end() == OURS;
            let line_of_user = match info.line(&line) {
                Ok(kind) => kind == Kind::Users,
                Err(what) => {
                    info.problems.push(Problem { line: number, what });
                    true
                }
            };
            if !is_ours || line_of_user {
                info.head.extend_from_slice(raw);
            }
        }
        if info.head.last().is_some_and(|last| *last != b'\n') {
            info.head.push(b'\n');
        }
        info
    }

    fn line(&mut self, line: &str) -> Result<Kind, String> {
        let line = line.trim();
        if let Some(ours) = line.strip_prefix(PREFIX) {
            return self.our_line(ours.trim());
        }
        if line.is_empty() || line.starts_with('#') {
            return Ok(Kind::Comment);
        }
        let assigned = line.split_once('=').filter(|(name, _)| is_rc_name(name));
        let Some((name, text)) = assigned else {
            return Err("this is no assignment; what only rc understands is not obeyed here".to_string());
        };
        let is_cursor = name.starts_with("arenas") && name.ends_with(|last: char| last.is_ascii_digit());
        if name != "venti" && !is_cursor {
            return Ok(Kind::Users);
        }
        let value = rc_value(text).ok_or("the value is one that only rc can work out")?;
        if name == "venti" {
            self.venti = Some(value.parse().map_err(|error| format!("{error}"))?);
            return Ok(Kind::Users);
        }
        let offset = parse_size(&value).ok_or("an offset is a number, as in 0x12f3126")?;
        self.cursors.insert(name.to_string(), offset);
        Ok(Kind::State)
    }

    fn our_line(&mut self, line: &str) -> Result<Kind, String> {
        if let Some(hole) = line.strip_prefix("hole ") {
            let (place, block) =
                parse_hole(hole).ok_or("a hole is an arena, an offset, and SCORE/TYPE or ?")?;
            if self.holes.len() < HOLES_MAX {
                self.holes.insert(place, block);
            }
            return Ok(Kind::State);
        }
        let (key, value) = line.split_once('=').ok_or("our lines are `# granary KEY=VALUE`")?;
        let value = value.trim();
        if let Some(taken) = self.access.line(key.trim(), value) {
            return taken.map(|()| Kind::Users);
        }
        match key.trim() {
            "names" if value == "direct" => self.names_directly = true,
            "names" => self.names = Some(value.parse().map_err(|error| format!("{error}"))?),
            "rate" => {
                let rate = parse_size(value).filter(|rate| *rate > 0);
                self.rate = Some(rate.ok_or("a rate is bytes per second, as in 10M")?);
            }
            "hours" => self.hours = Some(value.parse().map_err(String::from)?),
            key => {
                return Err(format!(
                    "there is no {key}: names, way, pin, server, auth, rate and hours are known"
                ));
            }
        }
        Ok(Kind::Users)
    }

    /// The file with its cursors and holes as they are now.
    pub fn text(&self, now: Timestamp) -> Vec<u8> {
        let date = DateTime::from_timestamp(now.0.into(), 0).unwrap_or_default();
        let mut ours = format!("{OURS}\n# {}\n", date.format("%a %b %e %H:%M:%S UTC %Y"));
        for (arena, cursor) in &self.cursors {
            let _ = writeln!(ours, "{arena}={cursor:#x}");
        }
        for ((arena, offset), block) in &self.holes {
            let _ = match block {
                Some((score, block_type)) => {
                    writeln!(ours, "{PREFIX}hole {arena} {offset:#x} {score}/{}", block_type.to_disk())
                }
                None => writeln!(ours, "{PREFIX}hole {arena} {offset:#x} ?"),
            };
        }
        [&*self.head, ours.as_bytes()].concat()
    }

    /// Whether names are exchanged with the peer.
    pub fn has_names(&self) -> bool {
        self.names_directly || self.names.is_some()
    }

    /// The way to the peer.
    pub fn way(&self) -> Way {
        self.venti.as_ref().map_or(self.access.way.unwrap_or_default(), |venti| self.access.way_to(venti))
    }

    /// Whether two files say the same of the peer, how far it is apart.
    pub fn is_same_peer(&self, other: &Info) -> bool {
        (&self.venti, &self.names, self.names_directly, &self.access, self.rate, self.hours)
            == (&other.venti, &other.names, other.names_directly, &other.access, other.rate, other.hours)
    }
}

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// How far the peer is; written anew.
    State,
    /// A comment or an empty line.
    Comment,
    /// Anything else: it is the user's, and stays.
    Users,
}

fn is_rc_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The first word of an rc value: quoted, of a list, or plain. `None` for what must be evaluated, or goes on behind it.
fn rc_value(text: &str) -> Option<String> {
    let text = text.trim_start();
    let in_list = text.starts_with('(');
    let text = text.strip_prefix('(').unwrap_or(text).trim_start();
    let (word, rest) = match text.strip_prefix('\'') {
        Some(quoted) => {
            let (mut word, mut rest) = (String::new(), quoted);
            loop {
                let (piece, after) = rest.split_once('\'')?;
                word.push_str(piece);
                match after.strip_prefix('\'') {
                    Some(more) => {
                        word.push('\'');
                        rest = more;
                    }
                    None => break (word, after),
                }
            }
        }
        None => {
            let end = text.find([' ', '\t', '#', ')']).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            let plain = !word.contains(['$', '`', ';', '&', '|', '<', '>', '{', '}', '^', '*', '?', '\'']);
            (plain.then(|| word.to_string())?, rest)
        }
    };
    let rest = rest.trim();
    let ends = if in_list { rest.contains(')') } else { rest.is_empty() || rest.starts_with('#') };
    ends.then_some(word)
}

fn parse_hole(text: &str) -> Option<(Place, Option<(Score, BlockType)>)> {
    let mut words = text.split_ascii_whitespace();
    let (arena, offset, block) = (words.next()?, parse_size(words.next()?)?, words.next()?);
    let block = match block.split_once('/') {
        Some((score, block_type)) => {
            Some((score.parse().ok()?, BlockType::from_disk(block_type.parse().ok()?)?))
        }
        None => None,
    };
    Some(((arena.to_string(), offset), block))
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
