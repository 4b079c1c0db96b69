//! The heap: small objects from per-size free lists, large ones as whole frames.
//!
//! Knows that objects of a class are cut from chunks, chunks from `linked_list_allocator`, and its regions from the frame
//! pool; and that a large allocation is page-aligned and contiguous, hence fit for devices. Must not know who allocates.
//!
//! Interrupt handlers never allocate, so the lock is only ever contended by other processors.

use super::frames::{FRAME_LEN, FramePool};
use super::size_class::{CLASSES, chunk_len, class_for, class_size};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use linked_list_allocator::Heap as Region;
use spin::Mutex;

/// Regions are at least a 256th of memory, so these suffice.
const REGIONS_MAX: usize = 256;
const REGION_LEN_MIN: usize = 256 * 1024;

/// Figures about memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatus {
    /// All that the frame pool was given.
    pub total: usize,
    /// Free frames.
    pub free: usize,
    /// Frames handed to the small objects' regions; never returned.
    pub small_reserved: usize,
    /// Small objects alive, rounded up to their classes.
    pub small_used: usize,
    /// Large allocations alive, in whole frames.
    pub large_used: usize,
    /// Allocations that failed.
    pub failures: u64,
}

/// A free small object: it holds the next one of its class.
struct FreeObject {
    next: Option<NonNull<FreeObject>>,
}

/// The state behind the global allocator.
pub struct Heap {
    frames: FramePool<'static>,
    /// Address of frame 0: zero in the machine, elsewhere in tests.
    base: usize,
    classes: [Option<NonNull<FreeObject>>; CLASSES],
    region: Option<Region>,
    regions: usize,
    small_reserved: usize,
    small_used: usize,
    large_used: usize,
    failures: u64,
}

// SAFETY: the free lists point at memory that belongs to this value alone.
unsafe impl Send for Heap {}

impl Heap {
    /// A heap over `frames`, whose frame 0 lies at `base`.
    ///
    /// # Safety
    /// Every frame in the pool is writable memory that nothing else uses.
    pub unsafe fn new(frames: FramePool<'static>, base: usize) -> Heap {
        Heap {
            frames,
            base,
            classes: [None; CLASSES],
            region: None,
            regions: 0,
            small_reserved: 0,
            small_used: 0,
            large_used: 0,
            failures: 0,
        }
    }

    /// Memory for `layout`, or none.
    pub fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = match class_for(layout.size(), layout.align()) {
            Some(class) => self.allocate_small(class),
            None => {
                self.allocate_frames(layout.size().div_ceil(FRAME_LEN), layout.align().div_ceil(FRAME_LEN))
            }
        };
        self.failures += u64::from(memory.is_none());
        memory
    }

    /// Takes back what [`Heap::allocate`] returned.
    ///
    /// # Safety
    /// `memory` came from `allocate` of this heap with the same layout, and nothing uses it any more.
    pub unsafe fn deallocate(&mut self, memory: NonNull<u8>, layout: Layout) {
        match class_for(layout.size(), layout.align()) {
            Some(class) => {
                self.small_used -= class_size(class);
                // SAFETY: the caller's promise: an object of this class, unused.
                unsafe { self.push(class, memory) };
            }
            None => {
                let count = layout.size().div_ceil(FRAME_LEN);
                self.large_used -= count * FRAME_LEN;
                self.frames.free((memory.addr().get() - self.base) / FRAME_LEN, count);
            }
        }
    }

    /// One frame that never comes back, for page tables.
    pub fn take_frame(&mut self) -> Option<u64> {
        self.frames.allocate(1, 1).map(|frame| (self.base + frame * FRAME_LEN) as u64)
    }

    /// The figures.
    pub fn status(&self) -> MemoryStatus {
        MemoryStatus {
            total: self.frames.total() * FRAME_LEN,
            free: self.frames.free_count() * FRAME_LEN,
            small_reserved: self.small_reserved,
            small_used: self.small_used,
            large_used: self.large_used,
            failures: self.failures,
        }
    }

    fn allocate_frames(&mut self, count: usize, align: usize) -> Option<NonNull<u8>> {
        let first = self.frames.allocate(count, align)?;
        self.large_used += count * FRAME_LEN;
        Some(self.address_of(first))
    }

    fn address_of(&self, frame: usize) -> NonNull<u8> {
        let address = core::ptr::with_exposed_provenance_mut(self.base + frame * FRAME_LEN);
        let Some(memory) = NonNull::new(address) else { panic!("frame 0 at address 0 in the pool") };
        memory
    }

    fn allocate_small(&mut self, class: usize) -> Option<NonNull<u8>> {
        if self.classes[class].is_none() {
            self.refill(class)?;
        }
        let object = self.classes[class]?;
        // SAFETY: what is on a free list was written by `push` and belongs to the heap.
        self.classes[class] = unsafe { object.as_ref() }.next;
        self.small_used += class_size(class);
        Some(object.cast())
    }

    /// Cuts a new chunk into objects of `class`.
    fn refill(&mut self, class: usize) -> Option<()> {
        let len = chunk_len(class);
        let chunk = self.chunk(len)?;
        let size = class_size(class);
        for index in (0..len / size).rev() {
            // SAFETY: the chunk is ours, and object `index` ends within its `len` bytes.
            let object = unsafe { chunk.add(index * size) };
            // SAFETY: a fresh object of the class that nobody knows.
            unsafe { self.push(class, object) };
        }
        Some(())
    }

    fn chunk(&mut self, len: usize) -> Option<NonNull<u8>> {
        let layout = Layout::from_size_align(len, FRAME_LEN).ok()?;
        if let Some(chunk) = self.region.as_mut().and_then(|region| region.allocate_first_fit(layout).ok()) {
            return Some(chunk);
        }
        self.new_region(len)?;
        self.region.as_mut()?.allocate_first_fit(layout).ok()
    }

    /// Starts another region; the little that is left of the last one is given up.
    fn new_region(&mut self, at_least: usize) -> Option<()> {
        if self.regions == REGIONS_MAX {
            return None;
        }
        let mut len =
            (self.frames.total() * FRAME_LEN / REGIONS_MAX).max(REGION_LEN_MIN).next_multiple_of(FRAME_LEN);
        let first = loop {
            match self.frames.allocate(len / FRAME_LEN, 1) {
                Some(first) => break first,
                None if len / 2 >= at_least => len = (len / 2).next_multiple_of(FRAME_LEN),
                None => return None,
            }
        };
        // SAFETY: the frames are writable memory and were taken from the pool for this.
        self.region = Some(unsafe { Region::new(self.address_of(first).as_ptr(), len) });
        self.regions += 1;
        self.small_reserved += len;
        Some(())
    }

    /// # Safety
    /// `object` is memory of `class` that nobody uses.
    unsafe fn push(&mut self, class: usize, object: NonNull<u8>) {
        let object = object.cast::<FreeObject>();
        // SAFETY: classes are at least 16 bytes, 16-aligned; the caller says that the object is unused.
        unsafe { object.write(FreeObject { next: self.classes[class] }) };
        self.classes[class] = Some(object);
    }
}

static HEAP: Mutex<Option<Heap>> = Mutex::new(None);

/// Puts `heap` behind the global allocator.
pub fn install(heap: Heap) {
    let previous = HEAP.lock().replace(heap);
    assert!(previous.is_none(), "the heap is installed once");
}

/// Memory's figures; zeros before there is a heap.
pub fn status() -> MemoryStatus {
    HEAP.lock().as_ref().map(Heap::status).unwrap_or_default()
}

/// As [`status`], for reports from where the lock may be held.
pub fn status_if_free() -> Option<MemoryStatus> {
    HEAP.try_lock()?.as_ref().map(Heap::status)
}

/// One frame that never comes back, for page tables.
pub fn take_frame() -> Option<u64> {
    HEAP.lock().as_mut()?.take_frame()
}

/// The global allocator: forwards to the heap once it is installed, and has no memory before.
#[derive(Clone, Copy, Debug)]
pub struct GlobalHeap;

// SAFETY: `Heap` returns memory of the layout's size and alignment that it gives to nobody else until it is returned.
unsafe impl GlobalAlloc for GlobalHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let memory = HEAP.lock().as_mut().and_then(|heap| heap.allocate(layout));
        memory.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if let (Some(heap), Some(memory)) = (HEAP.lock().as_mut(), NonNull::new(memory)) {
            // SAFETY: the caller's promise: `memory` came from `alloc` with this layout and is unused.
            unsafe { heap.deallocate(memory, layout) };
        }
    }
}

#[cfg(test)]
mod tests;
