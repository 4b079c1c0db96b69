//! The hosted node's peers, and what it proves itself with.

use super::{Args, HostPart, HostStore};
use crate::host::clock::HostClock;
use crate::host::pool::Threads;
use crate::host::rng::HostRng;
use crate::host::stream::{self, Reader, Writer};
use net::clock::Clock;
use net::replicate::{Engine, Keys, Parts, Peers, Road};
use net::secure::read_identity;
use net::tls13::{Source, files};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use storage::fat::NineFat;
use storage::names::NameKeeper;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

/// Bytes under way to one peer.
const WINDOW: usize = 16 << 20;

static SOURCE: Source<HostRng> = Source::new(HostRng);

/// What the node proves itself with to its peers, as far as its disk has it. What is missing is said where it is needed.
pub(super) async fn keys(
    nvram: Option<&HostPart>,
    nine_fat: Option<&NineFat<HostPart>>,
    args: &Args,
    threads: &Rc<Threads>,
) -> Keys<HostRng> {
    let account = match nvram {
        Some(nvram) => {
            read_identity(nvram, args.p9sk1).await.inspect_err(|error| log::debug!("{error}")).ok()
        }
        None => None,
    };
    let certificate = match nine_fat {
        Some(fat) => {
            let own = files::own(fat, &HostRng, "granary", HostClock.wall()).await;
            own.inspect_err(|error| log::warn!("no key for TLS: {error}")).ok()
        }
        None => None,
    };
    let arithmetic = threads.arithmetic();
    Keys { account, auth: None, certificate, source: Some(&SOURCE), rng: HostRng, arithmetic }
}

/// Replicates to the peers whose files are in 9fat, for as long as the process runs.
pub(super) fn start(
    store: &Rc<HostStore>,
    nine_fat: Option<Rc<NineFat<HostPart>>>,
    names: &Rc<NameKeeper<HostPart, HostPart>>,
    keys: Keys<HostRng>,
) -> Rc<Peers> {
    let Some(nine_fat) = nine_fat else { return Rc::default() };
    let (store, names) = (Rc::clone(store), Rc::clone(names));
    let road = HostRoad { keys };
    let parts = Parts { store, nine_fat, names, clock: HostClock, rng: HostRng, road, window: WINDOW };
    let (engine, peers) = Engine::new(parts);
    spawn_local(engine.run());
    peers
}

/// TCP of this host, and its resolver.
struct HostRoad {
    keys: Keys<HostRng>,
}

impl Road for HostRoad {
    type Reader = Reader;
    type Writer = Writer;
    type Rng = HostRng;

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        Ok(addresses)
    }

    async fn connect(&self, to: SocketAddr) -> Result<(Reader, Writer), String> {
        TcpStream::connect(to).await.and_then(stream::split).map_err(|error| error.to_string())
    }

    fn keys(&self) -> &Keys<HostRng> {
        &self.keys
    }
}
