//! The frame pool: 4 KiB frames in buddy blocks.
//!
//! Knows frame numbers and free blocks. Must not know what a frame holds: all bookkeeping is beside the frames, never
//! in them, so nothing here is unsafe. (The buddy_system_allocator crate's frame allocator needs a heap to stand on,
//! and ours stands on this pool.)

/// Bytes in a frame.
pub const FRAME_LEN: usize = 4096;
/// The largest block is `2^(ORDERS - 1)` frames: 1 GiB.
const ORDERS: usize = 19;
/// No frame: the end of a list.
const NONE: u32 = u32::MAX;
/// The mark of a frame that does not start a free block.
const TAKEN: u8 = u8::MAX;

/// Neighbours of a free block in the list of its order.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Links {
    previous: u32,
    next: u32,
}

/// Bytes of bookkeeping for a frame.
pub const BOOKKEEPING_LEN: usize = size_of::<Links>() + 1;

/// Frames `0..len`, each free or taken.
#[derive(Debug)]
pub struct FramePool<'a> {
    links: &'a mut [Links],
    /// Order of the free block that starts at a frame, or [`TAKEN`].
    marks: &'a mut [u8],
    heads: [u32; ORDERS],
    free: usize,
    total: usize,
}

impl<'a> FramePool<'a> {
    /// A pool over as many frames as both slices describe; all are taken until [`FramePool::add`].
    pub fn new(links: &'a mut [Links], marks: &'a mut [u8]) -> FramePool<'a> {
        assert!(links.len() == marks.len() && marks.len() < NONE as usize, "one mark and one link per frame");
        marks.fill(TAKEN);
        links.fill(Links { previous: NONE, next: NONE });
        FramePool { links, marks, heads: [NONE; ORDERS], free: 0, total: 0 }
    }

    /// Gives the pool frames that it did not have.
    pub fn add(&mut self, first: usize, count: usize) {
        self.total += count;
        self.free(first, count);
    }

    /// Frames in the pool, free and taken.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Free frames.
    pub fn free_count(&self) -> usize {
        self.free
    }

    /// Takes `count` adjacent frames, the first a multiple of `align` (a power of two). Returns the first.
    pub fn allocate(&mut self, count: usize, align: usize) -> Option<usize> {
        let order = order_for(count, align)?;
        let found = (order..ORDERS).find(|&larger| self.head(larger) != NONE)?;
        let first = self.head(found) as usize;
        self.unlink(first, found);
        self.free -= 1 << found;
        self.free(first + count, (1 << found) - count);
        Some(first)
    }

    /// Takes back `count` frames from `first` on, all of them taken.
    pub fn free(&mut self, first: usize, count: usize) {
        assert!(
            first.checked_add(count).is_some_and(|end| end <= self.marks.len()),
            "frames outside the pool"
        );
        let (mut first, mut left) = (first, count);
        while left > 0 {
            let order = (first.trailing_zeros() as usize).min(left.ilog2() as usize).min(ORDERS - 1);
            self.free_block(first, order);
            first += 1 << order;
            left -= 1 << order;
        }
        self.free += count;
    }

    fn free_block(&mut self, mut first: usize, mut order: usize) {
        assert!(self.mark(first) == TAKEN, "frame {first} is freed twice");
        while order < ORDERS - 1 {
            let buddy = first ^ (1 << order);
            if self.mark(buddy) as usize != order {
                break;
            }
            self.unlink(buddy, order);
            first &= !(1 << order);
            order += 1;
        }
        self.link(first, order);
    }

    fn head(&self, order: usize) -> u32 {
        self.heads.get(order).copied().unwrap_or(NONE)
    }

    fn mark(&self, frame: usize) -> u8 {
        self.marks.get(frame).copied().unwrap_or(TAKEN)
    }

    fn link(&mut self, first: usize, order: usize) {
        let next = self.head(order);
        self.links[first] = Links { previous: NONE, next };
        if next != NONE {
            self.links[next as usize].previous = first as u32;
        }
        self.heads[order] = first as u32;
        self.marks[first] = order as u8;
    }

    fn unlink(&mut self, first: usize, order: usize) {
        let Links { previous, next } = self.links[first];
        if previous == NONE {
            self.heads[order] = next;
        } else {
            self.links[previous as usize].next = next;
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        self.marks[first] = TAKEN;
    }
}

/// The order of the smallest block that holds `count` frames at a multiple of `align`.
fn order_for(count: usize, align: usize) -> Option<usize> {
    let frames = count.max(1).max(align).checked_next_power_of_two()?;
    Some(frames.ilog2() as usize).filter(|&order| order < ORDERS && count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn with_pool<R>(frames: usize, test: impl FnOnce(&mut FramePool<'_>) -> R) -> R {
        let mut links = vec![Links { previous: 0, next: 0 }; frames];
        let mut marks = vec![0; frames];
        test(&mut FramePool::new(&mut links, &mut marks))
    }

    #[test]
    fn takes_no_more_frames_than_asked_for() {
        with_pool(1024, |pool| {
            pool.add(0, 1024);
            assert_eq!(pool.allocate(9, 1), Some(0));
            assert_eq!(pool.free_count(), 1015);
            assert_eq!(pool.total(), 1024);
        });
    }

    #[test]
    fn freed_neighbours_grow_together_again() {
        with_pool(1024, |pool| {
            pool.add(0, 1024);
            let blocks: Vec<usize> = (0..1024).filter_map(|_| pool.allocate(1, 1)).collect();
            assert_eq!(blocks.len(), 1024);
            assert_eq!(pool.allocate(1, 1), None);
            blocks.into_iter().for_each(|frame| pool.free(frame, 1));
            assert_eq!(pool.allocate(1024, 1024), Some(0));
        });
    }

    #[test]
    fn refuses_what_no_block_can_hold() {
        with_pool(64, |pool| {
            pool.add(1, 63);
            assert_eq!(pool.allocate(33, 1), None);
            assert_eq!(pool.allocate(usize::MAX, 1), None);
            assert_eq!(pool.allocate(0, 1), None);
            assert_eq!(pool.free_count(), 63);
        });
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_twice_is_noticed() {
        with_pool(64, |pool| {
            pool.add(0, 64);
            let Some(first) = pool.allocate(1, 1) else { return };
            pool.free(first, 1);
            pool.free(first, 1);
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn blocks_never_overlap_and_all_comes_back(
            start in 0usize..40,
            steps in prop::collection::vec((1usize..40, 0u32..6, any::<bool>(), any::<prop::sample::Index>()), 1..80),
        ) {
            with_pool(512, |pool| {
                pool.add(start, 512 - start);
                let mut held: Vec<(usize, usize)> = Vec::new();
                for (count, align, release, which) in steps {
                    if release && !held.is_empty() {
                        let (first, count) = held.swap_remove(which.index(held.len()));
                        pool.free(first, count);
                    } else if let Some(first) = pool.allocate(count, 1 << align) {
                        assert!(first >= start && first + count <= 512 && first % (1 << align) == 0);
                        assert!(held.iter().all(|&(other, len)| first + count <= other || other + len <= first));
                        held.push((first, count));
                    }
                    let taken: usize = held.iter().map(|&(_, count)| count).sum();
                    assert_eq!(pool.free_count() + taken, 512 - start);
                }
                held.into_iter().for_each(|(first, count)| pool.free(first, count));
                assert!(pool.allocate(256, 256).is_some());
            });
        }
    }
}
