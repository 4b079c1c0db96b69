//! Plan 9 dial strings. Knows their text form; opens nothing.

use crate::venti::PORT as VENTI_PORT;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// A TCP endpoint as a person names it: `tcp!host!port`, `net!host!venti`, `/net.alt/tcp!host!17034`, `host!port`,
/// `host:port`, `[::1]:port` or `host` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// A name or an address; `*` (for listening) is every address.
    pub host: String,
    /// `None` where the text names none.
    pub port: Option<u16>,
}

/// A text that is no dial string of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address: {reason} (write tcp!HOST!PORT or HOST)")]
pub struct BadDial {
    text: String,
    reason: &'static str,
}

impl Dial {
    /// The port, or `default` where the text named none.
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }
}

impl FromStr for Dial {
    type Err = BadDial;

    fn from_str(text: &str) -> Result<Dial, BadDial> {
        let bad = |reason| BadDial { text: text.to_owned(), reason };
        let parts: Vec<&str> = text.split('!').collect();
        let (host, service) = match parts.as_slice() {
            [host] => split_at_colon(host),
            [network, host] if is_network(network) => (*host, None),
            [host, service] => (*host, Some(*service)),
            [network, host, service] if is_network(network) => (*host, Some(*service)),
            [_, _, _] => return Err(bad("the network is not tcp")),
            _ => return Err(bad("too many `!`")),
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(bad("the host is missing or has blanks"));
        }
        let port = service.map(|service| port_of(service).ok_or_else(|| bad("unknown port"))).transpose()?;
        Ok(Dial { host: host.to_owned(), port })
    }
}

impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp!{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, "!{port}"))
    }
}

/// `tcp` or `net`, perhaps after a network root such as `/net.alt/`.
fn is_network(text: &str) -> bool {
    matches!(text.rsplit('/').next(), Some("tcp" | "net"))
}

/// Splits `host:port` and `[v6]:port`; an address with several colons and no brackets is a host.
fn split_at_colon(text: &str) -> (&str, Option<&str>) {
    if let Some(inner) = text.strip_prefix('[') {
        return match inner.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None => (text, None),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A number, or a service that Plan 9's tables name.
fn port_of(service: &str) -> Option<u16> {
    match service {
        "venti" => Some(VENTI_PORT),
        "9fs" => Some(564),
        "ticket" => Some(567),
        "http" => Some(80),
        "https" => Some(443),
        number => number.parse().ok().filter(|_| number.bytes().all(|digit| digit.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn understands_every_form_in_use() {
        for (text, host, port) in [
            ("tcp!venti.example!17034", "venti.example", Some(17034)),
            ("tcp!10.0.0.1!venti", "10.0.0.1", Some(17034)),
            ("net!storage!17035", "storage", Some(17035)),
            ("/net.alt/tcp!storage!17034", "storage", Some(17034)),
            ("tcp!storage", "storage", None),
            ("storage", "storage", None),
            ("storage!9fs", "storage", Some(564)),
            ("127.0.0.1:21000", "127.0.0.1", Some(21000)),
            ("tcp!::1!21000", "::1", Some(21000)),
            ("::1", "::1", None),
            ("[::1]:21000", "::1", Some(21000)),
            ("[::1]", "::1", None),
            ("tcp!*!17034", "*", Some(17034)),
        ] {
            assert_eq!(text.parse(), Ok(Dial { host: host.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn refuses_what_names_no_tcp_endpoint() {
        let bad =
            ["", "tcp!", "tcp!!17034", "il!h!17034", "a!b!c!d", "h!65536", "h!-1", "h!+5", "h:", "h!ftp9"];
        for text in bad {
            assert!(text.parse::<Dial>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_prints_as_it_parses(text in "\\PC{0,40}") {
            if let Ok(dial) = text.parse::<Dial>() && !dial.host.contains('[') {
                prop_assert_eq!(dial.to_string().parse::<Dial>(), Ok(dial));
            }
        }
    }
}
