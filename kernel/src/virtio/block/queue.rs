//! Requests to one disk that are under way.
//!
//! Knows the form of a request (VIRTIO 1.2, section 5.2.6), who waits for it, and for how long. Must not know
//! futures' order, sectors, interrupts.
//!
//! A request is in two tables: the ring's, with its memory, while the device has it; and `waiting`, from the
//! moment it is submitted until its asker has seen the answer or has gone away.

use super::geometry::UNIT;
use crate::virtio::buffer::DmaBuffer;
use crate::virtio::ring::{Chain, LARGEST, Parts, Ring};
use crate::virtio::{Problem, feature, reset};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};
use storage::device::DeviceError;
use virtio_drivers::Hal;
use virtio_drivers::transport::Transport;

const REQUEST_QUEUE: u16 = 0;
/// Header, data, status.
const PARTS: u16 = 3;

const TYPE_READ: u32 = 0;
const TYPE_WRITE: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;

const HEADER_LEN: usize = 16;
const CONTROL_LEN: usize = HEADER_LEN + 1;

const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
/// What we write where the device shall write the status: a device that does not has failed.
const STATUS_UNSET: u8 = 0xff;

/// What is asked of the disk, with the memory for it.
pub(super) enum Data {
    Read { unit: u64, target: Rc<DmaBuffer>, range: Range<usize> },
    Write { unit: u64, source: Bytes },
    Serial { target: Rc<DmaBuffer>, range: Range<usize> },
    Flush,
}

/// Why a request failed; which one it was is known to the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The device reports an error, or its answer makes no sense.
    Device,
    /// The device does not know this kind of request.
    Unsupported,
    /// The device does not answer.
    Gone,
}

impl Failure {
    /// The failure of a request whose own error is `failed`.
    pub(super) fn as_error(self, failed: DeviceError) -> DeviceError {
        if self == Failure::Gone { DeviceError::Gone } else { failed }
    }
}

/// A request that the device has.
struct Request {
    /// Header and status.
    control: DmaBuffer,
    data: Data,
    waiting: usize,
    submitted: u32,
}

// SAFETY: `parts` names memory of `control`, owned by the request alone; of `target`, of which the request
// holds a counted reference while the type lets nobody look inside without holding the last; and of `source`,
// which nobody can write. None of it moves with the request. Sources and targets are never empty:
// `BlockDevice` turns to the device only for whole sectors.
unsafe impl Chain for Request {
    fn parts(&self) -> Parts {
        let parts = Parts::default().readable(self.control.part(0..HEADER_LEN));
        let parts = match &self.data {
            Data::Read { target, range, .. } | Data::Serial { target, range } => {
                parts.writable(target.part(range.clone()))
            }
            Data::Write { source, .. } => parts.readable(NonNull::from(source.as_ref())),
            Data::Flush => parts,
        };
        parts.writable(self.control.part(HEADER_LEN..CONTROL_LEN))
    }
}

impl Request {
    /// The device's verdict, given that it claims to have written `written` bytes.
    fn outcome(&mut self, written: u32) -> Result<(), Failure> {
        let wanted = match &self.data {
            Data::Read { range, .. } | Data::Serial { range, .. } => range.len(),
            Data::Write { .. } | Data::Flush => 0,
        };
        match self.control.bytes().last() {
            // Less than all would leave old memory in the buffer.
            Some(&STATUS_OK) if written as usize >= wanted => Ok(()),
            Some(&STATUS_UNSUPPORTED) => Err(Failure::Unsupported),
            _ => Err(Failure::Device),
        }
    }
}

/// One who waits for an answer.
enum Waiting {
    Free,
    Pending(Option<Waker>),
    Answered(Result<(), Failure>),
    Deserted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// Something has been in flight for too long. All may be well again when everything has come back.
    Silent,
    /// The device said what cannot be, and was reset.
    Broken,
}

/// The request queue of one disk.
pub(super) struct Queue<T: Transport> {
    /// What the log calls the disk.
    name: String,
    transport: T,
    /// Kept for ever if the device cannot be stopped: better a leak than a device that writes to memory of
    /// others.
    ring: ManuallyDrop<Ring<Request>>,
    spare: Vec<DmaBuffer>,
    waiting: Vec<Waiting>,
    free: Vec<usize>,
    health: Health,
    now: u32,
    errors: Cell<u64>,
}

impl<T: Transport> Queue<T> {
    pub(super) fn open<H: Hal + 'static>(
        mut transport: T,
        features: u64,
        name: String,
    ) -> Result<Queue<T>, Problem> {
        let indirect = features & feature::INDIRECT_DESC != 0;
        let ring = ManuallyDrop::new(Ring::open::<H, T>(&mut transport, REQUEST_QUEUE, LARGEST, indirect)?);
        Ok(Queue {
            name,
            transport,
            ring,
            spare: Vec::new(),
            waiting: Vec::new(),
            free: Vec::new(),
            health: Health::Good,
            now: 0,
            errors: Cell::new(0),
        })
    }

    pub(super) fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    pub(super) fn depth(&self) -> usize {
        self.ring.capacity(PARTS)
    }

    pub(super) fn has_room(&self) -> bool {
        self.ring.has_room(usize::from(PARTS))
    }

    /// Whether the disk takes requests.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.health == Health::Good { Ok(()) } else { Err(Failure::Gone) }
    }

    /// Hands a request to the device. Returns its place in `waiting`, for a [`Ticket`].
    pub(super) fn submit(&mut self, data: Data) -> Result<usize, Failure> {
        let mut control =
            self.spare.pop().or_else(|| DmaBuffer::allocate(CONTROL_LEN)).ok_or(Failure::Device)?;
        write_control(control.bytes(), &data);
        let waiting = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(Waiting::Free);
            self.waiting.len() - 1
        });
        let request = Request { control, data, waiting, submitted: self.now };
        if let Err(request) = self.ring.submit(request) {
            self.spare.push(request.control);
            self.free.push(waiting);
            return Err(Failure::Device);
        }
        self.waiting[waiting] = Waiting::Pending(None);
        if self.ring.wants_notice() {
            self.transport.notify(REQUEST_QUEUE);
        }
        Ok(waiting)
    }

    /// Takes what the device has done.
    pub(super) fn complete(&mut self) {
        if self.health == Health::Broken {
            return;
        }
        loop {
            match self.ring.complete() {
                Ok(Some((mut request, written))) => {
                    let outcome = request.outcome(written);
                    if outcome.is_err() {
                        self.count_error(&request.data);
                    }
                    self.answer(request.waiting, outcome);
                    self.spare.push(request.control);
                }
                Ok(None) => break,
                Err(problem) => {
                    self.give_up(problem);
                    break;
                }
            }
        }
        if self.health == Health::Silent && self.ring.in_flight() == 0 {
            log::warn!("{}: it answers again", self.name);
            self.health = Health::Good;
        }
    }

    /// A moment has passed. Requests older than `patience` moments make the disk count as gone: whoever waits
    /// is told.
    pub(super) fn tick(&mut self, patience: u32) {
        self.complete();
        self.now = self.now.wrapping_add(1);
        let overdue = |request: &Request| self.now.wrapping_sub(request.submitted) > patience;
        if self.health == Health::Good && self.ring.pending().any(overdue) {
            let count = self.ring.in_flight();
            log::error!(
                "{}: no answer to {count} requests for long; it is gone until they are answered",
                self.name
            );
            self.health = Health::Silent;
            self.desert_all();
        }
    }

    /// The device cannot be believed any more: stop it, and tell all who wait.
    fn give_up(&mut self, problem: Problem) {
        log::error!("{} {problem}; it is not used any more", self.name);
        self.health = Health::Broken;
        if reset(&mut self.transport).is_err() {
            log::error!("{} does not reset either; its memory is never used again", self.name);
        }
        self.desert_all();
    }

    /// Tells all who wait that the device is gone. Their requests stay in the ring with their memory.
    fn desert_all(&mut self) {
        for waiting in 0..self.waiting.len() {
            if let Waiting::Pending(waker) = &mut self.waiting[waiting] {
                let waker = waker.take();
                self.waiting[waiting] = Waiting::Answered(Err(Failure::Gone));
                waker.inspect(Waker::wake_by_ref);
            }
        }
    }
}

impl<T: Transport> Queue<T> {
    fn answer(&mut self, index: usize, outcome: Result<(), Failure>) {
        let Some(waiting) = self.waiting.get_mut(index) else { return };
        match waiting {
            Waiting::Pending(waker) => {
                let waker = waker.take();
                *waiting = Waiting::Answered(outcome);
                waker.inspect(Waker::wake_by_ref);
            }
            Waiting::Deserted => self.release(index),
            // An answer after we gave up on it: its asker has been told so.
            Waiting::Free | Waiting::Answered(_) => {}
        }
    }

    fn release(&mut self, index: usize) {
        self.waiting[index] = Waiting::Free;
        self.free.push(index);
    }

    /// Logs errors, but not each of a million: a failing disk must not drown the console.
    fn count_error(&self, data: &Data) {
        let count = self.errors.get() + 1;
        self.errors.set(count);
        if count.is_power_of_two() {
            let (what, unit, len) = match data {
                Data::Read { unit, range, .. } => ("reading", *unit, range.len()),
                Data::Write { unit, source } => ("writing", *unit, source.len()),
                Data::Serial { .. } => ("asking for the serial number", 0, 0),
                Data::Flush => ("flushing", 0, 0),
            };
            let name = &self.name;
            log::warn!(
                "{name}: {what} {len} bytes at byte {} failed; errors: {count}",
                unit * u64::from(UNIT)
            );
        }
    }
}

impl<T: Transport> Drop for Queue<T> {
    fn drop(&mut self) {
        if reset(&mut self.transport).is_ok() {
            // SAFETY: `ring` is dropped nowhere else, and not used after this.
            unsafe { ManuallyDrop::drop(&mut self.ring) };
        }
    }
}

/// Writes the header, and marks the status as not given.
fn write_control(control: &mut [u8], data: &Data) {
    let (kind, unit) = match data {
        Data::Read { unit, .. } => (TYPE_READ, *unit),
        Data::Write { unit, .. } => (TYPE_WRITE, *unit),
        Data::Serial { .. } => (TYPE_GET_ID, 0),
        Data::Flush => (TYPE_FLUSH, 0),
    };
    control.fill(0);
    control[0..4].copy_from_slice(&kind.to_le_bytes());
    control[8..HEADER_LEN].copy_from_slice(&unit.to_le_bytes());
    control[HEADER_LEN] = STATUS_UNSET;
}

/// The right to the answer of one request. Dropped early, the request goes on alone, and its answer goes
/// nowhere.
pub(super) struct Ticket<'a, T: Transport> {
    queue: &'a RefCell<Queue<T>>,
    index: usize,
    taken: Cell<bool>,
}

impl<'a, T: Transport> Ticket<'a, T> {
    pub(super) fn new(queue: &'a RefCell<Queue<T>>, index: usize) -> Ticket<'a, T> {
        Ticket { queue, index, taken: Cell::new(false) }
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut queue = self.queue.borrow_mut();
        match &mut queue.waiting[self.index] {
            Waiting::Answered(outcome) => {
                let outcome = *outcome;
                queue.release(self.index);
                self.taken.set(true);
                Poll::Ready(outcome)
            }
            Waiting::Pending(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Waiting::Free | Waiting::Deserted => panic!("a ticket outlived its request"),
        }
    }
}

impl<T: Transport> Drop for Ticket<'_, T> {
    fn drop(&mut self) {
        if self.taken.get() {
            return;
        }
        let mut queue = self.queue.borrow_mut();
        match queue.waiting[self.index] {
            Waiting::Answered(_) => queue.release(self.index),
            _ => queue.waiting[self.index] = Waiting::Deserted,
        }
    }
}
