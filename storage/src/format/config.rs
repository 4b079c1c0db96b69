//! Venti's configuration, `venti.conf`: its text, and its place inside a partition (venti(8), venti/conf).
//!
//! As venti's own reader takes it, with two differences: numbers must be numbers, and a last line without newline,
//! which venti ignores in silence, is reported. What the named files are is not looked at.

use super::name::{Name, NameError};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// Offset of the configuration in an arena partition or index section: the end of the reserved start.
pub const CONFIG_OFFSET: u64 = super::prelude::PRELUDE_LEN - CONFIG_LEN as u64;

/// Bytes that are set aside for it, [`CONFIG_TITLE`] included.
pub const CONFIG_LEN: usize = 8 * 1024;

/// What stands in front of the text in a partition.
pub const CONFIG_TITLE: &str = "venti config\n";

/// What `venti.conf` says. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VentiConfig {
    /// `index`: the index's name.
    pub index: Option<Name>,
    /// `isect`: partitions of the index's sections, in order.
    pub sections: Vec<String>,
    /// `arenas`: arena partitions, in order.
    pub arenas: Vec<String>,
    /// `bloom`: partition of the bloom filter.
    pub bloom: Option<String>,
    /// `mem`: lump cache.
    pub mem: Option<u64>,
    /// `bcmem`: block cache.
    pub bcmem: Option<u64>,
    /// `icmem`: index cache.
    pub icmem: Option<u64>,
    /// `queuewrites`.
    pub queue_writes: bool,
    /// `addr`: where venti listens.
    pub addr: Option<String>,
    /// `httpaddr`: where its web server listens; none without.
    pub httpaddr: Option<String>,
    /// `webroot`: what its web server shows.
    pub webroot: Option<String>,
    /// Number of a last line that says something but has no newline: venti ignores it, and so is it here.
    pub ignored_line: Option<usize>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The block in the partition holds no configuration.
    #[error("no `venti config` stands here: write one with venti/conf -w")]
    NoConfig,
    /// A line that cannot be right; lines count from 1.
    #[error("configuration line {line}: {fault}")]
    Line {
        /// Its number.
        line: usize,
        /// What is wrong with it.
        fault: ConfigFault,
    },
    /// No `index` line.
    #[error("the configuration names no index")]
    NoIndex,
    /// Too long for its place in a partition.
    #[error("the configuration takes {0} bytes with its title, and there is room for {CONFIG_LEN}")]
    TooLong(usize),
}

/// What is wrong with a line of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// Not UTF-8, or with a NUL, which ends the text inside a partition.
    #[error("not text")]
    NotText,
    /// No such keyword, or another number of values than it takes.
    #[error("illegal line `{0}`: one keyword and its value, if it has one, make a line")]
    Illegal(String),
    /// A keyword that may stand once only.
    #[error("a second `{0}` line")]
    Twice(&'static str),
    /// Not a number of bytes.
    #[error("`{0}` is no size: digits, perhaps with k, m, g or t")]
    Size(String),
    /// Not an index name.
    #[error("illegal index name: {0}")]
    Name(#[from] NameError),
}

impl VentiConfig {
    /// Reads the text of a `venti.conf`.
    pub fn parse(text: &[u8]) -> Result<VentiConfig, ConfigError> {
        let mut config = VentiConfig::default();
        for (number, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let line_number = number + 1;
            let fault = |fault| ConfigError::Line { line: line_number, fault };
            let content = line.split(|&byte| byte == b'#' || byte == b'\n').next().unwrap_or_default();
            let text = core::str::from_utf8(content).ok().filter(|text| !text.contains('\0'));
            let content = text.ok_or(fault(ConfigFault::NotText))?;
            let content = content.trim_matches([' ', '\t', '\r']);
            if content.is_empty() {
                continue;
            }
            if !line.ends_with(b"\n") {
                config.ignored_line = Some(line_number);
                continue;
            }
            config.take_line(content).map_err(fault)?;
        }
        if config.index.is_none() { Err(ConfigError::NoIndex) } else { Ok(config) }
    }

    /// Reads the block at [`CONFIG_OFFSET`] of a partition: title, text, NUL padding.
    pub fn parse_block(block: &[u8]) -> Result<VentiConfig, ConfigError> {
        let text = block.strip_prefix(CONFIG_TITLE.as_bytes()).ok_or(ConfigError::NoConfig)?;
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        VentiConfig::parse(&text[..end])
    }

    fn take_line(&mut self, line: &str) -> Result<(), ConfigFault> {
        let mut words = line.split([' ', '\t', '\r']).filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default();
        match (keyword, words.next(), words.next()) {
            ("mgr", _, _) => Ok(()),
            ("queuewrites", None, None) => {
                self.queue_writes = true;
                Ok(())
            }
            (_, Some(value), None) => self.take_value(line, keyword, value),
            _ => Err(ConfigFault::Illegal(line.to_owned())),
        }
    }

    fn take_value(&mut self, line: &str, keyword: &str, value: &str) -> Result<(), ConfigFault> {
        match keyword {
            "index" => once("index", &mut self.index, Name::new(value)?),
            "isect" => {
                self.sections.push(value.to_owned());
                Ok(())
            }
            "arenas" => {
                self.arenas.push(value.to_owned());
                Ok(())
            }
            "bloom" => once("bloom", &mut self.bloom, value.to_owned()),
            "mem" => once("mem", &mut self.mem, size(value)?),
            "bcmem" => once("bcmem", &mut self.bcmem, size(value)?),
            "icmem" => once("icmem", &mut self.icmem, size(value)?),
            "addr" => once("addr", &mut self.addr, value.to_owned()),
            "httpaddr" => once("httpaddr", &mut self.httpaddr, value.to_owned()),
            "webroot" => once("webroot", &mut self.webroot, value.to_owned()),
            _ => Err(ConfigFault::Illegal(line.to_owned())),
        }
    }

    /// The block for [`CONFIG_OFFSET`] of a partition. [`VentiConfig`]'s `Display` is the text.
    pub fn encode_block(&self) -> Result<Vec<u8>, ConfigError> {
        let text = alloc::format!("{CONFIG_TITLE}{self}");
        let mut block = vec![0; CONFIG_LEN];
        let target = block.get_mut(..text.len()).ok_or(ConfigError::TooLong(text.len()))?;
        target.copy_from_slice(text.as_bytes());
        Ok(block)
    }
}

impl fmt::Display for VentiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |f: &mut fmt::Formatter<'_>, keyword: &str, value: &Option<String>| match value {
            Some(value) => writeln!(f, "{keyword} {value}"),
            None => Ok(()),
        };
        if let Some(index) = &self.index {
            writeln!(f, "index {index}")?;
        }
        self.sections.iter().try_for_each(|section| writeln!(f, "isect {section}"))?;
        self.arenas.iter().try_for_each(|arenas| writeln!(f, "arenas {arenas}"))?;
        text(f, "bloom", &self.bloom)?;
        for (keyword, size) in [("mem", self.mem), ("bcmem", self.bcmem), ("icmem", self.icmem)] {
            if let Some(size) = size {
                writeln!(f, "{keyword} {size}")?;
            }
        }
        if self.queue_writes {
            writeln!(f, "queuewrites")?;
        }
        text(f, "addr", &self.addr)?;
        text(f, "httpaddr", &self.httpaddr)?;
        text(f, "webroot", &self.webroot)
    }
}

fn once<T>(keyword: &'static str, place: &mut Option<T>, value: T) -> Result<(), ConfigFault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ConfigFault::Twice(keyword)),
    }
}

fn size(text: &str) -> Result<u64, ConfigFault> {
    parse_size(text).ok_or_else(|| ConfigFault::Size(text.to_owned()))
}

/// A number as venti's texts have them: in C's notation, with k, m, g or t for powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        b't' | b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let hexadecimal = digits.strip_prefix("0x").or(digits.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None; // from_str_radix takes a sign
    }
    u64::from_str_radix(digits, radix).ok()?.checked_mul(1 << unit)
}

/// The file of an `isect`, `arenas` or `bloom` line, and which part of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSpec<'a> {
    /// The file or disk.
    pub file: &'a str,
    /// Which part of it.
    pub part: PartitionPart<'a>,
}

/// Which part of a file is a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionPart<'a> {
    /// All of it.
    Whole,
    /// `file:start-stop`: these bytes; to the file's end without `stop`.
    Bytes {
        /// First byte.
        start: u64,
        /// First byte behind it.
        stop: Option<u64>,
    },
    /// `file:name`: the Plan 9 partition of this name inside a disk (plan9port only).
    Named(&'a str),
}

impl<'a> PartitionSpec<'a> {
    /// Takes the text of a line apart; `None` when what follows the last colon is neither a name nor a range.
    pub fn parse(text: &'a str) -> Option<PartitionSpec<'a>> {
        let Some((file, part)) = text.rsplit_once(':') else {
            return Some(PartitionSpec { file: text, part: PartitionPart::Whole });
        };
        if part.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return Some(PartitionSpec { file, part: PartitionPart::Named(part) });
        }
        let (start, stop) = part.split_once('-')?;
        let start = if start.is_empty() { 0 } else { parse_size(start)? };
        let stop = if stop.is_empty() { None } else { Some(parse_size(stop)?) };
        let ascends = stop.is_none_or(|stop| stop >= start);
        ascends.then_some(PartitionSpec { file, part: PartitionPart::Bytes { start, stop } })
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
