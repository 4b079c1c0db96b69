//! The head of a request: bytes → what is asked, or why it is refused.
//!
//! Knows RFC 9112 as far as a server needs it that takes no bodies. Must not know streams, nor what there is to ask for.

use super::response::Status;

/// A longer head is refused, in bytes.
pub const HEAD_MAX: usize = 8 << 10;
/// More header lines are refused.
const HEADERS_MAX: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Whether only the head of the answer is wanted.
    pub head_only: bool,
    /// The path, as it was sent, without the query. Always begins with `/`.
    pub path: &'a str,
    /// HTTP/1.0, which knows no chunks.
    pub old: bool,
    /// Whether another request may follow.
    pub keep_alive: bool,
}

/// Why nothing is answered but an error. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No HTTP, or wrong HTTP.
    #[error("the request is not HTTP/1")]
    Malformed,
    /// The head is too long, or has too many lines.
    #[error("the head of the request is too large")]
    TooLarge,
    /// Anything but GET and HEAD: nothing here can be changed.
    #[error("only GET and HEAD are answered")]
    Method,
    /// A body, or the announcement of one.
    #[error("a request with a body is not answered")]
    Body,
    /// HTTP, but neither 1.0 nor 1.1.
    #[error("this version of HTTP is not spoken")]
    Version,
    /// The head did not arrive in time.
    #[error("the request did not arrive in time")]
    Late,
}

impl Refusal {
    /// The status that tells the client.
    pub fn status(self) -> Status {
        match self {
            Refusal::Malformed => Status::BadRequest,
            Refusal::TooLarge => Status::HeadTooLarge,
            Refusal::Method => Status::MethodNotAllowed,
            Refusal::Body => Status::ContentTooLarge,
            Refusal::Version => Status::VersionNotSupported,
            Refusal::Late => Status::RequestTimeout,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a request from the start of `bytes`, and how many of them are its head. `None`: more must come.
    ///
    /// # Errors
    /// It will not be answered, whatever comes.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<(Request<'a>, usize)>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
            Err(httparse::Error::Version) => return Err(Refusal::Version),
            Err(_) => return Err(Refusal::Malformed),
        };
        let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
            return Err(Refusal::Malformed);
        };
        let head_only = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(Refusal::Method),
        };
        let lines = HeaderLines::read(head.headers)?;
        let old = version == 0;
        // RFC 9112, 3.2: a request of 1.1 without Host, or any with two, is to be refused.
        if lines.hosts > 1 || (lines.hosts == 0 && !old) {
            return Err(Refusal::Malformed);
        }
        let keep_alive = !lines.close && (!old || lines.keep_alive);
        let path = path_of(target).ok_or(Refusal::Malformed)?;
        Ok(Some((Request { head_only, path, old, keep_alive }, length)))
    }
}

/// What the header lines say to us.
#[derive(Default)]
struct HeaderLines {
    hosts: usize,
    close: bool,
    keep_alive: bool,
}

impl HeaderLines {
    fn read(headers: &[httparse::Header]) -> Result<HeaderLines, Refusal> {
        let mut lines = HeaderLines::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                lines.hosts += 1;
            } else if is("transfer-encoding") || (is("content-length") && header.value != b"0") {
                // Whoever stands between us and the client might see another end of the request than we do.
                return Err(Refusal::Body);
            } else if is("connection") {
                let tokens = header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                for token in tokens {
                    lines.close |= token.eq_ignore_ascii_case(b"close");
                    lines.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(lines)
    }
}

/// The path in a request's target: `/path?query`, or the same behind `http://host` as proxies write it.
fn path_of(target: &str) -> Option<&str> {
    let scheme = "http://";
    let path = match target.get(..scheme.len()) {
        Some(start) if start.eq_ignore_ascii_case(scheme) => {
            let rest = target.get(scheme.len()..)?;
            // Without a path it is the root's.
            let path = rest.find(['/', '?']).and_then(|end| rest.get(end..)).unwrap_or_default();
            if path.starts_with('/') { path } else { "/" }
        }
        _ => target,
    };
    path.split(['?', '#']).next().filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    fn parse(text: &str) -> Result<Option<(Request<'_>, usize)>, Refusal> {
        Request::parse(text.as_bytes())
    }

    fn path(target: &str) -> Result<String, Refusal> {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        parse(&text).map(|found| found.unwrap().0.path.into())
    }

    #[test]
    fn a_request_ends_where_its_head_does() {
        let text = "GET /index?x=1 HTTP/1.1\r\nHost: a\r\n\r\nGET /";
        let request = Request { head_only: false, path: "/index", old: false, keep_alive: true };
        assert_eq!(parse(text), Ok(Some((request, text.len() - 5))));
        for end in 0..text.len() - 5 {
            assert_eq!(Request::parse(&text.as_bytes()[..end]), Ok(None), "{end} bytes");
        }
    }

    #[test]
    fn the_versions_keep_connections_as_they_should() {
        for (text, keep, old) in [
            ("HEAD / HTTP/1.1\nHost: a\n\n", true, false),
            ("GET / HTTP/1.1\r\nhost: a\r\nConnection: foo , CLOSE\r\n\r\n", false, false),
            ("GET / HTTP/1.0\r\n\r\n", false, true),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false, true),
        ] {
            let (request, _) = parse(text).unwrap().unwrap();
            assert_eq!((request.keep_alive, request.old), (keep, old), "{text}");
            assert_eq!(request.head_only, text.starts_with("HEAD"));
        }
    }

    #[test]
    fn what_could_change_or_smuggle_anything_is_refused() {
        for (text, refusal) in [
            ("POST /index HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Refusal::Method),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Method),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Refusal::Body),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Body),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Refusal::Malformed),
            ("GET index HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Malformed),
            ("GET /index\r\n\r\n", Refusal::Malformed),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::Version),
            ("\x16\x03\x01\x02\x00\x01", Refusal::Malformed),
        ] {
            assert_eq!(parse(text), Err(refusal), "{text:?}");
        }
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_lines() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(HEAD_MAX));
        assert_eq!(parse(&long), Err(Refusal::TooLarge));
        assert_eq!(parse(&long[..HEAD_MAX]), Err(Refusal::TooLarge), "it can only become longer");
        assert_eq!(parse(&long[..HEAD_MAX - 1]), Ok(None));
        let lines = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX));
        assert_eq!(parse(&lines), Err(Refusal::TooLarge));
    }

    #[test]
    fn a_path_stands_alone_or_behind_a_host() {
        for (target, expected) in [
            ("/", "/"),
            ("/metrics?a=/b#c", "/metrics"),
            ("http://granary:8000/index", "/index"),
            ("HTTP://granary", "/"),
            ("http://granary?x", "/"),
            ("/../etc/passwd", "/../etc/passwd"),
        ] {
            assert_eq!(path(target).as_deref(), Ok(expected), "{target}");
        }
        for target in ["*", "granary:8000", "ftp://granary/", "?x"] {
            assert_eq!(path(target), Err(Refusal::Malformed), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Request::parse(&bytes);
        }

        #[test]
        fn a_damaged_request_is_refused_or_understood(
            place in 0usize..60, byte in any::<u8>(), cut in 0usize..80,
        ) {
            let mut bytes: Vec<u8> = b"GET /index?a=b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".into();
            if let Some(old) = bytes.get_mut(place) {
                *old = byte;
            }
            bytes.truncate(cut.max(1));
            if let Ok(Some((request, length))) = Request::parse(&bytes) {
                prop_assert!(request.path.starts_with('/') && length <= bytes.len());
            }
        }
    }
}
