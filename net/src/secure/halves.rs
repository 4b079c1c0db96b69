//! The two halves of a secured connection. Each waits for itself alone.

use super::ahead::Ahead;
use super::error::ChannelError;
use crate::clock::Clock;
use crate::rng::Rng;
use crate::tls_psk::{Alert, PLAIN_MAX, Received, Receiver, Sender, TlsError};
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::pending;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesOrdered;
use storage::arithmetic::{Arithmetic, Kind};

/// What the writer is to say last, because of what the reader saw.
type LastWords = Rc<Cell<Option<Alert>>>;

/// Records of one write that are sealed at the same time.
const AT_ONCE: usize = 4;

/// What the peer sends. `read` may be dropped at any time without loss, if that of the stream beneath may.
///
/// Where the stream beneath ends before the peer said that it was done, `read` fails: somebody may have cut it off.
pub struct Reader<R> {
    inner: R,
    receiver: Receiver,
    ahead: Ahead,
    /// How the stream beneath ended, while records that came before are being opened.
    ended: Option<Result<(), ErrorKind>>,
    last_words: LastWords,
}

/// What the peer is sent: each write becomes one record, or a few, and is on its way when it returns. A write that is
/// dropped half way leaves a writer that only can be dropped.
///
/// [`Writer::close`] says that nothing will follow. Merely dropped, the peer must take the stream for cut off.
pub struct Writer<W, G> {
    inner: W,
    sender: Sender<G>,
    arithmetic: Arithmetic,
    last_words: LastWords,
    begun: bool,
}

pub(super) fn join<R, W, G>(
    (reader, receiver): (R, Receiver),
    (writer, sender): (W, Sender<G>),
    arithmetic: &Arithmetic,
) -> (Reader<R>, Writer<W, G>) {
    let (last_words, ahead) = (LastWords::default(), Ahead::new(arithmetic.clone()));
    let arithmetic = arithmetic.clone();
    (
        Reader { inner: reader, receiver, ahead, ended: None, last_words: last_words.clone() },
        Writer { inner: writer, sender, arithmetic, last_words, begun: false },
    )
}

impl<R> ErrorType for Reader<R> {
    type Error = ChannelError;
}

impl<R: Read> Read for Reader<R> {
    /// At least one byte, or 0 when the peer said that nothing will follow (or `target` is empty).
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, ChannelError> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.ahead.copy_to(target);
            if count > 0 {
                return Ok(count);
            }
            if self.receiver.content().is_empty() && self.ahead.fill(&mut self.receiver) {
                self.look_ahead().await?;
                continue;
            }
            match self.receiver.advance() {
                Ok(Received::Content) => {
                    let content = self.receiver.content();
                    let count = content.len().min(target.len());
                    target[..count].copy_from_slice(&content[..count]);
                    self.receiver.taken(count);
                    return Ok(count);
                }
                Ok(Received::End) => return Ok(0),
                Ok(Received::Nothing) => self.more().await?,
                Err(error) => return Err(self.failed(error)),
            }
        }
    }
}

impl<R: Read> Reader<R> {
    fn failed(&self, error: TlsError) -> ChannelError {
        if let Some(alert) = error.alert() {
            self.last_words.set(Some(alert));
        }
        error.into()
    }

    /// Waits for the first record that is being opened, or for more of them.
    async fn look_ahead(&mut self) -> Result<(), ChannelError> {
        let has_ended = self.ended.is_some();
        let next = {
            let room = self.receiver.room();
            let more = async {
                if has_ended || room.is_empty() {
                    pending::<()>().await;
                }
                self.inner.read(room).await
            };
            match select(self.ahead.next(), pin!(more)).await {
                Either::Left((opened, _)) => Either::Left(opened),
                Either::Right((count, _)) => Either::Right(count.map_err(|error| error.kind())),
            }
        };
        match next {
            Either::Left(opened) => {
                let content = self.receiver.accept(opened);
                if self.receiver.is_over() {
                    self.ahead.clear();
                }
                self.ahead.put(content.map_err(|error| self.failed(error))?);
            }
            Either::Right(Ok(0)) => self.ended = Some(Ok(())),
            Either::Right(Ok(count)) => self.receiver.filled(count),
            Either::Right(Err(kind)) => self.ended = Some(Err(kind)),
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<(), ChannelError> {
        let count = match self.ended {
            None => self.inner.read(self.receiver.room()).await.map_err(|error| error.kind()),
            Some(ended) => ended.map(|()| 0),
        };
        match count.map_err(ChannelError::Stream)? {
            0 => Ok(self.receiver.finish()?),
            count => {
                self.receiver.filled(count);
                Ok(())
            }
        }
    }
}

impl<W: Write, G: Rng> Writer<W, G> {
    /// Says that nothing will follow, or, where the reader saw the peer break the rules, what rule that was. Does not
    /// wait for an answer; gives up after `patience`. Call it last, whatever happened before.
    pub async fn close(&mut self, clock: &impl Clock, patience: Duration) {
        if self.begun {
            // Nobody knows how far the last record got.
            return;
        }
        self.sender.end(self.last_words.get().unwrap_or(Alert::CloseNotify));
        let deadline = clock.now().plus(patience);
        let goodbye = async {
            // The peer may be gone.
            let _ = self.flush().await;
        };
        select(pin!(goodbye), pin!(clock.sleep_until(deadline))).await;
    }

    /// Sends the front of `source`, as records that others seal.
    async fn send_sealed_elsewhere(&mut self, source: &[u8]) -> Result<usize, ChannelError> {
        self.begun = true;
        let mut sealed = FuturesOrdered::new();
        let mut taken = 0;
        for part in source.chunks(PLAIN_MAX).take(AT_ONCE) {
            let (count, record) = self.sender.cut(part)?;
            taken += count;
            sealed.push_back(self.arithmetic.run_on(Kind::Record, count, || record.seal()));
        }
        while let Some(record) = sealed.next().await {
            let record = record?;
            let failed = |error: W::Error| ChannelError::Stream(error.kind());
            let mut rest = record.as_slice();
            while !rest.is_empty() {
                match self.inner.write(rest).await.map_err(failed)? {
                    0 => return Err(ChannelError::Stream(ErrorKind::WriteZero)),
                    count => rest = rest.get(count..).unwrap_or_default(),
                }
            }
        }
        Ok(taken)
    }

    async fn drain(&mut self) -> Result<(), ChannelError> {
        while !self.sender.unsent().is_empty() {
            let count = self.inner.write(self.sender.unsent()).await;
            match count.map_err(|error| ChannelError::Stream(error.kind()))? {
                0 => return Err(ChannelError::Stream(ErrorKind::WriteZero)),
                count => self.sender.sent(count),
            }
        }
        Ok(())
    }
}

impl<W, G> ErrorType for Writer<W, G> {
    type Error = ChannelError;
}

impl<W: Write, G: Rng> Write for Writer<W, G> {
    async fn write(&mut self, source: &[u8]) -> Result<usize, ChannelError> {
        if self.begun {
            return Err(ChannelError::GivenUp);
        }
        if self.last_words.get().is_some() {
            return Err(TlsError::Over.into());
        }
        let count = if self.arithmetic.width() > 0 && source.len() >= Kind::Record.pays_from() {
            self.send_sealed_elsewhere(source).await?
        } else {
            let count = self.sender.push(source)?;
            self.begun = true;
            self.drain().await?;
            count
        };
        self.begun = false;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), ChannelError> {
        self.drain().await?;
        self.inner.flush().await.map_err(|error| ChannelError::Stream(error.kind()))
    }
}
