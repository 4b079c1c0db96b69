//! The host's random numbers (VIRTIO 1.2, section 5.4).
//!
//! Knows one question and its answer. Must not know what the numbers are for.

use super::buffer::DmaBuffer;
use super::ring::{Chain, Parts, Ring};
use super::{Problem, begin, negotiate, reset};
use core::mem::ManuallyDrop;
use virtio_drivers::Hal;
use virtio_drivers::transport::Transport;

const REQUEST_QUEUE: u16 = 0;
/// One question at a time needs no more places.
const PLACES: u16 = 16;
/// Bytes asked for at once.
const SEED_LEN: usize = 64;

struct Question {
    buffer: DmaBuffer,
}

// SAFETY: the buffer is the chain's own, does not move with it, and is not empty.
unsafe impl Chain for Question {
    fn parts(&self) -> Parts {
        Parts::default().writable(self.buffer.part(0..self.buffer.len()))
    }
}

/// A source of random numbers, asked for one seed at a time.
pub struct VirtioEntropy<T: Transport> {
    transport: T,
    /// Kept for ever if the device cannot be stopped.
    ring: ManuallyDrop<Ring<Question>>,
    /// The buffer, while the device does not have it.
    idle: Option<DmaBuffer>,
}

impl<T: Transport> VirtioEntropy<T> {
    /// Starts the device.
    pub fn open<H: Hal + 'static>(mut transport: T) -> Result<VirtioEntropy<T>, Problem> {
        negotiate(&mut transport, 0)?;
        let ring = ManuallyDrop::new(Ring::open::<H, T>(&mut transport, REQUEST_QUEUE, PLACES, false)?);
        let mut source = VirtioEntropy { transport, ring, idle: None };
        source.ring.set_interrupts(false);
        begin(&mut source.transport)?;
        source.idle = Some(DmaBuffer::allocate(SEED_LEN).ok_or(Problem::Memory)?);
        Ok(source)
    }

    /// Asks for a seed, unless one has been asked for.
    pub fn ask(&mut self) {
        let Some(mut buffer) = self.idle.take() else { return };
        buffer.bytes().fill(0);
        if let Err(question) = self.ring.submit(Question { buffer }) {
            self.idle = Some(question.buffer);
            return;
        }
        if self.ring.wants_notice() {
            self.transport.notify(REQUEST_QUEUE);
        }
    }

    /// Shows the seed that was asked for to `take`, if it has come; afterwards it is forgotten. Whether it
    /// has come.
    ///
    /// # Errors
    /// If the device answers what it was not asked.
    pub fn seed(&mut self, take: impl FnOnce(&[u8])) -> Result<bool, Problem> {
        let Some((Question { mut buffer }, written)) = self.ring.complete()? else { return Ok(false) };
        let len = buffer.len().min(written as usize);
        take(&buffer.bytes()[..len]);
        buffer.bytes().fill(0);
        self.idle = Some(buffer);
        Ok(len > 0)
    }
}

impl<T: Transport> Drop for VirtioEntropy<T> {
    fn drop(&mut self) {
        if reset(&mut self.transport).is_ok() {
            // SAFETY: dropped here alone, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.ring) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::fake::{FakeDevice, FakeHal};

    #[test]
    fn only_what_the_device_wrote_counts() {
        let device = FakeDevice::new(0, &[], 8);
        let mut source = VirtioEntropy::open::<FakeHal>(device.clone()).unwrap();
        for (claimed, expected) in [(10, 10), (64, 64), (70_000, 64), (0, 0)] {
            source.ask();
            source.ask();
            assert_eq!(source.seed(|_| panic!("nothing has come")), Ok(false));
            let chain = device.next(0).unwrap();
            assert!(device.next(0).is_none());
            chain.fill(&[9; 64]);
            device.give_back(0, chain.id, claimed);
            let mut got = 0;
            let come = source.seed(|seed| {
                assert!(seed.iter().all(|byte| *byte == 9));
                got = seed.len();
            });
            assert_eq!((come, got), (Ok(expected > 0), expected));
        }
    }

    #[test]
    fn an_answer_without_a_question_is_an_error() {
        let device = FakeDevice::new(0, &[], 8);
        let mut source = VirtioEntropy::open::<FakeHal>(device.clone()).unwrap();
        device.give_back(0, 0, 64);
        assert!(source.seed(|_| panic!("nothing was asked")).is_err());
    }
}
