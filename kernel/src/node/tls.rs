//! Venti by TLS 1.3, for peers whose certificates 9fat lists: one task for each connection.
//!
//! Knows the node's key and its peers. Must not know the protocols.

use super::p9::Tree;
use super::{Part, VentiService};
use crate::entropy::KernelRng;
use crate::executor::spawn;
use crate::memory::heap;
use crate::time::KernelClock;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::Cell;
use net::clock::Clock;
use net::replicate::{Keys, WithNames};
use net::secure::Logins;
use net::tcp::{Networks, TcpStream};
use net::tls13::{Ours, PORT, files, serve_venti};
use net::venti::connections::Ticket;
use storage::fat::NineFat;

/// What TLS adds to a connection: records that wait on either side, and keys.
const TLS_LEN: usize = 112 << 10;

/// What all connections share.
struct Tls {
    keys: Rc<Keys<KernelRng>>,
    fat: Rc<NineFat<Part>>,
    service: Rc<VentiService>,
    tree: Rc<Tree>,
    logins: Rc<Logins>,
    open: Cell<usize>,
}

/// Serves those whom the node trusts, once it trusts anybody. The list of them is read anew for each connection.
pub(super) async fn run(
    stack: Networks,
    fat: Rc<NineFat<Part>>,
    service: Rc<VentiService>,
    keys: Rc<Keys<KernelRng>>,
    tree: Rc<Tree>,
    logins: Rc<Logins>,
) {
    if keys.certificate.is_none() {
        return;
    }
    wait_for_peers(&fat).await;
    let Some(mut listener) = super::listen(&stack, PORT) else { return };
    log::info!("serving venti by TLS 1.3 on port {PORT} to the peers in thumbprints");
    let tls = Rc::new(Tls { keys, fat, service, tree, logins, open: Cell::new(0) });
    let most = (heap::status().total / 64 / TLS_LEN).max(2);
    loop {
        let stream = listener.accept().await;
        // Dropping the stream closes it.
        if tls.open.get() < most
            && let Some(ticket) = tls.service.connections.admit(KernelClock.now())
        {
            tls.open.set(tls.open.get() + 1);
            spawn(connection(tls.clone(), stream, ticket));
        }
    }
}

/// Until `thumbprints` lists somebody. A spoiled list is told, and waits for a better one.
async fn wait_for_peers(fat: &NineFat<Part>) {
    let mut told = false;
    loop {
        let changed = fat.changed();
        match files::peers(fat).await {
            Ok(peers) if !peers.is_empty() => return,
            Ok(_) if !told => {
                log::info!("tls: port {PORT} is closed: thumbprints in 9fat lists no peer");
                told = true;
            }
            Ok(_) => {}
            Err(error) => log::error!("no TLS for now: {error}"),
        }
        changed.await;
    }
}

async fn connection(tls: Rc<Tls>, stream: TcpStream, ticket: Ticket) {
    let address = stream.peer_address();
    match files::peers(&tls.fat).await {
        Ok(trusted) => {
            let (Some(identity), Some(source)) = (&tls.keys.certificate, tls.keys.source) else { return };
            let ours = Ours { identity, trusted: Arc::new(trusted), source };
            let blocks = WithNames::new(&tls.service.blocks, Some(tls.tree.names()), &KernelClock);
            let limits = &tls.service.limits;
            match serve_venti(stream.split(), ours, &blocks, limits, &KernelClock, &ticket).await {
                Ok((peer, ending)) => {
                    tls.logins.admitted();
                    log::info!("tls: {address}, {peer}: {ending}");
                }
                Err(failure) => {
                    tls.logins.refused(failure.outcome(), address, &failure, KernelClock.now());
                }
            }
        }
        Err(error) => log::error!("tls: {address}: {error}"),
    }
    tls.open.set(tls.open.get() - 1);
}
