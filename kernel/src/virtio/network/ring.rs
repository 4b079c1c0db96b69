//! The two rings of a network card, and frames on their way through them.
//!
//! Knows the header before each frame (VIRTIO 1.2, section 5.1.6). Must not know when to tell the card.

use crate::virtio::Problem;
use crate::virtio::buffer::DmaBuffer;
use crate::virtio::ring::{Chain, LARGEST, Parts, Ring};
use alloc::vec::Vec;
use virtio_drivers::Hal;
use virtio_drivers::transport::Transport;

const QUEUE_RECEIVE: u16 = 0;
const QUEUE_SEND: u16 = 1;

/// Bytes of header before a frame. All zeros when we send: no checksum or segmentation is asked for.
pub(super) const HEADER_LEN: usize = 12;
/// The shortest frame that can be one: an Ethernet header.
const FRAME_MIN: usize = 14;

/// A buffer with a frame in it, or room for one.
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

/// Buffers for one ring.
fn buffers(count: usize, frame_max: usize) -> Result<Vec<DmaBuffer>, Problem> {
    let one = || DmaBuffer::allocate((HEADER_LEN + frame_max).next_multiple_of(512)).ok_or(Problem::Memory);
    (0..count).map(|_| one()).collect()
}

/// Frames that arrive.
pub(super) struct Receiver {
    pub(super) side: Side,
    spare: Vec<DmaBuffer>,
}

impl Receiver {
    pub(super) fn open<H: Hal + 'static, T: Transport>(
        transport: &mut T,
        frame_max: usize,
    ) -> Result<Receiver, Problem> {
        let side = Side::open::<H, T>(transport, QUEUE_RECEIVE)?;
        let spare = buffers(side.ring.capacity(1), frame_max)?;
        Ok(Receiver { side, spare })
    }

    /// Gives the card every buffer.
    pub(super) fn fill(&mut self) {
        while let Some(buffer) = self.spare.pop() {
            let len = buffer.len();
            self.side.submit(Frame { buffer, len, to_device: false });
        }
    }

    /// The next buffer that the card filled: with a frame, or, inside `Err`, with nonsense.
    pub(super) fn next(&mut self) -> Result<Option<Result<Frame, Frame>>, Problem> {
        let Some((mut frame, written)) = self.side.ring.complete()? else { return Ok(None) };
        let written = written as usize;
        if written < HEADER_LEN + FRAME_MIN || written > frame.buffer.len() {
            return Ok(Some(Err(frame)));
        }
        frame.len = written;
        Ok(Some(Ok(frame)))
    }

    /// Gives a buffer back to the card.
    pub(super) fn give(&mut self, frame: Frame) {
        let len = frame.buffer.len();
        self.side.submit(Frame { len, ..frame });
    }

    pub(super) fn token(&mut self, frame: Frame) -> RxToken<'_> {
        RxToken { receiver: self, frame: Some(frame) }
    }
}

/// Frames that leave.
pub(super) struct Sender {
    pub(super) side: Side,
    spare: Vec<DmaBuffer>,
}

impl Sender {
    pub(super) fn open<H: Hal + 'static, T: Transport>(
        transport: &mut T,
        frame_max: usize,
    ) -> Result<Sender, Problem> {
        let side = Side::open::<H, T>(transport, QUEUE_SEND)?;
        let mut spare = buffers(side.ring.capacity(1), frame_max)?;
        spare.iter_mut().for_each(|buffer| buffer.bytes()[..HEADER_LEN].fill(0));
        Ok(Sender { side, spare })
    }

    /// Takes back the buffers of frames that have been sent.
    pub(super) fn reclaim(&mut self) -> Result<(), Problem> {
        while let Some((frame, _)) = self.side.ring.complete()? {
            self.spare.push(frame.buffer);
        }
        Ok(())
    }

    pub(super) fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    pub(super) fn token(&mut self) -> TxToken<'_> {
        TxToken { sender: self }
    }
}

/// A frame that arrived. Its buffer goes back to the card when this is dropped.
pub struct RxToken<'a> {
    receiver: &'a mut Receiver,
    frame: Option<Frame>,
}

impl smoltcp::phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(mut self, take: F) -> R {
        match &mut self.frame {
            Some(frame) => {
                let len = frame.len;
                take(&frame.buffer.bytes()[HEADER_LEN..len])
            }
            None => take(&[]),
        }
    }
}

impl Drop for RxToken<'_> {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.receiver.give(frame);
        }
    }
}

/// The right to send a frame.
pub struct TxToken<'a> {
    sender: &'a mut Sender,
}

impl smoltcp::phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let buffer = self.sender.spare.pop();
        let Some(mut buffer) = buffer else { panic!("a right to send without a buffer") };
        let result = fill(&mut buffer.bytes()[HEADER_LEN..HEADER_LEN + len]);
        self.sender.side.submit(Frame { buffer, len: HEADER_LEN + len, to_device: true });
        result
    }
}
