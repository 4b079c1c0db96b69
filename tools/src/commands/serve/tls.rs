//! The hosted node's venti by TLS 1.3.

use super::p9::HostTree;
use super::{HostBlocks, HostPart};
use crate::host::clock::HostClock;
use crate::host::rng::HostRng;
use crate::host::stream;
use anyhow::{Context, anyhow};
use net::clock::Clock;
use net::replicate::WithNames;
use net::secure::Logins;
use net::tls13::{Failure, Identity, Ours, Source, files, serve_venti};
use net::venti::connections::{Connections, Ticket};
use net::venti::serve::Limits;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use storage::fat::NineFat;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

static SOURCE: Source<HostRng> = Source::new(HostRng);

/// What all connections share.
struct Service {
    identity: Identity,
    fat: Rc<NineFat<HostPart>>,
    blocks: Rc<HostBlocks>,
    connections: Rc<Connections>,
    tree: Rc<HostTree>,
    logins: Rc<Logins>,
}

/// Serves, for as long as the process runs, whoever is listed in `thumbprints`, which is read anew for each connection.
/// Returns where.
///
/// # Errors
/// If there is no 9fat with a key, and none can be made; or the listener has no address.
pub(super) async fn start(
    listener: TcpListener,
    fat: Option<Rc<NineFat<HostPart>>>,
    blocks: Rc<HostBlocks>,
    connections: Rc<Connections>,
    tree: Rc<HostTree>,
    logins: Rc<Logins>,
) -> anyhow::Result<String> {
    let fat =
        fat.ok_or_else(|| anyhow!("TLS wants a disk with a 9fat, where the key and thumbprints are"))?;
    let identity = files::own(&fat, &HostRng, "granary", HostClock.wall()).await.context("TLS")?;
    if files::peers(&fat).await.context("TLS")?.is_empty() {
        log::warn!(
            "nobody may come by TLS: thumbprints in 9fat lists nobody; `granary key trust` adds a peer"
        );
    }
    log::info!("by TLS this node is {}", identity.fingerprint());
    let address = listener.local_addr()?;
    spawn_local(accept(listener, Rc::new(Service { identity, fat, blocks, connections, tree, logins })));
    Ok(format!("tcp!{}!{}", address.ip(), address.port()))
}

async fn accept(listener: TcpListener, service: Rc<Service>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match service.connections.admit(HostClock.now()) {
                Some(ticket) => {
                    spawn_local(connection(Rc::clone(&service), stream, peer, ticket));
                }
                None => log::warn!("{peer}: refused, all connections are busy"),
            },
            // Out of descriptors, most likely: wait for some to come back.
            Err(error) => {
                log::error!("accepting: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(service: Rc<Service>, stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
    match serve(&service, stream, &ticket).await {
        Ok(Ok((who, ending))) => {
            service.logins.admitted();
            log::info!("tls: {peer}, {who}: {ending}");
        }
        Ok(Err(failure)) => service.logins.refused(failure.outcome(), peer, &failure, HostClock.now()),
        Err(error) => log::warn!("tls: {peer}: {error:#}"),
    }
}

type Served = Result<(net::tls13::Peer, net::venti::serve::Ending), Failure>;

async fn serve(service: &Service, stream: TcpStream, ticket: &Ticket) -> anyhow::Result<Served> {
    let trusted = Arc::new(files::peers(&service.fat).await?);
    let halves = stream::split(stream).map_err(|error: io::Error| anyhow!(error))?;
    let ours = Ours { identity: &service.identity, trusted, source: &SOURCE };
    let blocks = WithNames::new(&*service.blocks, Some(service.tree.names()), &HostClock);
    Ok(serve_venti(halves, ours, &blocks, &Limits::default(), &HostClock, ticket).await)
}
