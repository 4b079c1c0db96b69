//! What comes of a handshake: a half that sends and a half that receives, which know nothing of each other.
//!
//! Each holds one buffer for as long as it lives; a record costs no memory of its own, and is sealed and opened where
//! it lies. Where other processors seal and open, a record goes to them by itself: [`Sender::cut`], [`Receiver::take`].

use super::alert::{self, Alert, TlsError};
use super::protect::{OVERHEAD_MAX, Opened, Opener, Sealed, Sealer, Unsealed};
use super::record::{BODY_MAX, HEADER_LEN, Header, Kind};
use super::{PLAIN_MAX, record};
use crate::rng::Rng;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Bytes of records that are received at once: one of any length, or a full one and most of the next.
const ROOM: usize = 32 << 10;
const _: () = assert!(ROOM >= HEADER_LEN + BODY_MAX);

/// Both halves.
pub struct Channel<R> {
    /// What this end sends.
    pub sender: Sender<R>,
    /// What this end receives.
    pub receiver: Receiver,
}

impl<R> Channel<R> {
    pub(super) fn new(sealer: Sealer<R>, opener: Opener) -> Channel<R> {
        Channel { sender: Sender::new(sealer), receiver: Receiver::new(opener) }
    }
}

impl<R> fmt::Debug for Channel<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Channel")
    }
}

/// Content in, records out.
pub struct Sender<R> {
    sealer: Sealer<R>,
    buffer: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl<R> Sender<R> {
    fn new(sealer: Sealer<R>) -> Sender<R> {
        let buffer = Vec::with_capacity(PLAIN_MAX + OVERHEAD_MAX);
        Sender { sealer, buffer, sent: 0, ended: false }
    }

    /// What is to be sent. Say with [`Sender::sent`] how much of it was.
    pub fn unsent(&self) -> &[u8] {
        self.buffer.get(self.sent..).unwrap_or_default()
    }

    /// So many more bytes of [`Sender::unsent`] were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.buffer.len());
        if self.sent == self.buffer.len() {
            self.buffer.clear();
            self.sent = 0;
        }
    }
}

impl<R: Rng> Sender<R> {
    /// Takes what fits into one record from the front of `content`, and says how much. Memory is bounded where this is
    /// done only while nothing is unsent.
    ///
    /// # Errors
    /// The end was said, or there have been as many records as there can be.
    pub fn push(&mut self, content: &[u8]) -> Result<usize, TlsError> {
        if self.ended {
            return Err(TlsError::Over);
        }
        let content = content.get(..PLAIN_MAX).unwrap_or(content);
        if !content.is_empty() {
            self.sealer.seal(Kind::Data, content, &mut self.buffer)?;
        }
        Ok(content.len())
    }

    /// The same for a record that somebody else seals. It is sent by itself, not by [`Sender::unsent`], after all that
    /// was cut or pushed before.
    ///
    /// # Errors
    /// As for [`Sender::push`].
    pub fn cut(&mut self, content: &[u8]) -> Result<(usize, Unsealed), TlsError> {
        if self.ended {
            return Err(TlsError::Over);
        }
        let content = content.get(..PLAIN_MAX).unwrap_or(content);
        Ok((content.len(), self.sealer.cut(content)?))
    }

    /// Says what an end says last. Said once; nothing can follow.
    pub fn end(&mut self, alert: Alert) {
        if !self.ended {
            self.ended = true;
            // With no number left, nothing can be said.
            let _ = self.sealer.seal(Kind::Alert, &alert.bytes(), &mut self.buffer);
        }
    }
}

/// What a [`Receiver`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Content: see [`Receiver::content`].
    Content,
    /// Nothing until more bytes have come into [`Receiver::room`].
    Nothing,
    /// The peer said that nothing will follow.
    End,
}

/// Records in, content out.
pub struct Receiver {
    opener: Opener,
    buffer: Box<[u8]>,
    /// Bytes that were received and not opened.
    raw: Range<usize>,
    /// Content that was opened and not taken; it ends before `raw` begins.
    content: Range<usize>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

impl Receiver {
    fn new(opener: Opener) -> Receiver {
        let buffer = vec![0; ROOM].into_boxed_slice();
        Receiver { opener, buffer, raw: 0..0, content: 0..0, state: State::Open }
    }

    /// Where bytes go that arrive; never empty when [`Receiver::advance`] has nothing. Say with
    /// [`Receiver::filled`] how many there are.
    pub fn room(&mut self) -> &mut [u8] {
        if self.content.is_empty() && self.raw.start > 0 {
            let unopened = self.raw.len();
            let missing = self.missing();
            if unopened == 0 || self.raw.end + missing > self.buffer.len() {
                self.buffer.copy_within(self.raw.clone(), 0);
                self.raw = 0..unopened;
                self.content = 0..0;
            }
        }
        self.buffer.get_mut(self.raw.end..).unwrap_or_default()
    }

    /// Bytes that the record which has begun is short of.
    fn missing(&self) -> usize {
        let bytes = self.buffer.get(self.raw.clone()).unwrap_or_default();
        match bytes.first_chunk::<HEADER_LEN>() {
            Some([.., high, low]) => {
                let len = HEADER_LEN + usize::from(u16::from_be_bytes([*high, *low]));
                len.min(HEADER_LEN + BODY_MAX).saturating_sub(bytes.len())
            }
            None => HEADER_LEN - bytes.len(),
        }
    }

    /// So many bytes came into the front of [`Receiver::room`].
    pub fn filled(&mut self, count: usize) {
        self.raw.end = self.raw.end.saturating_add(count).min(self.buffer.len());
    }

    /// Bytes that came with the handshake and belong to the channel. Returns how many of them were taken.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// Opens the next record, if no content is left and a record is there.
    ///
    /// # Errors
    /// The stream was altered, or the peer ends it; [`TlsError::alert`] says what the peer is to be told. It stays
    /// over.
    pub fn advance(&mut self) -> Result<Received, TlsError> {
        let next = self.open_next();
        if next.is_err() {
            self.state = State::Failed;
            self.content = 0..0;
        }
        next
    }

    fn open_next(&mut self) -> Result<Received, TlsError> {
        loop {
            match self.state {
                State::Open if self.content.is_empty() => {}
                State::Open => return Ok(Received::Content),
                State::Ended => return Ok(Received::End),
                State::Failed => return Err(TlsError::Over),
            }
            let Some((kind, body)) = self.next_body()? else { return Ok(Received::Nothing) };
            let content = self.opener.open(kind, self.buffer.get_mut(body.clone()).unwrap_or_default())?;
            self.raw.start = body.end;
            let content = body.start + content.start..body.start + content.end;
            match kind {
                Kind::Data => self.content = content,
                _ => self.state = heard(kind, self.buffer.get(content).unwrap_or_default())?,
            }
        }
    }

    /// Where the next record's body lies, if all of it is there.
    fn next_body(&self) -> Result<Option<(Kind, Range<usize>)>, TlsError> {
        let bytes = self.buffer.get(self.raw.clone()).unwrap_or_default();
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let Header { kind, len } = record::Header::parse(*header, true)?;
        let begin = self.raw.start + HEADER_LEN;
        Ok((bytes.len() >= HEADER_LEN + len).then_some((kind, begin..begin + len)))
    }

    /// The next record, if all of it is there, to be opened by somebody else and given to [`Receiver::accept`] in its
    /// turn. Take none while there is content. What is wrong with what came, [`Receiver::advance`] tells.
    pub fn take(&mut self) -> Option<Sealed> {
        if self.state != State::Open {
            return None;
        }
        let (kind, body) = self.next_body().ok().flatten()?;
        let sealed = self.opener.take(kind, self.buffer.get(body.clone())?).ok()?;
        self.raw.start = body.end;
        self.content = body.end..body.end;
        Some(sealed)
    }

    /// Bytes of the body of the next record, if all of it is there.
    pub fn next_len(&self) -> Option<usize> {
        self.next_body().ok().flatten().map(|(_, body)| body.len())
    }

    /// What a record means that was taken: its content, nothing, or the end. Records that follow one which fails, or
    /// the end, mean nothing any more.
    ///
    /// # Errors
    /// As for [`Receiver::advance`].
    pub fn accept(&mut self, record: Opened) -> Result<Option<Vec<u8>>, TlsError> {
        let accepted = self.accept_next(record);
        if accepted.is_err() {
            self.state = State::Failed;
        }
        accepted
    }

    fn accept_next(
        &mut self,
        Opened { kind, mut body, content }: Opened,
    ) -> Result<Option<Vec<u8>>, TlsError> {
        match self.state {
            State::Open => {}
            State::Ended => return Ok(None),
            State::Failed => return Err(TlsError::Over),
        }
        let content = content?;
        if kind != Kind::Data {
            self.state = heard(kind, body.get(content).unwrap_or_default())?;
            return Ok(None);
        }
        body.truncate(content.end);
        body.drain(..content.start);
        Ok(Some(body))
    }

    /// Whether nothing will follow, or nothing that can be trusted.
    pub fn is_over(&self) -> bool {
        self.state != State::Open
    }

    /// What was opened and not taken.
    pub fn content(&self) -> &[u8] {
        self.buffer.get(self.content.clone()).unwrap_or_default()
    }

    /// So many bytes of [`Receiver::content`] were taken.
    pub fn taken(&mut self, count: usize) {
        self.content.start = self.content.start.saturating_add(count).min(self.content.end);
    }

    /// Nothing more will arrive. Good, if the peer said so before.
    ///
    /// # Errors
    /// It did not, so somebody may have cut off what it had to say.
    pub fn finish(&mut self) -> Result<(), TlsError> {
        match self.state {
            State::Ended => Ok(()),
            State::Open => {
                self.state = State::Failed;
                Err(TlsError::Truncated)
            }
            State::Failed => Err(TlsError::Over),
        }
    }
}

/// What a record means that is not content.
fn heard(kind: Kind, content: &[u8]) -> Result<State, TlsError> {
    match kind {
        Kind::Alert if alert::heard(content, false)? => Ok(State::Ended),
        Kind::Alert | Kind::Data => Ok(State::Open),
        Kind::Handshake => Err(TlsError::Unexpected("another handshake")),
        Kind::ChangeCipherSpec => Err(TlsError::Unexpected("a ChangeCipherSpec")),
    }
}
