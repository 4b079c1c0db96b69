//! Memory: the BIOS's map of it (ACPI 6.5, chapter 15: E820), our heap in it, and where a kernel may go.

use crate::firmware::{self, Registers, SCRATCH_LEN};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut, with_exposed_provenance_mut};
use heapless::Vec;
use linked_list_allocator::Heap;

const SYSTEM: u8 = 0x15;
const MEMORY_MAP: u32 = 0xe820;
const SIGNATURE: u32 = 0x534d_4150;
const REGION_LEN: u32 = 24;
const REGIONS_MAX: usize = 128;
const USABLE: u32 = 1;

/// Up to here we lie ourselves, with stacks and buffer.
const LOW_END: u64 = 0x7_0000;
/// The heap: from the end of the first MiB to where kernels begin.
const HEAP_START: u64 = 0x10_0000;
const HEAP_END: u64 = 0x100_0000;
/// Less than this holds no kernel file.
const HEAP_LEN_MIN: u64 = 4 << 20;
/// What is mapped.
const MAPPED_END: u64 = 1 << 32;

/// A region of the map, as the BIOS gave it.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// ACPI's number for its kind; 1 is RAM.
    pub kind: u32,
}

/// What stands in the way of a kernel.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum MemoryError {
    /// No map.
    #[error("the BIOS gives no memory map (E820)")]
    NoMap,
    /// The first MiB is not as in every PC.
    #[error("the BIOS uses memory below 448 KiB, where this loader lies")]
    Low,
    /// Too little behind it.
    #[error("there is too little memory between 1 MiB and 16 MiB")]
    High,
    /// A kernel that wants to lie where there is no room.
    #[error("it wants {len} bytes of memory at {address:#x}, where there is none or it is in use")]
    Taken {
        /// Where.
        address: u64,
        /// How much.
        len: u64,
    },
}

/// The memory map.
#[derive(Clone, Debug)]
pub struct MemoryMap {
    regions: Vec<Region, REGIONS_MAX>,
}

impl MemoryMap {
    /// Asks the BIOS.
    pub fn read() -> Result<MemoryMap, MemoryError> {
        let mut regions = Vec::new();
        let mut next = 0;
        while !regions.is_full() {
            let mut scratch = [0; SCRATCH_LEN];
            let registers = Registers {
                eax: MEMORY_MAP,
                ebx: next,
                ecx: REGION_LEN,
                edx: SIGNATURE,
                edi: firmware::scratch_address(),
                ..Registers::default()
            };
            // SAFETY: the service writes one region, to scratch memory.
            let answer = unsafe { firmware::call(SYSTEM, registers, &mut scratch) };
            if answer.failed() || answer.eax != SIGNATURE {
                break;
            }
            let [s0, s1, s2, s3, s4, s5, s6, s7, l0, l1, l2, l3, l4, l5, l6, l7, k0, k1, k2, k3, ..] =
                scratch;
            let region = Region {
                start: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
                len: u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
                kind: u32::from_le_bytes([k0, k1, k2, k3]),
            };
            if region.len > 0 {
                // There is room: the loop asks before each call.
                let _ = regions.push(region);
            }
            next = answer.ebx;
            if next == 0 {
                break;
            }
        }
        let map = MemoryMap { regions };
        match () {
            () if map.regions.is_empty() => Err(MemoryError::NoMap),
            () if map.usable_from(0) < LOW_END => Err(MemoryError::Low),
            () => Ok(map),
        }
    }

    /// All regions, in the BIOS's order.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// How far usable memory reaches from `start` on.
    fn usable_from(&self, start: u64) -> u64 {
        let holding = |region: &&Region| {
            let end = region.start.saturating_add(region.len);
            region.kind == USABLE && region.start <= start && start < end
        };
        self.regions.iter().find(holding).map_or(start, |region| region.start.saturating_add(region.len))
    }

    /// Whether a kernel's segment may lie there: in one region of RAM, behind our heap, and below 4 GiB.
    pub fn check_free(&self, address: u64, len: u64) -> Result<(), MemoryError> {
        let end = address.saturating_add(len);
        let free = address >= HEAP_END && end <= self.usable_from(address) && end <= MAPPED_END;
        if free { Ok(()) } else { Err(MemoryError::Taken { address, len }) }
    }
}

/// Puts a segment in its place, with zeros behind it.
///
/// # Safety
/// [`MemoryMap::check_free`] must have allowed the range, and nothing of an earlier segment be needed there.
pub unsafe fn place(address: u64, bytes: &[u8], len: u64) {
    let target: *mut u8 = with_exposed_provenance_mut(address as usize);
    // SAFETY: RAM that is mapped, and that neither we nor the heap use.
    unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    let rest = target.wrapping_add(bytes.len());
    // SAFETY: the rest of the same range.
    unsafe { rest.write_bytes(0, len as usize - bytes.len()) };
}

/// The heap: one processor without interrupts, so nobody can come between.
struct LoaderHeap(UnsafeCell<Heap>);

// SAFETY: there is one thread of control.
unsafe impl Sync for LoaderHeap {}

#[global_allocator]
static HEAP: LoaderHeap = LoaderHeap(UnsafeCell::new(Heap::empty()));

/// Gives the heap its memory. Returns the bytes that a kernel file may have: the rest is for what reading it takes.
pub fn start_heap(map: &MemoryMap) -> Result<u64, MemoryError> {
    let end = map.usable_from(HEAP_START).min(HEAP_END);
    let len = end.saturating_sub(HEAP_START);
    if len < HEAP_LEN_MIN {
        return Err(MemoryError::High);
    }
    // SAFETY: one thread of control, and no allocation is under way.
    let heap = unsafe { &mut *HEAP.0.get() };
    // SAFETY: this is RAM which neither we nor the BIOS use, and it is given once.
    unsafe { heap.init(with_exposed_provenance_mut(HEAP_START as usize), len as usize) };
    Ok(len - (len / 8).max(HEAP_LEN_MIN / 2))
}

// SAFETY: linked_list_allocator gives memory that is valid, aligned, and given to nobody else.
unsafe impl GlobalAlloc for LoaderHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread of control, and this function calls nothing that allocates.
        let heap = unsafe { &mut *self.0.get() };
        heap.allocate_first_fit(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as for `alloc`.
        let heap = unsafe { &mut *self.0.get() };
        if let Some(memory) = NonNull::new(memory) {
            // SAFETY: the caller's promise: it came from `alloc` with this layout.
            unsafe { heap.deallocate(memory, layout) };
        }
    }
}
