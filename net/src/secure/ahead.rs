//! Records that others open while this end receives further ones.
//!
//! Knows in which order they came. Must not know the stream, nor what a record means.

use crate::tls_psk::{Opened, Receiver};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Poll, ready};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use storage::arithmetic::{Arithmetic, Kind};

/// Records that are opened at the same time.
const RECORDS_MAX: usize = 4;

/// The records, from the first that is not read on.
pub(super) struct Ahead {
    arithmetic: Arithmetic,
    /// They live here, and not in a `read` that waits for them, so that one which is dropped loses none.
    opening: FuturesOrdered<Pin<Box<dyn Future<Output = Opened>>>>,
    content: Vec<u8>,
    taken: usize,
}

impl Ahead {
    pub(super) fn new(arithmetic: Arithmetic) -> Ahead {
        Ahead { arithmetic, opening: FuturesOrdered::new(), content: Vec::new(), taken: 0 }
    }

    /// Has others open what came, if there is a record for which that pays. Whether any is being opened.
    pub(super) fn fill(&mut self, receiver: &mut Receiver) -> bool {
        let pays = |len: usize| self.arithmetic.width() > 0 && len >= Kind::Record.pays_from();
        if self.opening.is_empty() && !receiver.next_len().is_some_and(pays) {
            return false;
        }
        while self.opening.len() < RECORDS_MAX
            && let Some(sealed) = receiver.take()
        {
            let (arithmetic, len) = (self.arithmetic.clone(), sealed.body_len());
            let open = async move { arithmetic.run_on(Kind::Record, len, || sealed.open()).await };
            self.opening.push_back(Box::pin(open));
        }
        !self.opening.is_empty()
    }

    /// The first record, once it is open; there must be one. Dropped, nothing is lost.
    pub(super) fn next(&mut self) -> impl Future<Output = Opened> + Unpin + '_ {
        poll_fn(|context| match ready!(self.opening.poll_next_unpin(context)) {
            Some(opened) => Poll::Ready(opened),
            None => Poll::Pending,
        })
    }

    /// What the first record held.
    pub(super) fn put(&mut self, content: Option<Vec<u8>>) {
        self.content = content.unwrap_or_default();
        self.taken = 0;
    }

    /// Takes content that was put.
    pub(super) fn copy_to(&mut self, target: &mut [u8]) -> usize {
        let content = self.content.get(self.taken..).unwrap_or_default();
        let count = content.len().min(target.len());
        target[..count].copy_from_slice(&content[..count]);
        self.taken += count;
        count
    }

    /// Nothing that follows counts any more.
    pub(super) fn clear(&mut self) {
        self.opening = FuturesOrdered::new();
    }
}
