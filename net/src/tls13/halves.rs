//! A connection as two halves of a stream, which wait independently within one task.
//!
//! Knows streams and deadlines. Must not know what is sealed how.

use super::client::Client;
use super::engine::{Engine, Peer, RECORD_LEN_MAX, Received};
use super::error::Failure;
use super::identity::Identity;
use super::provider::Source;
use super::server::Server;
use crate::auth::thumbprint::Thumbprints;
use crate::clock::Clock;
use crate::rng::Rng;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Error, ErrorType, Read, Write};
use futures_util::future::{Either, select};

/// Who we are, whom we trust, and where keys come from.
pub struct Ours<'a, R: 'static> {
    /// What we show.
    pub identity: &'a Identity,
    /// What the peer may show.
    pub trusted: Arc<Thumbprints>,
    /// Randomness.
    pub source: &'static Source<R>,
}

/// A connection whose peer has proved who it is.
pub struct Secured<R, W> {
    /// Who it is.
    pub peer: Peer,
    /// What it sends.
    pub reader: Reader<R>,
    /// What it is sent.
    pub writer: Writer<W>,
}

/// Answers a client. It has `patience` in all for its part of the handshake.
///
/// # Errors
/// Whatever keeps us apart. The peer has been told, as far as TLS does that.
pub async fn accept<S, W, R, C>(
    reader: S,
    writer: W,
    ours: Ours<'_, R>,
    clock: &C,
    patience: Duration,
) -> Result<Secured<S, W>, Failure>
where
    S: Read,
    W: Write,
    R: Rng + Send + Sync,
    C: Clock,
{
    let server = Server::new(ours.identity, ours.trusted, ours.source)?;
    secure(reader, writer, server, clock, patience).await
}

/// Dials a server, over a stream to it. It has `patience` in all for its part of the handshake.
///
/// In TLS 1.3 the client is done first: a server that does not trust us says so when we first read.
///
/// # Errors
/// Whatever keeps us apart.
pub async fn dial<S, W, R, C>(
    reader: S,
    writer: W,
    ours: Ours<'_, R>,
    clock: &C,
    patience: Duration,
) -> Result<Secured<S, W>, Failure>
where
    S: Read,
    W: Write,
    R: Rng + Send + Sync,
    C: Clock,
{
    let client = Client::new(ours.identity.clone(), ours.trusted, ours.source);
    secure(reader, writer, client, clock, patience).await
}

async fn secure<S: Read, W: Write, C: Clock>(
    reader: S,
    writer: W,
    engine: impl Engine + 'static,
    clock: &C,
    patience: Duration,
) -> Result<Secured<S, W>, Failure> {
    let deadline = clock.now().plus(patience);
    let engine: Rc<RefCell<dyn Engine>> = Rc::new(RefCell::new(engine));
    let mut reader = Reader { stream: reader, engine: engine.clone(), buffer: vec![0; RECORD_LEN_MAX] };
    let mut writer = Writer { stream: writer, engine, sealed: Vec::new(), sent: 0 };
    let shaken = match select(pin!(shake(&mut reader, &mut writer)), pin!(clock.sleep_until(deadline))).await
    {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Failure::TooLate),
    };
    shaken.map(|peer| Secured { peer, reader, writer })
}

async fn shake<S: Read, W: Write>(reader: &mut Reader<S>, writer: &mut Writer<W>) -> Result<Peer, Failure> {
    loop {
        let result = reader.engine.borrow_mut().handshake();
        let sent = writer.drain().await;
        if let Some(peer) = result? {
            return sent.map(|()| peer);
        }
        sent?;
        reader.fill().await?;
    }
}

/// The half that reads.
pub struct Reader<S> {
    stream: S,
    engine: Rc<RefCell<dyn Engine>>,
    buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    /// Gives the engine some more of what the peer sent.
    async fn fill(&mut self) -> Result<(), Failure> {
        let room = self.engine.borrow().room().min(self.buffer.len());
        let space = self.buffer.get_mut(..room).unwrap_or_default();
        if space.is_empty() {
            return Err(Failure::Protocol("a message of the handshake is too long".into()));
        }
        let count = self.stream.read(space).await.map_err(|error| Failure::Stream(error.kind()))?;
        if count == 0 {
            return Err(Failure::Truncated);
        }
        self.engine.borrow_mut().feed(self.buffer.get(..count).unwrap_or_default());
        Ok(())
    }
}

impl<S> ErrorType for Reader<S> {
    type Error = Failure;
}

impl<S: Read> Read for Reader<S> {
    /// At least one byte, or 0 when the peer has said goodbye (or `target` is empty). A stream that ends otherwise is an
    /// error: somebody may have cut it off.
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, Failure> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            let received = self.engine.borrow_mut().receive(target)?;
            match received {
                Received::Data(count) => return Ok(count),
                Received::Closed => return Ok(0),
                Received::NeedMore => self.fill().await?,
            }
        }
    }
}

/// The half that writes.
pub struct Writer<W> {
    stream: W,
    engine: Rc<RefCell<dyn Engine>>,
    sealed: Vec<u8>,
    sent: usize,
}

impl<W: Write> Writer<W> {
    /// Says goodbye: nothing more will come. After that a client reads nothing more, either.
    ///
    /// # Errors
    /// If the stream fails.
    pub async fn close(&mut self) -> Result<(), Failure> {
        let result = self.engine.borrow_mut().close();
        self.drain().await?;
        self.stream.flush().await.map_err(|error| Failure::Stream(error.kind()))?;
        result
    }

    /// Sends all that is sealed. Dropped half way, it goes on with the next call.
    async fn drain(&mut self) -> Result<(), Failure> {
        loop {
            let rest = self.sealed.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                self.sealed.clear();
                self.sent = 0;
                let mut engine = self.engine.borrow_mut();
                if engine.output().is_empty() {
                    return Ok(());
                }
                // The empty one goes back, so that its memory is used again.
                core::mem::swap(&mut self.sealed, engine.output());
                continue;
            }
            match self.stream.write(rest).await.map_err(|error| Failure::Stream(error.kind()))? {
                0 => return Err(Failure::Stream(embedded_io_async::ErrorKind::WriteZero)),
                count => self.sent += count,
            }
        }
    }
}

impl<W> ErrorType for Writer<W> {
    type Error = Failure;
}

impl<W: Write> Write for Writer<W> {
    /// Seals at most one record and sends it. Dropped half way, that record may or may not be on its way.
    async fn write(&mut self, source: &[u8]) -> Result<usize, Failure> {
        if source.is_empty() {
            return Ok(0);
        }
        self.drain().await?;
        let count = self.engine.borrow_mut().send(source)?;
        self.drain().await?;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.drain().await?;
        self.stream.flush().await.map_err(|error| Failure::Stream(error.kind()))
    }
}
