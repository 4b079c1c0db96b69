//! The node over HTTP: who may look, one task for each connection, and what the machine adds to the figures.
//!
//! Knows addresses and tasks. Must not know the protocol, nor what pages there are.

use super::Part;
use crate::executor::spawn;
use crate::memory::heap;
use crate::time::{self, KernelClock};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use net::clock::Clock;
use net::http::{CONNECTIONS, Limits, MachineStatus, MemoryStatus, PORT, Site, serve_connection};
use net::tcp::{Listener, Stack, TcpStream};
use net::venti::connections::{Connections, Ticket};
use storage::settings::{Network, Settings};

/// This machine, as it is shown.
pub(super) type NodeSite = Site<Part, KernelClock>;

/// Opens the port, if anybody may look. Nothing needs to be there yet to be shown.
pub(super) fn start(stack: &Stack, settings: &Settings) -> Option<Rc<NodeSite>> {
    if settings.http.is_empty() {
        return None;
    }
    let listener = super::listen(stack, PORT)?;
    let shown = stack.clone();
    let connections = Connections::new(CONNECTIONS);
    let site = Site::new(settings.sysname.clone(), KernelClock, connections, move || machine(&shown));
    spawn(watch(site.clone()));
    spawn(accept(site.clone(), listener, settings.http.clone()));
    let networks: Vec<_> = settings.http.iter().map(|network| format!("{network}")).collect();
    log::info!("showing the node by HTTP on port {PORT} to {}", networks.join(", "));
    Some(site)
}

fn machine(stack: &Stack) -> MachineStatus {
    let heap = heap::status();
    // Of the frames that small objects hold, those without any are as good as free.
    let free = heap.free + heap.small_reserved.saturating_sub(heap.small_used);
    let memory = MemoryStatus { total: heap.total as u64, free: free as u64, failures: heap.failures };
    MachineStatus { memory: Some(memory), network: Some(stack.status(time::now())) }
}

async fn watch(site: Rc<NodeSite>) {
    site.watch().await;
}

/// Takes connections for good.
async fn accept(site: Rc<NodeSite>, mut listener: Listener, allowed: Vec<Network>) {
    loop {
        let stream = listener.accept().await;
        let peer = stream.peer_address();
        if !allowed.iter().any(|network| network.contains(peer.ip())) {
            log::debug!("http: {peer} is in no network that `http=` lists");
            continue;
        }
        // Dropping the stream closes it.
        if let Some(ticket) = site.connections().admit(KernelClock.now()) {
            spawn(connection(site.clone(), stream, ticket));
        }
    }
}

async fn connection(site: Rc<NodeSite>, stream: TcpStream, ticket: Ticket) {
    let peer = stream.peer_address();
    let (reader, writer) = stream.split();
    let ending = serve_connection(reader, writer, &*site, &Limits::default(), &KernelClock, &ticket).await;
    log::debug!("http: {peer}: {ending}");
}
