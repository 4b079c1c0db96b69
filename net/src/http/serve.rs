//! One connection: requests in, answers out, one after another, each within its time.
//!
//! Knows deadlines. Must not know what there is to ask for: that is [`Pages`].

use super::request::{HEAD_MAX, Refusal, Request};
use super::response::{self, Body, Framing, Response};
use crate::clock::{Clock, Instant};
use crate::venti::connections::Ticket;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Error, ErrorKind, Read, Write};
use futures_util::future::{Either, select};

/// Reads of a refused client's bytes, before the connection is cut.
const DRAIN_READS_MAX: usize = 16;

/// What is served.
pub trait Pages {
    /// The answer for this path.
    fn answer(&self, path: &str) -> Response;

    /// Notes an answer that is on its way.
    fn answered(&self, status: response::Status);
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the connection, or the answer before, to the end of a request's head.
    pub request: Duration,
    /// To take all of an answer.
    pub answer: Duration,
    /// To read on after it was refused, before the connection is cut.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            linger: Duration::from_secs(1),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// Either end had said that no further request comes.
    #[error("served")]
    Served,
    /// The client closed the connection within or before a request.
    #[error("the client closed the connection")]
    PeerClosed,
    /// No request came in time.
    #[error("idle")]
    Idle,
    /// What came was no request that is answered.
    #[error(transparent)]
    Refused(Refusal),
    /// The client did not take the answer.
    #[error("the client did not take its answer in time")]
    Stalled,
    /// It was idle and others needed its place.
    #[error("idle, and closed to make room for others")]
    Evicted,
    /// The stream failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
}

/// Serves one connection until either end closes it. The halves are dropped with it, which closes the stream.
pub async fn serve_connection<R: Read, W: Write, P: Pages, C: Clock>(
    reader: R,
    writer: W,
    pages: &P,
    limits: &Limits,
    clock: &C,
    ticket: &Ticket,
) -> Ending {
    let connection = Connection { pages, limits, clock, ticket };
    let work = connection.serve(reader, writer);
    match select(pin!(work), pin!(ticket.evicted())).await {
        Either::Left((ending, _)) => ending,
        Either::Right(_) => Ending::Evicted,
    }
}

struct Connection<'a, P, C> {
    pages: &'a P,
    limits: &'a Limits,
    clock: &'a C,
    ticket: &'a Ticket,
}

/// A request, with its answer.
struct Asked {
    response: Response,
    framing: Framing,
    head_only: bool,
    keep_alive: bool,
}

/// What came and was not used yet.
struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Input {
    fn held(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    fn consume(&mut self, length: usize) {
        self.bytes.copy_within(length..self.filled, 0);
        self.filled -= length;
    }
}

impl<P: Pages, C: Clock> Connection<'_, P, C> {
    async fn serve<R: Read, W: Write>(&self, mut reader: R, mut writer: W) -> Ending {
        let mut input = Input { bytes: vec![0; HEAD_MAX], filled: 0 };
        loop {
            match self.next_request(&mut reader, &mut input).await {
                Ok(asked) => {
                    let keep_alive = asked.keep_alive;
                    if let Err(ending) = self.answer(&mut writer, asked).await {
                        return ending;
                    }
                    if !keep_alive {
                        return Ending::Served;
                    }
                }
                Err(Ending::Refused(refusal)) => {
                    let refused = self.answer(&mut writer, refuse(refusal)).await;
                    // If we closed before the client's bytes were read, TCP would throw the answer away.
                    drop(writer);
                    self.drain(&mut reader, &mut input.bytes).await;
                    return refused.err().unwrap_or(Ending::Refused(refusal));
                }
                Err(ending) => return ending,
            }
        }
    }

    /// Reads until a whole request is there, and works out its answer.
    async fn next_request<R: Read>(&self, reader: &mut R, input: &mut Input) -> Result<Asked, Ending> {
        let deadline = self.clock.now().plus(self.limits.request);
        let mut worth_a_look = input.filled > 0;
        loop {
            if worth_a_look
                && let Some((request, length)) = Request::parse(input.held()).map_err(Ending::Refused)?
            {
                let asked = self.ask(&request);
                input.consume(length);
                return Ok(asked);
            }
            let room = input.bytes.get_mut(input.filled..).unwrap_or_default();
            let count = match self.until(deadline, reader.read(room)).await {
                None if input.filled == 0 => return Err(Ending::Idle),
                None => return Err(Ending::Refused(Refusal::Late)),
                Some(Err(error)) => return Err(Ending::Stream(error.kind())),
                Some(Ok(0)) => return Err(Ending::PeerClosed),
                Some(Ok(count)) => count,
            };
            self.ticket.count(|counters| counters.bytes_in += count as u64);
            let end = (input.filled + count).min(input.bytes.len());
            let come = input.bytes.get(input.filled..end).unwrap_or_default();
            // A head ends with a line, so one that comes byte by byte is not looked at each time.
            worth_a_look = input.filled == 0 || come.contains(&b'\n') || end == input.bytes.len();
            input.filled = end;
        }
    }

    fn ask(&self, request: &Request<'_>) -> Asked {
        let response = self.pages.answer(request.path);
        let framing = Framing::of(&response.body, request.old);
        let keep_alive = request.keep_alive && framing != Framing::Close;
        Asked { response, framing, head_only: request.head_only, keep_alive }
    }

    async fn answer<W: Write>(&self, writer: &mut W, asked: Asked) -> Result<(), Ending> {
        self.pages.answered(asked.response.status);
        self.ticket.touch(self.clock.now());
        self.ticket.set_under_way(1);
        let deadline = self.clock.now().plus(self.limits.answer);
        let sent = self.until(deadline, self.send(writer, asked)).await.unwrap_or(Err(Ending::Stalled));
        self.ticket.set_under_way(0);
        self.ticket.touch(self.clock.now());
        // Those that were never answered are the first to make room.
        self.ticket.welcome();
        sent
    }

    async fn send<W: Write>(&self, writer: &mut W, asked: Asked) -> Result<(), Ending> {
        let Asked { response, framing, head_only, keep_alive } = asked;
        let Response { status, content_type, body } = response;
        let mut text = response::head(status, content_type, framing, keep_alive, self.clock.wall());
        match body {
            _ if head_only => self.write(writer, &text).await?,
            Body::Whole(body) => {
                text += &body;
                self.write(writer, &text).await?;
            }
            Body::Pieces(pieces) => {
                self.write(writer, &text).await?;
                let chunked = framing == Framing::Chunked;
                for piece in pieces {
                    let piece = if chunked { response::chunk(&piece) } else { piece };
                    self.write(writer, &piece).await?;
                }
                if chunked {
                    self.write(writer, response::LAST_CHUNK).await?;
                }
            }
        }
        writer.flush().await.map_err(|error| Ending::Stream(error.kind()))
    }

    async fn write<W: Write>(&self, writer: &mut W, text: &str) -> Result<(), Ending> {
        writer.write_all(text.as_bytes()).await.map_err(|error| Ending::Stream(error.kind()))?;
        self.ticket.count(|counters| counters.bytes_out += text.len() as u64);
        Ok(())
    }

    /// Reads on for a moment, without a look at what comes.
    async fn drain<R: Read>(&self, reader: &mut R, sink: &mut [u8]) {
        let deadline = self.clock.now().plus(self.limits.linger);
        let all = async {
            for _ in 0..DRAIN_READS_MAX {
                if !matches!(reader.read(sink).await, Ok(count) if count > 0) {
                    break;
                }
            }
        };
        self.until(deadline, all).await;
    }

    /// What `work` yields; `None` if it is not done by then.
    async fn until<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), pin!(self.clock.sleep_until(deadline))).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

fn refuse(refusal: Refusal) -> Asked {
    let text = format!("{refusal}\n");
    let framing = Framing::Length(text.len());
    let response = Response::text(refusal.status(), text);
    Asked { response, framing, head_only: false, keep_alive: false }
}
