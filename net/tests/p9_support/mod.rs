//! A node in memory, with clients over pipes, and archives to put into it.

use crate::venti_support::{Reader, TestClock, Writer, halves};
use net::clock::Clock;
use net::p9::client::{Client, ClientError};
use net::p9::{Ending, Limits, Reply, Request, serve_connection};
use net::tree::{NodeFiles, NodeTree, Rights, Surroundings, Upgrades};
use net::venti::connections::Connections;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use storage::Timestamp;
use storage::archive::NewBlock;
use storage::device::ram::RamDisk;
use storage::fat::{NineFat, Volume};
use storage::make;
use storage::names::{NameKeeper, Registry};
use storage::slots::{Keeper, Slot};
use storage::store::{Store, StorePart, StoreParts, StoreSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, spawn_local};

pub const ALL: Rights = Rights { read: true, names: true, admin: true };

type Disk = Rc<RamDisk>;

pub struct Node {
    pub store: Rc<Store<Disk>>,
    pub names: Rc<NameKeeper<Disk, Disk>>,
    pub fat: Rc<NineFat<Disk>>,
    /// The texts of settings that were obeyed.
    pub obeyed: Rc<RefCell<Vec<String>>>,
    /// What the setting `upgradekey` is.
    pub upgrade_key: Rc<RefCell<Option<String>>>,
    /// How often the machine was to start again.
    pub restarts: Rc<Cell<u32>>,
    tree: Rc<NodeTree<Disk, Disk, TestClock>>,
    clock: TestClock,
}

impl Node {
    pub async fn new() -> Node {
        let clock = TestClock::new();
        let arenas = Rc::new(RamDisk::new(512, 65_536));
        let options = make::ArenaOptions { arena_len: 30 << 20, ..make::ArenaOptions::default() };
        make::arenas(&arenas, options, || 0x5eed_5eed, |_, _| ()).await.unwrap();
        let arenas = vec![StorePart { name: "arenas".into(), device: arenas }];
        let parts = StoreParts { arenas, index_sections: Vec::new(), bloom: None };
        let store = Rc::new(Store::open(parts, StoreSettings::default(), clock.wall()).await.unwrap().0);
        let disk = Rc::new(RamDisk::new(512, 20_000));
        Volume::format(&disk, b"9FAT       ", 2048, 7, clock.wall()).await.unwrap();
        let fat = Rc::new(NineFat::open(disk, true).await.unwrap());
        let names = Rc::new(NameKeeper::open(store.clone(), Some(fat.clone())).await);
        let walking = names.clone();
        // Time is short here: waits take a moment only.
        let pause = async |_| tokio::time::sleep(Duration::from_millis(2)).await;
        spawn_local(async move { walking.run(|| Timestamp(1_700_000_000), pause).await });
        let obeyed = Rc::new(RefCell::new(Vec::new()));
        let told = obeyed.clone();
        let in_tree = Some(fat.clone());
        let around = Surroundings {
            log: Box::new(|| b"a line\n".to_vec()),
            obey: Some(Box::new(move |text| {
                told.borrow_mut().push(String::from_utf8(text.to_vec()).unwrap())
            })),
            peers: Rc::default(),
        };
        let tree = NodeTree::new(
            "barn".into(),
            store.clone(),
            in_tree,
            names.clone(),
            clock.clone(),
            200_000,
            around,
        );
        let (upgrade_key, restarts) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
        let (key, ring) = (upgrade_key.clone(), restarts.clone());
        let tree = tree.with_upgrades(Upgrades {
            slots: Keeper::new(fat.clone(), Some(Slot::A)),
            is_kernel: Box::new(|file| match file.starts_with(b"kernel") {
                true => Ok(()),
                false => Err(format!("it is {}", String::from_utf8_lossy(file))),
            }),
            key: Box::new(move || key.borrow().clone()),
            restart: Box::new(move || ring.set(ring.get() + 1)),
        });
        Node { store, names, fat, obeyed, upgrade_key, restarts, tree: Rc::new(tree), clock }
    }

    pub fn upgrades(&self) -> &Upgrades<Disk> {
        self.tree.upgrades().unwrap()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Serves one end of a pipe; returns the other.
    fn serve(&self, rights: impl Fn() -> Rights + 'static) -> (DuplexStream, JoinHandle<Ending>) {
        let (near, far) = tokio::io::duplex(16 << 10);
        let files = NodeFiles { tree: self.tree.clone(), rights: Box::new(rights), client: "a test".into() };
        let clock = self.clock.clone();
        let ticket = Connections::new(1).admit(clock.now()).unwrap();
        let server = spawn_local(async move {
            let (reader, writer) = halves(far);
            serve_connection(reader, writer, &files, &Limits::default(), &clock, &ticket).await
        });
        (near, server)
    }

    pub async fn attach(&self, rights: Rights, aname: &str) -> Result<Client<Reader, Writer>, ClientError> {
        let (reader, writer) = halves(self.serve(move || rights).0);
        Client::attach(reader, writer, "iris", aname).await
    }

    pub async fn client(&self, rights: Rights) -> Client<Reader, Writer> {
        self.attach(rights, "").await.unwrap()
    }

    /// A client whose rights change under it.
    pub async fn client_with(&self, rights: Rc<Cell<Rights>>) -> Client<Reader, Writer> {
        let (reader, writer) = halves(self.serve(move || rights.get()).0);
        Client::attach(reader, writer, "iris", "").await.unwrap()
    }

    pub fn raw(&self, rights: Rights) -> Raw {
        let (stream, server) = self.serve(move || rights);
        Raw { stream, server }
    }

    pub async fn store_all(&self, blocks: &[NewBlock]) {
        for block in blocks {
            self.store.write(block.block_type, block.data.clone(), self.now()).await.unwrap();
        }
    }

    /// Waits until something is true of the names.
    pub async fn until(&self, is_true: impl Fn(&Registry) -> bool) {
        while !is_true(&self.names.registry()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets everything that can be done now be done.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A connection whose messages are made by hand.
pub struct Raw {
    stream: DuplexStream,
    server: JoinHandle<Ending>,
}

impl Raw {
    pub async fn ask(&mut self, tag: u16, request: &Request) -> Reply {
        self.stream.write_all(&request.to_bytes(tag)).await.unwrap();
        let size = self.stream.read_u32_le().await.unwrap();
        let mut message = vec![0; size as usize - 4];
        self.stream.read_exact(&mut message).await.unwrap();
        let (answered, reply) = Reply::parse(message.into()).unwrap();
        assert_eq!(answered, tag);
        reply
    }

    /// Sends bytes, reads whatever comes, closes, and waits until the server has ended.
    pub async fn send_and_close(self, bytes: &[u8]) -> Ending {
        let (mut reader, mut writer) = tokio::io::split(self.stream);
        let reading = spawn_local(async move {
            let mut all = Vec::new();
            let _ = reader.read_to_end(&mut all).await;
        });
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
        let ending = self.server.await.unwrap();
        drop(writer);
        reading.await.unwrap();
        ending
    }
}
