//! The node's settings: `granary.ini` in 9fat, and the words of the kernel's command line.
//!
//! Knows the syntax (that of plan9.ini: `key=value`, `#` comments), the keys, and what each may be ([`KEYS`]). Must not
//! know where the text is kept, nor what obeys the settings.

mod value;

pub use value::{Expected, Ip4, Ip6, Network, OnPanic, Scrub, parse_size};

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use log::LevelFilter;

/// The name of the file in 9fat.
pub const FILE: &str = "granary.ini";
/// What messages call the command line.
pub const COMMAND_LINE: &str = "command line";

/// A longer file is refused: 64 KiB.
pub const FILE_LEN_MAX: usize = 64 << 10;
/// Most connections that may be asked for.
const CONNECTIONS_MAX: u32 = 4096;
/// Least of a cache or a bound on memory that makes sense.
const MEMORY_MIN: u64 = 1 << 20;

/// Everything that can be set, with what holds where nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the node calls itself.
    pub sysname: String,
    /// Its IPv4 address.
    pub ip: Ip4,
    /// Its IPv4 gateway; with DHCP the server's answer is used where this is not given.
    pub gateway: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ip6: Ip6,
    /// Its IPv6 gateway; with SLAAC the router's advertisement is used where this is not given.
    pub gateway6: Option<Ipv6Addr>,
    /// Who may speak venti in clear. Nobody, where it is empty.
    pub venti: Vec<Network>,
    /// Who may look at the node by HTTP. Nobody, where it is empty.
    pub http: Vec<Network>,
    /// Who may look into the node by 9P in clear. Nobody, where it is empty.
    pub p9: Vec<Network>,
    /// Who may do so and give names, too.
    pub names: Vec<Network>,
    /// Who may do everything by 9P in clear.
    pub admin: Vec<Network>,
    /// What follows a panic.
    pub panic: OnPanic,
    /// The least grave messages that reach the console.
    pub log: LevelFilter,
    /// Whether blocks are stored compressed where that makes them smaller.
    pub compress: bool,
    /// Whether empty arenas on its disks that are not in the index are added to it at the start.
    pub grow: bool,
    /// Bytes of memory for the cache of lumps; where it is not given, the node chooses by the memory it has.
    pub cache: Option<u64>,
    /// Bytes of memory for finding blocks; where it is not given, the node chooses by the memory it has.
    pub index: Option<u64>,
    /// Bytes of blocks that may wait in memory for the disk; where it is not given, the node chooses.
    pub dirty: Option<u64>,
    /// Connections served at once; further ones wait or are refused.
    pub connections: u32,
    /// Seconds between status lines on the console.
    pub status: u32,
    /// How often everything that is stored is verified.
    pub scrub: Scrub,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sysname: "granary".to_string(),
            ip: Ip4::Dhcp,
            gateway: None,
            ip6: Ip6::Auto,
            gateway6: None,
            venti: Vec::new(),
            http: Vec::new(),
            p9: Vec::new(),
            names: Vec::new(),
            admin: Vec::new(),
            panic: OnPanic::Reboot,
            log: LevelFilter::Info,
            compress: true,
            grow: false,
            cache: None,
            index: None,
            dirty: None,
            connections: 256,
            status: 60,
            scrub: Scrub::default(),
        }
    }
}

/// One key: what a person must know of it, and what it does to the settings.
pub struct Key {
    /// Its name, in front of the `=`.
    pub name: &'static str,
    /// The values it takes.
    pub values: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it is for.
    pub meaning: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), Expected>,
}

/// Every key there is. This table is the reference: manuals and `--help` print it.
pub const KEYS: [Key; 20] = [
    Key {
        name: "sysname",
        values: "NAME",
        default: "granary",
        meaning: "what the node calls itself",
        set: |settings, text| put(&mut settings.sysname, value::parse_sysname(text)),
    },
    Key {
        name: "ip",
        values: "dhcp | none | ADDRESS/PREFIX",
        default: "dhcp",
        meaning: "its IPv4 address",
        set: |settings, text| put(&mut settings.ip, text.parse()),
    },
    Key {
        name: "gateway",
        values: "ADDRESS",
        default: "what DHCP says",
        meaning: "its IPv4 gateway",
        set: |settings, text| {
            put(&mut settings.gateway, parse_or(text, "an IPv4 address such as 192.168.1.1").map(Some))
        },
    },
    Key {
        name: "ip6",
        values: "auto | none | ADDRESS/PREFIX",
        default: "auto",
        meaning: "its IPv6 address; auto asks the routers",
        set: |settings, text| put(&mut settings.ip6, text.parse()),
    },
    Key {
        name: "gateway6",
        values: "ADDRESS",
        default: "what the routers say",
        meaning: "its IPv6 gateway",
        set: |settings, text| {
            put(&mut settings.gateway6, parse_or(text, "an IPv6 address such as fe80::1").map(Some))
        },
    },
    Key {
        name: "venti",
        values: "NETWORK,NETWORK,…",
        default: "none: closed",
        meaning: "the networks that may use venti in clear on port 17034, such as 192.168.1.0/24",
        set: |settings, text| put(&mut settings.venti, parse_networks(text)),
    },
    Key {
        name: "http",
        values: "NETWORK,NETWORK,…",
        default: "none: closed",
        meaning: "the networks that may look at the node by HTTP on port 8000, such as 192.168.1.0/24",
        set: |settings, text| put(&mut settings.http, parse_networks(text)),
    },
    Key {
        name: "p9",
        values: "NETWORK,NETWORK,…",
        default: "none: closed",
        meaning: "the networks that may look into the node by 9P in clear on port 564",
        set: |settings, text| put(&mut settings.p9, parse_networks(text)),
    },
    Key {
        name: "names",
        values: "NETWORK,NETWORK,…",
        default: "none: nobody",
        meaning: "the networks that may also give names by 9P in clear",
        set: |settings, text| put(&mut settings.names, parse_networks(text)),
    },
    Key {
        name: "admin",
        values: "NETWORK,NETWORK,…",
        default: "none: nobody",
        meaning: "the networks that may do everything by 9P in clear: write 9fat, remove names, give commands",
        set: |settings, text| put(&mut settings.admin, parse_networks(text)),
    },
    Key {
        name: "panic",
        values: "halt | reboot",
        default: "reboot",
        meaning: "what follows a panic",
        set: |settings, text| put(&mut settings.panic, text.parse()),
    },
    Key {
        name: "log",
        values: "error | warn | info | debug | trace",
        default: "info",
        meaning: "the least grave messages on the console",
        set: |settings, text| put(&mut settings.log, parse_or(text, "error, warn, info, debug or trace")),
    },
    Key {
        name: "compress",
        values: "yes | no",
        default: "yes",
        meaning: "store blocks compressed where that makes them smaller",
        set: |settings, text| put(&mut settings.compress, value::parse_yes_no(text)),
    },
    Key {
        name: "grow",
        values: "yes | no",
        default: "no",
        meaning: "at the start, add empty arenas that are on its disks and not in the index",
        set: |settings, text| put(&mut settings.grow, value::parse_yes_no(text)),
    },
    Key {
        name: "cache",
        values: "BYTES, with k, m or g",
        default: "by the memory there is",
        meaning: "memory for the cache of blocks",
        set: |settings, text| put(&mut settings.cache, parse_memory(text).map(Some)),
    },
    Key {
        name: "index",
        values: "BYTES, with k, m or g",
        default: "by the memory there is",
        meaning: "memory for finding blocks: ten bytes a block, or the index on disk is asked",
        set: |settings, text| put(&mut settings.index, parse_memory(text).map(Some)),
    },
    Key {
        name: "dirty",
        values: "BYTES, with k, m or g",
        default: "by the memory there is",
        meaning: "memory for blocks that wait to be written",
        set: |settings, text| put(&mut settings.dirty, parse_memory(text).map(Some)),
    },
    Key {
        name: "connections",
        values: "1 to 4096",
        default: "256",
        meaning: "connections served at once",
        set: |settings, text| put(&mut settings.connections, parse_connections(text)),
    },
    Key {
        name: "status",
        values: "1 to 86400",
        default: "60",
        meaning: "seconds between status lines on the console",
        set: |settings, text| put(&mut settings.status, parse_status(text)),
    },
    Key {
        name: "scrub",
        values: "off | DAYSd | BYTES/s, with k, m or g",
        default: "30d",
        meaning: "how often everything that is stored is verified, or how fast",
        set: |settings, text| put(&mut settings.scrub, text.parse()),
    },
];

fn put<T>(place: &mut T, value: Result<T, Expected>) -> Result<(), Expected> {
    *place = value?;
    Ok(())
}

fn parse_or<T: FromStr>(text: &str, expected: &'static str) -> Result<T, Expected> {
    text.parse().map_err(|_| Expected(expected))
}

fn parse_networks(text: &str) -> Result<Vec<Network>, Expected> {
    text.split(',').map(str::trim).map(str::parse).collect()
}

fn parse_connections(text: &str) -> Result<u32, Expected> {
    const FORM: Expected = Expected("a number from 1 to 4096");
    let number = text.parse().map_err(|_| FORM)?;
    if (1..=CONNECTIONS_MAX).contains(&number) { Ok(number) } else { Err(FORM) }
}

fn parse_status(text: &str) -> Result<u32, Expected> {
    const FORM: Expected = Expected("a number of seconds from 1 to 86400");
    let seconds = text.parse().map_err(|_| FORM)?;
    if (1..=86_400).contains(&seconds) { Ok(seconds) } else { Err(FORM) }
}

fn parse_memory(text: &str) -> Result<u64, Expected> {
    let bytes = parse_size(text)?;
    if bytes < MEMORY_MIN { Err(Expected("at least 1m")) } else { Ok(bytes) }
}

/// A line or word that was refused. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct SettingError {
    /// The file, or [`COMMAND_LINE`].
    pub file: String,
    /// The line, or the word of the command line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: SettingProblem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingProblem {
    /// No `=`.
    #[error("{0:?} is not of the form key=value")]
    Form(String),
    /// A key that is not in [`KEYS`].
    #[error("there is no setting {0:?}")]
    UnknownKey(String),
    /// A key for the second time in one file.
    #[error("{0} was already set on line {1}")]
    Duplicate(&'static str, usize),
    /// A value that the key does not take.
    #[error("{key}={value}: {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: Expected,
    },
    /// More than [`FILE_LEN_MAX`] bytes, or bytes that are not UTF-8.
    #[error("not a text of at most 64 KiB")]
    NotText,
}

impl Settings {
    /// The settings of a file, over the defaults.
    ///
    /// # Errors
    /// Every line that was refused, in order.
    pub fn parse(file: &str, text: &[u8]) -> Result<Settings, Vec<SettingError>> {
        let mut settings = Settings::default();
        let errors = settings.apply_file(file, text);
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Takes over every good line of a file and returns an error for each of the others, so that a node can come up
    /// and say what is wrong.
    pub fn apply_file(&mut self, file: &str, text: &[u8]) -> Vec<SettingError> {
        let error = |line, problem| SettingError { file: file.to_string(), line, problem };
        let text = core::str::from_utf8(text).ok().filter(|text| text.len() <= FILE_LEN_MAX);
        let Some(text) = text else { return [error(1, SettingProblem::NotText)].into() };
        let mut errors = Vec::new();
        let mut seen: Vec<(&'static str, usize)> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            if let Err(problem) = self.apply_line(content, line, &mut seen) {
                errors.push(error(line, problem));
            }
        }
        errors
    }

    fn apply_line(
        &mut self,
        content: &str,
        line: usize,
        seen: &mut Vec<(&'static str, usize)>,
    ) -> Result<(), SettingProblem> {
        let (name, text) =
            content.split_once('=').ok_or_else(|| SettingProblem::Form(content.to_string()))?;
        let (name, text) = (name.trim(), text.trim());
        let key = key(name).ok_or_else(|| SettingProblem::UnknownKey(name.to_string()))?;
        if let Some((name, before)) = seen.iter().find(|(name, _)| *name == key.name) {
            return Err(SettingProblem::Duplicate(name, *before));
        }
        seen.push((key.name, line));
        self.set(key, text)
    }

    /// Takes over the words `key=value` of a command line; the last of several wins. Other words (such as
    /// `virtio_mmio.device=…`) are for other readers and are returned.
    pub fn apply_command_line<'a>(&mut self, line: &'a str) -> (Vec<&'a str>, Vec<SettingError>) {
        let (mut others, mut errors) = (Vec::new(), Vec::new());
        for (number, word) in (1..).zip(line.split_ascii_whitespace()) {
            match word.split_once('=').and_then(|(name, text)| Some((key(name)?, text))) {
                None => others.push(word),
                Some((key, text)) => errors.extend(self.set(key, text).err().map(|problem| SettingError {
                    file: COMMAND_LINE.to_string(),
                    line: number,
                    problem,
                })),
            }
        }
        (others, errors)
    }

    fn set(&mut self, key: &Key, text: &str) -> Result<(), SettingProblem> {
        let refused = |expected| SettingProblem::Value { key: key.name, value: text.to_string(), expected };
        (key.set)(self, text).map_err(refused)
    }
}

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    const { &KEYS }.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests;
