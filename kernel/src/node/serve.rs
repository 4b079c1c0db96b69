//! Venti on a port: who is let in, and one task for each connection.
//!
//! Knows addresses and tasks. Must not know the protocol, nor how blocks are kept.

use crate::executor;
use crate::time::KernelClock;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::IpAddr;
use net::clock::Clock;
use net::tcp::{Listener, TcpStream};
use net::venti::Blocks;
use net::venti::connections::{Connections, Ticket};
use net::venti::serve::{Limits, serve_connection};
use storage::settings::Network;

/// What all connections of the port share.
pub(super) struct Service<B> {
    /// The store.
    pub(super) blocks: B,
    /// Bounds of each connection.
    pub(super) limits: Limits,
    /// Bounds of all of them, and what they did.
    pub(super) connections: Rc<Connections>,
    /// Who may come.
    pub(super) allowed: Vec<Network>,
    /// Connections from anywhere else.
    pub(super) strangers: Cell<u64>,
}

impl<B: Blocks + 'static> Service<B> {
    /// Takes connections for good.
    pub(super) async fn accept(self: Rc<Self>, mut listener: Listener) {
        let clock = KernelClock;
        loop {
            let stream = listener.accept().await;
            if !self.allows(stream.peer_address().ip()) {
                self.strangers.set(self.strangers.get() + 1);
                log::debug!("venti: {} is in no network that `venti=` lists", stream.peer_address());
                continue;
            }
            // Dropping the stream closes it.
            if let Some(ticket) = self.connections.admit(clock.now()) {
                executor::spawn(self.clone().connection(stream, ticket));
            }
        }
    }

    fn allows(&self, peer: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(peer))
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, ticket: Ticket) {
        let peer = stream.peer_address();
        let (reader, writer) = stream.split();
        let ending =
            serve_connection(reader, writer, &self.blocks, &self.limits, &KernelClock, &ticket).await;
        log::debug!("venti: {peer}: {ending}");
    }
}
