//! The network: who can reach whom, and when a connection is cut or stops.

use super::keys::SimRng;
use super::node::Served;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use net::replicate::{Keys, Road};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;
use storage::simulation::SeededRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::spawn_local;

/// Bytes that are on their way on one connection.
const ROOM: usize = 64 << 10;

/// All nodes that are up, by name.
pub struct Network {
    pub rng: SeededRng,
    nodes: RefCell<BTreeMap<String, Weak<Served>>>,
    parted: RefCell<BTreeSet<(String, String)>>,
    /// The names that were asked for, in the order of their addresses: what a name server would know.
    known: RefCell<Vec<String>>,
    /// One of so many connections is cut after some bytes, and one stops moving. 0: none.
    pub cut_one_of: Cell<u64>,
    /// Bytes per second of a connection; 0: no limit. Each write takes its time.
    pub speed: Cell<u64>,
    /// How long bytes are on their way.
    pub delay: Cell<Duration>,
    /// Bytes that were carried.
    pub carried: Cell<u64>,
}

impl Network {
    pub fn new(seed: u64) -> Rc<Network> {
        Rc::new(Network {
            rng: SeededRng::new(seed),
            nodes: RefCell::default(),
            parted: RefCell::default(),
            known: RefCell::default(),
            cut_one_of: Cell::new(0),
            speed: Cell::new(0),
            delay: Cell::default(),
            carried: Cell::new(0),
        })
    }

    pub fn enter(&self, name: &str, node: &Rc<Served>) {
        self.nodes.borrow_mut().insert(name.to_owned(), Rc::downgrade(node));
    }

    pub fn leave(&self, name: &str) {
        self.nodes.borrow_mut().remove(name);
    }

    /// The address of a node: 10.0.0.1 is the first that anybody asked for.
    pub fn address(&self, name: &str) -> IpAddr {
        let mut known = self.known.borrow_mut();
        let at = known.iter().position(|other| other == name).unwrap_or_else(|| {
            known.push(name.to_owned());
            known.len() - 1
        });
        Ipv4Addr::new(10, 0, 0, at as u8 + 1).into()
    }

    fn name(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else { return None };
        self.known.borrow().get(usize::from(address.octets()[3]).checked_sub(1)?).cloned()
    }

    /// Two nodes no longer reach one another, or do again.
    pub fn part(&self, one: &str, other: &str, parted: bool) {
        for pair in [(one, other), (other, one)] {
            let pair = (pair.0.to_owned(), pair.1.to_owned());
            match parted {
                true => self.parted.borrow_mut().insert(pair),
                false => self.parted.borrow_mut().remove(&pair),
            };
        }
    }

    /// From now on nothing goes wrong any more.
    pub fn heal(&self) {
        self.parted.borrow_mut().clear();
        self.cut_one_of.set(0);
    }
}

/// The way of one node into the network.
pub struct Path {
    pub network: Rc<Network>,
    pub from: String,
    pub keys: Keys<SimRng>,
}

impl Road for Path {
    type Reader = Reader;
    type Writer = Writer;

    type Rng = SimRng;

    /// The first address of each name is one at which nobody answers.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        Ok(vec![Ipv4Addr::new(10, 0, 0, 250).into(), self.network.address(host)])
    }

    fn keys(&self) -> &Keys<SimRng> {
        &self.keys
    }

    async fn connect(&self, to: SocketAddr) -> Result<(Reader, Writer), String> {
        let network = &self.network;
        let port = to.port();
        let host = network.name(to.ip()).ok_or("nobody is there")?;
        let pair = (self.from.clone(), host.clone());
        if network.parted.borrow().contains(&pair) {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err("no route".to_owned());
        }
        let node = network.nodes.borrow().get(&host).and_then(Weak::upgrade);
        let node = node.ok_or("connection refused")?;
        let (near, far) = tokio::io::duplex(ROOM);
        node.serve(self.delayed(far), port, SocketAddr::new(network.address(&self.from), 40_000));
        let rng = &network.rng;
        let one_of = network.cut_one_of.get();
        let end = match one_of > 0 && rng.chance(1, one_of) {
            true if rng.chance(1, 4) => End::Stuck,
            true => End::Cut,
            false => End::None,
        };
        let busy_until = Cell::new(tokio::time::Instant::now());
        let left = Cell::new(rng.below(300_000));
        let life = Rc::new(Life { network: network.clone(), pair, left, end, busy_until });
        let (reader, writer) = tokio::io::split(near);
        Ok((Reader(reader, life.clone()), Writer(writer, life)))
    }
}

/// Bytes on a long way, at most.
const LONG_ROOM: usize = 4 << 20;

impl Path {
    /// The far end of a connection whose way is long.
    fn delayed(&self, near: DuplexStream) -> DuplexStream {
        let delay = self.network.delay.get();
        if delay.is_zero() {
            return near;
        }
        let (inner, far) = tokio::io::duplex(LONG_ROOM);
        let ((near_in, near_out), (far_in, far_out)) = (tokio::io::split(near), tokio::io::split(inner));
        spawn_local(carry(near_in, far_out, delay));
        spawn_local(carry(far_in, near_out, delay));
        far
    }
}

/// Carries bytes one way; each arrives `delay` after it left.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, delay: Duration) {
    let (sender, mut receiver) =
        tokio::sync::mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(LONG_ROOM / ROOM);
    let leaving = async {
        let mut buffer = vec![0; ROOM];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let arrival = tokio::time::Instant::now() + delay;
            if sender.send((arrival, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let arriving = async {
        while let Some((arrival, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(arrival).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(leaving, arriving);
}

/// How a connection ends when its bytes are used up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    None,
    Cut,
    Stuck,
}

struct Life {
    network: Rc<Network>,
    pair: (String, String),
    left: Cell<u64>,
    end: End,
    /// When what was given to the link so far has left.
    busy_until: Cell<tokio::time::Instant>,
}

impl Life {
    /// Both directions share the link.
    async fn use_up(&self, bytes: usize) -> Result<(), ErrorKind> {
        let network = &self.network;
        network.carried.set(network.carried.get() + bytes as u64);
        if let Some(micros) = (bytes as u64 * 1_000_000).checked_div(network.speed.get()) {
            // Timers are late by up to a millisecond, which is nobody's loss.
            let now = tokio::time::Instant::now() - Duration::from_millis(2);
            let free = self.busy_until.get().max(now) + Duration::from_micros(micros);
            self.busy_until.set(free);
            tokio::time::sleep_until(free).await;
        }
        self.left.set(self.left.get().saturating_sub(bytes as u64));
        if network.parted.borrow().contains(&self.pair) || self.left.get() == 0 && self.end == End::Stuck {
            std::future::pending::<()>().await;
        }
        match self.left.get() == 0 && self.end == End::Cut {
            true => Err(ErrorKind::ConnectionReset),
            false => Ok(()),
        }
    }
}

pub struct Reader(ReadHalf<DuplexStream>, Rc<Life>);
pub struct Writer(WriteHalf<DuplexStream>, Rc<Life>);

impl ErrorType for Reader {
    type Error = ErrorKind;
}

impl ErrorType for Writer {
    type Error = ErrorKind;
}

impl Read for Reader {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let count = self.0.read(buffer).await.map_err(|_| ErrorKind::ConnectionReset)?;
        self.1.use_up(count).await?;
        Ok(count)
    }
}

impl Write for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let count = self.0.write(bytes).await.map_err(|_| ErrorKind::BrokenPipe)?;
        self.1.use_up(count).await?;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().await.map_err(|_| ErrorKind::BrokenPipe)
    }
}
