//! Venti by TLS 1.3, for peers whose certificates 9fat lists: one task for each connection.
//!
//! Knows the node's key and its peers. Must not know the protocols.

use super::{Part, VentiService};
use crate::entropy::{self, KernelRng};
use crate::executor::spawn;
use crate::memory::heap;
use crate::time::{self, KernelClock};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::Cell;
use net::clock::Clock;
use net::tcp::{Stack, TcpStream};
use net::tls13::{Identity, Ours, PORT, Source, files, serve_venti};
use net::venti::connections::Ticket;
use spin::Once;
use storage::fat::NineFat;

/// What TLS adds to a connection: records that wait on either side, and keys.
const TLS_LEN: usize = 112 << 10;

static SOURCE: Once<Source<KernelRng>> = Once::new();

/// What all connections share.
struct Tls {
    identity: Identity,
    fat: Rc<NineFat<Part>>,
    source: &'static Source<KernelRng>,
    service: Rc<VentiService>,
    open: Cell<usize>,
}

/// Makes the node's key if it has none, says who it is, and serves those whom it trusts. The list of them is read anew for
/// each connection; where it is empty at the start, nobody is listened to.
pub(super) async fn run(stack: Stack, fat: Rc<NineFat<Part>>, service: Rc<VentiService>, sysname: String) {
    let rng = match entropy::rng() {
        Ok(rng) => rng,
        Err(error) => return log::error!("no TLS: {error}"),
    };
    let source = SOURCE.call_once(|| Source::new(rng));
    let identity = match files::own(&fat, &rng, &sysname, time::wall()).await {
        Ok(identity) => identity,
        Err(error) => return log::error!("no TLS: {error}"),
    };
    log::info!("tls: this node is x509 {} name={sysname}", identity.fingerprint());
    match files::peers(&fat).await {
        Ok(peers) if peers.is_empty() => {
            return log::info!("tls: port {PORT} is closed: thumbprints in 9fat lists no peer");
        }
        Ok(_) => {}
        Err(error) => return log::error!("no TLS: {error}"),
    }
    let Some(mut listener) = super::listen(&stack, PORT) else { return };
    log::info!("serving venti by TLS 1.3 on port {PORT} to the peers in thumbprints");
    let tls = Rc::new(Tls { identity, fat, source, service, open: Cell::new(0) });
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

async fn connection(tls: Rc<Tls>, stream: TcpStream, ticket: Ticket) {
    let address = stream.peer_address();
    match files::peers(&tls.fat).await {
        Ok(trusted) => {
            let ours = Ours { identity: &tls.identity, trusted: Arc::new(trusted), source: tls.source };
            let (blocks, limits) = (&tls.service.blocks, &tls.service.limits);
            match serve_venti(stream.split(), ours, blocks, limits, &KernelClock, &ticket).await {
                Ok((peer, ending)) => log::info!("tls: {address}, {peer}: {ending}"),
                Err(failure) => log::warn!("tls: {address}: {failure}"),
            }
        }
        Err(error) => log::error!("tls: {address}: {error}"),
    }
    tls.open.set(tls.open.get() - 1);
}
