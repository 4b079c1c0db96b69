//! The way to a peer, as its file says it: which protection a connection has, and who must be at its other end.
//!
//! Knows texts. Must not know streams, nor keys.

use crate::auth::UserName;
use crate::dial::{BadDial, Dial};
use crate::tls13::{BadFingerprint, Fingerprint};
use crate::{p9, secure, tls13, venti};
use alloc::string::{String, ToString};
use core::fmt;

/// How a connection to a peer is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// It is not: whoever is on the line reads along.
    #[default]
    Clear,
    /// By p9any, then TLS 1.2 with the secret that it yields: what 9front's `tlssrv -A` answers.
    Auth,
    /// By TLS 1.3, with certificates that both ends know.
    Tls,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Clear => "clear",
            Way::Auth => "auth",
            Way::Tls => "tls",
        })
    }
}

/// What is served at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Blocks.
    Venti,
    /// Files, by 9P.
    Tree,
}

impl Service {
    /// The port where an address names none.
    pub fn port(self, way: Way) -> u16 {
        match (self, way) {
            (Service::Venti, Way::Clear) => venti::PORT,
            (Service::Venti, Way::Auth) => secure::VENTI_PORT,
            (Service::Venti, Way::Tls) => tls13::PORT,
            (Service::Tree, Way::Auth) => secure::P9_PORT,
            (Service::Tree, Way::Clear | Way::Tls) => p9::PORT,
        }
    }
}

/// How a peer is reached, and who it must prove to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `way=`, where the file says it.
    pub way: Option<Way>,
    /// `pin=`: the certificate that the peer must show. Without it, any that `thumbprints` gives the role replicate.
    pub pin: Option<Fingerprint>,
    /// `server=`: the account that the peer must have. Without it, our own.
    pub server: Option<UserName>,
    /// `auth=`: who gives us tickets.
    pub auth: Option<Dial>,
    /// A line about the way was not understood: nothing is sent, lest it go in clear.
    pub is_unclear: bool,
}

impl Access {
    /// The way to venti at this address: what the file says, else what the port is for.
    pub fn way_to(&self, venti: &Dial) -> Way {
        self.way.unwrap_or(match venti.port {
            Some(secure::VENTI_PORT) => Way::Auth,
            Some(tls13::PORT) => Way::Tls,
            _ => Way::Clear,
        })
    }

    /// Takes a line `KEY=VALUE`. `None`: it is about something else.
    pub(super) fn line(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let taken = match key {
            "way" => parse_way(value).map(|way| self.way = Some(way)),
            "pin" => {
                value.parse().map(|pin| self.pin = Some(pin)).map_err(|error: BadFingerprint| told(&error))
            }
            "server" => parse_account(value).map(|name| self.server = Some(name)),
            "auth" => value.parse().map(|dial| self.auth = Some(dial)).map_err(|error: BadDial| told(&error)),
            _ => return None,
        };
        self.is_unclear |= taken.is_err();
        Some(taken)
    }
}

fn told<E: fmt::Display>(error: &E) -> String {
    error.to_string()
}

fn parse_way(text: &str) -> Result<Way, String> {
    let ways = [Way::Clear, Way::Auth, Way::Tls].into_iter();
    let mut named = ways.filter(|way| way.to_string() == text);
    named.next().ok_or_else(|| "a way is clear, auth or tls".to_string())
}

fn parse_account(text: &str) -> Result<UserName, String> {
    let name = UserName::new(text).ok().filter(|name| !name.is_empty());
    name.ok_or_else(|| "an account is a name of 1 to 27 bytes".to_string())
}

#[cfg(test)]
mod tests {
    use super::{Access, Service, Way};

    #[test]
    fn the_port_tells_the_way_where_the_file_does_not() {
        let mut access = Access::default();
        let way = |access: &Access, text: &str| access.way_to(&text.parse().unwrap());
        assert_eq!(way(&access, "tcp!h!17034"), Way::Clear);
        assert_eq!(way(&access, "h"), Way::Clear);
        assert_eq!(way(&access, "tcp!h!27034"), Way::Auth);
        assert_eq!(way(&access, "tcp!h!17035"), Way::Tls);
        access.line("way", "tls").unwrap().unwrap();
        assert_eq!(way(&access, "tcp!h!443"), Way::Tls);
        assert_eq!(way(&access, "tcp!h!27034"), Way::Tls);
        assert_eq!(Service::Venti.port(Way::Tls), 17035);
        assert_eq!(Service::Tree.port(Way::Auth), 17020);
    }

    #[test]
    fn what_is_said_of_the_way_and_not_understood_closes_it() {
        let bad = [("way", "tsl"), ("pin", "sha256=00"), ("server", ""), ("auth", "il!a!b")];
        for (key, value) in bad {
            let mut access = Access::default();
            assert!(access.line(key, value).unwrap().is_err(), "{key}");
            assert!(access.is_unclear, "{key}");
        }
        let mut access = Access::default();
        assert!(access.line("rate", "x").is_none() && !access.is_unclear);
        let pin = std::format!("sha256={}", "ab".repeat(32));
        access.line("pin", &pin).unwrap().unwrap();
        assert_eq!(std::format!("{}", access.pin.unwrap()), pin);
    }
}
