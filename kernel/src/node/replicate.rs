//! The machine's peers: how they are reached.
//!
//! Knows addresses. Must not know what is sent.

use super::Part;
use crate::entropy::{self, KernelRng};
use crate::executor::spawn;
use crate::time::KernelClock;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use net::dial::Dial;
use net::replicate::{Engine, Parts, Peers, Road};
use net::tcp::{ReadHalf, Stack, WriteHalf};
use storage::fat::NineFat;
use storage::names::NameKeeper;
use storage::store::Store;

/// Replicates to the peers whose files are in 9fat. `window`: bytes under way to one of them.
pub(super) fn start(
    stack: &Stack,
    store: &Rc<Store<Part>>,
    nine_fat: Option<Rc<NineFat<Part>>>,
    names: &Rc<NameKeeper<Part, Part>>,
    window: usize,
) -> Rc<Peers> {
    let Some(nine_fat) = nine_fat else { return Rc::default() };
    let rng = match entropy::rng() {
        Ok(rng) => rng,
        Err(error) => {
            log::error!("no replication: {error}");
            return Rc::default();
        }
    };
    let (store, names, road) = (store.clone(), names.clone(), Tcp(stack.clone()));
    let parts = Parts { store, nine_fat, names, clock: KernelClock, rng, road, window };
    let (engine, peers) = Engine::new(parts);
    spawn(run(engine));
    peers
}

async fn run(engine: Engine<Part, Part, KernelClock, KernelRng, Tcp>) {
    engine.run().await;
}

/// The machine's own network.
struct Tcp(Stack);

impl Road for Tcp {
    type Reader = ReadHalf;
    type Writer = WriteHalf;

    async fn open(&self, to: &Dial, port: u16) -> Result<(ReadHalf, WriteHalf), String> {
        let address: IpAddr = to.host.parse().map_err(|_| {
            format!("{}: this node asks no name server; write the peer's IP address", to.host)
        })?;
        let connected = self.0.connect(SocketAddr::new(address, to.port_or(port))).await;
        connected.map(|stream| stream.split()).map_err(|error| format!("connecting to {to}: {error}"))
    }
}
