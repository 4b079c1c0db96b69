//! Waiting within one task: what joined futures of a connection tell one another.

use core::cell::Cell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// One waiter, any number of those who wake it.
#[derive(Default)]
pub(super) struct Signal {
    waker: Cell<Option<Waker>>,
}

impl Signal {
    /// Has the waiter look again.
    pub(super) fn notify(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Returns once `ready`, which is asked again after each [`Signal::notify`].
    pub(super) async fn until(&self, mut ready: impl FnMut() -> bool) {
        poll_fn(|context| {
            if ready() {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
