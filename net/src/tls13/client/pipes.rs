//! The bytes that go into embedded-tls and come out of it, and which records may go in.
//!
//! Knows the five bytes in front of a record. Must not know what is in it.

use super::super::engine::{Peer, RECORD_LEN_MAX};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

const HEADER_LEN: usize = 5;
/// A type of content and a tag: a record that has no more is empty.
const SEALED_LEN_MIN: usize = 1 + 16;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Stands for the second byte of the version, which nobody looks at, in records after the handshake: so that `guard` can
/// tell when a record came.
pub(super) const AFTER_HANDSHAKE: u8 = 0xff;

/// What embedded-tls and whoever drives it share.
#[derive(Default)]
pub(super) struct Pipes {
    incoming: RefCell<Incoming>,
    pub(super) outgoing: RefCell<Vec<u8>>,
    /// Opened, and not yet asked for.
    pub(super) plain: RefCell<Vec<u8>>,
    plain_taken: Cell<usize>,
    pub(super) to_send: RefCell<Vec<u8>>,
    pub(super) says_goodbye: Cell<bool>,
    /// Who the peer is, once it has proved that.
    pub(super) peer: RefCell<Option<Peer>>,
}

#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    taken: usize,
    /// Bytes of the record that is being read, still to come.
    of_record: usize,
    has_hello: bool,
    is_open: bool,
}

impl Pipes {
    /// Bytes of the peer that wait.
    pub(super) fn waiting(&self) -> usize {
        let incoming = self.incoming.borrow();
        incoming.bytes.len() - incoming.taken
    }

    pub(super) fn feed(&self, bytes: &[u8]) {
        let mut incoming = self.incoming.borrow_mut();
        let taken = core::mem::take(&mut incoming.taken);
        incoming.bytes.drain(..taken);
        incoming.bytes.extend_from_slice(bytes);
    }

    /// The handshake is over.
    pub(super) fn open(&self, peer: Peer) {
        self.incoming.borrow_mut().is_open = true;
        *self.peer.borrow_mut() = Some(peer);
    }

    /// Takes of what was opened; `None` if there is nothing.
    pub(super) fn take_plain(&self, target: &mut [u8]) -> Option<usize> {
        let mut plain = self.plain.borrow_mut();
        let waiting = plain.get(self.plain_taken.get()..).filter(|waiting| !waiting.is_empty())?;
        let count = waiting.len().min(target.len());
        target.iter_mut().zip(waiting).for_each(|(to, from)| *to = *from);
        self.plain_taken.set(self.plain_taken.get() + count);
        if self.plain_taken.get() == plain.len() {
            plain.clear();
            self.plain_taken.set(0);
        }
        Some(count)
    }

    /// Goes on when `ready`, which is asked at each poll.
    pub(super) async fn until(&self, ready: impl Fn() -> bool) {
        poll_fn(|_| if ready() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Incoming {
    /// Bytes for embedded-tls: none while too few are there, never from a record that does not belong here.
    fn take(&mut self, target: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.of_record == 0 {
            self.begin_record()?;
        }
        let waiting = self.bytes.get(self.taken..).unwrap_or_default();
        let count = waiting.len().min(target.len()).min(self.of_record);
        let (target, waiting) = (target.get_mut(..count), waiting.get(..count));
        if let (Some(target), Some(waiting)) = (target, waiting) {
            target.copy_from_slice(waiting);
        }
        self.taken += count;
        self.of_record -= count;
        Ok(count)
    }

    fn begin_record(&mut self) -> Result<(), ErrorKind> {
        let waiting = self.bytes.get_mut(self.taken..).unwrap_or_default();
        let Some([kind, _, minor, high, low]) = waiting.first_chunk_mut::<HEADER_LEN>() else {
            return Ok(());
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let belongs = match *kind {
            APPLICATION_DATA => (self.is_open || self.has_hello) && len >= SEALED_LEN_MIN,
            HANDSHAKE => !self.is_open && !core::mem::replace(&mut self.has_hello, true),
            ALERT => !self.is_open && !self.has_hello,
            CHANGE_CIPHER_SPEC => !self.is_open && len == 1,
            _ => false,
        };
        if !belongs || HEADER_LEN + len > RECORD_LEN_MAX {
            return Err(ErrorKind::InvalidData);
        }
        if self.is_open {
            *minor = AFTER_HANDSHAKE;
        }
        self.of_record = HEADER_LEN + len;
        Ok(())
    }
}

/// The pipes as embedded-tls sees them: a stream.
#[derive(Clone)]
pub(super) struct Link(pub(super) Rc<Pipes>);

impl ErrorType for Link {
    type Error = ErrorKind;
}

impl Read for Link {
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| match self.0.incoming.borrow_mut().take(target) {
            Ok(0) if !target.is_empty() => Poll::Pending,
            result => Poll::Ready(result),
        })
        .await
    }
}

impl Write for Link {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.outgoing.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
