//! Memory that a device reads and writes whenever it likes: rings, tables, answers.
//!
//! Knows pages and volatile access, by the same window as device registers. Must not know what lies in it.
//! Memory of one transfer, which has one owner at a time, is another thing: see `virtio::buffer`.

use super::mmio::Registers;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Everything of ours starts on a page, and devices of today see pages of this size.
const PAGE: usize = 4096;

/// Whole pages, zeroed, contiguous, that are looked at only through a window of volatile accesses.
///
/// Dropping it frees the memory: whoever told a device of it must have stopped the device before, or forget it.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    window: Registers,
    layout: Layout,
}

impl SharedMemory {
    /// At least `len` bytes, rounded up to pages. `None` if memory is short.
    pub(crate) fn allocate(len: usize) -> Option<SharedMemory> {
        let len = len.max(1).checked_next_multiple_of(PAGE)?;
        let layout = Layout::from_size_align(len, PAGE).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: the pages are mapped until `drop`, when the window goes, too; no reference to them is ever made.
        let window = unsafe { Registers::new(start, len) };
        Some(SharedMemory { window, layout })
    }

    /// What the device is told: RAM is mapped onto itself.
    pub(crate) fn address(&self) -> u64 {
        self.window.base().as_ptr().expose_provenance() as u64
    }

    /// The way to its content.
    pub(crate) fn window(&self) -> &Registers {
        &self.window
    }

    /// Copies what stands at `offset` into `target`.
    pub(crate) fn copy_to(&self, offset: usize, target: &mut [u8]) {
        for (at, byte) in (offset..).zip(target) {
            *byte = self.window.read8(at);
        }
    }

    /// Writes `source` at `offset`.
    pub(crate) fn copy_from(&self, offset: usize, source: &[u8]) {
        for (at, byte) in (offset..).zip(source) {
            self.window.write8(at, *byte);
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `allocate`, and freed only here.
        unsafe { dealloc(self.window.base().as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_zeroed_pages_hold_what_is_written() {
        let memory = SharedMemory::allocate(5000).unwrap();
        assert_eq!(memory.window().len(), 8192);
        assert!(memory.address().is_multiple_of(4096));
        let mut bytes = [9; 4];
        memory.copy_to(8188, &mut bytes);
        assert_eq!(bytes, [0; 4]);
        memory.copy_from(3, &[1, 2, 3]);
        assert_eq!(memory.window().read32(4), 0x0302);
        assert!(SharedMemory::allocate(usize::MAX).is_none());
    }
}
