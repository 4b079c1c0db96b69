//! The machine's peers: how they are reached.
//!
//! Knows addresses, and who is asked for them. Must not know what is sent.

use super::Part;
use super::live::Live;
use crate::entropy::KernelRng;
use crate::executor::spawn;
use crate::time::KernelClock;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use net::replicate::{Engine, Keys, Parts, Peers, Road};
use net::tcp::{Networks, ReadHalf, WriteHalf};
use storage::fat::NineFat;
use storage::names::NameKeeper;
use storage::store::Store;

/// Replicates to the peers whose files are in 9fat. `window`: bytes under way to one of them.
pub(super) fn start(
    stack: &Networks,
    live: &Rc<Live>,
    store: &Rc<Store<Part>>,
    nine_fat: Option<Rc<NineFat<Part>>>,
    names: &Rc<NameKeeper<Part, Part>>,
    keys: &Option<Rc<Keys<KernelRng>>>,
    window: usize,
) -> Rc<Peers> {
    let (Some(nine_fat), Some(keys)) = (nine_fat, keys.clone()) else { return Rc::default() };
    let (store, names, rng) = (store.clone(), names.clone(), keys.rng);
    let road = Tcp { stack: stack.clone(), live: live.clone(), keys };
    let parts = Parts { store, nine_fat, names, clock: KernelClock, rng, road, window };
    let (engine, peers) = Engine::new(parts);
    spawn(run(engine));
    peers
}

async fn run(engine: Engine<Part, Part, KernelClock, KernelRng, Tcp>) {
    engine.run().await;
}

/// The machine's own network.
struct Tcp {
    stack: Networks,
    live: Rc<Live>,
    keys: Rc<Keys<KernelRng>>,
}

impl Road for Tcp {
    type Reader = ReadHalf;
    type Writer = WriteHalf;
    type Rng = KernelRng;

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let servers = self.live.get().dns.clone();
        let found = self.stack.look_up(&KernelClock, host, &servers).await;
        found.map_err(|error| format!("{error}"))
    }

    async fn connect(&self, to: SocketAddr) -> Result<(ReadHalf, WriteHalf), String> {
        let connected = self.stack.connect(to).await;
        connected.map(|stream| stream.split()).map_err(|error| format!("{error}"))
    }

    fn keys(&self) -> &Keys<KernelRng> {
        &self.keys
    }
}
