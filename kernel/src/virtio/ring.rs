//! A virtqueue that owns whatever the device may touch.
//!
//! Knows virtqueues: chains of buffers go in, come back in any order. Must not know what a chain means to a
//! device.
//!
//! A chain stays in the table of what is in flight, with its memory, from the moment the device can see it
//! until the device has given it back. Nobody who stops waiting can free memory under a transfer. The device
//! is not trusted: an answer counts only if it names a chain that is in flight; the length that comes with it
//! is a claim for the caller to check.

use super::Problem;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::{Error, Hal};

/// The largest queue that we make use of.
pub(crate) const LARGEST: u16 = 256;
/// Parts of each kind in a chain.
const PARTS: usize = 2;

/// What a device gets for one request: memory to read from, then memory to write to.
///
/// # Safety
/// [`Chain::parts`] names the same memory at every call, none of it empty; it stays valid, in its place and
/// unread and unwritten (the readable parts: unwritten) by anybody else until the chain is dropped.
pub(crate) unsafe trait Chain {
    /// The memory. Readable parts hold their final bytes, and all of it is initialised.
    fn parts(&self) -> Parts;
}

/// The memory of a chain.
#[derive(Default)]
pub(crate) struct Parts {
    readable: heapless::Vec<NonNull<[u8]>, PARTS>,
    writable: heapless::Vec<NonNull<[u8]>, PARTS>,
}

impl Parts {
    /// Adds memory that the device reads.
    pub(crate) fn readable(mut self, part: NonNull<[u8]>) -> Parts {
        assert!(self.readable.push(part).is_ok(), "too many parts for a chain");
        self
    }

    /// Adds memory that the device writes.
    pub(crate) fn writable(mut self, part: NonNull<[u8]>) -> Parts {
        assert!(self.writable.push(part).is_ok(), "too many parts for a chain");
        self
    }

    /// The memory as the queue wants it.
    ///
    /// # Safety
    /// While the slices live, nobody else uses the memory, but to read the readable parts.
    unsafe fn slices<'a>(&self) -> Slices<'a> {
        let mut slices = Slices {
            readable: [&[]; PARTS],
            writable: [&mut [], &mut []],
            counts: [self.readable.len(), self.writable.len()],
        };
        for (slice, part) in slices.readable.iter_mut().zip(&self.readable) {
            // SAFETY: valid, initialised and unwritten by the promise of `Chain` and of our caller.
            *slice = unsafe { part.as_ref() };
        }
        for (slice, part) in slices.writable.iter_mut().zip(&self.writable) {
            let mut part = *part;
            // SAFETY: as above, and nobody else reads or writes it.
            *slice = unsafe { part.as_mut() };
        }
        slices
    }
}

/// The memory of a chain, for the time of one call.
struct Slices<'a> {
    readable: [&'a [u8]; PARTS],
    writable: [&'a mut [u8]; PARTS],
    counts: [usize; 2],
}

impl<'a> Slices<'a> {
    fn both(&'a mut self) -> (&'a [&'a [u8]], &'a mut [&'a mut [u8]]) {
        (&self.readable[..self.counts[0]], &mut self.writable[..self.counts[1]])
    }
}

/// A virtqueue and the chains that the device has.
pub(crate) struct Ring<C: Chain> {
    queue: Box<dyn Queue>,
    index: u16,
    size: u16,
    indirect: bool,
    in_flight: Vec<Option<C>>,
    count: usize,
}

impl<C: Chain> Ring<C> {
    /// Sets up queue `index` of a device whose features are agreed, as large as the device lets us up to
    /// `largest`. With `indirect` a chain takes one place whatever its length.
    pub(crate) fn open<H: Hal + 'static, T: Transport>(
        transport: &mut T,
        index: u16,
        largest: u16,
        indirect: bool,
    ) -> Result<Ring<C>, Problem> {
        let offered = transport.max_queue_size(index).min(u32::from(largest));
        let (queue, size) = match offered {
            256.. => (queue_of::<H, T, 256>(transport, index, false)?, 256),
            128..256 => (queue_of::<H, T, 128>(transport, index, indirect)?, 128),
            64..128 => (queue_of::<H, T, 64>(transport, index, indirect)?, 64),
            32..64 => (queue_of::<H, T, 32>(transport, index, indirect)?, 32),
            16..32 => (queue_of::<H, T, 16>(transport, index, indirect)?, 16),
            4..16 => (queue_of::<H, T, 4>(transport, index, indirect)?, 4),
            _ => return Err(Problem::QueueTooSmall { queue: index, size: offered }),
        };
        let in_flight = (0..size).map(|_| None).collect();
        // In a queue of full size chains lie side by side: there is room enough, and no table to allocate for
        // each.
        Ok(Ring { queue, index, size, indirect: indirect && size < LARGEST, in_flight, count: 0 })
    }

    /// The queue's number on its device.
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Chains of `parts` parts that fit when nothing is in flight.
    pub(crate) fn capacity(&self, parts: u16) -> usize {
        usize::from(if self.indirect { self.size } else { self.size / parts })
    }

    /// Chains that the device has.
    pub(crate) fn in_flight(&self) -> usize {
        self.count
    }

    /// The chains that the device has, in no order.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &C> {
        self.in_flight.iter().flatten()
    }

    /// Whether a chain of `parts` parts fits now.
    pub(crate) fn has_room(&self, parts: usize) -> bool {
        self.queue.available_desc() >= parts
    }

    /// Hands `chain` to the device, or back to the caller if there is no room. Tell the device afterwards,
    /// see [`Ring::wants_notice`].
    pub(crate) fn submit(&mut self, chain: C) -> Result<(), C> {
        let parts = chain.parts();
        // SAFETY: the chain is ours, and with it its memory; the slices live for the call only.
        let mut slices = unsafe { parts.slices() };
        let (readable, writable) = slices.both();
        // SAFETY: the chain goes into the table below and leaves it only when `complete` has popped it, so
        // its memory stays as `Chain` promises for as long as the queue needs it.
        let token = unsafe { self.queue.add(readable, writable) };
        let Ok(token) = token else { return Err(chain) };
        match self.in_flight.get_mut(usize::from(token)) {
            Some(place @ None) => *place = Some(chain),
            _ => panic!("the queue gave out a token that is in use"),
        }
        self.count += 1;
        Ok(())
    }

    /// Whether the device wants to be told of what was submitted.
    pub(crate) fn wants_notice(&self) -> bool {
        // The device sets its flag, then looks for chains; we add chains, then look at the flag. Without the
        // fence both could look before the other's store arrives, and the device would sleep over a chain.
        fence(Ordering::SeqCst);
        self.queue.should_notify()
    }

    /// Asks for interrupts on completion, or spares the device the trouble. A hint: interrupts may come
    /// anyway. After switching on, call [`Ring::complete`] once more.
    pub(crate) fn set_interrupts(&mut self, on: bool) {
        self.queue.set_dev_notify(on);
    }

    /// Whether the device has given something back.
    pub(crate) fn has_answers(&self) -> bool {
        fence(Ordering::SeqCst);
        self.queue.can_pop()
    }

    /// The next chain that the device gave back, with the number of bytes that it claims to have written.
    ///
    /// # Errors
    /// [`Problem::BogusAnswer`] if the device names a chain that it does not have. The queue cannot be used
    /// after that.
    pub(crate) fn complete(&mut self) -> Result<Option<(C, u32)>, Problem> {
        // Orders a switch of interrupts before the look at the ring; see `wants_notice` for the reason.
        fence(Ordering::SeqCst);
        let Some(token) = self.queue.peek_used() else { return Ok(None) };
        let bogus = Problem::BogusAnswer { queue: self.index, id: token };
        let Some(parts) =
            self.in_flight.get(usize::from(token)).and_then(|place| place.as_ref()).map(C::parts)
        else {
            return Err(bogus);
        };
        // SAFETY: the chain is in the table, and the device says that it is done with it; the slices live for
        // the call only.
        let mut slices = unsafe { parts.slices() };
        let (readable, writable) = slices.both();
        // SAFETY: the chain at `token` is the one whose parts were added under it.
        let written = unsafe { self.queue.pop_used(token, readable, writable) };
        let written = written.map_err(|_| bogus)?;
        self.count -= 1;
        Ok(self.in_flight.get_mut(usize::from(token)).and_then(Option::take).map(|chain| (chain, written)))
    }
}

/// [`VirtQueue`] without its size in the type, which only the device knows.
trait Queue {
    /// # Safety
    /// As [`VirtQueue::add`].
    unsafe fn add<'a>(&mut self, readable: &[&'a [u8]], writable: &mut [&'a mut [u8]]) -> Result<u16, Error>;
    /// # Safety
    /// As [`VirtQueue::pop_used`].
    unsafe fn pop_used<'a>(
        &mut self,
        token: u16,
        readable: &'a [&'a [u8]],
        writable: &'a mut [&'a mut [u8]],
    ) -> Result<u32, Error>;
    fn can_pop(&self) -> bool;
    fn peek_used(&self) -> Option<u16>;
    fn should_notify(&self) -> bool;
    fn set_dev_notify(&mut self, enable: bool);
    fn available_desc(&self) -> usize;
}

impl<H: Hal, const SIZE: usize> Queue for VirtQueue<H, SIZE> {
    unsafe fn add<'a>(&mut self, readable: &[&'a [u8]], writable: &mut [&'a mut [u8]]) -> Result<u16, Error> {
        // SAFETY: the caller's promise is that of `VirtQueue::add`.
        unsafe { VirtQueue::add(self, readable, writable) }
    }

    unsafe fn pop_used<'a>(
        &mut self,
        token: u16,
        readable: &'a [&'a [u8]],
        writable: &'a mut [&'a mut [u8]],
    ) -> Result<u32, Error> {
        // SAFETY: the caller's promise is that of `VirtQueue::pop_used`.
        unsafe { VirtQueue::pop_used(self, token, readable, writable) }
    }

    fn can_pop(&self) -> bool {
        VirtQueue::can_pop(self)
    }

    fn peek_used(&self) -> Option<u16> {
        VirtQueue::peek_used(self)
    }

    fn should_notify(&self) -> bool {
        VirtQueue::should_notify(self)
    }

    fn set_dev_notify(&mut self, enable: bool) {
        VirtQueue::set_dev_notify(self, enable);
    }

    fn available_desc(&self) -> usize {
        VirtQueue::available_desc(self)
    }
}

/// A queue of `SIZE` places. Never with `EVENT_IDX`: virtio-drivers 0.13 compares its indices without regard
/// for their wrapping at 65536, so that a device would now and then not be told of a chain.
fn queue_of<H: Hal + 'static, T: Transport, const SIZE: usize>(
    transport: &mut T,
    index: u16,
    indirect: bool,
) -> Result<Box<dyn Queue>, Problem> {
    let queue = VirtQueue::<H, SIZE>::new(transport, index, indirect, false)
        .map_err(|cause| Problem::Queue { queue: index, cause })?;
    Ok(Box::new(queue))
}
