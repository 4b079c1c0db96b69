//! One question by HTTP and its answer, over a stream that is used for nothing else.
//!
//! Knows what a request looks like (RFC 9112, 3). Must not know sockets, nor what is asked. Who waits for it must set an end.

use super::answer::{Answer, AnswerError, Reader};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};

/// Bytes that are read at once.
const PIECE: usize = 2048;

/// A question without a body. Whoever makes one sees to it that no part has blanks or ends of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// GET or PUT.
    pub method: &'static str,
    /// Begins with `/`.
    pub path: String,
    /// Header lines, besides those of every request.
    pub headers: Vec<(&'static str, String)>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The connection was lost.
    #[error("the connection was lost")]
    Lost,
    /// The answer is not taken.
    #[error("the answer is not taken: {0}")]
    Answer(#[from] AnswerError),
}

impl Request {
    /// A GET without headers of its own.
    pub fn get(path: String) -> Request {
        Request { method: "GET", path, headers: Vec::new() }
    }

    /// The bytes, for a server that is called `authority`.
    pub fn encode(&self, authority: &str) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {authority}\r\n", self.method, self.path);
        text += "User-Agent: granary\r\nAccept-Encoding: identity\r\nConnection: close\r\n";
        if self.method == "PUT" {
            text += "Content-Length: 0\r\n";
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        text.into_bytes()
    }
}

/// Sends a request and takes its answer.
///
/// # Errors
/// See [`FetchError`].
pub async fn exchange(
    reader: &mut impl Read,
    writer: &mut impl Write,
    request: &[u8],
) -> Result<Answer, FetchError> {
    writer.write_all(request).await.map_err(|_| FetchError::Lost)?;
    writer.flush().await.map_err(|_| FetchError::Lost)?;
    let mut answer = Reader::default();
    let mut piece = [0; PIECE];
    loop {
        let len = reader.read(&mut piece).await.map_err(|_| FetchError::Lost)?;
        let bytes = piece.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(answer.end()?);
        }
        if let Some(answer) = answer.push(bytes)? {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::simulation::block_on;

    #[test]
    fn a_request_is_one_that_servers_take_and_its_answer_comes_back() {
        let headers = alloc::vec![("X-Lifetime", "60".into())];
        let request = Request { method: "PUT", path: "/token".into(), headers }.encode("10.0.0.1:8000");
        let text = core::str::from_utf8(&request).unwrap();
        assert!(text.starts_with("PUT /token HTTP/1.1\r\nHost: 10.0.0.1:8000\r\n"), "{text}");
        assert!(
            text.contains("\r\nContent-Length: 0\r\n") && text.ends_with("\r\nX-Lifetime: 60\r\n\r\n"),
            "{text}"
        );
        let mut sent = [0; 300];
        let mut from = &b"HTTP/1.0 200 OK\r\n\r\nabc"[..];
        let mut room = &mut sent[..];
        let answer = block_on(exchange(&mut from, &mut room, &request));
        assert_eq!(answer, Ok(Answer { status: 200, body: b"abc".to_vec() }));
        assert!(sent.starts_with(&request));
    }
}
