//! The end that dials: embedded-tls, fed by hand.
//!
//! | module | what |
//! |---|---|
//! | `pipes` | the bytes that go in and out, and which records may go in |
//! | `guard` | AES-GCM that looks at what it opens before embedded-tls does |
//! | `prove` | our certificate, and whether the peer's is trusted and its own |
//!
//! embedded-tls is a client that waits on a stream. Here it waits on buffers instead, as a future that is polled whenever
//! something came into them: so both halves of a connection can work side by side, and nothing of it knows streams.
//!
//! It leaves out what a peer that means ill would use: it takes records in clear after the handshake, ends the program on
//! handshake messages that come too late or on a record without content, and asks for no signature if none is sent. `pipes`,
//! `guard` and `prove` see to that. It answers no KeyUpdate, so a connection ends before its keys are used up.

mod guard;
mod pipes;
mod prove;

use super::engine::{Engine, PLAIN_LEN_MAX, Peer, RECORD_LEN_MAX, Received};
use super::error::Failure;
use super::identity::Identity;
use super::provider::{RECORDS_MAX, Source};
use crate::auth::thumbprint::Thumbprints;
use crate::rng::Rng;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use embedded_io_async::{ErrorKind, Write};
use embedded_tls::{
    TLS_RECORD_OVERHEAD, TlsConfig, TlsConnection, TlsContext, TlsError, TlsReader, TlsWriter,
};
use futures_util::future::{Either, select};
use guard::GuardedSuite;
use pipes::Pipes;
use prove::Proof;

/// What runs the connection.
type Work = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// One connection.
pub(super) struct Client {
    pipes: Rc<Pipes>,
    /// embedded-tls at work, until it ends.
    work: Option<Work>,
    ended: Option<Failure>,
    output: Vec<u8>,
    records: u64,
}

impl Client {
    /// To a server, which must show a certificate that `trusted` lists.
    pub(super) fn new<R: Rng + Send + Sync>(
        identity: Identity,
        trusted: Arc<Thumbprints>,
        source: &'static Source<R>,
    ) -> Client {
        let pipes = Rc::new(Pipes::default());
        let work = Box::pin(work(pipes.clone(), Proof::new(identity, trusted, source)));
        Client { pipes, work: Some(work), ended: None, output: Vec::new(), records: 0 }
    }

    /// As if so many records had been sent.
    #[cfg(test)]
    pub(super) fn pretend_records(&mut self, records: u64) {
        self.records = records;
    }

    /// Has embedded-tls go on as far as what came allows.
    fn step(&mut self) -> Result<(), Failure> {
        if let Some(work) = &mut self.work {
            // Nothing it waits for wakes anybody: it is polled when something changed.
            let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            self.output.append(&mut self.pipes.outgoing.borrow_mut());
            if let Poll::Ready(result) = polled {
                self.work = None;
                self.ended = result.err();
            }
        }
        self.ended.clone().map_or(Ok(()), Err)
    }
}

impl Engine for Client {
    fn room(&self) -> usize {
        (2 * RECORD_LEN_MAX).saturating_sub(self.pipes.waiting())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.pipes.feed(bytes);
    }

    fn handshake(&mut self) -> Result<Option<Peer>, Failure> {
        self.step()?;
        Ok(self.pipes.peer.borrow().clone())
    }

    fn receive(&mut self, target: &mut [u8]) -> Result<Received, Failure> {
        if let Some(count) = self.pipes.take_plain(target) {
            return Ok(Received::Data(count));
        }
        self.step()?;
        Ok(match self.pipes.take_plain(target) {
            Some(count) => Received::Data(count),
            None if self.work.is_none() => Received::Closed,
            None => Received::NeedMore,
        })
    }

    fn send(&mut self, plain: &[u8]) -> Result<usize, Failure> {
        if self.records >= RECORDS_MAX {
            return Err(Failure::UsedUp);
        }
        let now = plain.get(..PLAIN_LEN_MAX).unwrap_or(plain);
        self.pipes.to_send.borrow_mut().extend_from_slice(now);
        self.records += 1;
        self.step()?;
        // Whatever is left there was not sealed, and will not be.
        if self.pipes.to_send.borrow().is_empty() { Ok(now.len()) } else { Err(Failure::Closed) }
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.pipes.says_goodbye.set(true);
        self.step()
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }
}

/// Everything that embedded-tls does for a connection.
async fn work<R: Rng + Send + Sync>(pipes: Rc<Pipes>, mut proof: Proof<R>) -> Result<(), Failure> {
    let mut incoming = vec![0; RECORD_LEN_MAX];
    let mut outgoing = vec![0; PLAIN_LEN_MAX + TLS_RECORD_OVERHEAD];
    let config = TlsConfig::new();
    let mut connection: TlsConnection<'_, _, GuardedSuite> =
        TlsConnection::new(pipes::Link(pipes.clone()), &mut incoming, &mut outgoing);
    let opened = connection.open(TlsContext::new(&config, &mut proof)).await;
    // Without a proof the handshake proved nothing, even if embedded-tls is content.
    let peer = match opened {
        Ok(()) => proof.peer()?,
        Err(error) => return Err(proof.refusal().unwrap_or_else(|| failure(error))),
    };
    pipes.open(peer);
    {
        let (mut reader, mut writer) = connection.split();
        let (read, written) = (pin!(read(&pipes, &mut reader)), pin!(write(&pipes, &mut writer)));
        let (Either::Left((ended, _)) | Either::Right((ended, _))) = select(read, written).await;
        ended?;
    }
    // The peer said goodbye, or we do.
    connection.close().await.map(drop).map_err(|(_, error)| failure(error))
}

/// Opens records, one at a time, until the peer says goodbye.
async fn read(pipes: &Pipes, reader: &mut TlsReader<'_, pipes::Link, GuardedSuite>) -> Result<(), Failure> {
    loop {
        pipes.until(|| pipes.plain.borrow().is_empty()).await;
        match reader.read_buffered().await {
            Ok(mut buffer) => pipes.plain.borrow_mut().extend_from_slice(buffer.pop_all()),
            Err(TlsError::ConnectionClosed) => return Ok(()),
            // An alert; embedded-tls does not say which.
            Err(TlsError::InternalError) => {
                return Err(Failure::Protocol(
                    "the peer ended the connection; it may not trust our certificate".into(),
                ));
            }
            Err(error) => return Err(failure(error)),
        }
    }
}

/// Seals what is to be sent, until we say goodbye.
async fn write(pipes: &Pipes, writer: &mut TlsWriter<'_, pipes::Link, GuardedSuite>) -> Result<(), Failure> {
    loop {
        pipes.until(|| pipes.says_goodbye.get() || !pipes.to_send.borrow().is_empty()).await;
        let mut plain = pipes.to_send.take();
        if plain.is_empty() {
            return Ok(());
        }
        writer.write_all(&plain).await.map_err(failure)?;
        writer.flush().await.map_err(failure)?;
        plain.clear();
        pipes.to_send.replace(plain);
    }
}

fn failure(error: TlsError) -> Failure {
    match error {
        TlsError::Io(ErrorKind::InvalidData) => {
            Failure::Protocol("a record that does not belong here".into())
        }
        error => Failure::Protocol(format!("{error}")),
    }
}
