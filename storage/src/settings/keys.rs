//! Every key of `granary.ini`: what a person must know of it, and what it does.
//!
//! Knows names and values. Must not know files.

use super::Settings;
use super::networks;
use super::value::{self, Expected, Network, parse_size};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

/// Most connections that may be asked for.
const CONNECTIONS_MAX: u32 = 4096;
/// Least of a cache or a bound on memory that makes sense.
pub(super) const MEMORY_MIN: u64 = 1 << 20;

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
    /// A change of it in the file takes effect at once; else at the next start.
    pub at_once: bool,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), Expected>,
}

impl Key {
    /// Takes a value over.
    pub(super) fn set(&self, settings: &mut Settings, text: &str) -> Result<(), Expected> {
        (self.set)(settings, text)
    }
}

/// Every key there is. This table is the reference: manuals and `--help` print it. Those of a network come with `.2`, `.3` and
/// `.4` behind their names, too ([`key`] knows them), for further network cards.
pub const KEYS: &[Key] = &[
    Key {
        name: "sysname",
        values: "NAME",
        default: "granary",
        meaning: "what the node calls itself",
        at_once: false,
        set: |settings, text| put(&mut settings.sysname, value::parse_sysname(text)),
    },
    networks::CARD,
    networks::IP,
    networks::GATEWAY,
    networks::IP6,
    networks::GATEWAY6,
    networks::MTU,
    networks::ROUTE,
    Key {
        name: "venti",
        values: "NETWORK,NETWORK,…",
        default: "none: closed",
        meaning: "the networks that may use venti in clear on port 17034, such as 192.168.1.0/24",
        at_once: true,
        set: |settings, text| put(&mut settings.venti, parse_networks(text)),
    },
    Key {
        name: "http",
        values: "NETWORK,NETWORK,…",
        default: "none: closed",
        meaning: "the networks that may look at the node by HTTP on port 8000, such as 192.168.1.0/24",
        at_once: true,
        set: |settings, text| put(&mut settings.http, parse_networks(text)),
    },
    Key {
        name: "p9",
        values: "NETWORK,NETWORK,…",
        default: "none: closed",
        meaning: "the networks that may look into the node by 9P in clear on port 564",
        at_once: true,
        set: |settings, text| put(&mut settings.p9, parse_networks(text)),
    },
    Key {
        name: "names",
        values: "NETWORK,NETWORK,…",
        default: "none: nobody",
        meaning: "the networks that may also give names by 9P in clear",
        at_once: true,
        set: |settings, text| put(&mut settings.names, parse_networks(text)),
    },
    Key {
        name: "admin",
        values: "NETWORK,NETWORK,…",
        default: "none: nobody",
        meaning: "the networks that may do everything by 9P in clear: write 9fat, remove names, give commands",
        at_once: true,
        set: |settings, text| put(&mut settings.admin, parse_networks(text)),
    },
    Key {
        name: "users",
        values: "NAME ROLE…, NAME ROLE…",
        default: "none: closed",
        meaning: "who may use the ports behind Plan 9's authentication, 27034 for venti and 17020 for 9P, and do \
            what: read, write, names, replicate, admin, each perhaps with @NETWORK; replicate is for peers alone; * is \
            everybody with an account",
        at_once: true,
        set: |settings, text| put(&mut settings.users, text.parse()),
    },
    Key {
        name: "panic",
        values: "halt | reboot",
        default: "reboot",
        meaning: "what follows a panic",
        at_once: true,
        set: |settings, text| put(&mut settings.panic, text.parse()),
    },
    Key {
        name: "log",
        values: "error | warn | info | debug | trace",
        default: "info",
        meaning: "the least grave messages on the console",
        at_once: true,
        set: |settings, text| put(&mut settings.log, parse_or(text, "error, warn, info, debug or trace")),
    },
    Key {
        name: "compress",
        values: "yes | no",
        default: "yes",
        meaning: "store blocks compressed where that makes them smaller",
        at_once: false,
        set: |settings, text| put(&mut settings.compress, value::parse_yes_no(text)),
    },
    Key {
        name: "grow",
        values: "no | own | yes | disks",
        default: "own",
        meaning: "at the start, use what a disk that was laid out by Granary has grown by; with yes, add empty arenas \
            that are on its disks and not in the index, too; with disks, also make arenas of blank disks",
        at_once: false,
        set: |settings, text| put(&mut settings.grow, text.parse()),
    },
    Key {
        name: "cache",
        values: "BYTES, with k, m or g",
        default: "by the memory there is",
        meaning: "memory for the cache of blocks",
        at_once: false,
        set: |settings, text| put(&mut settings.cache, parse_memory(text).map(Some)),
    },
    Key {
        name: "index",
        values: "BYTES, with k, m or g",
        default: "by the memory there is",
        meaning: "memory for finding blocks: ten bytes a block, or the index on disk is asked",
        at_once: false,
        set: |settings, text| put(&mut settings.index, parse_memory(text).map(Some)),
    },
    Key {
        name: "dirty",
        values: "BYTES, with k, m or g",
        default: "by the memory there is",
        meaning: "memory for blocks that wait to be written",
        at_once: false,
        set: |settings, text| put(&mut settings.dirty, parse_memory(text).map(Some)),
    },
    Key {
        name: "connections",
        values: "1 to 4096",
        default: "256",
        meaning: "connections served at once",
        at_once: false,
        set: |settings, text| put(&mut settings.connections, parse_connections(text)),
    },
    Key {
        name: "status",
        values: "1 to 86400",
        default: "60",
        meaning: "seconds between status lines on the console",
        at_once: true,
        set: |settings, text| put(&mut settings.status, parse_status(text)),
    },
    Key {
        name: "scrub",
        values: "off | DAYSd | BYTES/s, with k, m or g",
        default: "30d",
        meaning: "how often everything that is stored is verified, or how fast",
        at_once: false,
        set: |settings, text| put(&mut settings.scrub, text.parse()),
    },
    Key {
        name: "syslog",
        values: "ADDRESS or ADDRESS:PORT",
        default: "none: nobody",
        meaning: "the collector that is sent the log as datagrams of RFC 5424, on port 514",
        at_once: true,
        set: |settings, text| put(&mut settings.syslog, value::parse_server(text, 514).map(Some)),
    },
    Key {
        name: "dns",
        values: "ADDRESS,…",
        default: "those that the DHCP server names",
        meaning: "the name servers that are asked in turn, at most three",
        at_once: true,
        set: |settings, text| put(&mut settings.dns, value::parse_name_servers(text)),
    },
    Key {
        name: "ntp",
        values: "ADDRESS,ADDRESS:PORT,…",
        default: "none: the machine's own clock",
        meaning: "the time servers that are asked in turn, on port 123",
        at_once: true,
        set: |settings, text| {
            let servers = text.split(',').map(|server| value::parse_server(server.trim(), 123));
            put(&mut settings.ntp, servers.collect())
        },
    },
    Key {
        name: "account",
        values: "USER DOMAIN PASSWORD",
        default: "none: what the nvram says",
        meaning: "the account of Plan 9's authentication that this node is to have; it is moved into the nvram, and this line \
            taken away",
        at_once: false,
        set: |settings, text| put(&mut settings.account, text.parse().map(Some)),
    },
    Key {
        name: "p9sk1",
        values: "yes | no",
        default: "no",
        meaning: "with peers and clients whose accounts have no AES key, speak the protocol before dp9ik: DES, which who listens \
            can break",
        at_once: false,
        set: |settings, text| put(&mut settings.p9sk1, value::parse_yes_no(text)),
    },
    Key {
        name: "auth",
        values: "HOST or HOST!PORT",
        default: "plan9.ini's, or p9auth of the domain",
        meaning: "the authentication server that vouches for this node where it is a client, on port 567",
        at_once: false,
        set: |settings, text| put(&mut settings.auth, value::parse_host(text).map(Some)),
    },
    Key {
        name: "nvram",
        values: "PARTITION",
        default: "plan9.ini's, or the first called nvram",
        meaning: "the partition with the node's account, such as nvram, disk1/nvram or #S/sdE0/nvram",
        at_once: false,
        set: |settings, text| put(&mut settings.nvram, value::parse_partition(text).map(Some)),
    },
    Key {
        name: "upgradekey",
        values: "KEY",
        default: "none: kernels need no signature",
        meaning: "the public key on P-256 that a new kernel must be signed with, as `granary key public` prints it; once \
            it is set, it is not changed by 9P",
        at_once: true,
        set: |settings, text| put(&mut settings.upgrade_key, parse_public_key(text).map(Some)),
    },
];

pub(super) fn put<T>(place: &mut T, value: Result<T, Expected>) -> Result<(), Expected> {
    *place = value?;
    Ok(())
}

pub(super) fn parse_or<T: FromStr>(text: &str, expected: &'static str) -> Result<T, Expected> {
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

/// What is a key, the machine finds out when it uses it; this is its form.
fn parse_public_key(text: &str) -> Result<String, Expected> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    match (64..=200).contains(&text.len()) && text.bytes().all(is_base64) {
        true => Ok(text.to_string()),
        false => Err(Expected("a public key in base64, in one line")),
    }
}

fn parse_memory(text: &str) -> Result<u64, Expected> {
    let bytes = parse_size(text)?;
    if bytes < MEMORY_MIN { Err(Expected("at least 1m")) } else { Ok(bytes) }
}

/// Every key, with those of further networks.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    const { &KEYS }.iter().chain(networks::numbered())
}

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}
