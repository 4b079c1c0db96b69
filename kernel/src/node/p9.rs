//! The node over 9P: who may come and do what, and one task for each connection.
//!
//! Knows addresses and tasks. Must not know the protocol, nor what is in the tree.

use super::Part;
use super::disks::Health;
use super::live::Live;
use super::port::Port;
use crate::console;
use crate::executor::spawn;
use crate::memory::heap;
use crate::time::KernelClock;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use core::net::IpAddr;
use net::clock::Clock;
use net::p9::{CONNECTIONS, Limits, PORT, serve_connection};
use net::replicate::Peers;
use net::tcp::{Networks, TcpStream};
use net::tree::{NodeFiles, NodeTree, Rights, Surroundings, Upgrades};
use net::venti::connections::{Connections, Ticket};
use storage::fat::NineFat;
use storage::names::NameKeeper;
use storage::settings::{Network, Settings};
use storage::store::Store;

/// Bytes that a file takes in the lists of archives' directories that are kept, about.
const LISTED_LEN: usize = 400;

/// What is served.
pub(super) type Tree = NodeTree<Part, Part, KernelClock>;

/// The node's tree.
pub(super) fn tree(
    live: &Rc<Live>,
    store: &Rc<Store<Part>>,
    nine_fat: Option<Rc<NineFat<Part>>>,
    names: Rc<NameKeeper<Part, Part>>,
    peers: Rc<Peers>,
    upgrades: Option<Upgrades<Part>>,
    health: &Rc<Health>,
) -> Rc<Tree> {
    let files_max = heap::status().total / 16 / LISTED_LEN;
    let obeying = live.clone();
    let around = Surroundings {
        log: Box::new(console::log_file),
        obey: Some(Box::new(move |text| obeying.set(text))),
        peers,
    };
    let sysname = live.get().sysname.clone();
    let tree = NodeTree::new(sysname, store.clone(), nine_fat, names, KernelClock, files_max, around);
    let health = health.clone();
    let tree = tree.with_disks(Box::new(move || health.all()));
    Rc::new(match upgrades {
        Some(upgrades) => tree.with_upgrades(upgrades),
        None => tree,
    })
}

/// Serves the tree while anybody may come.
pub(super) fn start(stack: &Networks, live: &Rc<Live>, tree: Rc<Tree>) {
    spawn(serve(stack.clone(), live.clone(), tree));
}

async fn serve(stack: Networks, live: Rc<Live>, tree: Rc<Tree>) {
    let networks = |settings: &Settings| [&*settings.p9, &settings.names, &settings.admin].concat();
    let port = Port { number: PORT, what: "serving the node's tree by 9P", networks };
    let connections = Connections::new(CONNECTIONS);
    let rights_of = live.clone();
    let take = |stream: TcpStream| {
        let peer = stream.peer_address();
        let live = rights_of.clone();
        let rights = Box::new(move || rights(&live.get(), peer.ip()));
        // Dropping the stream closes it.
        if let Some(ticket) = connections.admit(KernelClock.now()) {
            let files = NodeFiles { tree: tree.clone(), rights, client: format!("{peer}") };
            spawn(connection(files, stream, ticket));
        }
    };
    port.serve(stack, live, take, drop).await;
}

/// What a peer may do: the lists build on each other.
fn rights(settings: &Settings, peer: IpAddr) -> Rights {
    let listed = |networks: &[Network]| networks.iter().any(|network| network.contains(peer));
    let admin = listed(&settings.admin);
    let names = admin || listed(&settings.names);
    Rights { read: names || listed(&settings.p9), names, admin }
}

async fn connection(files: NodeFiles<Part, Part, KernelClock>, stream: TcpStream, ticket: Ticket) {
    let (reader, writer) = stream.split();
    let ending = serve_connection(reader, writer, &files, &Limits::default(), &KernelClock, &ticket).await;
    log::debug!("9p: {}: {ending}", files.client);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_gives_what_it_says_and_all_before_it() {
        let network = |text: &str| alloc::vec![text.parse::<Network>().unwrap()];
        let settings = Settings {
            p9: network("10.0.0.0/8"),
            names: network("10.1.0.0/16"),
            admin: network("10.1.1.1"),
            ..Settings::default()
        };
        let rights = |peer: &str| {
            let Rights { read, names, admin } = rights(&settings, peer.parse().unwrap());
            (read, names, admin)
        };
        assert_eq!(rights("11.0.0.1"), (false, false, false));
        assert_eq!(rights("10.2.0.1"), (true, false, false));
        assert_eq!(rights("10.1.0.1"), (true, true, false));
        assert_eq!(rights("10.1.1.1"), (true, true, true));
    }
}
