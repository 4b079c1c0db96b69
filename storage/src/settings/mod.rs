//! The node's settings: `granary.ini` in 9fat, and the words of the kernel's command line.
//!
//! Knows the syntax (that of plan9.ini: `key=value`, `#` comments), the keys, and what each may be ([`KEYS`]). Must not
//! know where the text is kept, nor what obeys the settings.

mod edit;
mod keys;
mod networks;
mod plan9;
mod users;
mod value;

pub use edit::edit;
pub use keys::{KEYS, Key, key};
pub use networks::{Card, NETWORKS_MAX, NetworkSettings, Route};
pub use plan9::Plan9Ini;
pub use users::{Roles, Users};
pub use value::{Expected, GivenAccount, Grow, Ip4, Ip6, Network, OnPanic, Scrub, Server, parse_size};

use crate::format::config::VentiConfig;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use log::LevelFilter;

/// The name of the file in 9fat.
pub const FILE: &str = "granary.ini";
/// What messages call the command line.
pub const COMMAND_LINE: &str = "command line";

/// A longer file is refused: 64 KiB.
pub const FILE_LEN_MAX: usize = 64 << 10;

/// Everything that can be set, with what holds where nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the node calls itself.
    pub sysname: String,
    /// Its networks, one for each card; the first is that of the keys without a number.
    pub networks: [NetworkSettings; NETWORKS_MAX],
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
    /// Who may do what behind authentication. Nobody, where it is empty.
    pub users: Users,
    /// The account that the node is to have: its nvram takes it over.
    pub account: Option<GivenAccount>,
    /// Whether the old protocol of accounts without AES keys is spoken, too.
    pub p9sk1: bool,
    /// The authentication server that vouches for the node as a client.
    pub auth: Option<String>,
    /// The partition with the node's account.
    pub nvram: Option<String>,
    /// The public key by which new kernels are signed.
    pub upgrade_key: Option<String>,
    /// What follows a panic.
    pub panic: OnPanic,
    /// The least grave messages that reach the console.
    pub log: LevelFilter,
    /// Whether blocks are stored compressed where that makes them smaller.
    pub compress: bool,
    /// What is added to the store at the start.
    pub grow: Grow,
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
    /// Who is told what the log says.
    pub syslog: Option<Server>,
    /// Who is asked where hosts are. Those that DHCP names, where it is empty.
    pub dns: Vec<IpAddr>,
    /// Who is asked for the time. Nobody, where it is empty.
    pub ntp: Vec<Server>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sysname: "granary".to_string(),
            networks: core::array::from_fn(|_| NetworkSettings::default()),
            venti: Vec::new(),
            http: Vec::new(),
            p9: Vec::new(),
            names: Vec::new(),
            admin: Vec::new(),
            users: Users::default(),
            account: None,
            p9sk1: false,
            auth: None,
            nvram: None,
            upgrade_key: None,
            panic: OnPanic::Reboot,
            log: LevelFilter::Info,
            compress: true,
            grow: Grow::Own,
            cache: None,
            index: None,
            dirty: None,
            connections: 256,
            status: 60,
            scrub: Scrub::default(),
            syslog: None,
            dns: Vec::new(),
            ntp: Vec::new(),
        }
    }
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

    /// The keys whose values in two files differ, as far as they are understood.
    pub fn changed(before: &[u8], after: &[u8]) -> Vec<&'static Key> {
        let (before, after) = (values(before), values(after));
        keys::all().filter(|key| before.get(key.name) != after.get(key.name)).collect()
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

    /// Takes over what a Plan 9 system's own settings say; the node's own come later.
    pub fn take_plan9(&mut self, plan9: &Plan9Ini) {
        if let Some(sysname) = &plan9.sysname {
            self.sysname.clone_from(sysname);
        }
        self.auth = plan9.auth.clone().or(self.auth.take());
        self.nvram = plan9.nvram.clone().or(self.nvram.take());
    }

    /// Takes over what venti's configuration says of memory, where nothing else did.
    pub fn take_venti(&mut self, config: &VentiConfig) {
        let bytes =
            |memory: Option<u64>| memory.filter(|bytes| *bytes > 0).map(|bytes| bytes.max(keys::MEMORY_MIN));
        self.cache = self.cache.or(bytes(config.mem));
        self.index = self.index.or(bytes(config.icmem));
    }

    fn set(&mut self, key: &Key, text: &str) -> Result<(), SettingProblem> {
        let shown = if key.name == GivenAccount::KEY { "…" } else { text };
        let refused = |expected| SettingProblem::Value { key: key.name, value: shown.to_string(), expected };
        key.set(self, text).map_err(refused)
    }
}

/// What a file says of each key.
fn values(text: &[u8]) -> BTreeMap<&'static str, &str> {
    let text = core::str::from_utf8(text).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split('#').next()?.split_once('='));
    pairs.filter_map(|(name, value)| Some((key(name.trim())?.name, value.trim()))).collect()
}

#[cfg(test)]
mod tests;
