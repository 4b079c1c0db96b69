//! The task that moves packets. Knows when to wait; [`State::turn`](super::stack::State::turn) knows what to
//! do.

use super::nic::Nic;
use super::stack::{Next, Shared, State};
use crate::clock::{Clock, Instant};
use alloc::rc::Rc;
use core::convert::Infallible;
use core::future::{pending, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll};
use futures_util::future::{Either, select};

/// Owns the card. Made by [`Stack::new`](super::Stack::new); to be spawned as one task.
pub struct Runner<N> {
    nic: N,
    shared: Rc<Shared>,
}

impl<N: Nic> Runner<N> {
    pub(super) fn new(nic: N, shared: Rc<Shared>) -> Runner<N> {
        Runner { nic, shared }
    }

    /// Moves packets for ever. Sleeps when there is nothing to do; lets other tasks run between batches of
    /// frames.
    pub async fn run<C: Clock>(mut self, clock: C) -> Infallible {
        loop {
            let (next, changed) = self.shared.state.borrow_mut().turn(&mut self.nic, clock.now());
            if changed {
                self.shared.addresses_changed.notify(usize::MAX);
            }
            match next {
                Next::Again => yield_once().await,
                Next::Wait(until) => self.wait(&clock, until).await,
            }
        }
    }

    /// Returns when the card is ready, a stream was used, or `until` is reached.
    async fn wait<C: Clock>(&mut self, clock: &C, until: Option<Instant>) {
        let Runner { nic, shared } = self;
        let used = poll_fn(|cx| shared.state.borrow_mut().poll_used(cx));
        let due = async {
            match until {
                Some(until) => clock.sleep_until(until).await,
                None => pending().await,
            }
        };
        match select(select(pin!(used), pin!(nic.ready())), pin!(due)).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

impl State {
    fn poll_used(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.kicked {
            return Poll::Ready(());
        }
        self.runner = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Lets every other ready task run once.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
