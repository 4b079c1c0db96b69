//! A Plan 9 system's own `plan9.ini` (plan9.ini(8)): what of it a node takes over. It is never written.
//!
//! Knows the few keys that mean something here. Must not know what obeys them.

use super::{FILE_LEN_MAX, value};
use alloc::string::{String, ToString};

/// What is taken from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan9Ini {
    /// What the system calls itself.
    pub sysname: Option<String>,
    /// Where its venti is, and where that listens: `PARTITION [LISTEN [HTTPLISTEN]]`, as ANTS has it.
    pub venti: Option<String>,
    /// The authentication server.
    pub auth: Option<String>,
    /// The partition with the machine's account.
    pub nvram: Option<String>,
}

impl Plan9Ini {
    /// The name of the file in 9fat.
    pub const FILE: &'static str = "plan9.ini";

    /// Reads it. As in Plan 9, the last of several lines with one key counts, a menu's sections are read like the rest,
    /// and what is not understood is somebody else's.
    pub fn parse(text: &[u8]) -> Plan9Ini {
        let text = String::from_utf8_lossy(&text[..text.len().min(FILE_LEN_MAX)]);
        let mut found = Plan9Ini::default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((name, content)) = line.split_once('=') else { continue };
            let content = content.trim();
            match name.trim() {
                "sysname" => found.sysname = value::parse_sysname(content).ok().or(found.sysname),
                "auth" => found.auth = value::parse_host(content).ok().or(found.auth),
                "nvram" => found.nvram = value::parse_partition(content).ok().or(found.nvram),
                "venti" => found.venti = Some(content.to_string()),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_ants_puts_there_is_read_and_the_rest_is_passed_over() {
        let text = b"bootfile=9pc64\nbootargs=local!/dev/sdF0/fs\n#sysname=old\nventi=#S/sdF0/arenas tcp!*!17034\r\n\
            sysname=barn\nauth=192.168.1.5\nnvram=#S/sdE0/nvram\nether0=type=igbe\n[menu]\nnonsense\n";
        let found = Plan9Ini::parse(text);
        assert_eq!(found.sysname.as_deref(), Some("barn"));
        assert_eq!(found.venti.as_deref(), Some("#S/sdF0/arenas tcp!*!17034"));
        assert_eq!(found.auth.as_deref(), Some("192.168.1.5"));
        assert_eq!(found.nvram.as_deref(), Some("#S/sdE0/nvram"));
        assert_eq!(Plan9Ini::parse(b"sysname=no name\nauth=no host\nnvram=\n"), Plan9Ini::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Plan9Ini::parse(&text);
        }
    }
}
