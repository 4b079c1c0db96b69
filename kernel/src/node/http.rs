//! The node over HTTP: one task for each connection, and what the machine adds to the figures.
//!
//! Knows addresses and tasks. Must not know the protocol, nor what pages there are.

use super::Part;
use super::disks::Health;
use super::live::Live;
use super::port::Port;
use crate::executor::spawn;
use crate::memory::heap;
use crate::processors::{self, ProcessorStatus};
use crate::time::{self, KernelClock};
use alloc::rc::Rc;
use net::clock::Clock;
use net::http::{
    CONNECTIONS, Limits, MachineStatus, MemoryStatus, PORT, ProcessorUse, Site, serve_connection,
};
use net::tcp::{Networks, TcpStream};
use net::venti::connections::{Connections, Ticket};

/// This machine, as it is shown.
pub(super) type NodeSite = Site<Part, KernelClock>;

/// Shows the node while anybody may look. Nothing needs to be there yet to be shown.
pub(super) fn start(stack: &Networks, live: &Rc<Live>, health: &Rc<Health>) -> Rc<NodeSite> {
    let (shown, health) = (stack.clone(), health.clone());
    let connections = Connections::new(CONNECTIONS);
    let sysname = live.get().sysname.clone();
    let site = Site::new(sysname, KernelClock, connections, move || machine(&shown, &health));
    spawn(watch(site.clone()));
    spawn(serve(stack.clone(), live.clone(), site.clone()));
    site
}

async fn serve(stack: Networks, live: Rc<Live>, site: Rc<NodeSite>) {
    let port =
        Port { number: PORT, what: "showing the node by HTTP", networks: |settings| settings.http.clone() };
    let take = |stream: TcpStream| {
        // Dropping the stream closes it.
        if let Some(ticket) = site.connections().admit(KernelClock.now()) {
            spawn(connection(site.clone(), stream, ticket));
        }
    };
    port.serve(stack, live, take, drop).await;
}

fn machine(stack: &Networks, health: &Health) -> MachineStatus {
    let heap = heap::status();
    // Of the frames that small objects hold, those without any are as good as free.
    let free = heap.free + heap.small_reserved.saturating_sub(heap.small_used);
    let memory = MemoryStatus { total: heap.total as u64, free: free as u64, failures: heap.failures };
    let processor =
        |status: ProcessorStatus| ProcessorUse { busy_micros: status.busy_micros, jobs: status.jobs };
    let processors = processors::all().into_iter().map(processor).collect();
    let networks = stack.status(time::now());
    MachineStatus { memory: Some(memory), networks, processors, disks: health.all() }
}

async fn watch(site: Rc<NodeSite>) {
    site.watch().await;
}

async fn connection(site: Rc<NodeSite>, stream: TcpStream, ticket: Ticket) {
    let peer = stream.peer_address();
    let (reader, writer) = stream.split();
    let ending = serve_connection(reader, writer, &*site, &Limits::default(), &KernelClock, &ticket).await;
    log::debug!("http: {peer}: {ending}");
}
