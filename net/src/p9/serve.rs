//! One connection: requests in, replies out, one after another, each within its time.
//!
//! Knows frames and deadlines. Must not know what requests mean. A request that was begun is done to its end, even when
//! its client is gone: what it changes must not be left half done.

use super::fids::{Session, refusal};
use super::files::{Error as FileError, Files};
use super::message::{FRAME_MAX, HEADER_LEN, Request};
use crate::clock::Clock;
use crate::venti::connections::Ticket;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Error, ErrorKind, Read, Write};
use futures_util::future::{Either, select};

/// Bytes asked of the stream at a time.
const READ_LEN: usize = 16 << 10;

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To send its first request.
    pub hello: Duration,
    /// To send the rest of a request that it began, or to take a reply.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { hello: Duration::from_secs(10), stall: Duration::from_secs(60) }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The client closed it.
    #[error("the client closed the connection")]
    PeerClosed,
    /// A size that no message has.
    #[error("the client sent a message of {0} bytes")]
    Frame(u32),
    /// A message without type and tag.
    #[error("the client sent what is no message")]
    Malformed,
    /// No version in time.
    #[error("the client asked for no version in time")]
    NoHello,
    /// It began a message and did not end it, or did not take a reply.
    #[error("the client stalled")]
    Stalled,
    /// It was idle and others needed its place.
    #[error("idle, and closed to make room for others")]
    Evicted,
    /// The stream failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
}

/// Serves one connection until either end closes it. The halves are dropped with it, which closes the stream.
pub async fn serve_connection<R: Read, W: Write, F: Files, C: Clock>(
    reader: R,
    writer: W,
    files: &F,
    limits: &Limits,
    clock: &C,
    ticket: &Ticket,
) -> Ending {
    let (held, buffer) = (Vec::new(), vec![0; READ_LEN]);
    let mut connection = Connection { reader, writer, limits, clock, ticket, held, buffer };
    let mut session = Session::new(files);
    loop {
        let message = match connection.next_message(session.frame_max(), session.is_welcome()).await {
            Ok(message) => message,
            Err(ending) => return ending,
        };
        ticket.set_under_way(1);
        let Ok((tag, request)) = Request::parse(message) else { return Ending::Malformed };
        let reply = match request {
            Ok(request) => session.answer(tag, request).await,
            Err(error) => refusal(&FileError::Malformed(error.to_string())),
        };
        if session.is_welcome() {
            ticket.welcome();
        }
        if let Err(ending) = connection.send(&reply.to_bytes(tag)).await {
            return ending;
        }
        ticket.set_under_way(0);
    }
}

struct Connection<'a, R, W, C> {
    reader: R,
    writer: W,
    limits: &'a Limits,
    clock: &'a C,
    ticket: &'a Ticket,
    /// What came and was not used yet.
    held: Vec<u8>,
    /// What the next read fills.
    buffer: Vec<u8>,
}

impl<R: Read, W: Write, C: Clock> Connection<'_, R, W, C> {
    /// The next message, without its size.
    async fn next_message(&mut self, frame_max: u32, welcome: bool) -> Result<Bytes, Ending> {
        loop {
            if let Some(size) = self.held.first_chunk::<4>() {
                let size = u32::from_le_bytes(*size);
                if size < HEADER_LEN as u32 || size > frame_max.min(FRAME_MAX) {
                    return Err(Ending::Frame(size));
                }
                if let Some(message) = self.held.get(4..size as usize) {
                    let message = Bytes::copy_from_slice(message);
                    self.held.drain(..size as usize);
                    return Ok(message);
                }
            }
            let count = self.read(welcome).await?;
            self.ticket.touch(self.clock.now());
            self.ticket.count(|counters| counters.bytes_in += count as u64);
            self.held.extend_from_slice(self.buffer.get(..count).unwrap_or_default());
        }
    }

    async fn read(&mut self, welcome: bool) -> Result<usize, Ending> {
        let (clock, limits) = (self.clock, self.limits);
        let begun = !self.held.is_empty();
        let patience = async {
            let time = if welcome { limits.stall } else { limits.hello };
            if begun || !welcome {
                clock.sleep_until(clock.now().plus(time)).await;
            } else {
                core::future::pending::<()>().await;
            }
            if welcome { Ending::Stalled } else { Ending::NoHello }
        };
        let evicted = async {
            self.ticket.evicted().await;
            Ending::Evicted
        };
        let (patience, evicted) = (pin!(patience), pin!(evicted));
        match select(pin!(self.reader.read(&mut self.buffer)), select(patience, evicted)).await {
            Either::Left((Ok(0), _)) => Err(Ending::PeerClosed),
            Either::Left((Ok(count), _)) => Ok(count),
            Either::Left((Err(error), _)) => Err(Ending::Stream(error.kind())),
            Either::Right((Either::Left((ending, _)) | Either::Right((ending, _)), _)) => Err(ending),
        }
    }

    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Ending> {
        self.ticket.count(|counters| counters.bytes_out += bytes.len() as u64);
        while !bytes.is_empty() {
            let patience = self.clock.sleep_until(self.clock.now().plus(self.limits.stall));
            let count = match select(pin!(self.writer.write(bytes)), pin!(patience)).await {
                Either::Left((Ok(0), _)) => return Err(Ending::Stream(ErrorKind::WriteZero)),
                Either::Left((Ok(count), _)) => count,
                Either::Left((Err(error), _)) => return Err(Ending::Stream(error.kind())),
                Either::Right(_) => return Err(Ending::Stalled),
            };
            bytes = bytes.get(count..).unwrap_or_default();
        }
        self.writer.flush().await.map_err(|error| Ending::Stream(error.kind()))
    }
}
