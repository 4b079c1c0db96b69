//! The hosted node's peers.

use super::{HostPart, HostStore};
use crate::host::clock::HostClock;
use crate::host::rng::HostRng;
use crate::host::stream::{self, Reader, Writer};
use net::dial::Dial;
use net::replicate::{Engine, Parts, Peers, Road};
use std::rc::Rc;
use storage::fat::NineFat;
use storage::names::NameKeeper;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

/// Bytes under way to one peer.
const WINDOW: usize = 16 << 20;

/// Replicates to the peers whose files are in 9fat, for as long as the process runs.
pub(super) fn start(
    store: &Rc<HostStore>,
    nine_fat: Option<Rc<NineFat<HostPart>>>,
    names: &Rc<NameKeeper<HostPart, HostPart>>,
) -> Rc<Peers> {
    let Some(nine_fat) = nine_fat else { return Rc::default() };
    let (store, names) = (Rc::clone(store), Rc::clone(names));
    let parts =
        Parts { store, nine_fat, names, clock: HostClock, rng: HostRng, road: HostRoad, window: WINDOW };
    let (engine, peers) = Engine::new(parts);
    spawn_local(engine.run());
    peers
}

/// TCP of this host.
struct HostRoad;

impl Road for HostRoad {
    type Reader = Reader;
    type Writer = Writer;

    async fn open(&self, to: &Dial, port: u16) -> Result<(Reader, Writer), String> {
        let stream = TcpStream::connect((to.host.as_str(), to.port_or(port))).await;
        stream.and_then(stream::split).map_err(|error| format!("connecting to {to}: {error}"))
    }
}
