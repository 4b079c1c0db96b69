//! An answer: its status, its head as bytes, and its body, whole or piece by piece.
//!
//! Knows RFC 9112's two ways to say where a body ends. Must not know what bodies say. Nothing of a request ever
//! enters a head: every byte of one is from the tables here, or a number.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use chrono::DateTime;
use core::fmt::Write;
use storage::Timestamp;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200.
    Ok,
    /// 400.
    BadRequest,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 408.
    RequestTimeout,
    /// 413.
    ContentTooLarge,
    /// 431.
    HeadTooLarge,
    /// 503.
    Unavailable,
    /// 505.
    VersionNotSupported,
}

impl Status {
    /// Every status that an answer can have.
    pub(super) const ALL: [Status; 9] = [
        Status::Ok,
        Status::BadRequest,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::RequestTimeout,
        Status::ContentTooLarge,
        Status::HeadTooLarge,
        Status::Unavailable,
        Status::VersionNotSupported,
    ];

    /// Number and words, as the first line of an answer has them.
    pub const fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// For people.
    Html,
    /// Plain text.
    Text,
    /// XML.
    Xml,
    /// Prometheus' text format.
    Metrics,
}

impl ContentType {
    const fn name(self) -> &'static str {
        match self {
            ContentType::Html => "text/html; charset=utf-8",
            ContentType::Text => "text/plain; charset=utf-8",
            ContentType::Xml => "text/xml; charset=utf-8",
            ContentType::Metrics => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What follows the head.
pub enum Body {
    /// All of it.
    Whole(String),
    /// As many pieces as come, none of them empty.
    Pieces(Box<dyn Iterator<Item = String>>),
}

/// An answer.
pub struct Response {
    /// What became of the request.
    pub status: Status,
    /// What the body is.
    pub content_type: ContentType,
    /// The body.
    pub body: Body,
}

impl Response {
    /// An answer in plain text.
    pub fn text(status: Status, text: impl Into<String>) -> Response {
        Response { status, content_type: ContentType::Text, body: Body::Whole(text.into()) }
    }
}

/// How a body's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length.
    Length(usize),
    /// By chunks.
    Chunked,
    /// By the end of the connection, for HTTP/1.0.
    Close,
}

impl Framing {
    /// How this body goes to a client of HTTP/1.0, or of 1.1.
    pub fn of(body: &Body, old: bool) -> Framing {
        match body {
            Body::Whole(text) => Framing::Length(text.len()),
            Body::Pieces(_) if old => Framing::Close,
            Body::Pieces(_) => Framing::Chunked,
        }
    }
}

/// What every answer says: pages are of the moment, are what their type says, and load nothing from anywhere.
const FIXED: &str = "Server: Granary\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
     Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
     frame-ancestors 'none'\r\n";

/// The head of an answer.
pub fn head(
    status: Status,
    content_type: ContentType,
    framing: Framing,
    keep_alive: bool,
    now: Timestamp,
) -> String {
    let mut head = format!("HTTP/1.1 {}\r\n{FIXED}", status.line());
    if let Some(date) = DateTime::from_timestamp(now.0.into(), 0) {
        // Writing to a String cannot fail.
        let _ = write!(head, "Date: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT"));
    }
    let _ = write!(head, "Content-Type: {}\r\n", content_type.name());
    let _ = match framing {
        Framing::Length(length) => write!(head, "Content-Length: {length}\r\n"),
        Framing::Chunked => write!(head, "Transfer-Encoding: chunked\r\n"),
        Framing::Close => Ok(()),
    };
    if status == Status::MethodNotAllowed {
        head += "Allow: GET, HEAD\r\n";
    }
    head += if keep_alive { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" };
    head
}

/// A piece as a chunk. The empty chunk, which ends a body, is [`LAST_CHUNK`].
pub fn chunk(piece: &str) -> String {
    format!("{:x}\r\n{piece}\r\n", piece.len())
}

/// Ends a body of chunks.
pub const LAST_CHUNK: &str = "0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_head_is_one_head() {
        for status in Status::ALL {
            for framing in [Framing::Length(usize::MAX), Framing::Chunked, Framing::Close] {
                let head = head(status, ContentType::Html, framing, true, Timestamp(u32::MAX));
                assert!(head.ends_with("\r\n\r\n") && head.matches("\r\n\r\n").count() == 1, "{head:?}");
                let lines: Vec<&str> = head.trim_end().split("\r\n").collect();
                assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "{head:?}");
                assert!(lines.iter().skip(1).all(|line| line.contains(": ")), "{head:?}");
                assert_eq!(head.contains("Allow: GET, HEAD"), status == Status::MethodNotAllowed);
            }
        }
    }

    #[test]
    fn a_head_says_when_and_how_long() {
        let framing = Framing::Length(12);
        let head = head(Status::Ok, ContentType::Text, framing, false, Timestamp(1_795_380_824));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        for line in ["Date: Sun, 22 Nov 2026 20:53:44 GMT", "Content-Length: 12", "Connection: close"] {
            assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
        }
    }

    #[test]
    fn a_chunk_says_its_bytes_in_hex() {
        assert_eq!(chunk("Körner sind klein"), "12\r\nKörner sind klein\r\n");
    }
}
