//! Pieces of the log as they were read from disk, for reads that come in the order of the log.
//!
//! Knows how much to read at once: about one clump where reads jump, ever more where they go on. What it holds never
//! grows stale, because a log is only appended to and a window never reaches past what was durable when it was read.
//! Must not know clumps.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use bytes::Bytes;
use event_listener::Event;

/// A piece of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) partition: usize,
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

impl Piece {
    fn contains(&self, partition: usize, offset: u64) -> bool {
        self.partition == partition && (self.offset..self.offset + self.len as u64).contains(&offset)
    }

    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

/// Recently read pieces, and those being read.
#[derive(Debug)]
pub(crate) struct Windows {
    held: VecDeque<(Piece, Bytes)>,
    held_bytes: usize,
    bytes_max: usize,
    reading: VecDeque<(Piece, Rc<Event>)>,
}

/// Longest piece that is read ahead.
const AHEAD_MAX: usize = 512 * 1024;

/// A read that begins this close behind a window goes on from it.
const GAP_MAX: u64 = 64 * 1024;

impl Windows {
    pub(crate) fn new(bytes_max: usize) -> Windows {
        Windows { held: VecDeque::new(), held_bytes: 0, bytes_max, reading: VecDeque::new() }
    }

    /// What is held from `offset` on.
    pub(crate) fn from(&self, partition: usize, offset: u64) -> Option<Bytes> {
        let (piece, bytes) = self.held.iter().rev().find(|(piece, _)| piece.contains(partition, offset))?;
        Some(bytes.slice((offset - piece.offset) as usize..))
    }

    /// The read under way that will bring `offset`, to wait for.
    pub(crate) fn being_read(&self, partition: usize, offset: u64) -> Option<Rc<Event>> {
        let found = self.reading.iter().find(|(piece, _)| piece.contains(partition, offset));
        found.map(|(_, event)| event.clone())
    }

    /// How many bytes to read at `offset`, when `least` would do and the log goes on for `most`.
    pub(crate) fn read_len(&self, partition: usize, offset: u64, least: usize, most: u64) -> usize {
        let continued = self.held.iter().rev().find(|(piece, _)| {
            piece.partition == partition
                && offset > piece.offset
                && offset < piece.end().saturating_add(GAP_MAX)
        });
        let aim = continued.map_or(least, |(piece, _)| (piece.len * 2).clamp(least, AHEAD_MAX.max(least)));
        let aim = aim.min(self.bytes_max / 4).max(least);
        (aim as u64).min(most) as usize
    }

    /// Notes that a piece is being read; the caller ends it with [`Windows::finish`].
    pub(crate) fn begin(&mut self, piece: Piece) {
        self.reading.push_back((piece, Rc::new(Event::new())));
    }

    /// Ends a read, with what it brought, and wakes those who wait for it.
    pub(crate) fn finish(&mut self, piece: Piece, bytes: Option<Bytes>) {
        if let Some(at) = self.reading.iter().position(|(reading, _)| *reading == piece)
            && let Some((_, event)) = self.reading.remove(at)
        {
            event.notify(usize::MAX);
        }
        let Some(bytes) = bytes else { return };
        self.held_bytes += bytes.len();
        self.held.push_back((piece, bytes));
        while self.held_bytes > self.bytes_max || self.held.len() > 64 {
            let Some((_, old)) = self.held.pop_front() else { return };
            self.held_bytes -= old.len();
        }
    }

    /// Lets go of what is held of `offset`: the disk holds something else by now.
    pub(crate) fn forget(&mut self, partition: usize, offset: u64) {
        self.held.retain(|(piece, _)| !piece.contains(partition, offset));
        self.held_bytes = self.held.iter().map(|(_, bytes)| bytes.len()).sum();
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.held_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn read(windows: &mut Windows, offset: u64) -> usize {
        let len = windows.read_len(0, offset, 16_384, 1 << 40);
        let piece = Piece { partition: 0, offset, len };
        windows.begin(piece);
        windows.finish(piece, Some(Bytes::from(vec![0; len])));
        len
    }

    #[test]
    fn reads_that_go_on_bring_ever_more_and_reads_that_jump_do_not() {
        let mut windows = Windows::new(8 << 20);
        assert_eq!(read(&mut windows, 1000), 16_384);
        assert_eq!(read(&mut windows, 1000 + 16_384), 32_768);
        assert_eq!(read(&mut windows, 1000 + 16_384 + 32_768), 65_536);
        assert_eq!(read(&mut windows, 1 << 30), 16_384);
        assert_eq!(windows.from(0, 1010).map(|bytes| bytes.len()), Some(16_374));
        assert!(windows.from(1, 1010).is_none());
    }

    #[test]
    fn what_is_forgotten_is_read_again() {
        let mut windows = Windows::new(8 << 20);
        read(&mut windows, 1000);
        read(&mut windows, 1 << 30);
        windows.forget(0, 1010);
        assert!(windows.from(0, 1010).is_none() && windows.from(0, 1 << 30).is_some());
        assert_eq!(windows.bytes(), 16_384);
    }

    #[test]
    fn memory_is_bounded_and_the_end_of_the_log_respected() {
        let mut windows = Windows::new(100_000);
        for number in 0..100 {
            read(&mut windows, number * 1_000_000);
        }
        assert!(windows.bytes() <= 100_000);
        assert_eq!(windows.read_len(0, 99_000_100, 16_384, 500), 500);
    }
}
