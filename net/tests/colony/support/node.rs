//! A node: the engine that ships, on simulated disks, serving venti and 9P, replicating to its peers.

use super::Given;
use super::keys::{self, SimRng};
use super::network::{Network, Path};
use crate::venti_support::{Reader, Writer, halves};
use net::auth::UserName;
use net::clock::{Clock, Instant};
use net::replicate::{Engine, Parts, Peers, WithNames};
use net::rng::Rng;
use net::tree::{NodeFiles, NodeTree, Rights, Surroundings};
use net::venti::connections::Connections;
use net::venti::{Blocks, Presence, StoreBlocks, Text};
use net::{p9, secure, tls13, venti};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::device::Image;
use storage::device::sim::SimDisk;
use storage::fat::{NineFat, Volume};
use storage::make;
use storage::names::{Binding, NameKeeper};
use storage::score::Score;
use storage::settings::Users;
use storage::simulation::SeededRng;
use storage::store::{Store, StorePart, StoreParts, StoreSettings};
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

type Disk = Rc<SimDisk>;

/// What a node leaves behind when it goes: the contents of its disks.
#[derive(Clone)]
pub struct Disks {
    pub arenas: Image,
    pub fat: Image,
}

impl Disks {
    /// Fresh ones, with these files of peers.
    pub async fn new(arenas_len: u64, peers: &[(&str, String)]) -> Disks {
        let arenas = Rc::new(SimDisk::new(Image::new(512, arenas_len / 512), 1).prompt());
        let options = make::ArenaOptions { arena_len: 1 << 20, ..make::ArenaOptions::default() };
        make::arenas(&arenas, options, || 0x5eed_5eed, |_, _| ()).await.unwrap();
        let fat = Rc::new(SimDisk::new(Image::new(512, 20_000), 2).prompt());
        let mut volume = Volume::format(&fat, b"9FAT       ", 0, 7, Timestamp(1)).await.unwrap();
        for (name, text) in peers {
            volume.replace(&format!("{name}.info"), text.as_bytes(), Timestamp(1)).await.unwrap();
        }
        // Whoever is listed here and is the node itself does no harm.
        let thumbprints = keys::thumbprints("");
        volume.replace(tls13::THUMBPRINTS_FILE, thumbprints.as_bytes(), Timestamp(1)).await.unwrap();
        Disks { arenas: arenas.live(), fat: fat.live() }
    }
}

/// A clock of the node's own: its calendar may jump.
#[derive(Clone)]
pub struct NodeClock {
    start: tokio::time::Instant,
    pub wall: Rc<Cell<u32>>,
}

impl Clock for NodeClock {
    fn now(&self) -> Instant {
        Instant { micros: self.start.elapsed().as_micros() as u64 }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.wall.get().wrapping_add(self.start.elapsed().as_secs() as u32))
    }

    async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(self.start + Duration::from_micros(deadline.micros)).await;
    }
}

#[derive(Clone)]
struct NodeRng(Rc<SeededRng>);

impl Rng for NodeRng {
    fn fill(&self, target: &mut [u8]) {
        self.0.fill(target);
    }
}

/// Blocks as clients of the node see them, with an eye on what is sent twice.
struct Watched {
    blocks: StoreBlocks<Disk, NodeClock>,
    /// Written since the last sync, and covered by one.
    written: RefCell<HashSet<(Score, BlockType)>>,
    confirmed: RefCell<HashSet<(Score, BlockType)>>,
    sent_twice: Cell<u64>,
    writes: Cell<u64>,
    refuses: Cell<bool>,
}

impl Watched {
    fn new(blocks: StoreBlocks<Disk, NodeClock>) -> Watched {
        Watched {
            blocks,
            written: RefCell::default(),
            confirmed: RefCell::default(),
            sent_twice: Cell::new(0),
            writes: Cell::new(0),
            refuses: Cell::new(false),
        }
    }
}

impl Blocks for Watched {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<bytes::Bytes, Text> {
        self.blocks.read(score, block_type, limit).await
    }

    async fn write(&self, block_type: BlockType, lump: bytes::Bytes) -> Result<Score, Text> {
        if self.refuses.get() {
            return Err(Text::new("no space left in arenas"));
        }
        let score = self.blocks.write(block_type, lump).await?;
        self.writes.set(self.writes.get() + 1);
        if self.confirmed.borrow().contains(&(score, block_type)) {
            self.sent_twice.set(self.sent_twice.get() + 1);
        }
        self.written.borrow_mut().insert((score, block_type));
        Ok(score)
    }

    async fn sync(&self) -> Result<(), Text> {
        let covered: Vec<_> = self.written.borrow().iter().copied().collect();
        self.blocks.sync().await?;
        self.confirmed.borrow_mut().extend(covered);
        Ok(())
    }

    async fn have(&self, names: &[(Score, BlockType)], asker: u64) -> Result<Vec<Presence>, Text> {
        self.blocks.have(names, asker).await
    }
}

/// The part of a node that answers.
pub struct Served {
    blocks: Rc<Watched>,
    tree: Rc<NodeTree<Disk, Disk, NodeClock>>,
    clock: NodeClock,
    venti: Rc<Connections>,
    p9: Rc<Connections>,
    nine_fat: Rc<NineFat<Disk>>,
    certificate: tls13::Identity,
    door: secure::Door<NodeClock, SimRng>,
    users: Users,
    peers: Rc<Peers>,
    tasks: RefCell<JoinSet<()>>,
}

impl Served {
    /// Serves one connection.
    pub fn serve(&self, stream: DuplexStream, port: u16, from: SocketAddr) {
        let (reader, writer) = halves(stream);
        let clock = self.clock.clone();
        let mut tasks = self.tasks.borrow_mut();
        if port == tls13::PORT {
            let Some(ticket) = self.venti.admit(clock.now()) else { return };
            let (blocks, nine_fat, own) =
                (self.blocks.clone(), self.nine_fat.clone(), self.certificate.clone());
            let tree = self.tree.clone();
            tasks.spawn_local(async move {
                let trusted = Arc::new(tls13::files::peers(&nine_fat).await.unwrap());
                let ours = tls13::Ours { identity: &own, trusted, source: &keys::SOURCE };
                let limits = venti::serve::Limits::default();
                // What comes of it the other end knows.
                let blocks = WithNames::new(&*blocks, Some(tree.names()), &clock);
                let _ = tls13::serve_venti((reader, writer), ours, &blocks, &limits, &clock, &ticket).await;
            });
        } else if [secure::VENTI_PORT, secure::P9_PORT].contains(&port) {
            tasks.spawn_local(self.behind_authentication((reader, writer), port, from));
        } else if port == venti::PORT {
            let Some(ticket) = self.venti.admit(clock.now()) else { return };
            let blocks = self.blocks.clone();
            tasks.spawn_local(async move {
                let limits = venti::serve::Limits::default();
                venti::serve::serve_connection(reader, writer, &*blocks, &limits, &clock, &ticket).await;
            });
        } else {
            let Some(ticket) = self.p9.admit(clock.now()) else { return };
            let rights = Rights { read: true, names: true, admin: false };
            let files = NodeFiles {
                tree: self.tree.clone(),
                rights: Box::new(move || rights),
                client: "a peer".into(),
            };
            tasks.spawn_local(async move {
                let limits = p9::Limits::default();
                p9::serve_connection(reader, writer, &files, &limits, &clock, &ticket).await;
            });
        }
    }
}

impl Served {
    /// Serves one connection behind p9any, as nodes do.
    fn behind_authentication(
        &self,
        halves: (Reader, Writer),
        port: u16,
        from: SocketAddr,
    ) -> impl Future<Output = ()> + use<> {
        let connections = if port == secure::VENTI_PORT { &self.venti } else { &self.p9 };
        let (clock, ticket) = (self.clock.clone(), connections.admit(self.clock.now()));
        let (blocks, tree, door) = (self.blocks.clone(), self.tree.clone(), self.door.clone());
        let (users, peers) = (self.users.clone(), self.peers.clone());
        async move {
            let Some(ticket) = ticket else { return };
            let roles =
                |user: &UserName| users.roles_at(user.as_str(), from.ip(), || peers.have_address(from.ip()));
            let own = keys::account();
            let Some(secured) = door.let_in(halves, from, &own, |user| roles(user).is_some()).await else {
                return;
            };
            let Some(roles) = roles(&secured.user) else { return };
            let secure::Secured { mut reader, mut writer, .. } = secured;
            if port == secure::VENTI_PORT {
                let rights = || venti::Rights::from(roles);
                let with_names = WithNames::new(&*blocks, Some(tree.names()), &clock);
                let allowed = venti::Allowed { blocks: &with_names, rights };
                let limits = venti::serve::Limits::default();
                venti::serve::serve_connection(&mut reader, &mut writer, &allowed, &limits, &clock, &ticket)
                    .await;
            } else {
                let files =
                    NodeFiles { tree, rights: Box::new(move || roles.into()), client: "a peer".into() };
                let limits = p9::Limits::default();
                p9::serve_connection(&mut reader, &mut writer, &files, &limits, &clock, &ticket).await;
            }
            writer.close(&clock, secure::GOODBYE).await;
        }
    }
}

/// A node that is up.
pub struct Node {
    pub name: String,
    pub store: Rc<Store<Disk>>,
    pub names: Rc<NameKeeper<Disk, Disk>>,
    pub peers: Rc<Peers>,
    pub clock: NodeClock,
    pub arenas: Disk,
    pub nine_fat: Rc<NineFat<Disk>>,
    fat: Disk,
    served: Rc<Served>,
    network: Rc<Network>,
}

impl Node {
    pub async fn start(network: &Rc<Network>, name: &str, disks: Disks, seed: u64) -> Node {
        let arenas = SimDisk::new(disks.arenas, seed).prompt();
        let fat = Rc::new(SimDisk::new(disks.fat, seed + 1).prompt().beside(&arenas));
        let arenas = Rc::new(arenas);
        let clock = NodeClock { start: tokio::time::Instant::now(), wall: Rc::new(Cell::new(1_700_000_000)) };
        let part = vec![StorePart { name: "arenas".into(), device: arenas.clone() }];
        let parts = StoreParts { arenas: part, index_sections: Vec::new(), bloom: None };
        let (store, _) = Store::open(parts, StoreSettings::default(), clock.wall()).await.unwrap();
        let store = Rc::new(store);
        let nine_fat = Rc::new(NineFat::open(fat.clone(), true).await.unwrap());
        let names = Rc::new(NameKeeper::open(store.clone(), Some(nine_fat.clone())).await);
        let parts = Parts {
            store: store.clone(),
            nine_fat: nine_fat.clone(),
            names: names.clone(),
            clock: clock.clone(),
            rng: NodeRng(Rc::new(SeededRng::new(seed))),
            road: Path { network: network.clone(), from: name.to_owned(), keys: keys::keys(name) },
            window: 16 << 20,
        };
        let (engine, peers) = Engine::new(parts);
        let around = Surroundings { log: Box::new(Vec::new), obey: None, peers: peers.clone() };
        let tree = NodeTree::new(
            name.to_owned(),
            store.clone(),
            Some(nine_fat.clone()),
            names.clone(),
            clock.clone(),
            1000,
            around,
        );
        let mut tasks = JoinSet::new();
        let (walking, walking_clock) = (names.clone(), clock.clone());
        tasks.spawn_local(async move { walking.run(|| walking_clock.wall(), tokio::time::sleep).await });
        let syncing = store.clone();
        tasks.spawn_local(async move { syncing.background(tokio::time::sleep).await });
        tasks.spawn_local(engine.run());
        let watched = Watched::new(StoreBlocks::new(store.clone(), clock.clone()));
        let served = Rc::new(Served {
            blocks: Rc::new(watched),
            tree: Rc::new(tree),
            clock: clock.clone(),
            venti: Connections::new(32),
            p9: Connections::new(32),
            nine_fat: nine_fat.clone(),
            certificate: keys::certificate(name),
            door: secure::Door::new(clock.clone(), SimRng),
            users: "barn replicate".parse().unwrap(),
            peers: peers.clone(),
            tasks: RefCell::new(tasks),
        });
        network.enter(name, &served);
        let network = network.clone();
        Node { name: name.to_owned(), store, names, peers, clock, arenas, nine_fat, fat, served, network }
    }

    /// The power fails. What is left on the disks follows the seed.
    pub async fn crash(self, seed: u64) -> Disks {
        self.network.leave(&self.name);
        let disks = Disks { arenas: self.arenas.power_cut(seed), fat: self.fat.power_cut(seed) };
        let mut tasks = self.served.tasks.take();
        tasks.shutdown().await;
        disks
    }

    /// Stores an archive as vac does, and names it.
    pub async fn give(&self, given: &Given) {
        for block in &given.blocks {
            self.store.write(block.block_type, block.data.clone(), self.clock.wall()).await.unwrap();
        }
        self.store.sync().await.unwrap();
        let binding = Binding::new(&given.name, given.root, "iris").unwrap();
        self.names.add(&binding, self.clock.wall()).await.unwrap();
    }

    /// Whether everybody sees this name here.
    pub fn shows(&self, given: &Given) -> bool {
        self.names.registry().published().has(&given.name, given.root)
    }

    /// Whether every block beneath it is here.
    pub async fn is_complete(&self, given: &Given) -> bool {
        for block in &given.blocks {
            if !self.store.has(block.score, block.block_type).await.unwrap() {
                return false;
            }
        }
        true
    }

    /// Blocks that came twice although they had been confirmed.
    pub fn sent_twice(&self) -> u64 {
        self.served.blocks.sent_twice.get()
    }

    /// Blocks that came over venti.
    pub fn writes(&self) -> u64 {
        self.served.blocks.writes.get()
    }

    /// Refuses every write, as a full venti does, or no longer.
    pub fn refuse(&self, refuses: bool) {
        self.served.blocks.refuses.set(refuses);
    }

    /// Every block that this node takes to be confirmed by a peer.
    pub async fn confirmed_by(&self, peer: &str) -> Vec<(Score, BlockType)> {
        let Some(peer) = self.peers.get(peer) else { return Vec::new() };
        let info = peer.info().clone();
        let ends: Vec<_> = self.store.log_ends().collect();
        let mut confirmed = Vec::new();
        for (number, end) in ends.iter().enumerate() {
            let cursor = info.cursors.get(&end.arena.to_string()).copied().unwrap_or(0);
            let mut at = 0;
            while at < cursor
                && let Some(entry) = self.store.log_entry(number, at).await.unwrap()
            {
                let is_hole = info.holes.contains_key(&(end.arena.to_string(), entry.offset));
                confirmed.extend(entry.name.filter(|_| !is_hole));
                at = entry.end;
            }
        }
        confirmed
    }

    /// Where in the arena partition a byte of the first block at or behind `offset` of the first arena's log is stored,
    /// and which block it is.
    pub async fn byte_at(&self, offset: u64) -> Option<(u64, Score, BlockType)> {
        let mut at = 0;
        let entry = loop {
            let entry = self.store.log_entry(0, at).await.unwrap()?;
            if entry.end > offset {
                break entry;
            }
            at = entry.end;
        };
        let (score, block_type) = entry.name.filter(|_| entry.lump.is_ok())?;
        let arena = self.store.arena(0).unwrap();
        Some((arena.start + u64::from(arena.block_size) + entry.end - 1, score, block_type))
    }
}

impl Disks {
    /// A byte of the arenas is another one from now on.
    pub fn rot(&mut self, place: u64) {
        let byte = self.arenas.get(place, 1)[0];
        self.arenas.put(place, &[byte ^ 1]);
    }
}
