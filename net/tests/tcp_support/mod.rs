//! A simulated world for the tests of TCP: clock, executor, and links that lose, repeat and delay frames by
//! seed.

#![expect(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

pub mod dhcp_server;
pub mod frames;
mod segments;

pub use segments::Segments;

use net::clock::{Clock, Instant};
use net::rng::Rng;
use net::tcp::{Ipv4Settings, Ipv6Settings, NetSettings, Nic, Stack, TcpLimits};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use storage::Timestamp;

/// Numbers by seed (splitmix64).
#[derive(Clone)]
pub struct Seeded(Rc<Cell<u64>>);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(Rc::new(Cell::new(seed)))
    }

    pub fn below(&self, limit: u64) -> u64 {
        self.next_u64() % limit
    }
}

impl Rng for Seeded {
    fn fill(&self, target: &mut [u8]) {
        for chunk in target.chunks_mut(8) {
            let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.0.set(state);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

struct Task {
    future: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    ready: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Everything that happens, in one thread and one simulated time.
#[derive(Clone, Default)]
pub struct World(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Instant>,
    tasks: RefCell<Vec<Rc<Task>>>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    timer_ids: Cell<u64>,
    polls: Cell<u64>,
}

impl Clock for World {
    fn now(&self) -> Instant {
        self.0.now.get()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::default()
    }

    async fn sleep_until(&self, deadline: Instant) {
        self.sleeper(deadline).await;
    }
}

/// A timer, which is taken back when it is dropped.
struct Sleep {
    world: World,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.key.0 {
            return Poll::Ready(());
        }
        self.world.0.timers.borrow_mut().insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.world.0.timers.borrow_mut().remove(&self.key);
    }
}

impl World {
    pub fn seconds(&self) -> u64 {
        self.now().micros / 1_000_000
    }

    pub fn micros(&self) -> u64 {
        self.now().micros
    }

    /// How often any task was polled.
    pub fn polls(&self) -> u64 {
        self.0.polls.get()
    }

    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().plus(duration)).await;
    }

    fn sleeper(&self, at: Instant) -> Sleep {
        self.0.timer_ids.set(self.0.timer_ids.get() + 1);
        Sleep { world: self.clone(), key: (at, self.0.timer_ids.get()) }
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let ready = Arc::new(Flag(AtomicBool::new(true)));
        self.0.tasks.borrow_mut().push(Rc::new(Task { future: RefCell::new(Some(Box::pin(future))), ready }));
    }

    /// Runs until `main` is done; panics when `limit` passes before that.
    pub fn run<T: 'static>(&self, limit: Duration, main: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        self.spawn(async move { *slot.borrow_mut() = Some(main.await) });
        let end = self.now().plus(limit);
        loop {
            while self.run_ready() {
                if let Some(result) = result.borrow_mut().take() {
                    return result;
                }
            }
            let next = self.0.timers.borrow().keys().next().copied();
            let (next, _) = next.expect("every task waits and nothing will happen");
            assert!(next <= end, "not done after {} s", limit.as_secs());
            self.0.now.set(self.now().max(next));
            let later = self.0.timers.borrow_mut().split_off(&(next, u64::MAX));
            for waker in self.0.timers.replace(later).into_values() {
                waker.wake();
            }
        }
    }

    fn run_ready(&self) -> bool {
        let tasks: Vec<_> = self.0.tasks.borrow().clone();
        let mut ran = false;
        for task in tasks.iter().filter(|task| task.ready.0.swap(false, Ordering::Relaxed)) {
            ran = true;
            self.0.polls.set(self.0.polls.get() + 1);
            let waker = Waker::from(task.ready.clone());
            let Some(mut future) = task.future.borrow_mut().take() else { continue };
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                *task.future.borrow_mut() = Some(future);
            }
        }
        self.0.tasks.borrow_mut().retain(|task| task.future.borrow().is_some());
        ran
    }
}

/// How a link treats frames. Chances are per thousand.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    pub loss: u64,
    pub duplicate: u64,
    pub reorder: u64,
    pub delay: Duration,
}

/// One end of a link, or a port of a hub: frames on their way to it.
#[derive(Default)]
pub struct Inbox {
    frames: RefCell<VecDeque<(Instant, Vec<u8>)>>,
    waker: RefCell<Option<Waker>>,
}

impl Inbox {
    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.frames.borrow().is_empty()
    }

    /// What a card does when it has room again.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// An Ethernet hub that all cards hang on. Frames to one address go to that card alone.
#[derive(Clone)]
pub struct Hub {
    world: World,
    random: Seeded,
    pub weather: Rc<Cell<Weather>>,
    /// The longest frame yet.
    pub largest: Rc<Cell<usize>>,
    /// What its cards do about segments; to be said before a stack has one.
    pub segments: Rc<Cell<Segments>>,
    ports: Rc<RefCell<Vec<Port>>>,
}

/// A card's address and its inbox.
type Port = ([u8; 6], Rc<Inbox>);

impl Hub {
    pub fn new(world: &World, seed: u64, weather: Weather) -> Hub {
        let weather = Rc::new(Cell::new(weather));
        let (ports, largest, segments) = (Rc::default(), Rc::default(), Rc::default());
        Hub { world: world.clone(), random: Seeded::new(seed), weather, largest, segments, ports }
    }

    pub fn card(&self, number: u8) -> Card {
        let address = [2, 0, 0, 0, 0, number];
        let inbox = Rc::new(Inbox::default());
        self.ports.borrow_mut().push((address, inbox.clone()));
        Card { hub: self.clone(), address, inbox, room: Rc::new(Cell::new(usize::MAX)) }
    }

    /// Takes a card off the hub: its host vanishes without a word.
    pub fn unplug(&self, number: u8) {
        self.ports.borrow_mut().retain(|(address, _)| address[5] != number);
    }

    pub fn send(&self, from: [u8; 6], frame: &[u8]) {
        self.largest.set(self.largest.get().max(frame.len()));
        let group = frame[0] & 1 != 0;
        for (address, inbox) in self.ports.borrow().iter() {
            if *address != from && (group || frame[..6] == address[..]) {
                self.deliver(inbox, frame);
            }
        }
    }

    fn deliver(&self, inbox: &Inbox, frame: &[u8]) {
        let weather = self.weather.get();
        if self.random.below(1000) < weather.loss {
            return;
        }
        let copies = 1 + u64::from(self.random.below(1000) < weather.duplicate);
        for _ in 0..copies {
            let late = if self.random.below(1000) < weather.reorder { 3 } else { 1 };
            let at = self.world.now().plus(weather.delay * late);
            let mut frames = inbox.frames.borrow_mut();
            let place = frames.partition_point(|(other, _)| *other <= at);
            frames.insert(place, (at, frame.to_vec()));
        }
        inbox.wake();
    }
}

/// A card on a [`Hub`].
pub struct Card {
    hub: Hub,
    pub address: [u8; 6],
    pub inbox: Rc<Inbox>,
    /// Frames that may still be sent: to test a card that is full.
    pub room: Rc<Cell<usize>>,
}

impl Card {
    /// The next frame that has arrived, for hosts that are not a stack.
    pub async fn next_frame(&mut self) -> Vec<u8> {
        loop {
            self.ready().await;
            if let Some(frame) = self.take() {
                return frame;
            }
        }
    }

    pub fn send(&self, frame: &[u8]) {
        self.hub.send(self.address, frame);
    }

    fn take(&self) -> Option<Vec<u8>> {
        let mut frames = self.inbox.frames.borrow_mut();
        let arrived = frames.front().is_some_and(|(at, _)| *at <= self.hub.world.now());
        if arrived { frames.pop_front().map(|(_, frame)| frame) } else { None }
    }
}

impl Nic for Card {
    fn hardware_address(&self) -> [u8; 6] {
        self.address
    }

    async fn ready(&mut self) {
        let mut arrival: Option<Sleep> = None;
        poll_fn(|cx| {
            *self.inbox.waker.borrow_mut() = Some(cx.waker().clone());
            let first = self.inbox.frames.borrow().front().map(|(at, _)| *at);
            arrival = first.map(|at| self.hub.world.sleeper(at));
            arrival.as_mut().map_or(Poll::Pending, |arrival| Pin::new(arrival).poll(cx))
        })
        .await;
    }
}

impl Device for Card {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Frame, Sender<'_>)> {
        let frame = self.take()?;
        Some((Frame(frame), Sender { card: self, segment: None }))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sender<'_>> {
        (self.room.get() > 0).then_some(Sender { card: self, segment: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        self.hub.segments.get().offer(&mut capabilities);
        capabilities
    }
}

pub struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

pub struct Sender<'a> {
    card: &'a Card,
    segment: Option<NonZeroU16>,
}

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        let card = self.card;
        card.room.set(card.room.get().saturating_sub(1));
        for frame in card.hub.segments.get().on_the_wire(frame, self.segment) {
            card.send(&frame);
        }
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}

/// Limits of a machine with 512 MiB.
pub fn limits() -> TcpLimits {
    TcpLimits::for_memory(512 << 20)
}

/// 10.0.0.`number`/24 and nothing else.
pub fn fixed(number: u8) -> NetSettings {
    let address = Ipv4Addr::new(10, 0, 0, number);
    let ipv4 = Ipv4Settings::Static { address, prefix: 24, gateway: None };
    NetSettings { ipv4, ipv6: Ipv6Settings::None, ..NetSettings::default() }
}

/// A stack on `hub` that runs.
pub fn host(hub: &Hub, number: u8, settings: NetSettings, limits: TcpLimits) -> Stack {
    let (world, clock) = (&hub.world, hub.world.clone());
    let rng = Seeded::new(u64::from(number));
    let (stack, runner) = Stack::new(hub.card(number), settings, limits, rng, world.now()).unwrap();
    world.spawn(async move { match runner.run(clock).await {} });
    stack
}

pub fn at(number: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], port))
}

/// The same bytes for the same seed.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Seeded::new(seed).fill(&mut bytes);
    bytes
}
