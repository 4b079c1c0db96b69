//! The two halves of a secured connection. Each waits for itself alone.

use super::error::ChannelError;
use crate::clock::Clock;
use crate::rng::Rng;
use crate::tls_psk::{Alert, Received, Receiver, Sender, TlsError};
use alloc::rc::Rc;
use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Error, ErrorType, Read, Write};
use futures_util::future::select;

/// What the writer is to say last, because of what the reader saw.
type LastWords = Rc<Cell<Option<Alert>>>;

/// What the peer sends. `read` may be dropped at any time without loss, if that of the stream beneath may.
///
/// Where the stream beneath ends before the peer said that it was done, `read` fails: somebody may have cut it off.
pub struct Reader<R> {
    inner: R,
    receiver: Receiver,
    last_words: LastWords,
}

/// What the peer is sent: each write becomes one record, and is on its way when it returns. A write that is dropped
/// half way leaves a writer that only can be dropped.
///
/// [`Writer::close`] says that nothing will follow. Merely dropped, the peer must take the stream for cut off.
pub struct Writer<W, G> {
    inner: W,
    sender: Sender<G>,
    last_words: LastWords,
    begun: bool,
}

pub(super) fn join<R, W, G>(
    reader: R,
    writer: W,
    sender: Sender<G>,
    receiver: Receiver,
) -> (Reader<R>, Writer<W, G>) {
    let last_words = LastWords::default();
    (
        Reader { inner: reader, receiver, last_words: last_words.clone() },
        Writer { inner: writer, sender, last_words, begun: false },
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
                Err(error) => {
                    if let Some(alert) = error.alert() {
                        self.last_words.set(Some(alert));
                    }
                    return Err(error.into());
                }
            }
        }
    }
}

impl<R: Read> Reader<R> {
    async fn more(&mut self) -> Result<(), ChannelError> {
        let count = self.inner.read(self.receiver.room()).await;
        match count.map_err(|error| ChannelError::Stream(error.kind()))? {
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

    async fn drain(&mut self) -> Result<(), ChannelError> {
        while !self.sender.unsent().is_empty() {
            let count = self.inner.write(self.sender.unsent()).await;
            match count.map_err(|error| ChannelError::Stream(error.kind()))? {
                0 => return Err(ChannelError::Stream(embedded_io_async::ErrorKind::WriteZero)),
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
        let count = self.sender.push(source)?;
        self.begun = true;
        self.drain().await?;
        self.begun = false;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), ChannelError> {
        self.drain().await?;
        self.inner.flush().await.map_err(|error| ChannelError::Stream(error.kind()))
    }
}
