//! The hosted node over HTTP.

use super::{HostNames, HostStore};
use crate::host::clock::HostClock;
use crate::host::device::FileDevice;
use crate::host::pool::Threads;
use crate::host::stream;
use net::clock::Clock;
use net::http::{CONNECTIONS, Limits, MachineStatus, ProcessorUse, Site, Stage, serve_connection};
use net::replicate::Peers;
use net::venti::connections::{Connections, Ticket};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use storage::partition::Partition;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

type HostSite = Site<Partition<FileDevice>, HostClock>;

/// What is shown, and where.
pub(super) struct Http {
    site: Rc<HostSite>,
    address: String,
}

/// Shows a node that is starting, for as long as the process runs.
///
/// # Errors
/// If the listener has no address.
pub(super) fn start(listener: TcpListener, threads: &Rc<Threads>) -> io::Result<Http> {
    let address = format!("http://{}/", listener.local_addr()?);
    let connections = Connections::new(CONNECTIONS);
    let threads = Rc::clone(threads);
    let machine = move || MachineStatus { processors: processors(&threads), ..MachineStatus::default() };
    let site = Site::new("granary".into(), HostClock, connections, machine);
    let watched = Rc::clone(&site);
    spawn_local(async move { watched.watch().await });
    spawn_local(accept(listener, Rc::clone(&site)));
    Ok(Http { site, address })
}

fn processors(threads: &Threads) -> Vec<ProcessorUse> {
    let used = |(busy_micros, jobs)| ProcessorUse { busy_micros, jobs };
    threads.figures().into_iter().map(used).collect()
}

impl Http {
    /// What to type into a browser.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The store is open, and clients are served.
    pub(super) fn serving(
        &self,
        store: &Rc<HostStore>,
        venti: &Rc<Connections>,
        names: Rc<HostNames>,
        peers: Rc<Peers>,
    ) {
        self.site.show_peers(peers);
        self.site.show_names(names);
        self.site.show_store(Rc::clone(store));
        self.site.show_venti(Rc::clone(venti));
        self.site.set_stage(Stage::Serving);
    }

    /// What came of logins is shown from now on.
    pub(super) fn show_logins(&self, logins: Rc<net::secure::Logins>) {
        self.site.show_logins(logins);
    }

    /// The node is being stopped.
    pub(super) fn stopping(&self) {
        self.site.set_stage(Stage::Stopping);
    }
}

async fn accept(listener: TcpListener, site: Rc<HostSite>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(ticket) = site.connections().admit(HostClock.now()) {
                    spawn_local(connection(Rc::clone(&site), stream, ticket));
                }
            }
            // Out of descriptors, most likely: wait for some to come back.
            Err(error) => {
                log::error!("accepting: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(site: Rc<HostSite>, stream: TcpStream, ticket: Ticket) {
    match stream::split(stream) {
        Ok((reader, writer)) => {
            let limits = Limits::default();
            let ending = serve_connection(reader, writer, &*site, &limits, &HostClock, &ticket).await;
            log::debug!("http: {ending}");
        }
        Err(error) => log::debug!("http: {error}"),
    }
}
