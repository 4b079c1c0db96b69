//! Venti on a port: one task for each connection.
//!
//! Knows addresses and tasks. Must not know the protocol, nor how blocks are kept.

use crate::executor;
use crate::time::KernelClock;
use alloc::rc::Rc;
use core::cell::Cell;
use net::clock::Clock;
use net::tcp::TcpStream;
use net::venti::Blocks;
use net::venti::connections::{Connections, Ticket};
use net::venti::serve::{Limits, serve_connection};

/// What all connections of the port share.
pub(super) struct Service<B> {
    /// The store.
    pub(super) blocks: B,
    /// Bounds of each connection.
    pub(super) limits: Limits,
    /// Bounds of all of them, and what they did.
    pub(super) connections: Rc<Connections>,
    /// Connections from anywhere else.
    pub(super) strangers: Cell<u64>,
}

impl<B: Blocks + 'static> Service<B> {
    /// Takes one connection, if there is room for it.
    pub(super) fn take(self: &Rc<Self>, stream: TcpStream) {
        // Dropping the stream closes it.
        if let Some(ticket) = self.connections.admit(KernelClock.now()) {
            executor::spawn(self.clone().connection(stream, ticket));
        }
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, ticket: Ticket) {
        let peer = stream.peer_address();
        let (reader, writer) = stream.split();
        let ending =
            serve_connection(reader, writer, &self.blocks, &self.limits, &KernelClock, &ticket).await;
        log::debug!("venti: {peer}: {ending}");
    }
}
