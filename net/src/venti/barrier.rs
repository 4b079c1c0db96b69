//! Which writes a Tsync must wait for: all that arrived before it on its connection, answered or not.

use alloc::collections::VecDeque;

/// The writes between two Tsyncs. The last one has no Tsync yet.
#[derive(Default)]
struct Epoch {
    writes: usize,
    sync: Option<u8>,
}

/// The order of writes and syncs on one connection. Its size is bounded by the requests under way.
pub(super) struct SyncBarrier {
    first: u64,
    epochs: VecDeque<Epoch>,
}

impl SyncBarrier {
    pub(super) fn new() -> SyncBarrier {
        SyncBarrier { first: 0, epochs: VecDeque::from([Epoch::default()]) }
    }

    /// A write came; returns the epoch to hand to [`SyncBarrier::write_ended`].
    pub(super) fn write_came(&mut self) -> u64 {
        if let Some(epoch) = self.epochs.back_mut() {
            epoch.writes += 1;
        }
        self.first + self.epochs.len() as u64 - 1
    }

    /// A Tsync with this tag came.
    pub(super) fn sync_came(&mut self, tag: u8) {
        if let Some(epoch) = self.epochs.back_mut() {
            epoch.sync = Some(tag);
        }
        self.epochs.push_back(Epoch::default());
    }

    /// A write of this epoch was done, or failed.
    pub(super) fn write_ended(&mut self, epoch: u64) {
        let at = usize::try_from(epoch - self.first).unwrap_or(usize::MAX);
        if let Some(epoch) = self.epochs.get_mut(at) {
            epoch.writes -= 1;
        }
    }

    /// The next Tsync that has nothing left to wait for.
    pub(super) fn next_sync(&mut self) -> Option<u8> {
        let tag = self.epochs.front().filter(|epoch| epoch.writes == 0)?.sync?;
        self.epochs.pop_front();
        self.first += 1;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_waits_for_the_writes_before_it_and_no_others() {
        let mut barrier = SyncBarrier::new();
        let before = barrier.write_came();
        barrier.sync_came(1);
        let after = barrier.write_came();
        barrier.sync_came(2);
        barrier.sync_came(3);
        assert_eq!(barrier.next_sync(), None);
        barrier.write_ended(after);
        assert_eq!(barrier.next_sync(), None, "the first write is still under way");
        barrier.write_ended(before);
        assert_eq!([(); 4].map(|()| barrier.next_sync()), [Some(1), Some(2), Some(3), None]);
        let next = barrier.write_came();
        assert_eq!(next, 3);
    }
}
