//! The hosted node behind Plan 9's authentication: venti, and the tree.

use super::p9::HostTree;
use super::{Args, HostBlocks, HostPart, listen};
use crate::host::clock::HostClock;
use crate::host::pool::Threads;
use crate::host::rng::HostRng;
use crate::host::stream::{self, Reader, Writer};
use anyhow::Context;
use net::auth::UserName;
use net::clock::Clock;
use net::replicate::WithNames;
use net::secure::{Door, GOODBYE, Identity, Logins, Means, P9_PORT, Secured, VENTI_PORT, read_identity};
use net::tree::{NodeFiles, Rights};
use net::venti::Allowed;
use net::venti::connections::Connections;
use net::venti::serve::{Limits, serve_connection};
use net::{p9, venti};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use storage::settings::{Roles, Users};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// A user who is known, and what it may do.
type Known = Secured<Reader, Writer, HostRng>;

/// Where it is served.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) venti: Option<String>,
    pub(super) tree: Option<String>,
}

/// What both ports share.
struct Behind {
    identity: Identity,
    users: Users,
    door: Door<HostClock, HostRng>,
    blocks: Rc<HostBlocks>,
    connections: Rc<Connections>,
    tree: Rc<HostTree>,
    of_tree: Rc<Connections>,
}

/// What is served on a port.
#[derive(Clone, Copy)]
enum What {
    Venti,
    Tree,
}

/// Serves what the command line asks for, for as long as the process runs. Returns where.
///
/// # Errors
/// If the disk does not say who this node is, or an address is taken.
pub(super) async fn start(
    args: &Args,
    nvram: Option<HostPart>,
    blocks: &Rc<HostBlocks>,
    connections: &Rc<Connections>,
    tree: &Rc<HostTree>,
    logins: Rc<Logins>,
    threads: &Rc<Threads>,
) -> anyhow::Result<Addresses> {
    let (None, None) = (&args.secure, &args.secure_p9) else {
        let nvram =
            nvram.context("--secure needs a partition nvram on the disk that says who this node is")?;
        let behind = Rc::new(Behind {
            identity: read_identity(&nvram, args.p9sk1).await.context("who this node is")?,
            users: args.users.clone().unwrap_or_default(),
            door: Door {
                logins,
                means: Means::new(HostClock, HostRng).helped_by(threads.arithmetic()),
                ..Door::new(HostClock, HostRng)
            },
            blocks: Rc::clone(blocks),
            connections: Rc::clone(connections),
            tree: Rc::clone(tree),
            of_tree: Connections::new(p9::CONNECTIONS),
        });
        let mut addresses = Addresses::default();
        if let Some(address) = &args.secure {
            addresses.venti = Some(behind.open(listen(address, VENTI_PORT).await?, What::Venti)?);
        }
        if let Some(address) = &args.secure_p9 {
            addresses.tree = Some(behind.open(listen(address, P9_PORT).await?, What::Tree)?);
        }
        return Ok(addresses);
    };
    Ok(Addresses::default())
}

impl Behind {
    fn open(self: &Rc<Self>, listener: TcpListener, what: What) -> anyhow::Result<String> {
        let address = listener.local_addr()?;
        let behind = Rc::clone(self);
        spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        spawn_local(Rc::clone(&behind).connection(stream, peer, what));
                    }
                    // Out of descriptors, most likely: wait for some to come back.
                    Err(error) => {
                        log::error!("accepting: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(format!("tcp!{}!{}", address.ip(), address.port()))
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, peer: SocketAddr, what: What) {
        let Some(secured) = self.let_in(stream, peer).await else { return };
        match what {
            What::Venti => self.venti(secured, peer).await,
            What::Tree => self.tree(secured, peer).await,
        }
    }

    /// Whoever is at the other end, if it may do anything here.
    async fn let_in(&self, stream: TcpStream, peer: SocketAddr) -> Option<Known> {
        let halves = stream::split(stream).ok()?;
        let listed = |user: &UserName| self.roles(user, peer).is_some();
        self.door.let_in(halves, peer, &self.identity, listed).await
    }

    /// What a user may do who comes from there.
    fn roles(&self, user: &UserName, peer: SocketAddr) -> Option<Roles> {
        let is_peer = || self.tree.peers().have_address(peer.ip());
        self.users.roles_at(user.as_str(), peer.ip(), is_peer)
    }

    async fn venti(&self, secured: Secured<Reader, Writer, HostRng>, peer: SocketAddr) {
        let Secured { user, mut reader, mut writer, .. } = secured;
        if let Some(ticket) = self.connections.admit(HostClock.now()) {
            let rights = || self.roles(&user, peer).map(venti::Rights::from).unwrap_or_default();
            let with_names = WithNames::new(&*self.blocks, Some(self.tree.names()), &HostClock);
            let blocks = Allowed { blocks: &with_names, rights };
            let limits = Limits::default();
            let ending =
                serve_connection(&mut reader, &mut writer, &blocks, &limits, &HostClock, &ticket).await;
            log::info!("{user}: {ending}");
        }
        writer.close(&HostClock, GOODBYE).await;
    }

    async fn tree(self: Rc<Self>, secured: Secured<Reader, Writer, HostRng>, peer: SocketAddr) {
        let Secured { user, mut reader, mut writer, .. } = secured;
        if let Some(ticket) = self.of_tree.admit(HostClock.now()) {
            let (behind, client) = (Rc::clone(&self), format!("{user} at {peer}"));
            let rights = move || behind.roles(&user, peer).map(Rights::from).unwrap_or_default();
            let files = NodeFiles { tree: Rc::clone(&self.tree), rights: Box::new(rights), client };
            let limits = p9::Limits::default();
            let ending =
                p9::serve_connection(&mut reader, &mut writer, &files, &limits, &HostClock, &ticket).await;
            log::debug!("9p: {}: {ending}", files.client);
        }
        writer.close(&HostClock, GOODBYE).await;
    }
}
