//! Disks of virtual machines (VIRTIO 1.2, section 5.2).
//!
//! Knows requests: read, write, flush, serial number. Must not know what is on a disk, nor where interrupts
//! come from: [`VirtioBlock::complete`] is called when one has come, [`VirtioBlock::tick`] now and then.
//!
//! [`geometry`] reads what the device says of itself, `queue` keeps requests in flight, and this module makes
//! them a [`BlockDevice`]. One request is one stretch of memory, so the device's limit to segments is never
//! met; what exceeds its limit to a segment, or ours, is cut into several requests that are under way
//! together.
//!
//! A write is durable after [`BlockDevice::flush`]: by a flush request where the device offers that feature;
//! a device without it writes through by the standard (5.2.5.2), and flush has nothing to do. The device's
//! cache mode is left as the host set it (`CONFIG_WCE` is not negotiated).

pub mod geometry;
mod queue;
#[cfg(test)]
mod tests;

use super::buffer::DmaBuffer;
use super::{Problem, begin, negotiate};
use alloc::rc::Rc;
use alloc::string::String;
use async_lock::Mutex;
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use event_listener::{Event, IntoNotification};
use futures_util::future::try_join_all;
use geometry::Geometry;
use queue::{Data, Failure, Queue, Ticket};
use storage::device::{BlockDevice, DeviceError};
use virtio_drivers::Hal;
use virtio_drivers::transport::Transport;

/// How often [`VirtioBlock::tick`] wants to be called, in seconds.
pub const TICK_SECONDS: u64 = 5;
/// Ticks until a request without an answer makes the disk count as gone: 30 s.
const PATIENCE_TICKS: u32 = 6;
/// The largest request, in bytes. Longer ones gain no speed and make others wait.
const REQUEST_MAX: u32 = 1 << 20;

/// A disk. Requests beyond the device's queue wait for their turn, in order.
pub struct VirtioBlock<T: Transport> {
    geometry: Geometry,
    queue: RefCell<Queue<T>>,
    /// Held by the one request that is next to get a place in the queue.
    turn: Mutex<()>,
    /// A place in the queue came free, or the disk went.
    room: Event,
    failed_flushes: Cell<u64>,
}

impl<T: Transport> VirtioBlock<T> {
    /// Starts the device, which the log calls `name`.
    pub fn open<H: Hal + 'static>(mut transport: T, name: String) -> Result<VirtioBlock<T>, Problem> {
        let features = negotiate(&mut transport, geometry::WANTED)?;
        let geometry = Geometry::read(&transport, features)?;
        let mut queue = Queue::open::<H>(transport, features, name)?;
        begin(queue.transport())?;
        Ok(VirtioBlock {
            geometry,
            queue: RefCell::new(queue),
            turn: Mutex::new(()),
            room: Event::new(),
            failed_flushes: Cell::new(0),
        })
    }

    /// What the device says of itself.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Requests that can be under way at once.
    pub fn depth(&self) -> usize {
        self.queue.borrow().depth()
    }

    /// Takes what the device has done and wakes who waits for it. Call it after an interrupt.
    pub fn complete(&self) {
        self.queue.borrow_mut().complete();
        self.room.notify(1.additional());
    }

    /// As [`VirtioBlock::complete`], and gives up on a device that has not answered for 30 s. Call it every
    /// [`TICK_SECONDS`].
    pub fn tick(&self) {
        self.queue.borrow_mut().tick(PATIENCE_TICKS);
        self.room.notify(1.additional());
    }

    /// The serial number that the host gave the disk, if any; at most 20 characters.
    pub async fn serial(&self) -> Result<String, DeviceError> {
        let target = DmaBuffer::allocate(geometry::SERIAL_LEN).map(Rc::new).ok_or(DeviceError::Gone)?;
        let all = 0..geometry::SERIAL_LEN;
        let asked = self.request(Data::Serial { target: Rc::clone(&target), range: all }).await;
        match (asked, Rc::into_inner(target)) {
            (Ok(()), Some(mut bytes)) => Ok(geometry::serial_text(bytes.bytes())),
            // The standard lets a device not know the question.
            (Err(Failure::Unsupported), _) => Ok(String::new()),
            (Err(Failure::Gone), _) => Err(DeviceError::Gone),
            _ => Err(DeviceError::Read { first: 0, count: 0 }),
        }
    }

    /// One request: waits for a place in the queue, then for the answer.
    async fn request(&self, data: Data) -> Result<(), Failure> {
        let index = self.enqueue(data).await?;
        let ticket = Ticket::new(&self.queue, index);
        poll_fn(|context| ticket.poll(context)).await
    }

    async fn enqueue(&self, data: Data) -> Result<usize, Failure> {
        let _turn = self.turn.lock().await;
        loop {
            {
                let mut queue = self.queue.borrow_mut();
                queue.check()?;
                if queue.has_room() {
                    return queue.submit(data);
                }
            }
            // Nothing else runs between the look above and this, so no notice is missed.
            self.room.listen().await;
        }
    }

    /// Bytes of a request for `count` sectors from `first` on, if there are such sectors.
    fn length(&self, first: u64, count: u64) -> Result<usize, DeviceError> {
        let geometry = &self.geometry;
        crate::disk::transfer_len(geometry.sector_size, geometry.sector_count, first, count)
    }

    /// The pieces into which a transfer of `len` bytes from sector `first` on is cut: first sector in the
    /// device's own unit of 512 bytes, and the range of bytes.
    fn pieces(
        &self,
        first: u64,
        len: usize,
    ) -> impl Iterator<Item = (u64, core::ops::Range<usize>)> + use<T> {
        let most = self.geometry.request_max(REQUEST_MAX) as usize;
        let first = first * u64::from(self.geometry.sector_size / geometry::UNIT);
        (0..len).step_by(most).map(move |start| {
            let range = start..len.min(start + most);
            (first + (start / geometry::UNIT as usize) as u64, range)
        })
    }
}

/// Waits for all of `requests`; one is not worth a list.
async fn all<F: Future<Output = Result<(), Failure>>>(
    mut requests: impl Iterator<Item = F>,
) -> Result<(), Failure> {
    let (Some(only), next) = (requests.next(), requests.next()) else { return Ok(()) };
    let Some(second) = next else { return only.await };
    try_join_all([only, second].into_iter().chain(requests)).await.map(|_| ())
}

impl<T: Transport> BlockDevice for VirtioBlock<T> {
    fn sector_size(&self) -> u32 {
        self.geometry.sector_size
    }

    fn sector_count(&self) -> u64 {
        self.geometry.sector_count
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let count = u64::from(count);
        let len = self.length(first, count)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let failed = DeviceError::Read { first, count };
        let target = DmaBuffer::allocate(len).map(Rc::new).ok_or(failed)?;
        let requests = self
            .pieces(first, len)
            .map(|(unit, range)| self.request(Data::Read { unit, target: Rc::clone(&target), range }));
        all(requests).await.map_err(|failure| failure.as_error(failed))?;
        // Every request gave up its share of the buffer before its answer was passed on.
        Rc::into_inner(target).map(DmaBuffer::into_bytes).ok_or(failed)
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let sector = self.geometry.sector_size as usize;
        let count = data.len().div_ceil(sector) as u64;
        if self.length(first, count)? != data.len() {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        let failed = DeviceError::Write { first, count };
        if self.geometry.read_only {
            return Err(failed);
        }
        let requests = self
            .pieces(first, data.len())
            .map(|(unit, range)| self.request(Data::Write { unit, source: data.slice(range) }));
        all(requests).await.map_err(|failure| failure.as_error(failed))
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        if !self.geometry.flushes {
            return self.queue.borrow().check().map_err(|failure| failure.as_error(DeviceError::Flush));
        }
        self.request(Data::Flush).await.map_err(|failure| {
            self.failed_flushes.set(self.failed_flushes.get() + 1);
            failure.as_error(DeviceError::Flush)
        })
    }

    fn failed_flushes(&self) -> u64 {
        self.failed_flushes.get()
    }
}
