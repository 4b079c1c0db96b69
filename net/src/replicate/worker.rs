//! One peer's rounds: connect, heal, send, exchange names; then wait, for news or for better times.
//!
//! Knows the order, and what comes after an error. Must not know messages.

use super::Road;
use super::blocks::{Push, update_lag};
use super::direct::{self, Direct};
use super::names::exchange;
use super::opening::{Opened, Opener, WayError};
use super::pace::{Pace, wait_after};
use super::peer::{Peer, State};
use super::peers::{Parts, Peers};
use super::reach::look_up;
use super::way::Service;
use crate::clock::{Clock, Instant, within};
use crate::rng::Rng;
use crate::venti::client::{Client, ClientError, Settings, connect};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use core::cell::Cell;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use futures_util::future::{Either, select};
use storage::device::BlockDevice;
use storage::fat::FatError;
use storage::names::Names;
use storage::score::Score;
use storage::store::StoreError;

/// How often to look for something new.
const LOOK: Duration = Duration::from_secs(1);
/// How often to ask a peer for its names.
const ASK: Duration = Duration::from_secs(60);
/// How often to ask where a peer's hosts are.
const LOOK_UP: Duration = Duration::from_secs(300);
/// How often to look whether a peer can mend what it could not before.
const MEND: Duration = Duration::from_secs(600);
/// Time for a connection to be opened, and for an exchange of names.
const OPEN_TIME: Duration = Duration::from_secs(90);
const NAMES_TIME: Duration = Duration::from_secs(120);
/// Time between two writes of a peer's file.
const SAVE_TIME: Duration = Duration::from_secs(5);

/// Why a round ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RoundError {
    /// The peer, or the way to it.
    #[error("venti: {0}")]
    Peer(#[from] ClientError),
    /// It could not be reached, or is not who it should be, or does not take us for who we are.
    #[error("{0}")]
    Way(#[from] WayError),
    /// Names could not be exchanged.
    #[error("names: {0}")]
    Names(String),
    /// There is no way to exchange them.
    #[error(
        "names: the peer's venti exchanges none with us: it is no Granary, or gives us no role replicate, or is reached in clear"
    )]
    NoNames,
    /// Our own disk.
    #[error("our own disk: {0}")]
    Disk(String),
    /// Too much is damaged here.
    #[error("too many blocks cannot be read here; look after the disk first (granary disk check)")]
    TooManyHoles,
    /// It took too long.
    #[error("the peer takes too long")]
    TimedOut,
}

impl RoundError {
    pub(super) fn disk(error: StoreError) -> RoundError {
        RoundError::Disk(error.to_string())
    }
}

/// What a worker remembers from round to round.
#[derive(Default)]
struct Memory {
    pace: Pace,
    /// The names as they were exchanged last: our version, and the hash of the peer's file.
    told: Cell<Option<(u64, Score)>>,
    /// When names are to be asked for again.
    ask_at: Cell<Instant>,
    /// When it is worth while to try to mend again.
    mend_at: Cell<Instant>,
    saved_at: Cell<Instant>,
    /// Whether the peer's venti answers questions about names.
    gives_names: Cell<bool>,
    /// When the peer's hosts are to be looked up again.
    look_up_at: Cell<Instant>,
    /// Rounds so far.
    rounds: Cell<u64>,
}

/// Works for one peer until it is gone.
pub(super) struct Worker<D: BlockDevice + 'static, F, C, G, R> {
    pub(super) parts: Rc<Parts<D, F, C, G, R>>,
    /// All of them: they share the window.
    pub(super) peers: Rc<Peers>,
    pub(super) peer: Rc<Peer>,
}

impl<D, F, C, G, R> Worker<D, F, C, G, R>
where
    D: BlockDevice + 'static,
    F: BlockDevice,
    C: Clock,
    G: Rng,
    R: Road,
{
    pub(super) async fn run(self) {
        let memory = Memory::default();
        while self.wait(&memory).await {
            match self.round(&memory).await {
                Ok(()) => self.peer.change(|progress| {
                    (progress.failures, progress.state) = (0, State::Idle);
                    progress.last_error = None;
                }),
                Err(error) => self.failed(&error),
            }
            self.save(&memory, true).await;
        }
    }

    fn failed(&self, error: &RoundError) {
        let now = self.parts.clock.now();
        let first = self.peer.change(|progress| {
            progress.failures += 1;
            progress.failure_count += 1;
            // A peer that lies is left alone for as long as it gets.
            let counted = match error {
                RoundError::Peer(ClientError::WrongScore { .. }) => u32::MAX,
                _ => progress.failures,
            };
            progress.state = State::Waiting(now.plus(wait_after(counted, &self.parts.rng)));
            let said = error.to_string();
            let first = progress.last_error.as_ref() != Some(&said);
            progress.last_error = Some(said);
            first
        });
        if first {
            log::warn!("peer {}: {error}; will try again", self.peer.name);
        }
    }

    /// Waits until there is something to do, and a moment at least. `false`: the peer is gone.
    async fn wait(&self, memory: &Memory) -> bool {
        let mut rested = memory.rounds.replace(memory.rounds.get() + 1) == 0;
        loop {
            let woken = self.peer.woken();
            if self.peer.gone.get() {
                return false;
            }
            if rested && self.is_due(memory) {
                return true;
            }
            rested = true;
            self.look_up(memory).await;
            let tick = self.parts.clock.sleep_until(self.parts.clock.now().plus(LOOK));
            select(woken, pin!(tick)).await;
        }
    }

    /// Finds out where the peer's hosts are, now and then: whoever comes from there is the peer.
    async fn look_up(&self, memory: &Memory) {
        let Parts { road, clock, .. } = &*self.parts;
        if clock.now() < memory.look_up_at.get() {
            return;
        }
        memory.look_up_at.set(clock.now().plus(LOOK_UP));
        for host in self.peer.hosts() {
            if let Err(error) = look_up(road, clock, &self.peer, &host).await {
                log::debug!("peer {}: {error}", self.peer.name);
            }
        }
    }

    fn is_due(&self, memory: &Memory) -> bool {
        let (clock, peer) = (&self.parts.clock, &self.peer);
        let now = clock.now();
        let is_behind = update_lag(&self.parts.store, peer, now);
        let (has_address, has_names, hours) = {
            let info = peer.info();
            (info.venti.is_some(), info.has_names(), info.hours)
        };
        let quiet = match &peer.progress().state {
            _ if !has_address => Some(State::NoAddress),
            _ if !hours.is_none_or(|hours| hours.contain(clock.wall())) => Some(State::OutOfHours),
            State::Waiting(until) if now < *until => return false,
            _ => None,
        };
        if let Some(state) = quiet {
            peer.change(|progress| progress.state = state);
            return false;
        }
        let version = self.parts.names.registry().version();
        let news = memory.told.get().is_none_or(|(told, _)| told != version);
        is_behind || has_names && (news || now >= memory.ask_at.get()) || self.is_to_mend(memory, now)
    }

    fn is_to_mend(&self, memory: &Memory, now: Instant) -> bool {
        let something = !self.peer.info().holes.is_empty() || !self.parts.store.damaged_blocks().is_empty();
        something && now >= memory.mend_at.get()
    }

    async fn round(&self, memory: &Memory) -> Result<(), RoundError> {
        // What is published now needs nothing but what is durable now.
        let (published, version) = {
            let registry = self.parts.names.registry();
            (registry.published().clone(), registry.version())
        };
        let now = self.parts.clock.now();
        if update_lag(&self.parts.store, &self.peer, now) || self.is_to_mend(memory, now) {
            self.peer.change(|progress| progress.state = State::Sending);
            self.push(memory).await?;
        }
        if self.peer.info().has_names() {
            self.peer.change(|progress| progress.state = State::Names);
            self.exchange_names(memory, &published, version).await?;
        }
        Ok(())
    }

    async fn push(&self, memory: &Memory) -> Result<(), RoundError> {
        self.with_venti(async |client| self.push_over(memory, client).await).await
    }

    /// Does some work over a connection to the peer's venti.
    async fn with_venti(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<(), RoundError>,
    ) -> Result<(), RoundError> {
        let Some(address) = self.peer.info().venti.clone() else { return Ok(()) };
        let opener = self.opener();
        let opened = self.within(OPEN_TIME, opener.open(&address, Service::Venti)).await??;
        let Opened { reader, writer, said } = opened;
        let done = self.work_over(reader, writer, work).await;
        // Of a connection that failed, TLS knows more than venti.
        done.map_err(|error| match (&error, said.take()) {
            (RoundError::Peer(failed), Some(why)) if failed.is_of_stream() => why.into(),
            _ => error,
        })
    }

    /// Opens connections to this peer.
    fn opener(&self) -> Opener<'_, F, C, R> {
        let Parts { road, clock, nine_fat, .. } = &*self.parts;
        let info = self.peer.info();
        let (access, way) = (info.access.clone(), info.way());
        Opener { road, clock, nine_fat, peer: &self.peer, access, way }
    }

    async fn work_over(
        &self,
        reader: impl Read,
        writer: impl Write,
        work: impl AsyncFnOnce(&Client) -> Result<(), RoundError>,
    ) -> Result<(), RoundError> {
        let parts = &self.parts;
        let settings = Settings { uid: "granary", ..Settings::default() };
        let (client, drive) = connect(reader, writer, parts.clock.clone(), settings).await?;
        let work = async {
            work(&client).await?;
            // How the peer takes it no longer matters.
            let _ = self.within(LOOK, client.clone().goodbye()).await;
            Ok(())
        };
        match select(pin!(work), pin!(drive)).await {
            Either::Left((done, _)) => done,
            // Whatever the work still waits for fails now, and says why.
            Either::Right((_, work)) => work.await,
        }
    }

    async fn push_over(&self, memory: &Memory, client: &Client) -> Result<(), RoundError> {
        let parts = &self.parts;
        let (clock, peer) = (&parts.clock, &*self.peer);
        let window = parts.window / self.peers.len().max(1);
        memory.gives_names.set(client.has_names());
        let push = Push { store: &parts.store, clock, client, peer, pace: &memory.pace, window };
        if self.is_to_mend(memory, clock.now()) {
            memory.mend_at.set(clock.now().plus(MEND));
            let (healed, filled) = (push.heal().await?, push.fill_holes().await?);
            if healed + filled > 0 {
                log::info!("peer {}: {healed} blocks healed from it, {filled} holes closed", peer.name);
                // What is left may be had at the next attempt.
                memory.mend_at.set(clock.now());
            }
        }
        push.run(&async || self.save(memory, false).await).await
    }

    async fn exchange_names(
        &self,
        memory: &Memory,
        published: &Names,
        version: u64,
    ) -> Result<(), RoundError> {
        let peer = &self.peer;
        let (to, owes_nothing, is_direct) = {
            let info = peer.info();
            // Whoever lacks blocks is told no names.
            let owes_nothing = info.holes.is_empty() && info.venti.is_some();
            (info.names.clone(), owes_nothing, info.names_directly || memory.gives_names.get())
        };
        let before = memory.told.get();
        let told = before.filter(|(told, _)| *told == version).map(|(_, hash)| hash);
        if is_direct {
            let mut done = None;
            let work = self.with_venti(async |client| {
                memory.gives_names.set(client.has_names());
                if client.has_names() {
                    done = Some(direct::exchange(client, published, owes_nothing, told).await?);
                }
                Ok(())
            });
            self.within(NAMES_TIME, work).await??;
            if let Some(Direct { digest, theirs, sent }) = done {
                if let Some(theirs) = theirs {
                    self.take_names(&theirs).await?;
                }
                self.exchanged(memory, (version, digest), sent);
                return Ok(());
            }
        }
        let Some(to) = to else { return Err(RoundError::NoNames) };
        let opener = self.opener();
        let open = async || {
            let Opened { reader, writer, .. } = opener.open(&to, Service::Tree).await?;
            Ok((reader, writer))
        };
        let work = exchange(open, owes_nothing.then_some(published), told);
        let exchanged = self.within(NAMES_TIME, work).await??;
        let hash = Score::of(&exchanged.theirs);
        if before.is_none_or(|(_, known)| known != hash) {
            self.take_names(&exchanged.theirs).await?;
        }
        self.exchanged(memory, (version, hash), exchanged.sent);
        Ok(())
    }

    /// Names that came wait for their blocks.
    async fn take_names(&self, theirs: &[u8]) -> Result<(), RoundError> {
        let peer = &self.peer;
        let merged = self.parts.names.merge(theirs, self.parts.clock.wall()).await;
        let new = merged.map_err(|error| RoundError::Disk(error.to_string()))?;
        peer.change(|progress| progress.names_received += new.len() as u64);
        if !new.is_empty() {
            log::info!("peer {}: {} new names, which wait for their blocks", peer.name, new.len());
        }
        Ok(())
    }

    fn exchanged(&self, memory: &Memory, told: (u64, Score), sent: u64) {
        self.peer.change(|progress| progress.names_sent += sent);
        memory.told.set(Some(told));
        memory.ask_at.set(self.parts.clock.now().plus(ASK));
    }

    async fn within<T>(&self, time: Duration, work: impl Future<Output = T>) -> Result<T, RoundError> {
        let deadline = self.parts.clock.now().plus(time);
        within(&self.parts.clock, deadline, work).await.ok_or(RoundError::TimedOut)
    }

    /// Writes the peer's file, if it says something else now and was not changed by anybody meanwhile.
    async fn save(&self, memory: &Memory, at_once: bool) {
        let (now, peer) = (self.parts.clock.now(), &self.peer);
        let is_early = !at_once && now < memory.saved_at.get().plus(SAVE_TIME);
        if is_early || peer.gone.get() || super::info::Info::parse(&peer.text.borrow()) == *peer.info() {
            return;
        }
        memory.saved_at.set(now);
        let (old, new) = (peer.text.borrow().clone(), peer.info().text(self.parts.clock.wall()));
        let file = alloc::format!("{}{}", peer.name, super::info::SUFFIX);
        let wall = self.parts.clock.wall();
        match self.parts.nine_fat.replace_unchanged(&file, &old, &new, wall).await {
            Ok(true) => *peer.text.borrow_mut() = new,
            // It will be read, and obeyed.
            Ok(false) => log::info!("{file} was changed by somebody; what it says now counts"),
            Err(FatError::NotFound(_)) => {}
            Err(error) => log::error!("{file}: {error}"),
        }
    }
}
