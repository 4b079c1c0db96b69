//! A disk that misbehaves by seed, for proofs: it loses power, tears, drops and reorders what was not flushed, fails,
//! rots, loses and misdirects writes, and lies about flushes.
//!
//! Two images stand for it: the *live* one is what reads see, the *durable* one what a power cut leaves for certain.
//! Writes between two flushes are kept apart, sector by sector; at the cut each of their sectors is decided alone.
//! Must not know formats.

use super::image::Image;
use super::{BlockDevice, DeviceError};
use crate::simulation::{SeededRng, yield_now};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::{Cell, RefCell};

/// Kinds of request, for choosing which one a fault hits and for counting them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// [`BlockDevice::read`].
    Read,
    /// [`BlockDevice::write`].
    Write,
    /// [`BlockDevice::flush`].
    Flush,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers an error. A failed write may have changed some of its sectors; after a failed flush, writes that it
    /// should have made durable may never become so, although reads see them.
    Fail,
    /// It answers success and does nothing (a lost write, a lying flush; a read is not affected).
    Ignore,
    /// A write answers success and lands on other sectors (other requests are not affected).
    Misdirect,
}

/// Requests that a disk has served or refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

/// A write that no successful flush has covered yet.
struct Unflushed {
    first: u64,
    data: Bytes,
    /// The request has answered; only then does a later flush cover it.
    answered: bool,
    id: u64,
}

struct State {
    live: Image,
    durable: Image,
    unflushed: Vec<Unflushed>,
    /// The write that each durable sector comes from: earlier ones cannot come back.
    settled: BTreeMap<u64, u64>,
    counts: Counts,
    faults: Vec<Planned>,
    faults_met: u64,
    failed_flushes: u64,
    unreadable: BTreeSet<u64>,
    operations: u64,
    cut_at: Option<u64>,
    lying: bool,
    next_id: u64,
}

/// A fault that waits for its request.
struct Planned {
    /// `None`: any kind of request.
    request: Option<Request>,
    /// Requests still to come, the one that is hit included.
    countdown: u64,
    fault: Fault,
}

/// The simulated disk. Share it as `Rc<SimDisk>`.
pub struct SimDisk {
    state: RefCell<State>,
    rng: SeededRng,
    power: Rc<Cell<bool>>,
    /// Requests answer at once instead of after a random number of turns of other tasks.
    prompt: bool,
}

impl core::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SimDisk").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// A healthy disk with this durable content, whose whims follow `seed`.
    pub fn new(image: Image, seed: u64) -> SimDisk {
        let state = State {
            live: image.clone(),
            durable: image,
            unflushed: Vec::new(),
            settled: BTreeMap::new(),
            counts: Counts::default(),
            faults: Vec::new(),
            faults_met: 0,
            failed_flushes: 0,
            unreadable: BTreeSet::new(),
            operations: 0,
            cut_at: None,
            lying: false,
            next_id: 0,
        };
        let power = Rc::new(Cell::new(true));
        SimDisk { state: RefCell::new(state), rng: SeededRng::new(seed), power, prompt: false }
    }

    /// Puts the disk into the machine that `other` is in: they lose power together.
    pub fn beside(mut self, other: &SimDisk) -> SimDisk {
        self.power = other.power.clone();
        self
    }

    /// Makes requests answer within the turn of the task that asks.
    pub fn prompt(mut self) -> SimDisk {
        self.prompt = true;
        self
    }

    /// Cuts the power when `operations` more requests have begun: that one and all later ones answer
    /// [`DeviceError::Gone`]; if it is a write, any of its sectors may have reached the disk.
    pub fn cut_power_after(&self, operations: u64) {
        let mut state = self.state.borrow_mut();
        state.cut_at = Some(state.operations + operations);
    }

    /// Whether the power is still on.
    pub fn is_powered(&self) -> bool {
        self.power.get()
    }

    /// Lets `fault` hit the `nth` (from 1) request of this kind from now on.
    pub fn inject(&self, request: Request, nth: u64, fault: Fault) {
        let planned = Planned { request: Some(request), countdown: nth.max(1), fault };
        self.state.borrow_mut().faults.push(planned);
    }

    /// Lets `fault` hit the `nth` (from 1) request from now on, of whatever kind it is.
    pub fn inject_any(&self, nth: u64, fault: Fault) {
        self.state.borrow_mut().faults.push(Planned { request: None, countdown: nth.max(1), fault });
    }

    /// Faults that have hit a request so far; a lying flush counts each time.
    pub fn faults_met(&self) -> u64 {
        self.state.borrow().faults_met
    }

    /// From now on the disk is sound; what happened before stays as it is.
    pub fn heal(&self) {
        let mut state = self.state.borrow_mut();
        state.faults.clear();
        state.lying = false;
    }

    /// From now on every flush answers success and does nothing.
    pub fn lie_about_flushes(&self) {
        self.state.borrow_mut().lying = true;
    }

    /// Whoever asked is gone, and the requests that were under way have ended.
    pub fn abandon(&self) {
        self.state.borrow_mut().unflushed.iter_mut().for_each(|write| write.answered = true);
    }

    /// Changes bytes behind everyone's back, as rot does: reads see it, and it is durable.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.live.put(offset, bytes);
        state.durable.put(offset, bytes);
    }

    /// Flips one bit behind everyone's back.
    pub fn flip_bit(&self, bit: u64) {
        let byte = self.state.borrow().live.get(bit / 8, 1)[0];
        self.put(bit / 8, &[byte ^ (1 << (bit % 8))]);
    }

    /// Makes a sector unreadable until it is written again.
    pub fn spoil_sector(&self, sector: u64) {
        self.state.borrow_mut().unreadable.insert(sector);
    }

    /// What reads see now.
    pub fn live(&self) -> Image {
        self.state.borrow().live.clone()
    }

    /// What a power cut leaves in the worst case.
    pub fn durable(&self) -> Image {
        self.state.borrow().durable.clone()
    }

    /// Requests so far.
    pub fn counts(&self) -> Counts {
        self.state.borrow().counts
    }

    /// Requests of all kinds that have begun so far.
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// Cuts the power now: each sector of each unflushed write is kept or not, as `seed` decides. Returns what is on
    /// the disk when the power comes back. Many seeds give many outcomes of one cut.
    pub fn power_cut(&self, seed: u64) -> Image {
        self.power.set(false);
        let state = self.state.borrow();
        let rng = SeededRng::new(seed);
        let mut image = state.durable.clone();
        let size = image.sector_size() as usize;
        let mut versions: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
        let way = rng.below(6);
        let prefix = rng.below(state.unflushed.len() as u64 + 1);
        for (number, write) in state.unflushed.iter().enumerate() {
            let whole_kept = match way {
                0 => false,
                1 => true,
                2 => (number as u64) < prefix,
                3 => rng.chance(1, 2),
                _ => true,
            };
            if whole_kept {
                for (at, sector) in (write.first..).zip(0..write.data.len() / size) {
                    if state.settled.get(&at).is_some_and(|settled| *settled > write.id) {
                        continue;
                    }
                    let data = write.data.slice(sector * size..(sector + 1) * size);
                    versions.entry(at).or_default().push(data);
                }
            }
        }
        for (sector, mut written) in versions {
            // Ways 4 and 5 decide each sector alone: the old content, or any of the writes to it.
            let chosen = match way {
                4 | 5 => rng.below(written.len() as u64 + 1).checked_sub(1).map(|at| at as usize),
                _ => Some(written.len() - 1),
            };
            if let Some(chosen) = chosen {
                image.put(sector * size as u64, &written.swap_remove(chosen));
            }
        }
        image
    }

    async fn dawdle(&self) {
        if !self.prompt {
            for _ in 0..self.rng.below(3) {
                yield_now().await;
            }
        }
    }

    /// Counts a request; tells what will go wrong with it. `Err` once the power is gone.
    fn begin(&self, request: Request) -> Result<Option<Fault>, DeviceError> {
        let mut state = self.state.borrow_mut();
        state.operations += 1;
        match request {
            Request::Read => state.counts.reads += 1,
            Request::Write => state.counts.writes += 1,
            Request::Flush => state.counts.flushes += 1,
        }
        if !self.power.get() {
            return Err(DeviceError::Gone);
        }
        let mut hit = None;
        state.faults.retain_mut(|planned| {
            if planned.request.is_none_or(|kind| kind == request) {
                planned.countdown -= 1;
                if planned.countdown == 0 {
                    hit = Some(planned.fault);
                }
            }
            planned.countdown > 0
        });
        let lie = request == Request::Flush && state.lying;
        state.faults_met += u64::from(hit.is_some() || lie);
        Ok(hit)
    }

    /// Whether the power goes with the request that has just begun.
    fn cut_now(&self) -> bool {
        let state = self.state.borrow();
        let cut = state.cut_at.is_some_and(|at| state.operations > at);
        self.power.set(self.power.get() && !cut);
        cut
    }

    fn land(&self, first: u64, data: Bytes) -> u64 {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let size = state.live.sector_size() as u64;
        state.live.put(first * size, &data);
        for sector in first..first + data.len() as u64 / size {
            state.unreadable.remove(&sector);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.unflushed.push(Unflushed { first, data, answered: false, id });
        id
    }

    fn answered(&self, id: u64) {
        if let Some(write) = self.state.borrow_mut().unflushed.iter_mut().find(|write| write.id == id) {
            write.answered = true;
        }
    }

    /// Some sectors of a write that fails do change.
    fn land_partly(&self, first: u64, data: &Bytes) {
        let size = self.sector_size() as usize;
        for sector in 0..data.len() / size {
            if self.rng.chance(1, 2) {
                self.land(first + sector as u64, data.slice(sector * size..(sector + 1) * size));
            }
        }
    }

    /// The writes that a flush which begins now must make durable.
    fn to_settle(&self) -> BTreeSet<u64> {
        self.state.borrow().unflushed.iter().filter(|write| write.answered).map(|write| write.id).collect()
    }

    /// Makes these writes durable; a dishonest flush makes some durable, forgets some, and leaves some for later.
    fn settle(&self, writes: &BTreeSet<u64>, honest: bool) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        let size = u64::from(state.live.sector_size());
        let (durable, settled) = (&mut state.durable, &mut state.settled);
        state.unflushed.retain(|write| {
            let fate = if honest { 0 } else { self.rng.below(3) };
            if !writes.contains(&write.id) || fate == 2 {
                return true;
            }
            if fate == 0 {
                for (sector, data) in (write.first..).zip(write.data.chunks(size as usize)) {
                    // What came later to a sector and is durable stays.
                    let newest = settled.entry(sector).or_insert(0);
                    if *newest <= write.id {
                        *newest = write.id;
                        durable.put(sector * size, data);
                    }
                }
            }
            false
        });
    }
}

impl BlockDevice for SimDisk {
    fn sector_size(&self) -> u32 {
        self.state.borrow().live.sector_size()
    }

    fn sector_count(&self) -> u64 {
        self.state.borrow().live.sector_count()
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let fault = self.begin(Request::Read)?;
        if self.cut_now() {
            return Err(DeviceError::Gone);
        }
        self.dawdle().await;
        let count = u64::from(count);
        let mut state = self.state.borrow_mut();
        if !state.live.contains(first, count) {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        let spoiled = state.unreadable.range(first..first + count).next().is_some();
        if spoiled || fault == Some(Fault::Fail) {
            return Err(DeviceError::Read { first, count });
        }
        let size = u64::from(state.live.sector_size());
        state.counts.bytes_read += count * size;
        Ok(state.live.get(first * size, (count * size) as usize))
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let fault = self.begin(Request::Write)?;
        let size = self.sector_size() as usize;
        let count = data.len().div_ceil(size) as u64;
        if !data.len().is_multiple_of(size) || !self.state.borrow().live.contains(first, count) {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        if self.cut_now() {
            self.land(first, data);
            return Err(DeviceError::Gone);
        }
        self.state.borrow_mut().counts.bytes_written += data.len() as u64;
        let early = self.rng.chance(1, 2);
        if !early {
            self.dawdle().await;
        }
        let target = match fault {
            Some(Fault::Fail) => {
                self.land_partly(first, &data);
                return Err(DeviceError::Write { first, count });
            }
            Some(Fault::Ignore) => return Ok(()),
            Some(Fault::Misdirect) => self.rng.below(self.sector_count() - count + 1),
            None => first,
        };
        if !self.is_powered() {
            return Err(DeviceError::Gone);
        }
        let id = self.land(target, data);
        if early {
            self.dawdle().await;
        }
        self.answered(id);
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let fault = self.begin(Request::Flush)?;
        if self.cut_now() {
            return Err(DeviceError::Gone);
        }
        // What answers only while the flush is under way is not covered by it.
        let covered = self.to_settle();
        self.dawdle().await;
        if !self.is_powered() {
            return Err(DeviceError::Gone);
        }
        match fault {
            Some(Fault::Fail) => {
                self.settle(&covered, false);
                self.state.borrow_mut().failed_flushes += 1;
                return Err(DeviceError::Flush);
            }
            Some(Fault::Ignore) => {}
            _ if self.state.borrow().lying => {}
            _ => self.settle(&covered, true),
        }
        Ok(())
    }

    fn failed_flushes(&self) -> u64 {
        self.state.borrow().failed_flushes
    }
}

#[cfg(test)]
mod tests;
