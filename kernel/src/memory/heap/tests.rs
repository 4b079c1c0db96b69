//! Tests of the heap over memory of the host.

use super::*;
use crate::memory::frames::Links;
use crate::memory::size_class::LARGEST;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// A heap of `frames` frames. Leaks them: a test process is short.
fn heap(frames: usize) -> Heap {
    let layout = Layout::from_size_align(frames * FRAME_LEN, 1 << 20).unwrap();
    // SAFETY: the layout is not empty.
    let base = unsafe { std::alloc::alloc(layout) }.expose_provenance();
    let mut links = Vec::new();
    links.resize(frames, Links::default());
    let mut pool = FramePool::new(links.leak(), vec![0; frames].leak());
    pool.add(0, frames);
    // SAFETY: the frames were just allocated for this heap.
    unsafe { Heap::new(pool, base) }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

#[test]
fn large_allocations_are_whole_aligned_frames_that_come_back() {
    let mut heap = heap(256);
    let before = heap.status();
    let memory = heap.allocate(layout(LARGEST + 1, 1)).unwrap();
    assert_eq!(memory.addr().get() % FRAME_LEN, 0);
    assert_eq!(heap.status().large_used, 9 * FRAME_LEN);
    // SAFETY: it came from this heap with this layout.
    unsafe { heap.deallocate(memory, layout(LARGEST + 1, 1)) };
    assert_eq!(heap.status(), before);
}

#[test]
fn small_objects_are_reused() {
    let mut heap = heap(256);
    let first = heap.allocate(layout(100, 4)).unwrap();
    // SAFETY: it came from this heap with this layout.
    unsafe { heap.deallocate(first, layout(100, 4)) };
    assert_eq!(heap.allocate(layout(112, 16)), Some(first));
    assert_eq!(heap.status().small_used, 112);
}

#[test]
fn an_exhausted_heap_says_no_and_counts() {
    let mut heap = heap(128);
    let mut taken = 0;
    while heap.allocate(layout(4096, 8)).is_some() {
        taken += 1;
    }
    assert!(taken > 110, "only {taken} of 128 frames were usable");
    assert_eq!(heap.status().failures, 1);
    assert_eq!(heap.allocate(layout(1 << 30, 8)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn objects_keep_their_contents(
        steps in prop::collection::vec((1usize..100_000, 0u32..14, any::<bool>(), any::<prop::sample::Index>()), 1..120),
    ) {
        let mut heap = heap(2048);
        let mut held: Vec<(NonNull<u8>, Layout, u8)> = Vec::new();
        let release = |heap: &mut Heap, (memory, layout, mark): (NonNull<u8>, Layout, u8)| {
            // SAFETY: the object is as long as its layout.
            let bytes = unsafe { core::slice::from_raw_parts(memory.as_ptr(), layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == mark));
            // SAFETY: it came from this heap with this layout.
            unsafe { heap.deallocate(memory, layout) };
        };
        for (step, (size, shift, free, which)) in steps.into_iter().enumerate() {
            if free && !held.is_empty() {
                let object = held.swap_remove(which.index(held.len()));
                release(&mut heap, object);
            } else if let Some(memory) = heap.allocate(layout(size, 1 << shift)) {
                assert_eq!(memory.addr().get() % (1 << shift), 0);
                // SAFETY: the object is `size` bytes long.
                unsafe { memory.write_bytes(step as u8, size) };
                held.push((memory, layout(size, 1 << shift), step as u8));
            }
        }
        held.into_iter().for_each(|object| release(&mut heap, object));
        let status = heap.status();
        assert_eq!((status.small_used, status.large_used), (0, 0));
        assert_eq!(status.free + status.small_reserved, status.total);
    }
}
