//! One end's messages, carried over a stream. Bytes that came early wait for what they belong to.

use super::error::SecureError;
use super::halves::{self, Reader, Writer};
use crate::auth::dp9ik::Step;
use crate::rng::Rng;
use crate::tls_psk::{self, Channel, TlsError};
use alloc::vec::Vec;
use embedded_io_async::{Error, Read, Write};
use storage::arithmetic::Arithmetic;

/// Bytes that are read at once.
const PIECE: usize = 1024;

/// A stream on which two ends come together.
pub(super) struct Line<R, W> {
    reader: R,
    writer: W,
    buffer: Vec<u8>,
    taken: usize,
}

impl<R: Read, W: Write> Line<R, W> {
    pub(super) fn new(reader: R, writer: W) -> Line<R, W> {
        Line { reader, writer, buffer: Vec::new(), taken: 0 }
    }

    /// Runs one end until it has something to tell.
    pub(super) async fn run<Event, Failure: Into<SecureError>>(
        &mut self,
        mut step: impl FnMut(&mut &[u8]) -> Result<Step<Event>, Failure>,
    ) -> Result<Event, SecureError> {
        loop {
            match self.take(&mut step).map_err(Into::into)? {
                Step::Send(message) => self.send(&message).await?,
                Step::Event(event) => return Ok(event),
                Step::Receive => self.receive().await?,
            }
        }
    }

    /// Runs one end of a TLS handshake, and makes the halves.
    pub(super) async fn protect<G: Rng>(
        mut self,
        mut end: impl End<G>,
        arithmetic: &Arithmetic,
    ) -> Result<(Reader<R>, Writer<W, G>), SecureError> {
        loop {
            match self.take(&mut |input| end.step(input)) {
                Ok(tls_psk::Step::Send(message)) => self.send(&message).await?,
                Ok(tls_psk::Step::Receive) => self.receive().await?,
                Ok(tls_psk::Step::Done(channel)) => {
                    let Channel { sender, mut receiver } = *channel;
                    let early = self.buffer.get(self.taken..).unwrap_or_default();
                    let count = receiver.receive(early);
                    assert!(count == early.len(), "a piece is shorter than a record may be");
                    return Ok(halves::join((self.reader, receiver), (self.writer, sender), arithmetic));
                }
                Err(error) => {
                    if let Some(words) = end.last_words(&error) {
                        // The peer may be gone.
                        let _ = self.send(&words).await;
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Has `step` take what it wants of what has come.
    fn take<T>(&mut self, step: &mut impl FnMut(&mut &[u8]) -> T) -> T {
        let mut input = self.buffer.get(self.taken..).unwrap_or_default();
        let before = input.len();
        let next = step(&mut input);
        self.taken += before - input.len();
        next
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), SecureError> {
        let failed = |error: W::Error| SecureError::Stream(error.kind());
        let mut rest = message;
        while !rest.is_empty() {
            match self.writer.write(rest).await.map_err(failed)? {
                0 => return Err(SecureError::Hungup),
                count => rest = rest.get(count..).unwrap_or_default(),
            }
        }
        self.writer.flush().await.map_err(failed)
    }

    async fn receive(&mut self) -> Result<(), SecureError> {
        // What was there is used up.
        self.buffer.resize(PIECE, 0);
        let read = self.reader.read(&mut self.buffer).await;
        let count = read.map_err(|error| SecureError::Stream(error.kind()))?;
        self.buffer.truncate(count);
        self.taken = 0;
        if count == 0 { Err(SecureError::Hungup) } else { Ok(()) }
    }
}

/// Either end of a TLS handshake.
pub(super) trait End<G> {
    fn step(&mut self, input: &mut &[u8]) -> Result<tls_psk::Step<G>, TlsError>;
    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>>;
}

impl<G: Rng> End<G> for tls_psk::Server<G> {
    fn step(&mut self, input: &mut &[u8]) -> Result<tls_psk::Step<G>, TlsError> {
        tls_psk::Server::step(self, input)
    }

    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        tls_psk::Server::last_words(self, error)
    }
}

impl<G: Rng> End<G> for tls_psk::Client<G> {
    fn step(&mut self, input: &mut &[u8]) -> Result<tls_psk::Step<G>, TlsError> {
        tls_psk::Client::step(self, input)
    }

    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        tls_psk::Client::last_words(self, error)
    }
}
