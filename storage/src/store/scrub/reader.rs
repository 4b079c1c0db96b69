//! Reads at a pace, behind clients.
//!
//! Knows pauses, and whether anybody is being served. Must not know what is read.

use crate::arithmetic::Arithmetic;
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::scrub::Pace;
use bytes::Bytes;
use core::cell::Cell;
use core::time::Duration;

/// How often to look whether clients are still busy.
const BUSY_STEP: Duration = Duration::from_millis(50);

/// How long, and how often at most, one block of a walk waits for clients.
const YIELD_STEP: Duration = Duration::from_millis(5);
const YIELD_STEPS_MAX: u32 = 10;

/// Requests of clients: those under way, and how many there have been.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    under_way: Cell<usize>,
    count: Cell<u64>,
}

/// A request that is under way while this lives.
pub(crate) struct Request<'a>(&'a Clients);

impl Clients {
    /// Notes a request; it is under way until the result is dropped.
    pub(crate) fn begin(&self) -> Request<'_> {
        self.under_way.set(self.under_way.get() + 1);
        self.count.set(self.count.get() + 1);
        Request(self)
    }

    /// Waits while anything is under way, but not for good.
    pub(crate) async fn yield_to(&self, pause: &impl AsyncFn(Duration)) {
        let mut seen = self.count.get();
        let mut steps = YIELD_STEPS_MAX;
        while steps > 0 && self.are_busy_since(&mut seen) {
            pause(YIELD_STEP).await;
            steps -= 1;
        }
    }

    /// Whether anything is under way, or came since `seen` requests.
    fn are_busy_since(&self, seen: &mut u64) -> bool {
        let before = core::mem::replace(seen, self.count.get());
        self.under_way.get() > 0 || before != *seen
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

/// What makes reading slow.
pub(super) struct Pacer<'a, P> {
    pub(super) pace: Pace,
    pub(super) pause: &'a P,
    pub(super) clients: &'a Clients,
    /// Bytes read so far, by everyone who shares it.
    pub(super) bytes_read: &'a Cell<u64>,
}

impl<P: AsyncFn(Duration)> Pacer<'_, P> {
    /// Returns when the next `bytes` may be read.
    async fn turn(&self, bytes: usize) {
        let mut seen = self.clients.count.get();
        (self.pause)(self.pace.pause(bytes)).await;
        let mut patience = self.pace.patience(bytes);
        while !patience.is_zero() && self.clients.are_busy_since(&mut seen) {
            let step = BUSY_STEP.min(patience);
            (self.pause)(step).await;
            patience -= step;
        }
        self.bytes_read.set(self.bytes_read.get() + bytes as u64);
    }
}

/// A device that is read at a pace.
pub(super) struct Reader<'a, D, P> {
    pub(super) device: &'a D,
    pub(super) pacer: &'a Pacer<'a, P>,
    /// Who hashes what is read.
    pub(super) arithmetic: Arithmetic,
}

impl<D: BlockDevice, P: AsyncFn(Duration)> Reader<'_, D, P> {
    /// Exactly `len` bytes at `offset`.
    pub(super) async fn read(&self, offset: u64, len: usize) -> Result<Bytes, DeviceError> {
        self.pacer.turn(len).await;
        read_bytes(self.device, offset, len).await
    }

    /// Bytes in a sector: the least that can be unreadable.
    pub(super) fn sector_size(&self) -> u64 {
        u64::from(self.device.sector_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ram::RamDisk;
    use crate::settings::Scrub;
    use crate::simulation::block_on;

    /// The time that reading 256 KiB takes while `busy` looks find clients at work.
    fn time_for(busy: u32) -> Duration {
        let disk = RamDisk::new(512, 1024);
        let clients = Clients::default();
        let (passed, left, bytes_read) = (Cell::new(Duration::ZERO), Cell::new(busy), Cell::new(0));
        let pause = async |time: Duration| {
            passed.set(passed.get() + time);
            if left.get() > 0 {
                left.set(left.get() - 1);
                drop(clients.begin());
            }
        };
        let pace = Pace::new(Scrub::Rate(1 << 20), 0).unwrap();
        let pacer = Pacer { pace, pause: &pause, clients: &clients, bytes_read: &bytes_read };
        let reader = Reader { device: &disk, pacer: &pacer, arithmetic: Arithmetic::here() };
        block_on(reader.read(4096, 256 << 10)).unwrap();
        assert_eq!(bytes_read.get(), 256 << 10);
        passed.get()
    }

    #[test]
    fn reading_takes_its_time_and_longer_while_clients_are_served() {
        let quiet = Duration::from_millis(250);
        assert_eq!(time_for(0), quiet);
        assert_eq!(time_for(3), quiet + 3 * BUSY_STEP);
    }

    #[test]
    fn clients_that_are_always_busy_do_not_hold_it_up_for_good() {
        let pace = Pace::new(Scrub::Rate(1 << 20), 0).unwrap();
        assert_eq!(time_for(u32::MAX), pace.pause(256 << 10) + pace.patience(256 << 10));
    }
}
