//! The two rings of a network card, and frames on their way through them.
//!
//! Knows buffers. Must not know when to tell the card, or what is in a frame.

use super::header::{self, MERGED_MAX, Offload};
use crate::virtio::Problem;
use crate::virtio::buffer::DmaBuffer;
use crate::virtio::ring::{Chain, LARGEST, Parts, Ring};
use alloc::vec::Vec;
use core::num::NonZeroU16;
use smoltcp::phy::PacketMeta;
use virtio_drivers::Hal;
use virtio_drivers::transport::Transport;

const QUEUE_RECEIVE: u16 = 0;
const QUEUE_SEND: u16 = 1;

/// The shortest frame that can be one: an Ethernet header.
const FRAME_MIN: usize = 14;
/// Frames of several segments that can be on their way out at once.
const MERGED_OUT: usize = 8;
/// Bytes of a buffer where a frame may be in several.
const PIECE_LEN: usize = 2048;

/// A buffer with a frame in it, or with a piece of one, or room for it.
pub(super) struct Frame {
    buffer: DmaBuffer,
    /// Bytes for the device: header and frame.
    len: usize,
    to_device: bool,
}

// SAFETY: the buffer is the chain's own and does not move with it; `len` is within it and not zero.
unsafe impl Chain for Frame {
    fn parts(&self) -> Parts {
        let part = self.buffer.part(0..self.len);
        if self.to_device { Parts::default().readable(part) } else { Parts::default().writable(part) }
    }
}

/// A ring, and what the card does not know of yet.
pub(super) struct Side {
    ring: Ring<Frame>,
    untold: usize,
}

impl Side {
    fn open<H: Hal + 'static, T: Transport>(transport: &mut T, index: u16) -> Result<Side, Problem> {
        Ok(Side { ring: Ring::open::<H, T>(transport, index, LARGEST, false)?, untold: 0 })
    }

    pub(super) fn index(&self) -> u16 {
        self.ring.index()
    }

    pub(super) fn has_answers(&self) -> bool {
        self.ring.has_answers()
    }

    pub(super) fn set_interrupts(&mut self, on: bool) {
        self.ring.set_interrupts(on);
    }

    pub(super) fn untold(&self) -> usize {
        self.untold
    }

    /// Whether the card has to be told of something now; it counts as told.
    pub(super) fn take_untold(&mut self) -> bool {
        core::mem::take(&mut self.untold) > 0 && self.ring.wants_notice()
    }

    /// Each frame takes one place and there are as many buffers as places, so there is always one.
    fn submit(&mut self, frame: Frame) {
        assert!(self.ring.submit(frame).is_ok(), "more frames than places");
        self.untold += 1;
    }
}

/// So many buffers of `len` bytes.
fn buffers(count: usize, len: usize) -> Result<Vec<DmaBuffer>, Problem> {
    let one = || DmaBuffer::allocate(len.next_multiple_of(512)).ok_or(Problem::Memory);
    (0..count).map(|_| one()).collect()
}

/// Frames that arrive.
pub(super) struct Receiver {
    pub(super) side: Side,
    spare: Vec<DmaBuffer>,
    offload: Offload,
    /// What the card wrote into several buffers, in one piece; as long as the largest frame if the card does that.
    assembly: Vec<u8>,
    /// The frame in it, while buffers of it are missing.
    unfinished: Option<Unfinished>,
}

/// A frame that came in several buffers.
struct Unfinished {
    header: [u8; header::LEN],
    /// Buffers that are still to come.
    missing: u16,
    len: usize,
    /// What came does not make sense; what is missing must still be taken from the ring.
    spoilt: bool,
}

/// A frame that has arrived whole.
pub(super) enum Arrived {
    /// In one buffer.
    One(Frame),
    /// In the assembly, with so many bytes.
    Many(usize),
}

/// A frame that made no sense.
pub(super) struct Nonsense;

impl Receiver {
    pub(super) fn open<H: Hal + 'static, T: Transport>(
        transport: &mut T,
        frame_max: usize,
        offload: Offload,
    ) -> Result<Receiver, Problem> {
        let side = Side::open::<H, T>(transport, QUEUE_RECEIVE)?;
        let len = if offload.merges { PIECE_LEN } else { header::LEN + frame_max };
        let spare = buffers(side.ring.capacity(1), len)?;
        let assembly = if offload.merges { alloc::vec![0; MERGED_MAX] } else { Vec::new() };
        Ok(Receiver { side, spare, offload, assembly, unfinished: None })
    }

    /// Gives the card every buffer.
    pub(super) fn fill(&mut self) {
        while let Some(buffer) = self.spare.pop() {
            let len = buffer.len();
            self.side.submit(Frame { buffer, len, to_device: false });
        }
    }

    /// The next frame that the card has written.
    pub(super) fn next(&mut self) -> Result<Option<Result<Arrived, Nonsense>>, Problem> {
        while let Some((frame, written)) = self.side.ring.complete()? {
            let written = written as usize;
            let arrived = match self.unfinished.take() {
                None => self.first(frame, written),
                Some(unfinished) => self.further(unfinished, frame, written),
            };
            if arrived.is_some() {
                return Ok(arrived);
            }
        }
        Ok(None)
    }

    /// The first buffer of a frame, most often the only one.
    fn first(&mut self, mut frame: Frame, written: usize) -> Option<Result<Arrived, Nonsense>> {
        let bytes = frame.buffer.bytes().get_mut(..written).unwrap_or_default();
        let (header, content) = match bytes.split_first_chunk_mut() {
            Some((header, content)) => (*header, content),
            None => ([0; header::LEN], &mut [][..]),
        };
        match self.offload.buffers(header) {
            1 if content.len() >= FRAME_MIN && self.offload.is_sound(header, content) => {
                frame.len = written;
                return Some(Ok(Arrived::One(frame)));
            }
            0 | 1 => {
                self.give(frame);
                return Some(Err(Nonsense));
            }
            many => {
                self.assembly[..content.len()].copy_from_slice(content);
                let len = content.len();
                self.unfinished =
                    Some(Unfinished { header, missing: many - 1, len, spoilt: len < FRAME_MIN });
            }
        }
        self.give(frame);
        None
    }

    /// Another buffer of a frame.
    fn further(
        &mut self,
        mut unfinished: Unfinished,
        mut frame: Frame,
        written: usize,
    ) -> Option<Result<Arrived, Nonsense>> {
        let end = unfinished.len + written;
        match (frame.buffer.bytes().get(..written), self.assembly.get_mut(unfinished.len..end)) {
            (Some(piece), Some(room)) => room.copy_from_slice(piece),
            _ => unfinished.spoilt = true,
        }
        self.give(frame);
        unfinished.missing -= 1;
        if !unfinished.spoilt {
            unfinished.len = end;
        }
        if unfinished.missing > 0 {
            self.unfinished = Some(unfinished);
            return None;
        }
        let whole = &mut self.assembly[..unfinished.len];
        let sound = !unfinished.spoilt && self.offload.is_sound(unfinished.header, whole);
        Some(if sound { Ok(Arrived::Many(unfinished.len)) } else { Err(Nonsense) })
    }

    /// Gives a buffer back to the card.
    fn give(&mut self, frame: Frame) {
        let len = frame.buffer.len();
        self.side.submit(Frame { len, ..frame });
    }

    pub(super) fn token(&mut self, frame: Arrived) -> RxToken<'_> {
        RxToken { receiver: self, frame: Some(frame) }
    }
}

/// Frames that leave.
pub(super) struct Sender {
    pub(super) side: Side,
    offload: Offload,
    /// Room for one segment each.
    spare: Vec<DmaBuffer>,
    /// Room for many, if the card cuts them.
    spacious: Vec<DmaBuffer>,
    /// Bytes of a frame that goes into the former.
    frame_max: usize,
}

impl Sender {
    pub(super) fn open<H: Hal + 'static, T: Transport>(
        transport: &mut T,
        frame_max: usize,
        offload: Offload,
    ) -> Result<Sender, Problem> {
        let side = Side::open::<H, T>(transport, QUEUE_SEND)?;
        let places = side.ring.capacity(1);
        // Half of a small ring; all buffers together have a place.
        let many = if offload.segments_out { MERGED_OUT.min(places / 2) } else { 0 };
        let spacious = buffers(many, header::LEN + MERGED_MAX)?;
        let spare = buffers(places - many, header::LEN + frame_max)?;
        Ok(Sender { side, offload, spare, spacious, frame_max })
    }

    /// Takes back the buffers of frames that have been sent.
    pub(super) fn reclaim(&mut self) -> Result<(), Problem> {
        while let Some((frame, _)) = self.side.ring.complete()? {
            let spacious = frame.buffer.len() > MERGED_MAX;
            if spacious { &mut self.spacious } else { &mut self.spare }.push(frame.buffer);
        }
        Ok(())
    }

    /// Whether there is room for any frame.
    pub(super) fn has_spare(&self) -> bool {
        !self.spare.is_empty() && (!self.offload.segments_out || !self.spacious.is_empty())
    }

    pub(super) fn token(&mut self) -> TxToken<'_> {
        TxToken { sender: self, segment: None }
    }
}

/// A frame that arrived. Its buffer goes back to the card when this is dropped.
pub struct RxToken<'a> {
    receiver: &'a mut Receiver,
    frame: Option<Arrived>,
}

impl smoltcp::phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(mut self, take: F) -> R {
        match &mut self.frame {
            Some(Arrived::One(frame)) => {
                let len = frame.len;
                take(&frame.buffer.bytes()[header::LEN..len])
            }
            Some(Arrived::Many(len)) => take(&self.receiver.assembly[..*len]),
            None => take(&[]),
        }
    }
}

impl Drop for RxToken<'_> {
    fn drop(&mut self) {
        if let Some(Arrived::One(frame)) = self.frame.take() {
            self.receiver.give(frame);
        }
    }
}

/// The right to send a frame.
pub struct TxToken<'a> {
    sender: &'a mut Sender,
    /// Bytes of each segment that the card is to cut the frame into.
    segment: Option<NonZeroU16>,
}

impl smoltcp::phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let sender = self.sender;
        let buffer = if len > sender.frame_max { sender.spacious.pop() } else { sender.spare.pop() };
        let Some(mut buffer) = buffer else { panic!("a right to send without a buffer") };
        let (header, frame) = buffer.bytes()[..header::LEN + len].split_at_mut(header::LEN);
        let result = fill(frame);
        sender.offload.describe(header, frame, self.segment);
        sender.side.submit(Frame { buffer, len: header::LEN + len, to_device: true });
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}
