//! What the virtio-drivers crate wants of memory.
//!
//! Knows that RAM is mapped onto itself, so that an address is good for us and for the device, and that whole
//! pages from the heap are contiguous. Must not know devices.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// The machine's memory.
#[derive(Clone, Copy, Debug)]
pub struct KernelHal;

fn pages(count: usize) -> Option<Layout> {
    Layout::from_size_align(count.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok().filter(|layout| layout.size() > 0)
}

fn address(memory: NonNull<u8>) -> PhysAddr {
    memory.as_ptr().expose_provenance() as PhysAddr
}

// SAFETY: `dma_alloc` gives zeroed pages that nobody else has, contiguous in physical memory because large
// allocations of the heap are runs of frames and RAM is mapped onto itself; for the latter reason `share` has
// nothing to do.
unsafe impl Hal for KernelHal {
    fn dma_alloc(count: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: `pages` makes no empty layout.
        let memory = pages(count).and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }));
        // Address 0 tells the crate that there was none.
        memory.map_or((0, NonNull::dangling()), |memory| (address(memory), memory))
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, count: usize) -> i32 {
        let Some(layout) = pages(count) else { return -1 };
        // SAFETY: the caller's promise: from `dma_alloc`, with as many pages.
        unsafe { dealloc(memory.as_ptr(), layout) };
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        // Only the crate's own PCI transport asks, which we do not use.
        unreachable!("registers are mapped by `memory::map_mmio`")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        address(buffer.cast())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
