//! Memory that a device fills or reads, owned in a way that outlives whoever asked.
//!
//! Knows alignment and ownership. Must not know queues, requests, devices.

use alloc::alloc::{alloc, dealloc};
use bytes::Bytes;
use core::alloc::Layout;
use core::arch::asm;
use core::ops::Range;
use core::ptr::NonNull;

/// Buffers of this size and above start on a page, so that a host can pass them to its disk without a copy.
const PAGE: usize = 4096;
/// Alignment of small buffers.
const SMALL_ALIGN: usize = 64;

/// A buffer that does not move and has no reference to it: ask for its bytes by `&mut` only when no device
/// has it.
///
/// What it holds at first is unspecified: nobody spends time on zeroing what a disk is about to overwrite.
pub(crate) struct DmaBuffer {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a `DmaBuffer` owns its memory alone, as a `Vec<u8>` does.
unsafe impl Send for DmaBuffer {}

impl DmaBuffer {
    /// A buffer of `len` bytes, at least one. `None` if memory is short.
    pub(crate) fn allocate(len: usize) -> Option<DmaBuffer> {
        let align = if len >= PAGE { PAGE } else { SMALL_ALIGN };
        let layout = Layout::from_size_align(len.max(1), align).ok()?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: no instruction is executed. As the compiler must assume that the block wrote to the memory
        // that it was given a pointer to, the bytes count as initialised with whatever they hold.
        unsafe { asm!("/* {0} */", in(reg) start.as_ptr(), options(nostack, preserves_flags)) };
        Some(DmaBuffer { start, layout })
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.layout.size()
    }

    /// Where `range` of it lies. Only an address: what may be done with it is for the holder of the buffer to
    /// know.
    pub(crate) fn part(&self, range: Range<usize>) -> NonNull<[u8]> {
        assert!(range.start <= range.end && range.end <= self.len(), "a part outside the buffer");
        // SAFETY: `range.start` is not beyond the end of the allocation, as checked above.
        let start = unsafe { self.start.add(range.start) };
        NonNull::slice_from_raw_parts(start, range.end - range.start)
    }

    /// Its bytes, for whoever has it alone.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        let mut whole = self.part(0..self.len());
        // SAFETY: the memory is ours until `drop`, initialised (see `allocate`), and `&mut self` shows that
        // neither a queue, which holds the buffer or a counted reference to it, nor anybody else is looking.
        unsafe { whole.as_mut() }
    }

    /// Its bytes for good.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Filled(self))
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `allocate`, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// A buffer that no device will get again, and that can be read by many.
struct Filled(DmaBuffer);

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        let whole = self.0.part(0..self.0.len());
        // SAFETY: the memory is initialised and, once in a `Filled`, never written again.
        unsafe { whole.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_start_on_a_page_and_become_bytes_in_place() {
        let mut buffer = DmaBuffer::allocate(3 * PAGE).unwrap();
        buffer.bytes().fill(7);
        let place = buffer.part(PAGE..PAGE + 1).cast::<u8>();
        assert!(place.as_ptr().addr().is_multiple_of(PAGE));
        let bytes = buffer.into_bytes();
        assert_eq!(bytes.len(), 3 * PAGE);
        assert_eq!(bytes[PAGE..].as_ptr(), place.as_ptr());
        assert!(bytes.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn an_impossible_size_is_none() {
        assert!(DmaBuffer::allocate(usize::MAX).is_none());
    }
}
