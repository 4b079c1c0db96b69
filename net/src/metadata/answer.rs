//! An HTTP server's answer, from bytes as they come.
//!
//! Knows RFC 9112 as far as a client needs it that asks one thing a connection: lengths, chunks, or until the end. What could be
//! understood in two ways is refused. Must not know streams, nor what was asked.

use super::BODY_LEN_MAX;
use alloc::vec::Vec;

/// A longer head is refused, in bytes, with those of interim answers.
const HEAD_LEN_MAX: usize = 8 << 10;
/// More header lines are refused.
const HEADERS_MAX: usize = 64;
/// A longer line with the size of a chunk is refused.
const CHUNK_LINE_MAX: usize = 64;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, if all is well.
    pub status: u16,
    /// What it brings.
    pub body: Vec<u8>,
}

/// Why an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No HTTP, or wrong HTTP.
    #[error("it is not HTTP/1")]
    Malformed,
    /// Lengths that contradict one another, or a coding that is not known.
    #[error("its length is said in a way that is not taken")]
    Length,
    /// A head that never ends.
    #[error("its head is longer than {HEAD_LEN_MAX} bytes, or has more than {HEADERS_MAX} lines")]
    HeadTooLong,
    /// More than settings may be.
    #[error("it is longer than {BODY_LEN_MAX} bytes")]
    TooLong,
    /// The end came early.
    #[error("it ended early")]
    Short,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Head,
    /// So many bytes, and then the end.
    Body(usize),
    /// Whatever comes until the end.
    UntilEnd,
    ChunkLine,
    Chunk(usize),
    /// The line's end behind a chunk.
    ChunkEnd,
}

/// Takes an answer from bytes.
#[derive(Debug)]
pub struct Reader {
    next: Next,
    /// What was not used yet; shorter than a head.
    waiting: Vec<u8>,
    /// Bytes of heads so far.
    head_len: usize,
    answer: Answer,
}

impl Default for Reader {
    fn default() -> Reader {
        let answer = Answer { status: 0, body: Vec::new() };
        Reader { next: Next::Head, waiting: Vec::new(), head_len: 0, answer }
    }
}

impl Reader {
    /// Takes more bytes; the answer, once it is whole. What follows it is not looked at.
    ///
    /// # Errors
    /// It will not be taken, whatever comes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Answer>, AnswerError> {
        self.waiting.extend_from_slice(bytes);
        let waiting = core::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        loop {
            let before = (self.next, rest.len());
            if self.step(&mut rest)? {
                let whole =
                    Answer { status: self.answer.status, body: core::mem::take(&mut self.answer.body) };
                return Ok(Some(whole));
            }
            if (self.next, rest.len()) == before {
                self.waiting = rest.to_vec();
                return Ok(None);
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// More was promised.
    pub fn end(self) -> Result<Answer, AnswerError> {
        if self.next == Next::UntilEnd { Ok(self.answer) } else { Err(AnswerError::Short) }
    }

    /// Uses what it can of `rest`; whether the answer is whole.
    fn step(&mut self, rest: &mut &[u8]) -> Result<bool, AnswerError> {
        match self.next {
            Next::Head => return self.head(rest),
            Next::Body(left) => {
                let taken = self.take(rest, left)?;
                self.next = Next::Body(left - taken);
                return Ok(left == taken);
            }
            Next::UntilEnd => {
                self.take(rest, usize::MAX)?;
            }
            Next::ChunkLine => return self.chunk_line(rest),
            Next::Chunk(left) => {
                let taken = self.take(rest, left)?;
                self.next = if left == taken { Next::ChunkEnd } else { Next::Chunk(left - taken) };
            }
            Next::ChunkEnd => match rest.first_chunk::<2>() {
                None => {}
                Some(b"\r\n") => {
                    *rest = rest.get(2..).unwrap_or_default();
                    self.next = Next::ChunkLine;
                }
                Some(_) => return Err(AnswerError::Malformed),
            },
        }
        Ok(false)
    }

    /// Moves bytes to the body, `left` at most, and says how many.
    fn take(&mut self, rest: &mut &[u8], left: usize) -> Result<usize, AnswerError> {
        let (taken, behind) = rest.split_at(left.min(rest.len()));
        if self.answer.body.len() + taken.len() > BODY_LEN_MAX {
            return Err(AnswerError::TooLong);
        }
        self.answer.body.extend_from_slice(taken);
        *rest = behind;
        Ok(taken.len())
    }

    fn head(&mut self, rest: &mut &[u8]) -> Result<bool, AnswerError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let len = match head.parse(rest) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) if self.head_len + rest.len() <= HEAD_LEN_MAX => return Ok(false),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(AnswerError::HeadTooLong),
            Err(_) => return Err(AnswerError::Malformed),
        };
        self.head_len += len;
        if self.head_len > HEAD_LEN_MAX {
            return Err(AnswerError::HeadTooLong);
        }
        self.answer.status = head.code.ok_or(AnswerError::Malformed)?;
        self.next = match self.answer.status {
            // RFC 9110, 15.2: interim answers come before the one that counts.
            100 | 102..=199 => Next::Head,
            // RFC 9110, 15: there are none below 100; 101 leads to another protocol, for which nobody has asked.
            0..100 | 101 => return Err(AnswerError::Malformed),
            204 | 304 => Next::Body(0),
            _ => body(head.headers)?,
        };
        *rest = rest.get(len..).unwrap_or_default();
        Ok(self.next == Next::Body(0))
    }

    fn chunk_line(&mut self, rest: &mut &[u8]) -> Result<bool, AnswerError> {
        match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete((len, size))) if len <= CHUNK_LINE_MAX => {
                // The last chunk. Trailers tell us nothing, and nothing follows on this connection.
                if size == 0 {
                    return Ok(true);
                }
                let size = usize::try_from(size).map_err(|_| AnswerError::TooLong)?;
                if size > BODY_LEN_MAX - self.answer.body.len() {
                    return Err(AnswerError::TooLong);
                }
                *rest = rest.get(len..).unwrap_or_default();
                self.next = Next::Chunk(size);
                Ok(false)
            }
            Ok(httparse::Status::Partial) if rest.len() <= CHUNK_LINE_MAX => Ok(false),
            Ok(_) | Err(_) => Err(AnswerError::Malformed),
        }
    }
}

/// How the body's end is known (RFC 9112, 6.3).
fn body(headers: &[httparse::Header]) -> Result<Next, AnswerError> {
    let mut found = None;
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let next = if is("transfer-encoding") {
            let chunked = header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            chunked.then_some(Next::ChunkLine).ok_or(AnswerError::Length)?
        } else if is("content-length") {
            Next::Body(length(header.value).ok_or(AnswerError::Length)?)
        } else {
            continue;
        };
        if found.replace(next).is_some() {
            return Err(AnswerError::Length);
        }
    }
    match found {
        Some(Next::Body(len)) if len > BODY_LEN_MAX => Err(AnswerError::TooLong),
        Some(next) => Ok(next),
        None => Ok(Next::UntilEnd),
    }
}

fn length(value: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(value.trim_ascii()).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;

    /// What comes of bytes in pieces of some length, and then the end.
    fn read(bytes: &[u8], piece: usize) -> Result<Answer, AnswerError> {
        let mut reader = Reader::default();
        for piece in bytes.chunks(piece) {
            if let Some(answer) = reader.push(piece)? {
                return Ok(answer);
            }
        }
        reader.end()
    }

    fn answer(status: u16, body: &str) -> Result<Answer, AnswerError> {
        Ok(Answer { status, body: body.into() })
    }

    #[test]
    fn bodies_end_by_length_by_chunks_and_with_the_connection() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1", answer(200, "hello")),
            ("HTTP/1.0 404 Not Found\r\n\r\nno", answer(404, "no")),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", answer(200, "")),
            ("HTTP/1.1 204 No\r\n\r\n", answer(204, "")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                answer(200, "hello"),
            ),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", answer(200, "x")),
        ] {
            for piece in [1, 3, 1000] {
                assert_eq!(read(text.as_bytes(), piece), expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_wrong_or_too_long_is_refused() {
        let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
        let many: String = (0..70).map(|number| format!("X-{number}: y\r\n")).collect();
        for (text, error) in [
            ("SSH-2.0-x\r\n\r\n".into(), AnswerError::Malformed),
            ("HTTP/1.1 101 Switching\r\n\r\n".into(), AnswerError::Malformed),
            ("HTTP/1.1 050 Early\r\n\r\n".into(), AnswerError::Malformed),
            (ok("Content-Length: 5\r\n\r\nhell"), AnswerError::Short),
            (ok("Content-Length: 5"), AnswerError::Short),
            (ok("Content-Length: +5\r\n\r\nhello"), AnswerError::Length),
            (ok("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), AnswerError::Length),
            (ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), AnswerError::Length),
            (ok("Transfer-Encoding: gzip, chunked\r\n\r\n"), AnswerError::Length),
            (ok("Content-Length: 65537\r\n\r\n"), AnswerError::TooLong),
            (ok("Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"), AnswerError::TooLong),
            (ok("Transfer-Encoding: chunked\r\n\r\n3\r\nhelxy"), AnswerError::Malformed),
            (ok("Transfer-Encoding: chunked\r\n\r\nz\r\n"), AnswerError::Malformed),
            (
                ok(&format!("Transfer-Encoding: chunked\r\n\r\n3;{}\r\n", "x".repeat(80))),
                AnswerError::Malformed,
            ),
            (ok(&format!("\r\n{}", "x".repeat(BODY_LEN_MAX + 1))), AnswerError::TooLong),
            (ok(&format!("X: {}", "y".repeat(HEAD_LEN_MAX))), AnswerError::HeadTooLong),
            (ok(&many), AnswerError::HeadTooLong),
            ("HTTP/1.1 100 Go on\r\n\r\n".repeat(500), AnswerError::HeadTooLong),
        ] {
            assert_eq!(read(text.as_bytes(), 7), Err(error), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_in_whatever_pieces(tail in prop::collection::vec(any::<u8>(), 0..60), piece in 1_usize..9) {
            for head in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n"] {
                let bytes = [head.as_bytes(), &tail, b"\r\r\r"].concat();
                prop_assert_eq!(read(&bytes, piece), read(&bytes, 1000));
            }
        }
    }
}
