//! A port that is listened to. Knows no socket: that is [`Sockets`](super::sockets::Sockets)' part.

use super::stack::Shared;
use super::stream::{Connection, TcpStream};
use alloc::rc::Rc;
use core::future::poll_fn;
use core::task::{Context, Poll};

/// A port that is listened to on all addresses. Dropped, it refuses newcomers and resets those that nobody
/// accepted.
pub struct Listener {
    shared: Rc<Shared>,
    port: u16,
}

impl Listener {
    pub(super) fn new(shared: Rc<Shared>, port: u16) -> Listener {
        Listener { shared, port }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next connection, in the order in which they were established. Dropping the future loses none.
    pub async fn accept(&mut self) -> TcpStream {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    pub(super) fn poll_accept(&self, cx: &Context<'_>) -> Poll<TcpStream> {
        let mut state = self.shared.state.borrow_mut();
        loop {
            let Some(handle) = state.sockets.accept(self.port, cx.waker()) else { return Poll::Pending };
            if let Some(peer) = state.sockets.socket(handle).remote_endpoint() {
                let connection = Connection::new(self.shared.clone(), handle, peer.into());
                return Poll::Ready(TcpStream::new(connection));
            }
            // Reset since the last turn: nobody is there any more.
            state.sockets.release(handle);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.shared.state.borrow_mut();
        state.sockets.unlisten(self.port);
        state.kick();
    }
}
