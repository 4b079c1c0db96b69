//! One peer: what its file says, how far it is, and what became of the last attempts.
//!
//! Must not know how a peer is reached, nor who looks at this.

use super::info::Info;
use crate::clock::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell};
use core::fmt::Write;
use core::net::IpAddr;
use core::time::Duration;
use event_listener::{Event, EventListener};

/// What a worker does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The file names no venti.
    #[default]
    NoAddress,
    /// The peer has everything.
    Idle,
    /// Now is none of its hours.
    OutOfHours,
    /// Blocks are on their way.
    Sending,
    /// Names are exchanged.
    Names,
    /// It failed, and is tried again at this time.
    Waiting(Instant),
}

impl State {
    /// In words.
    pub fn show(&self, now: Instant) -> String {
        let fixed = match self {
            State::NoAddress => "no address: its file has no venti= line",
            State::Idle => "idle",
            State::OutOfHours => "waiting for its hours",
            State::Sending => "sending",
            State::Names => "exchanging names",
            State::Waiting(until) => return format!("trying again in {} s", until.since(now).as_secs()),
        };
        fixed.to_string()
    }
}

/// How a peer fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What the worker does.
    pub state: State,
    /// Durable bytes of log that the peer has not confirmed.
    pub lag_bytes: u64,
    /// Since when there are such.
    pub behind_since: Option<Instant>,
    /// Blocks that were sent since the start, and confirmed.
    pub sent_blocks: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blocks that the peer had already.
    pub known_blocks: u64,
    /// Bytes per second of the last stretch that was confirmed.
    pub speed: u64,
    /// Damaged blocks of ours that were fetched from it.
    pub healed_blocks: u64,
    /// Names that came from it.
    pub names_received: u64,
    /// Names that were written to it.
    pub names_sent: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Failures since the start.
    pub failure_count: u64,
    /// The last one.
    pub last_error: Option<String>,
    /// When the peer confirmed something last.
    pub confirmed_at: Option<Instant>,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// Its name: that of its file, without the ending.
    pub name: String,
    info: RefCell<Info>,
    progress: RefCell<Progress>,
    /// The file as it was read or written last.
    pub(super) text: RefCell<Vec<u8>>,
    pub(super) gone: Cell<bool>,
    /// Where its hosts were found last.
    found: RefCell<BTreeMap<String, Vec<IpAddr>>>,
    wake: Event,
}

impl Peer {
    pub(super) fn new(name: &str, text: &[u8]) -> Peer {
        let peer = Peer {
            name: name.to_string(),
            info: RefCell::default(),
            progress: RefCell::default(),
            text: RefCell::default(),
            gone: Cell::new(false),
            found: RefCell::default(),
            wake: Event::new(),
        };
        peer.read(text);
        peer
    }

    /// Takes over what its file says.
    pub(super) fn read(&self, text: &[u8]) {
        let info = Info::parse(text);
        for problem in &info.problems {
            log::warn!("{}.info: {problem}", self.name);
        }
        *self.text.borrow_mut() = text.to_vec();
        *self.info.borrow_mut() = info;
        self.found.borrow_mut().clear();
        let mut progress = self.progress.borrow_mut();
        (progress.failures, progress.state) = (0, State::default());
        self.wake.notify(usize::MAX);
    }

    /// The hosts that its file names.
    pub(super) fn hosts(&self) -> Vec<String> {
        let info = self.info();
        let hosts: BTreeSet<&str> = info.venti.iter().chain(&info.names).map(|dial| &*dial.host).collect();
        hosts.into_iter().filter(|host| host.parse::<IpAddr>().is_err()).map(ToString::to_string).collect()
    }

    /// Its host was found at these addresses.
    pub(super) fn is_at(&self, host: &str, addresses: &[IpAddr]) {
        self.found.borrow_mut().insert(host.to_string(), addresses.to_vec());
    }

    /// Whether its file says that it is at this address, or says a name that was found there.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let (info, found, address) = (self.info(), self.found.borrow(), address.to_canonical());
        let mut hosts = info.venti.iter().chain(&info.names).map(|dial| dial.host.as_str());
        hosts.any(|host| match host.parse::<IpAddr>() {
            Ok(known) => known.to_canonical() == address,
            Err(_) => found.get(host).is_some_and(|all| all.iter().any(|at| at.to_canonical() == address)),
        })
    }

    /// What its file says, and how far it is.
    pub fn info(&self) -> Ref<'_, Info> {
        self.info.borrow()
    }

    /// How it fares.
    pub fn progress(&self) -> Ref<'_, Progress> {
        self.progress.borrow()
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.borrow_mut())
    }

    pub(super) fn change_info<T>(&self, change: impl FnOnce(&mut Info) -> T) -> T {
        change(&mut self.info.borrow_mut())
    }

    pub(super) fn woken(&self) -> EventListener {
        self.wake.listen()
    }

    /// The worker is to end.
    pub(super) fn leave(&self) {
        self.gone.set(true);
        self.wake.notify(usize::MAX);
    }

    /// For how long the peer has lacked something.
    pub fn lag(&self, now: Instant) -> Duration {
        self.progress.borrow().behind_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// All of it as text, `key value` a line.
    pub fn show(&self, now: Instant) -> String {
        let (info, progress) = (self.info(), self.progress());
        let mut text = String::new();
        let _ = writeln!(text, "state {}", progress.state.show(now));
        let _ = writeln!(text, "way {}", info.way());
        if info.names_directly {
            text += "names direct\n";
        }
        for (key, address) in [("venti", &info.venti), ("names", &info.names)] {
            if let Some(address) = address {
                let _ = writeln!(text, "{key} {address}");
            }
        }
        let left = progress.lag_bytes.checked_div(progress.speed).unwrap_or_default();
        let numbers = [
            ("lag-bytes", progress.lag_bytes),
            ("lag-seconds", self.lag(now).as_secs()),
            ("seconds-left", left),
            ("sent-blocks", progress.sent_blocks),
            ("sent-bytes", progress.sent_bytes),
            ("known-blocks", progress.known_blocks),
            ("bytes-per-second", progress.speed),
            ("holes", info.holes.len() as u64),
            ("healed-blocks", progress.healed_blocks),
            ("names-received", progress.names_received),
            ("names-sent", progress.names_sent),
            ("failures", progress.failure_count),
        ];
        for (key, number) in numbers {
            let _ = writeln!(text, "{key} {number}");
        }
        for (arena, cursor) in &info.cursors {
            let _ = writeln!(text, "cursor {arena} {cursor:#x}");
        }
        for (arena, offset) in info.holes.keys() {
            let _ = writeln!(text, "hole {arena} {offset:#x}");
        }
        if let Some(error) = &progress.last_error {
            let _ = writeln!(text, "last-error {error}");
        }
        text
    }
}
