//! The two rings of descriptors, and a buffer for each.
//!
//! Knows descriptors of the old kind (82574 datasheet, 7.1.4 and 7.2.3), and the advanced ones of newer cards (82576 datasheet,
//! 7.1.5 and 7.2.2.3), which are as long. Must not know registers. A descriptor is written whole each time that it goes to the
//! card, so what the card left in it does not matter; buffers belong to their place and never move.

use super::{Generation, Problem};
use crate::memory::mmio::Registers;
use crate::virtio::buffer::DmaBuffer;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

/// Places in a ring: a multiple of 8.
pub(super) const PLACES: usize = 256;
/// Bytes of a buffer, as the card is told.
const BUFFER_LEN: usize = 2048;
const DESCRIPTOR_LEN: usize = 16;
/// The shortest frame that can be one: an Ethernet header.
const FRAME_MIN: usize = 14;

/// Where a card says what became of a place. Of the old kind, and the advanced one for sending.
const STATUS_AT: usize = 12;
/// The advanced one for receiving: status and errors in one word, length behind it.
const ADVANCED_STATUS_AT: usize = 8;
const DONE: u8 = 1 << 0;
const END_OF_FRAME: u8 = 1 << 1;
/// The frame ends here, add its checksum, say when it is sent.
const SEND: u8 = 1 << 0 | 1 << 1 | 1 << 3;
/// The descriptor is an advanced one, with data.
const ADVANCED: u64 = 1 << 29 | 3 << 20;

/// Which way frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Receive,
    Send,
}

/// What a card says of a frame.
struct Arrived {
    len: usize,
    whole: bool,
    faulty: bool,
}

/// Descriptors in memory that the card reads and writes.
pub(super) struct Ring {
    generation: Generation,
    way: Way,
    descriptors: Registers,
    buffers: Vec<DmaBuffer>,
    /// What `descriptors` is a window on.
    _memory: DmaBuffer,
}

impl Ring {
    fn new(generation: Generation, way: Way) -> Result<Ring, Problem> {
        let len = PLACES * DESCRIPTOR_LEN;
        let mut memory = DmaBuffer::allocate(len).ok_or(Problem::Memory)?;
        memory.bytes().fill(0);
        let start: NonNull<u8> = memory.part(0..len).cast();
        // SAFETY: the memory lives as long as the ring, does not move, and is reached by this window alone.
        let descriptors = unsafe { Registers::new(start, len) };
        let buffer = || DmaBuffer::allocate(BUFFER_LEN).ok_or(Problem::Memory);
        let mut buffers = (0..PLACES).map(|_| buffer()).collect::<Result<Vec<_>, _>>()?;
        buffers.iter_mut().for_each(|buffer| buffer.bytes().fill(0));
        Ok(Ring { generation, way, descriptors, buffers, _memory: memory })
    }

    /// Where it lies.
    pub(super) fn address(&self) -> u64 {
        self.descriptors.base().as_ptr().expose_provenance() as u64
    }

    /// Bytes of descriptors.
    pub(super) fn len(&self) -> usize {
        self.descriptors.len()
    }

    fn is_done(&self, place: usize) -> bool {
        let at = match (self.generation, self.way) {
            (Generation::Newer, Way::Receive) => ADVANCED_STATUS_AT,
            _ => STATUS_AT,
        };
        let done = self.descriptors.read8(place * DESCRIPTOR_LEN + at) & DONE != 0;
        // What the card wrote before it said so is seen after it.
        fence(Ordering::Acquire);
        done
    }

    /// What the card says of the frame at a place that is done.
    fn arrived(&self, place: usize) -> Arrived {
        let word = self.descriptors.read64(place * DESCRIPTOR_LEN + 8);
        let [a, b, c, d, e, f, ..] = word.to_le_bytes();
        let (len, status, faulty) = match self.generation {
            // Length, checksum, status, errors.
            Generation::Older => (u16::from_le_bytes([a, b]), e, f != 0),
            // Status of 20 bits, errors of 12, length.
            Generation::Newer => (u16::from_le_bytes([e, f]), a, u16::from_le_bytes([c, d]) >> 4 != 0),
        };
        Arrived { len: usize::from(len), whole: status & END_OF_FRAME != 0, faulty }
    }

    /// Fills a descriptor in, for a frame of `len` bytes to send, or for one to come.
    fn fill(&self, place: usize, len: u16) {
        let at = place * DESCRIPTOR_LEN;
        let buffer = self.buffers[place].part(0..BUFFER_LEN).cast::<u8>();
        let (len, command) = (u64::from(len), u64::from(SEND) << 24);
        let rest = match (self.way, self.generation) {
            // Of the advanced kind no second buffer.
            (Way::Receive, _) => 0,
            (Way::Send, Generation::Older) => len | command,
            // The length of this piece, and of the whole.
            (Way::Send, Generation::Newer) => len | command | ADVANCED | len << 46,
        };
        self.descriptors.write64(at, buffer.as_ptr().expose_provenance() as u64);
        self.descriptors.write64(at + 8, rest);
        // The card must not be told before all of it can be seen.
        fence(Ordering::Release);
    }
}

/// Frames that arrive. All places but one are the card's; the one behind the last is where its tail points.
pub(super) struct Receiver {
    ring: Ring,
    /// Where the next frame comes.
    next: usize,
    /// Places that went back to the card and that it was not told of.
    untold: usize,
}

impl Receiver {
    pub(super) fn new(generation: Generation) -> Result<Receiver, Problem> {
        let ring = Ring::new(generation, Way::Receive)?;
        (0..PLACES).for_each(|place| ring.fill(place, 0));
        // All places are news to the card.
        Ok(Receiver { ring, next: 0, untold: PLACES })
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) fn untold(&self) -> usize {
        self.untold
    }

    /// The tail that the card has to be told, if it has; it counts as told.
    pub(super) fn take_untold(&mut self) -> Option<u32> {
        let untold = core::mem::take(&mut self.untold);
        (untold > 0).then_some(((self.next + PLACES - 1) % PLACES) as u32)
    }

    pub(super) fn has_frames(&self) -> bool {
        self.ring.is_done(self.next)
    }

    /// The next frame that makes sense, as its length, and how many did not. A card that never stops is left after a round.
    pub(super) fn next(&mut self) -> (Option<usize>, u64) {
        for malformed in 0..PLACES as u64 {
            if !self.ring.is_done(self.next) {
                return (None, malformed);
            }
            let Arrived { len, whole, faulty } = self.ring.arrived(self.next);
            if whole && !faulty && (FRAME_MIN..=BUFFER_LEN).contains(&len) {
                return (Some(len), malformed);
            }
            self.give();
        }
        (None, PLACES as u64)
    }

    /// Gives the next place back to the card.
    fn give(&mut self) {
        self.ring.fill(self.next, 0);
        self.next = (self.next + 1) % PLACES;
        self.untold += 1;
    }

    /// `len`: what [`Receiver::next`] said.
    pub(super) fn token(&mut self, len: usize) -> RxToken<'_> {
        RxToken { receiver: self, len }
    }
}

/// Frames that leave.
pub(super) struct Sender {
    ring: Ring,
    /// Where the next frame goes.
    next: usize,
    /// The card's oldest frame, if it has any.
    oldest: usize,
    untold: usize,
}

impl Sender {
    pub(super) fn new(generation: Generation) -> Result<Sender, Problem> {
        Ok(Sender { ring: Ring::new(generation, Way::Send)?, next: 0, oldest: 0, untold: 0 })
    }

    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) fn untold(&self) -> usize {
        self.untold
    }

    /// As [`Receiver::take_untold`].
    pub(super) fn take_untold(&mut self) -> Option<u32> {
        let untold = core::mem::take(&mut self.untold);
        (untold > 0).then_some(self.next as u32)
    }

    pub(super) fn has_answers(&self) -> bool {
        self.oldest != self.next && self.ring.is_done(self.oldest)
    }

    /// Takes back the places of frames that have been sent.
    pub(super) fn reclaim(&mut self) {
        while self.has_answers() {
            self.oldest = (self.oldest + 1) % PLACES;
        }
    }

    /// One place stays empty: a full ring would look like an empty one.
    pub(super) fn has_spare(&self) -> bool {
        (self.next + 1) % PLACES != self.oldest
    }

    pub(super) fn token(&mut self) -> TxToken<'_> {
        TxToken { sender: self }
    }
}

/// A frame that arrived. Its place goes back to the card when this is dropped.
pub struct RxToken<'a> {
    receiver: &'a mut Receiver,
    len: usize,
}

impl smoltcp::phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let place = self.receiver.next;
        take(&self.receiver.ring.buffers[place].bytes()[..self.len])
    }
}

impl Drop for RxToken<'_> {
    fn drop(&mut self) {
        self.receiver.give();
    }
}

/// The right to send a frame.
pub struct TxToken<'a> {
    sender: &'a mut Sender,
}

impl smoltcp::phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let sender = self.sender;
        let place = sender.next;
        let result = fill(&mut sender.ring.buffers[place].bytes()[..len]);
        sender.ring.fill(place, len as u16);
        sender.next = (place + 1) % PLACES;
        sender.untold += 1;
        result
    }
}
