//! A small HTTP client of the tests' own, sharing no code with the node. One request a connection; everything has a
//! deadline.

use crate::client::connect_raw;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::time::Duration;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Longer than any answer of a sane node.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// 200, if all is well.
    pub status: u16,
    /// First line and header lines.
    pub head: String,
    /// What follows.
    pub body: String,
}

/// Asks a port on loopback for a path.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    ask(port, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

/// Sends bytes, and takes what comes until the node closes.
pub fn ask(port: u16, request: &str) -> Result<Answer> {
    let mut stream = connect_raw(port, LIMIT)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).context("no answer by HTTP")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no status in {head:?}"))?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
