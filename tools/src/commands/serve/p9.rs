//! The hosted node over 9P.

use super::{HostPart, HostStore};
use crate::host::clock::HostClock;
use crate::host::{journal, stream};
use net::clock::Clock;
use net::p9::{CONNECTIONS, Limits, serve_connection};
use net::replicate::Peers;
use net::tree::{NodeFiles, NodeTree, Rights, Surroundings};
use net::venti::connections::{Connections, Ticket};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use storage::fat::NineFat;
use storage::names::NameKeeper;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// Files in the lists of archives' directories that are kept.
const FILES_MAX: usize = 200_000;

/// What is served.
pub(super) type HostTree = NodeTree<HostPart, HostPart, HostClock>;

/// The node's tree.
pub(super) fn tree(
    store: Rc<HostStore>,
    nine_fat: Option<Rc<NineFat<HostPart>>>,
    names: Rc<NameKeeper<HostPart, HostPart>>,
    peers: Rc<Peers>,
) -> Rc<HostTree> {
    // Settings are for a machine that starts from this disk; here the command line says everything.
    let around = Surroundings { log: Box::new(journal::text), obey: None, peers };
    Rc::new(NodeTree::new("granary".into(), store, nine_fat, names, HostClock, FILES_MAX, around))
}

/// Serves the tree, for as long as the process runs. Returns where.
///
/// # Errors
/// If the listener has no address.
pub(super) fn start(listener: TcpListener, tree: Rc<HostTree>) -> io::Result<String> {
    let address = listener.local_addr()?;
    spawn_local(accept(listener, tree));
    Ok(format!("tcp!{}!{}", address.ip(), address.port()))
}

async fn accept(listener: TcpListener, tree: Rc<HostTree>) {
    let connections = Connections::new(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(ticket) = connections.admit(HostClock.now()) {
                    let rights = Rights { read: true, names: true, admin: true };
                    let files = NodeFiles {
                        tree: Rc::clone(&tree),
                        rights: Box::new(move || rights),
                        client: peer.to_string(),
                    };
                    spawn_local(connection(files, stream, ticket));
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

async fn connection(files: NodeFiles<HostPart, HostPart, HostClock>, stream: TcpStream, ticket: Ticket) {
    match stream::split(stream) {
        Ok((reader, writer)) => {
            let limits = Limits::default();
            let ending = serve_connection(reader, writer, &files, &limits, &HostClock, &ticket).await;
            log::debug!("9p: {}: {ending}", files.client);
        }
        Err(error) => log::debug!("9p: {}: {error}", files.client),
    }
}
