//! `http://HOST[:PORT]/PATH`, as people write where a machine finds its settings.
//!
//! Knows RFC 3986 as far as it is needed: no user, no query, no fragment; the host is a name or an IPv4 address.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// A longer text is none.
const LEN_MAX: usize = 512;
const SCHEME: &str = "http://";
const PORT: u16 = 80;

/// A folder on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name or an address.
    pub host: String,
    /// The port of its server.
    pub port: u16,
    /// Begins and ends with `/`.
    pub folder: String,
}

/// A text that is no URL of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Something else, such as https.
    #[error("it must begin with http:// (the node has no TLS for it)")]
    Scheme,
    /// No host, or one that cannot be.
    #[error("the host must be a name or an IPv4 address, with a port of 1 to 65535 or none")]
    Host,
    /// Letters that a path cannot have.
    #[error("its path must be plain letters of a URL, without ? and #")]
    Path,
    /// Longer than any path that makes sense.
    #[error("it is longer than {LEN_MAX} bytes")]
    TooLong,
}

impl Url {
    /// What the header `Host` says (RFC 9110, 7.2).
    pub fn authority(&self) -> String {
        if self.port == PORT { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    /// A folder without `/` at its end gets one, as cloud-init does.
    fn from_str(text: &str) -> Result<Url, BadUrl> {
        if text.len() > LEN_MAX {
            return Err(BadUrl::TooLong);
        }
        let scheme = text.get(..SCHEME.len()).filter(|start| start.eq_ignore_ascii_case(SCHEME));
        let rest = scheme.and_then(|scheme| text.get(scheme.len()..)).ok_or(BadUrl::Scheme)?;
        let (authority, folder) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.split_once(':') {
            None => (authority, PORT),
            Some((host, port)) => (host, port_of(port).ok_or(BadUrl::Host)?),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(BadUrl::Host);
        }
        if !is_path(folder.as_bytes()) {
            return Err(BadUrl::Path);
        }
        let end = if folder.ends_with('/') { "" } else { "/" };
        Ok(Url { host: host.to_string(), port, folder: format!("{folder}{end}") })
    }
}

fn port_of(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// RFC 3986, 3.3: unreserved letters, sub-delimiters, `:`, `@`, `/`, and `%` with two digits.
fn is_path(path: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(byte);
    let is_escape = |rest: &[u8]| rest.len() >= 2 && rest.iter().take(2).all(u8::is_ascii_hexdigit);
    path.iter().all(plain) && path.split(|byte| *byte == b'%').skip(1).all(is_escape)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.authority(), self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_taken() {
        for (text, host, port, folder) in [
            ("http://10.0.0.1:8000/x/", "10.0.0.1", 8000, "/x/"),
            ("HTTP://seeds.lan", "seeds.lan", 80, "/"),
            ("http://seeds.lan/a%20b/c", "seeds.lan", 80, "/a%20b/c/"),
        ] {
            let expected = Url { host: host.into(), port, folder: folder.into() };
            assert_eq!(text.parse(), Ok(expected.clone()), "{text}");
            assert_eq!(expected.to_string().parse(), Ok(expected));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, error) in [
            ("", BadUrl::Scheme),
            ("https://10.0.0.1/", BadUrl::Scheme),
            ("/var/seed/", BadUrl::Scheme),
            ("http:///x/", BadUrl::Host),
            ("http://a b/", BadUrl::Host),
            ("http://user@host/", BadUrl::Host),
            ("http://[::1]/", BadUrl::Host),
            ("http://h:0/", BadUrl::Host),
            ("http://h:+5/", BadUrl::Host),
            ("http://h:65536/", BadUrl::Host),
            ("http://h/?a=b", BadUrl::Path),
            ("http://h/%s", BadUrl::Path),
            ("http://h/a b", BadUrl::Path),
            ("http://h/\r\nX: y", BadUrl::Path),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
        assert_eq!(format!("http://h/{}", "x".repeat(600)).parse::<Url>(), Err(BadUrl::TooLong));
    }
}
