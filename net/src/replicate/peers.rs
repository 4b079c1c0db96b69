//! Which peers there are: the files `NAME.info` in 9fat, read again whenever something there has changed.
//!
//! Must not know what is sent to a peer.

use super::Road;
use super::info::{FILE_LEN_MAX, SUFFIX};
use super::peer::Peer;
use super::worker::Worker;
use crate::clock::{Clock, Instant};
use crate::rng::Rng;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::IpAddr;
use core::pin::pin;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use storage::device::BlockDevice;
use storage::fat::{FatError, NineFat};
use storage::names::NameKeeper;
use storage::store::Store;

/// Peers that there may be.
pub const PEERS_MAX: usize = 64;

/// The peers, for everybody who looks at them.
#[derive(Debug, Default)]
pub struct Peers {
    list: RefCell<BTreeMap<String, Rc<Peer>>>,
}

impl Peers {
    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        self.list.borrow().keys().cloned().collect()
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> Vec<Rc<Peer>> {
        self.list.borrow().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<Rc<Peer>> {
        self.list.borrow().get(name).cloned()
    }

    /// Whether one of them is at this address.
    pub fn have_address(&self, address: IpAddr) -> bool {
        self.list.borrow().values().any(|peer| peer.has_address(address))
    }

    /// What is told of one; `None` if there is no such peer.
    pub fn show(&self, name: &str, now: Instant) -> Option<String> {
        Some(self.get(name)?.show(now))
    }
}

/// What replication works with.
pub struct Parts<D: BlockDevice + 'static, F, C, G, R> {
    /// Where blocks come from.
    pub store: Rc<Store<D>>,
    /// Where the files are.
    pub nine_fat: Rc<NineFat<F>>,
    /// The names.
    pub names: Rc<NameKeeper<D, F>>,
    /// Time.
    pub clock: C,
    /// For waits that differ.
    pub rng: G,
    /// The way to peers.
    pub road: R,
    /// Bytes of blocks that may be under way to all peers together: what fast and long ways hold.
    pub window: usize,
}

/// What `work` yields, with the workers at work all the while: one that is left alone with 9fat in its hands, or next in
/// turn for it, never gives it back.
async fn beside<T>(
    workers: &mut FuturesUnordered<impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    // Workers end when their peer is gone; there may be none.
    while !workers.is_empty() {
        if let Either::Left((done, _)) = select(work.as_mut(), workers.next()).await {
            return done;
        }
    }
    work.await
}

/// Replicates to every peer, for as long as it is polled.
pub struct Engine<D: BlockDevice + 'static, F, C, G, R> {
    parts: Rc<Parts<D, F, C, G, R>>,
    peers: Rc<Peers>,
}

impl<D, F, C, G, R> Engine<D, F, C, G, R>
where
    D: BlockDevice + 'static,
    F: BlockDevice,
    C: Clock,
    G: Rng,
    R: Road,
{
    /// An engine, and the peers that it will find.
    pub fn new(parts: Parts<D, F, C, G, R>) -> (Self, Rc<Peers>) {
        let peers = Rc::new(Peers::default());
        (Engine { parts: Rc::new(parts), peers: peers.clone() }, peers)
    }

    /// Works.
    pub async fn run(self) {
        let mut workers = FuturesUnordered::new();
        loop {
            let changed = self.parts.nine_fat.changed();
            for peer in beside(&mut workers, self.look()).await {
                workers.push(Worker { parts: self.parts.clone(), peers: self.peers.clone(), peer }.run());
            }
            beside(&mut workers, changed).await;
        }
    }

    /// Reads the files; returns the peers that are new.
    async fn look(&self) -> Vec<Rc<Peer>> {
        let texts = match self.texts().await {
            Ok(texts) => texts,
            Err(error) => {
                log::error!("the files of peers in 9fat: {error}");
                return Vec::new();
            }
        };
        let mut list = self.peers.list.borrow_mut();
        list.retain(|name, peer| {
            let stays = texts.contains_key(name);
            if !stays {
                log::info!("peer {name}: gone");
                peer.leave();
            }
            stays
        });
        let mut new = Vec::new();
        for (name, text) in texts {
            match list.get(&name) {
                Some(peer) if *peer.text.borrow() == text => {}
                Some(peer) => {
                    log::info!("peer {name}: its file has changed");
                    peer.read(&text);
                }
                None if list.len() >= PEERS_MAX => {
                    log::error!("peer {name}: there are {PEERS_MAX} peers already");
                }
                None => {
                    let peer = Rc::new(Peer::new(&name, &text));
                    list.insert(name, peer.clone());
                    new.push(peer);
                }
            }
        }
        new
    }

    async fn texts(&self) -> Result<BTreeMap<String, Vec<u8>>, FatError> {
        let mut texts = BTreeMap::new();
        for entry in self.parts.nine_fat.list("").await? {
            let name = entry.name.to_lowercase();
            let Some(name) = name.strip_suffix(SUFFIX).filter(|name| !name.is_empty()) else { continue };
            if entry.is_directory {
                continue;
            }
            let text = self.parts.nine_fat.read(&entry.name, FILE_LEN_MAX as u64).await;
            match text {
                Ok(text) => drop(texts.insert(name.to_string(), text)),
                Err(FatError::NotFound(_)) => {}
                Err(error) => log::error!("{}: {error}", entry.name),
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::beside;
    use event_listener::Event;
    use futures_util::stream::FuturesUnordered;
    use storage::simulation::{block_on, yield_now};

    #[test]
    fn the_list_is_read_while_a_worker_has_9fat_in_its_hands() {
        block_on(async {
            let given_back = Event::new();
            let workers = &mut FuturesUnordered::new();
            workers.push(async {
                yield_now().await;
                yield_now().await;
                given_back.notify(1);
                core::future::pending::<()>().await;
            });
            beside(workers, yield_now()).await;
            beside(workers, given_back.listen()).await;
            assert_eq!(workers.len(), 1);
        });
    }
}
