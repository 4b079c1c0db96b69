//! Datagrams: what the clock and the log need. Few sockets, small queues; what does not fit is lost, as datagrams are.

use super::error::ConnectError;
use super::stack::{Shared, Stack};
use alloc::rc::Rc;
use alloc::vec;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, SendError, Socket};

/// Datagrams that wait in each direction.
const PACKETS: usize = 16;
/// Their bytes.
const BYTES: usize = 16 << 10;
/// Sockets at once.
const SOCKETS_MAX: usize = 4;

/// A socket on a port of its own, closed when it is dropped.
pub struct UdpSocket {
    shared: Rc<Shared>,
    handle: SocketHandle,
}

impl Stack {
    /// A socket for datagrams, on a free port chosen at random.
    ///
    /// # Errors
    /// [`ConnectError::TooMany`] if there are four already; `peer` is named in it.
    pub fn udp(&self, peer: SocketAddr) -> Result<UdpSocket, ConnectError> {
        let mut state = self.shared.state.borrow_mut();
        let sockets = &mut state.sockets.set;
        let in_use = sockets.iter().filter(|(_, socket)| matches!(socket, smoltcp::socket::Socket::Udp(_)));
        if in_use.count() >= SOCKETS_MAX {
            return Err(ConnectError::TooMany { peer });
        }
        let port = self.random_port();
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], vec![0; BYTES]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(port).map_err(|_| ConnectError::TooMany { peer })?;
        let handle = sockets.add(socket);
        Ok(UdpSocket { shared: self.shared.clone(), handle })
    }

    /// Whether there is an address to send to this peer from.
    pub fn can_send_to(&self, peer: SocketAddr) -> bool {
        self.shared.state.borrow().has_address_for(peer)
    }
}

impl UdpSocket {
    /// Sends a datagram as soon as there is room for it.
    ///
    /// # Errors
    /// If there is no address to send from, or the datagram is too large.
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> Result<(), ConnectError> {
        poll_fn(|cx| {
            let mut state = self.shared.state.borrow_mut();
            if !state.has_address_for(peer) {
                return Poll::Ready(Err(ConnectError::NoAddress { peer }));
            }
            let socket = state.sockets.set.get_mut::<Socket<'static>>(self.handle);
            let sent = if data.len() > socket.payload_send_capacity() {
                Err(ConnectError::NoAddress { peer })
            } else {
                match socket.send_slice(data, peer) {
                    Ok(()) => Ok(()),
                    Err(SendError::BufferFull) => {
                        socket.register_send_waker(cx.waker());
                        return Poll::Pending;
                    }
                    Err(SendError::Unaddressable) => Err(ConnectError::NoAddress { peer }),
                }
            };
            state.kick();
            Poll::Ready(sent)
        })
        .await
    }

    /// The next datagram, cut to the room there is: its bytes, and who sent it.
    pub async fn receive(&self, room: &mut [u8]) -> (usize, SocketAddr) {
        poll_fn(|cx| {
            let mut state = self.shared.state.borrow_mut();
            let socket = state.sockets.set.get_mut::<Socket<'static>>(self.handle);
            match socket.recv() {
                Ok((data, meta)) => {
                    let len = data.len().min(room.len());
                    room[..len].copy_from_slice(&data[..len]);
                    Poll::Ready((len, meta.endpoint.into()))
                }
                Err(_) => {
                    socket.register_recv_waker(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.shared.state.borrow_mut().sockets.set.remove(self.handle);
    }
}
