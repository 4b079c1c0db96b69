//! Disks behind a controller that takes commands: what NVMe, SATA and SCSI have in common.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | `work` | one thing to do, with its memory | controllers |
//! | `table` | who waits for what, for how long; second attempts | commands, registers |
//!
//! Knows requests, their order and their pieces. Must not know what is on a disk, nor how a controller is told: that
//! is an [`Engine`]'s, one for each kind. [`Host::complete`] is called after an interrupt, [`Host::tick`] every
//! [`TICK_SECONDS`], and [`Host::recover`] after either.
//!
//! Errors are tried again and then reported for the request alone. A controller without an answer is reset, and what
//! was under way is asked for again; a disk that does not answer even then is gone: whoever waits is told at once, and
//! the disk is looked at from time to time until it answers.

#[cfg(test)]
mod order_tests;
mod table;
#[cfg(test)]
mod tests;
mod work;

use crate::virtio::buffer::DmaBuffer;
use alloc::rc::Rc;
use alloc::string::String;
use async_lock::Mutex;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::time::Duration;
use event_listener::Event;
use futures_util::future::try_join_all;
use storage::device::{BlockDevice, DeviceError};
pub(crate) use table::TICK_SECONDS;
use table::{Failure, LANES, Table, Ticket};
pub(crate) use work::{HEALTH_LEN, Kind, Memory, Work};

/// The largest request, in bytes. Longer ones gain no speed and make others wait.
pub(crate) const REQUEST_MAX: u32 = 1 << 20;
/// Where memory that a device reads must start: what NVMe asks for, and enough for the others.
const SOURCE_ALIGN: usize = 4;
/// The smallest and largest sectors that we expect.
const SECTOR_SIZES: core::ops::RangeInclusive<u32> = 512..=64 << 10;

/// What a controller made of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    /// Its last word.
    Failed,
    /// It failed, and may do better another time.
    Unsure,
    /// It was not carried out: the device was busy, or had other news.
    NotStarted,
    /// It was not carried out, and the device has started anew: what its cache held may be lost.
    Restarted,
}

/// What a recovery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// The controller works; it has forgotten all commands. `blamed`: the one for which the others had to stop.
    /// `is_cache_kept`: no disk was reset, so nothing that was written is in doubt.
    Good { blamed: Option<u16>, is_cache_kept: bool },
    /// It does not work, and touches no memory.
    Stopped(Problem),
    /// It does not work, and may still touch memory.
    Lost(Problem),
}

/// What is wrong with a controller or a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Registers read as if nothing were there.
    #[error("is not there any more")]
    Unplugged,
    /// The controller says that it cannot go on.
    #[error("reports that it has failed: {0:#x}")]
    Fatal(u32),
    /// It does not do what it is told within its own time.
    #[error("does not {0} in time")]
    Slow(&'static str),
    /// A command failed, and others had to stop for it.
    #[error("failed at a command: {0:#x}")]
    Command(u32),
    /// It gave an answer to what it was not asked.
    #[error("answered command {0}, which it does not have")]
    BogusAnswer(u32),
    /// It refuses a command without which it cannot be used.
    #[error("refuses to {what}: status {status:#x}")]
    Refused {
        /// What it was told to do.
        what: &'static str,
        /// Its reason, in its own numbers.
        status: u32,
    },
    /// What it says of itself cannot be, or is not what we can use.
    #[error("is of no use: {what} is {value}")]
    Unusable {
        /// What is not as it should be.
        what: &'static str,
        /// What it is.
        value: u64,
    },
    /// Memory for rings is short.
    #[error("needs memory, of which there is not enough")]
    Memory,
    /// A virtio device's own trouble.
    #[error("{0}")]
    Virtio(#[from] crate::virtio::Problem),
}

/// A controller, as the table sees it.
///
/// The table keeps each slot's memory valid, in its place and otherwise unused from `submit` until `complete` has
/// named the slot, or `recover` has said that the controller forgot it.
pub(crate) trait Engine {
    /// Commands that it takes at once: slots are numbered below.
    fn depth(&self) -> usize;

    /// How many of the slots, from the first on, are for reads alone, as the controller has a queue for them: then reads
    /// do not wait behind a long line of writes. 0: any slot takes anything.
    fn read_slots(&self) -> usize {
        0
    }

    /// Hands over the command of a slot. `false`: it cannot be told now.
    fn submit(&mut self, slot: u16, work: &Work) -> bool;

    /// The next command that has ended.
    ///
    /// # Errors
    /// The controller must be recovered before it can be used again.
    fn complete(&mut self) -> Result<Option<(u16, Verdict)>, Problem>;

    /// Whether it looks well, apart from any command: asked at each tick.
    ///
    /// # Errors
    /// As [`Engine::complete`].
    fn examine(&mut self) -> Result<(), Problem>;

    /// Brings the controller to a state in which it has no commands. `pause` waits; the time that it is asked for in
    /// all is bounded.
    async fn recover(&mut self, pause: &impl AsyncFn(Duration)) -> Recovery;
}

/// Waits until `is_so`, at most for `limit`, with pauses that become longer. Whether it is so.
pub(crate) async fn wait_until(
    limit: Duration,
    pause: &impl AsyncFn(Duration),
    mut is_so: impl FnMut() -> bool,
) -> bool {
    let (mut waited, mut step) = (Duration::ZERO, Duration::from_micros(20));
    loop {
        if is_so() {
            return true;
        }
        if waited >= limit {
            return false;
        }
        pause(step).await;
        waited += step;
        step = (step * 2).min(Duration::from_millis(10));
    }
}

/// A disk's shape and abilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Sectors on the disk.
    pub sector_count: u64,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether the disk has a cache to flush; if not, it writes through.
    pub flushes: bool,
    /// The largest request in bytes: whole sectors, at least one.
    pub request_max: u32,
}

impl Geometry {
    /// Refuses what cannot be worked with; makes the largest request whole sectors.
    pub(crate) fn checked(mut self) -> Result<Geometry, Problem> {
        let unusable = |what, value| Err(Problem::Unusable { what, value });
        if !self.sector_size.is_power_of_two() || !SECTOR_SIZES.contains(&self.sector_size) {
            return unusable("its sector size", self.sector_size.into());
        }
        if self.sector_count == 0 || self.sector_count.checked_mul(self.sector_size.into()).is_none() {
            return unusable("its number of sectors", self.sector_count);
        }
        self.request_max = self.request_max.min(REQUEST_MAX);
        self.request_max -= self.request_max % self.sector_size;
        if self.request_max == 0 {
            return unusable("its largest request", self.request_max.into());
        }
        Ok(self)
    }
}

/// A controller and what is under way there.
pub(crate) struct Host<E> {
    table: RefCell<Table<E>>,
    /// A place came free, or a disk went.
    room: Event,
    /// Of the first disk, to ask whether disks are there again.
    sector_sizes: RefCell<alloc::vec::Vec<u32>>,
}

impl<E: Engine> Host<E> {
    pub(crate) fn new(engine: E) -> Rc<Host<E>> {
        let table = RefCell::new(Table::new(engine));
        Rc::new(Host { table, room: Event::new(), sector_sizes: RefCell::default() })
    }

    /// One more disk behind the controller, which the log calls `name`. The controller's engine knows it by its number,
    /// in the order in which they are added.
    pub(crate) fn add(self: &Rc<Host<E>>, name: String, geometry: Geometry) -> Drive<E> {
        let unit = self.table.borrow_mut().add_unit(name);
        self.sector_sizes.borrow_mut().push(geometry.sector_size);
        Drive { host: self.clone(), unit, geometry, turns: Default::default(), failed_flushes: Cell::new(0) }
    }

    /// Takes what the controller has done and wakes who waits for it.
    pub(crate) fn complete(&self) {
        self.table.borrow_mut().complete();
        self.room.notify(usize::MAX);
    }

    /// As [`Host::complete`], and looks after what has no answer for long. Call it every [`TICK_SECONDS`].
    pub(crate) fn tick(&self) {
        let due = self.table.borrow_mut().tick();
        for unit in due {
            let len = self.sector_sizes.borrow()[usize::from(unit)] as usize;
            if let Some(target) = DmaBuffer::allocate(len).map(Rc::new) {
                let memory = Memory::Target(target, 0..len);
                self.table.borrow_mut().probe(Work { unit, kind: Kind::Read, first: 0, sectors: 1, memory });
            }
        }
        self.room.notify(usize::MAX);
    }

    /// Whether [`Host::recover`] has something to do.
    pub(crate) fn wants_recovery(&self) -> bool {
        self.table.borrow().wants_recovery()
    }

    /// Recovers the controller if that is wanted.
    pub(crate) async fn recover(&self, pause: &impl AsyncFn(Duration)) {
        let Some(mut engine) = self.table.borrow_mut().take_for_recovery() else { return };
        let recovery = engine.recover(pause).await;
        self.table.borrow_mut().recovered(engine, recovery);
        self.room.notify(usize::MAX);
    }
}

/// A disk. Requests beyond what the controller takes wait for their turn, in order: reads among reads, if it has a queue
/// for them.
pub(crate) struct Drive<E> {
    host: Rc<Host<E>>,
    unit: u16,
    geometry: Geometry,
    /// In each lane, held by the one request that is next to get a place.
    turns: [Mutex<()>; LANES],
    failed_flushes: Cell<u64>,
}

impl<E: Engine> Drive<E> {
    /// What the disk says of itself.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Requests that can be under way at once.
    pub(crate) fn depth(&self) -> usize {
        self.host.table.borrow().depth()
    }

    /// Whether the disk has no trouble.
    pub(crate) fn is_well(&self) -> bool {
        self.host.table.borrow().is_well(self.unit)
    }

    /// What the disk says of its health, in its own form. `None`: it does not tell.
    pub(crate) async fn health(&self) -> Option<Bytes> {
        let target = Rc::new(DmaBuffer::allocate(HEALTH_LEN)?);
        self.request(Work::health(self.unit, target.clone())).await.ok()?;
        Rc::into_inner(target).map(DmaBuffer::into_bytes)
    }

    async fn request(&self, work: Work) -> Result<(), DeviceError> {
        let error = work.error();
        let done = async {
            let number = self.enqueue(work).await?;
            let mut ticket = Ticket::new(&self.host.table, number);
            poll_fn(|context| ticket.poll(context)).await
        };
        done.await.map_err(|failure| if failure == Failure::Gone { DeviceError::Gone } else { error })
    }

    async fn enqueue(&self, work: Work) -> Result<u16, Failure> {
        let lane = self.host.table.borrow().lane(work.kind);
        let _turn = self.turns[lane].lock().await;
        loop {
            {
                let mut table = self.host.table.borrow_mut();
                table.check(self.unit)?;
                if table.has_room(self.unit, lane) {
                    return table.submit(work);
                }
            }
            // Nothing else runs between the look above and this, so no notice is missed.
            self.host.room.listen().await;
        }
    }

    /// Bytes of `count` sectors from `first` on, if there are such sectors.
    fn length(&self, first: u64, count: u64) -> Result<usize, DeviceError> {
        let geometry = &self.geometry;
        crate::disk::transfer_len(geometry.sector_size, geometry.sector_count, first, count)
    }

    /// The requests for a transfer of `len` bytes from sector `first` on.
    fn pieces(
        &self,
        kind: Kind,
        first: u64,
        len: usize,
        memory: impl Fn(core::ops::Range<usize>) -> Memory,
    ) -> impl Iterator<Item = Work> {
        let (most, sector) = (self.geometry.request_max as usize, self.geometry.sector_size as usize);
        (0..len).step_by(most).map(move |start| {
            let range = start..len.min(start + most);
            let (first, sectors) = (first + (start / sector) as u64, (range.len() / sector) as u32);
            Work { unit: self.unit, kind, first, sectors, memory: memory(range) }
        })
    }

    /// Does all of `works` at once; one is not worth a list.
    async fn all(&self, mut works: impl Iterator<Item = Work>) -> Result<(), DeviceError> {
        let Some(first) = works.next() else { return Ok(()) };
        let Some(second) = works.next() else { return self.request(first).await };
        let works = [first, second].into_iter().chain(works);
        try_join_all(works.map(|work| self.request(work))).await.map(|_| ())
    }
}

/// The same bytes where a device can read them.
fn aligned(data: Bytes) -> Option<Bytes> {
    if data.as_ptr().addr().is_multiple_of(SOURCE_ALIGN) {
        return Some(data);
    }
    let mut copy = DmaBuffer::allocate(data.len())?;
    copy.bytes().copy_from_slice(&data);
    Some(copy.into_bytes())
}

impl<E: Engine> BlockDevice for Drive<E> {
    fn sector_size(&self) -> u32 {
        self.geometry.sector_size
    }

    fn sector_count(&self) -> u64 {
        self.geometry.sector_count
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let len = self.length(first, count.into())?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let failed = DeviceError::Read { first, count: count.into() };
        let target = DmaBuffer::allocate(len).map(Rc::new).ok_or(failed)?;
        self.all(self.pieces(Kind::Read, first, len, |range| Memory::Target(target.clone(), range))).await?;
        // Every request gave up its share of the buffer before its answer was passed on.
        Rc::into_inner(target).map(DmaBuffer::into_bytes).ok_or(failed)
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let count = data.len().div_ceil(self.geometry.sector_size as usize) as u64;
        if self.length(first, count)? != data.len() {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        let failed = DeviceError::Write { first, count };
        if self.geometry.read_only {
            return Err(failed);
        }
        let data = aligned(data).ok_or(failed)?;
        self.all(self.pieces(Kind::Write, first, data.len(), |range| Memory::Source(data.slice(range)))).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        let lost = self.host.table.borrow().lost_caches(self.unit);
        let flushed = if self.geometry.flushes {
            self.request(Work::flush(self.unit)).await
        } else {
            self.host.table.borrow().check(self.unit).map_err(|_| DeviceError::Gone)
        };
        // A recovery during the flush counts by itself.
        if flushed.is_err() && lost == self.host.table.borrow().lost_caches(self.unit) {
            self.failed_flushes.set(self.failed_flushes.get() + 1);
        }
        flushed
    }

    fn failed_flushes(&self) -> u64 {
        self.failed_flushes.get() + self.host.table.borrow().lost_caches(self.unit)
    }
}
