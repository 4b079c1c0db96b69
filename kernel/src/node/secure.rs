//! Venti and the node's tree behind 9front's authentication: who may come and do what, and one task for each connection.
//!
//! Knows addresses, tasks, users and their roles. Must not know how somebody proves who he is, nor what is served.

use super::VentiService;
use super::live::Live;
use super::p9::Tree;
use super::port::Port;
use crate::entropy::KernelRng;
use crate::executor::spawn;
use crate::time::KernelClock;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use net::auth::UserName;
use net::clock::Clock;
use net::replicate::{Keys, WithNames};
use net::secure::{Door, GOODBYE, Identity, Logins, Means, P9_PORT, Secured, VENTI_PORT};
use net::tcp::{Networks, ReadHalf, TcpStream, WriteHalf};
use net::tree::{NodeFiles, Rights};
use net::venti::Allowed;
use net::venti::connections::Connections;
use net::venti::serve::serve_connection;
use net::{p9, venti};
use storage::settings::{Network, Roles, Settings};

type Known = Secured<ReadHalf, WriteHalf, KernelRng>;

/// What both ports share.
pub(super) struct Behind {
    identity: Identity,
    door: Door<KernelClock, KernelRng>,
    live: Rc<Live>,
    tree: Rc<Tree>,
    of_tree: Rc<Connections>,
}

/// `None`: nobody can prove anything to this node.
pub(super) fn open(
    keys: Option<&Rc<Keys<KernelRng>>>,
    live: &Rc<Live>,
    tree: Rc<Tree>,
    logins: Rc<Logins>,
) -> Option<Rc<Behind>> {
    let keys = keys?;
    let identity = keys.account.clone()?;
    let means = Means::new(KernelClock, keys.rng).helped_by(keys.arithmetic.clone());
    let door = Door { logins, means, ..Door::new(KernelClock, keys.rng) };
    let of_tree = Connections::new(p9::CONNECTIONS);
    Some(Rc::new(Behind { identity, door, live: live.clone(), tree, of_tree }))
}

impl Behind {
    /// Serves both while anybody is listed.
    pub(super) fn start(self: &Rc<Self>, stack: &Networks, live: &Rc<Live>, service: &Rc<VentiService>) {
        let venti = Port { number: VENTI_PORT, what: "serving venti with authentication", networks };
        let (behind, service) = (self.clone(), service.clone());
        let take = move |stream| spawn(behind.clone().venti(stream, service.clone()));
        let (of_stack, of_live) = (stack.clone(), live.clone());
        spawn(async move { venti.serve(of_stack, of_live, take, drop).await });
        let tree = Port { number: P9_PORT, what: "serving the node's tree with authentication", networks };
        let behind = self.clone();
        let take = move |stream| spawn(behind.clone().tree(stream));
        let (of_stack, of_live) = (stack.clone(), live.clone());
        spawn(async move { tree.serve(of_stack, of_live, take, drop).await });
    }

    /// Whoever is at the other end, if it may do anything here.
    async fn let_in(&self, stream: TcpStream) -> Option<Known> {
        let peer = stream.peer_address();
        let listed = |user: &UserName| self.roles(user, peer.ip()).is_some();
        self.door.let_in(stream.split(), peer, &self.identity, listed).await
    }

    /// What the settings say now of a user who comes from there.
    fn roles(&self, user: &UserName, from: IpAddr) -> Option<Roles> {
        self.live.get().users.roles_at(user.as_str(), from, || self.tree.peers().have_address(from))
    }

    async fn venti(self: Rc<Self>, stream: TcpStream, service: Rc<VentiService>) {
        let peer = stream.peer_address();
        let Some(Secured { user, mut reader, mut writer, .. }) = self.let_in(stream).await else { return };
        if let Some(ticket) = service.connections.admit(KernelClock.now()) {
            let rights = || self.roles(&user, peer.ip()).map(venti::Rights::from).unwrap_or_default();
            let with_names = WithNames::new(&service.blocks, Some(self.tree.names()), &KernelClock);
            let blocks = Allowed { blocks: &with_names, rights };
            let ending =
                serve_connection(&mut reader, &mut writer, &blocks, &service.limits, &KernelClock, &ticket)
                    .await;
            log::debug!("venti: {user}: {ending}");
        }
        writer.close(&KernelClock, GOODBYE).await;
    }

    async fn tree(self: Rc<Self>, stream: TcpStream) {
        let peer = stream.peer_address();
        let Some(Secured { user, mut reader, mut writer, .. }) = self.let_in(stream).await else { return };
        if let Some(ticket) = self.of_tree.admit(KernelClock.now()) {
            let (behind, client) = (self.clone(), format!("{user} at {peer}"));
            let rights = move || behind.roles(&user, peer.ip()).map(Rights::from).unwrap_or_default();
            let files = NodeFiles { tree: self.tree.clone(), rights: Box::new(rights), client };
            let limits = p9::Limits::default();
            let ending =
                p9::serve_connection(&mut reader, &mut writer, &files, &limits, &KernelClock, &ticket).await;
            log::debug!("9p: {}: {ending}", files.client);
        }
        writer.close(&KernelClock, GOODBYE).await;
    }
}

/// Everybody may try who can reach the node, if there is anybody who may come.
fn networks(settings: &Settings) -> Vec<Network> {
    if settings.users.is_empty() {
        return Vec::new();
    }
    let all = |address: IpAddr| Network { address, prefix: 0 };
    vec![all(Ipv4Addr::UNSPECIFIED.into()), all(Ipv6Addr::UNSPECIFIED.into())]
}
