//! Where things lie inside one arena, and what still fits.
//!
//! ```text
//! start      log_base                                               tail       stop
//! | head     | log, growing up →      free      ← directory blocks | tail     |
//!            |<------------------------- size -------------------->|
//! ```
//!
//! Pure arithmetic over an arena's place and block size; knows no counters but those it is given.

use super::clump::CLUMP_HEADER_LEN;
use super::directory::RECORD_LEN;
use super::prelude::is_block_size;

/// Zero bytes that follow the last clump of a log: where the next clump's magic number would stand.
pub const END_MARK_LEN: u64 = 4;

/// An arena's place in its partition. All offsets are bytes from the partition's start unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaGeometry {
    start: u64,
    stop: u64,
    block_size: u32,
}

/// A place that cannot hold an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{start}..{stop} is no arena of {block_size}-byte blocks: it takes whole blocks, at least four")]
pub struct BadGeometry {
    /// Where the head was to be.
    pub start: u64,
    /// Where the tail was to end.
    pub stop: u64,
    /// Bytes in a block.
    pub block_size: u32,
}

impl ArenaGeometry {
    /// An arena from `start` (its head) to `stop` (behind its tail); both on block borders, at least four blocks.
    pub fn new(start: u64, stop: u64, block_size: u32) -> Result<ArenaGeometry, BadGeometry> {
        let block = u64::from(block_size);
        let good = is_block_size(block_size)
            && start.is_multiple_of(block)
            && stop.is_multiple_of(block)
            && stop.checked_sub(start).is_some_and(|len| len >= 4 * block)
            && stop <= i64::MAX as u64;
        if good {
            Ok(ArenaGeometry { start, stop, block_size })
        } else {
            Err(BadGeometry { start, stop, block_size })
        }
    }

    /// Offset of the head block.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// First byte behind the tail block.
    pub fn stop(&self) -> u64 {
        self.stop
    }

    /// Bytes in a block.
    pub fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Bytes from head to tail, both included: what the head block calls size.
    pub fn len(&self) -> u64 {
        self.stop - self.start
    }

    /// Never: an arena has at least four blocks.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where the log begins: `base` in venti's words. Log offsets count from here.
    pub fn log_base(&self) -> u64 {
        self.start + u64::from(self.block_size)
    }

    /// Bytes for log and directory together: `size` in venti's words, and what the arena takes of the index's
    /// address space.
    pub fn size(&self) -> u64 {
        self.len() - 2 * u64::from(self.block_size)
    }

    /// Offset of the tail block.
    pub fn tail_offset(&self) -> u64 {
        self.stop - u64::from(self.block_size)
    }

    /// Directory records in a block.
    pub fn records_per_block(&self) -> u32 {
        self.block_size / RECORD_LEN as u32
    }

    /// Offset of directory block `number`; block 0 is the one just before the tail, the others lie below it.
    /// `None` when it would lie outside the arena.
    pub fn directory_block(&self, number: u32) -> Option<u64> {
        let below_tail = (u64::from(number) + 1) * u64::from(self.block_size);
        (below_tail <= self.size()).then(|| self.tail_offset() - below_tail)
    }

    /// Directory block and byte inside it of the record of clump `number`.
    pub fn record_place(&self, number: u32) -> (u32, usize) {
        let records = self.records_per_block();
        (number / records, (number % records) as usize * RECORD_LEN)
    }

    /// Bytes of directory that are set aside for `clumps` clumps: always one block more than full ones.
    pub fn directory_len(&self, clumps: u32) -> u64 {
        (u64::from(clumps / self.records_per_block()) + 1) * u64::from(self.block_size)
    }

    /// Whether a clump of `stored_len` bytes (without its header) still fits behind `used` bytes of log that hold
    /// `clumps` clumps. Where it does not, venti seals the arena. Leaves room for the end mark and four bytes more.
    pub fn fits(&self, used: u64, clumps: u32, stored_len: u16) -> bool {
        let Some(clumps) = clumps.checked_add(1) else { return false };
        let clump_len = CLUMP_HEADER_LEN as u64 + u64::from(stored_len);
        let need = [clump_len, 2 * END_MARK_LEN, self.directory_len(clumps)];
        need.iter().try_fold(used, |sum, part| sum.checked_add(*part)).is_some_and(|sum| sum <= self.size())
    }

    /// First log offset that cannot belong to a clump when the arena holds `clumps` of them: the directory begins
    /// there. 0 for counts that no arena of this size can hold.
    pub fn log_limit(&self, clumps: u32) -> u64 {
        self.size().saturating_sub(self.directory_len(clumps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_arena_of_main() -> ArenaGeometry {
        ArenaGeometry::new(794_624, 1_843_200, 8192).unwrap()
    }

    #[test]
    fn agrees_with_a_real_arena() {
        let arena = first_arena_of_main();
        assert_eq!((arena.log_base(), arena.size()), (802_816, 1_032_192));
        assert_eq!(arena.tail_offset(), 1_835_008);
        assert_eq!(arena.records_per_block(), 327);
        assert_eq!(arena.record_place(327), (1, 0));
        assert_eq!(arena.record_place(326), (0, 326 * 25));
        assert_eq!(arena.directory_block(1), Some(1_835_008 - 2 * 8192));
    }

    #[test]
    fn directory_blocks_stay_inside_the_arena() {
        let arena = first_arena_of_main();
        assert_eq!(arena.directory_block(125), Some(arena.log_base()));
        assert_eq!(arena.directory_block(126), None);
        assert_eq!(arena.directory_block(u32::MAX), None);
    }

    #[test]
    fn fits_up_to_the_last_byte_but_eight() {
        let arena = first_arena_of_main();
        let room = arena.size() - arena.directory_len(11);
        assert!(arena.fits(room - 8 - 38 - 100, 10, 100));
        assert!(!arena.fits(room - 8 - 38 - 100, 10, 101));
        assert!(!arena.fits(room - 8 - 38 - 100 + 1, 10, 100));
        // The 327th record fills the first block, and venti sets the second aside at once.
        assert!(!arena.fits(room - 8 - 38 - 100, 326, 100));
    }

    #[test]
    fn absurd_counters_fit_nothing_and_overflow_nothing() {
        let arena = first_arena_of_main();
        assert!(!arena.fits(u64::MAX, 0, u16::MAX));
        assert!(!arena.fits(0, u32::MAX, 0));
        assert_eq!(arena.log_limit(u32::MAX), 0);
    }

    #[test]
    fn refuses_places_that_hold_no_arena() {
        for (start, stop, block_size) in [
            (0, 8192 * 3, 8192),
            (1, 1 << 20, 8192),
            (0, 100_000, 8192),
            (8192, 0, 8192),
            (0, 1 << 20, 0),
            (0, 1 << 20, 3),
        ] {
            assert!(ArenaGeometry::new(start, stop, block_size).is_err(), "{start} {stop} {block_size}");
        }
    }
}
