//! A connection as two halves that wait independently. Knows bytes, not packets.

use super::error::TcpError;
use super::stack::Shared;
use alloc::rc::Rc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use embedded_io_async::{ErrorType, Read, Write};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, State as TcpState};

/// A socket in use. Dropped, the connection says goodbye after all data, within [`TcpLimits::linger`].
///
/// [`TcpLimits::linger`]: super::TcpLimits::linger
pub(super) struct Connection {
    shared: Rc<Shared>,
    handle: SocketHandle,
    peer: SocketAddr,
}

impl Connection {
    pub(super) fn new(shared: Rc<Shared>, handle: SocketHandle, peer: SocketAddr) -> Connection {
        Connection { shared, handle, peer }
    }

    pub(super) fn handle(&self) -> SocketHandle {
        self.handle
    }

    fn lost(&self) -> TcpError {
        TcpError::Lost { peer: self.peer }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.shared.state.borrow_mut();
        state.sockets.release(self.handle);
        state.kick();
    }
}

/// An established connection. [`TcpStream::split`] gives the halves that read and write.
pub struct TcpStream {
    connection: Connection,
}

impl TcpStream {
    pub(super) fn new(connection: Connection) -> TcpStream {
        TcpStream { connection }
    }

    /// The other end.
    pub fn peer_address(&self) -> SocketAddr {
        self.connection.peer
    }

    /// The two halves. The connection ends when both are dropped: what was written is still delivered, for a
    /// bounded time.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let connection = Rc::new(self.connection);
        (ReadHalf { connection: connection.clone() }, WriteHalf { connection, closed: false })
    }
}

/// The half that reads. As long as it does not, the peer soon cannot send, and nobody else notices.
pub struct ReadHalf {
    connection: Rc<Connection>,
}

impl ReadHalf {
    /// The other end.
    pub fn peer_address(&self) -> SocketAddr {
        self.connection.peer
    }

    fn poll_read(&self, cx: &Context<'_>, target: &mut [u8]) -> Poll<Result<usize, TcpError>> {
        let mut state = self.connection.shared.state.borrow_mut();
        let socket = state.sockets.socket(self.connection.handle);
        match socket.recv_slice(target) {
            Ok(0) if !target.is_empty() => {
                socket.register_recv_waker(cx.waker());
                Poll::Pending
            }
            Ok(taken) => {
                // The peer may be waiting for room.
                state.kick();
                Poll::Ready(Ok(taken))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => Poll::Ready(Err(self.connection.lost())),
        }
    }
}

impl ErrorType for ReadHalf {
    type Error = TcpError;
}

impl Read for ReadHalf {
    /// At least one byte, or 0 when the peer has finished sending (or `target` is empty).
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, TcpError> {
        if target.is_empty() {
            return Ok(0);
        }
        poll_fn(|cx| self.poll_read(cx, target)).await
    }
}

/// The half that writes. Dropped, it tells the peer that nothing more will come, after all data.
pub struct WriteHalf {
    connection: Rc<Connection>,
    closed: bool,
}

impl WriteHalf {
    /// The other end.
    pub fn peer_address(&self) -> SocketAddr {
        self.connection.peer
    }

    /// Tells the peer, after all data, that nothing more will come. Does not wait.
    pub fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            let mut state = self.connection.shared.state.borrow_mut();
            state.sockets.socket(self.connection.handle).close();
            state.kick();
        }
    }

    /// Closes, and returns when the peer has acknowledged everything.
    ///
    /// # Errors
    /// The connection was lost before that.
    pub async fn finish(&mut self) -> Result<(), TcpError> {
        self.close();
        poll_fn(|cx| {
            let mut state = self.connection.shared.state.borrow_mut();
            let socket = state.sockets.socket(self.connection.handle);
            match socket.state() {
                TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => {
                    socket.register_send_waker(cx.waker());
                    Poll::Pending
                }
                // Lost while a byte was on its way; a socket that ended in order is empty.
                TcpState::Closed if socket.send_queue() > 0 || socket.remote_endpoint().is_some() => {
                    Poll::Ready(Err(self.connection.lost()))
                }
                _ => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    fn poll_write(&self, cx: &Context<'_>, source: &[u8]) -> Poll<Result<usize, TcpError>> {
        let mut state = self.connection.shared.state.borrow_mut();
        let socket = state.sockets.socket(self.connection.handle);
        match socket.send_slice(source) {
            Ok(0) if !source.is_empty() => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            Ok(taken) => {
                state.kick();
                Poll::Ready(Ok(taken))
            }
            Err(_) if self.closed => Poll::Ready(Err(TcpError::Closed { peer: self.connection.peer })),
            Err(_) => Poll::Ready(Err(self.connection.lost())),
        }
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.close();
    }
}

impl ErrorType for WriteHalf {
    type Error = TcpError;
}

impl Write for WriteHalf {
    /// Takes as much as the send buffer has room for, at least one byte (unless `source` is empty). It is
    /// sent when the running task next waits, so many small writes make few packets.
    async fn write(&mut self, source: &[u8]) -> Result<usize, TcpError> {
        if source.is_empty() {
            return Ok(0);
        }
        poll_fn(|cx| self.poll_write(cx, source)).await
    }

    /// Nothing to do: nothing is withheld. Does not wait for the peer; [`WriteHalf::finish`] does.
    async fn flush(&mut self) -> Result<(), TcpError> {
        self.connection.shared.kick();
        Ok(())
    }
}
