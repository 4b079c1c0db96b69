//! Memory: frames, heap, page tables, device registers.
//!
//! Knows the loader's memory map and what becomes of each part. RAM is mapped onto itself, so a buffer's address is what a
//! device is told. Page 0 and the guard pages are not mapped; code is never writable, data never executable.

pub mod copy;
pub mod frames;
pub mod heap;
pub mod map;
pub mod mmio;
pub mod paging;
pub(crate) mod shared;
pub mod size_class;

use crate::arch::cpu;
use crate::boot_info::{BootInfo, KernelImage, MemoryKind};
use core::ptr::NonNull;
use frames::{BOOKKEEPING_LEN, FRAME_LEN, FramePool, Links};
use heap::Heap;
use map::{Ranges, free_ranges, usable_ranges};
use mmio::Registers;
use paging::{ADDRESS_END, Access, NoFrame, PageTables};
use spin::{Mutex, Once};

/// What the entry's own page tables reach: bookkeeping must lie below until ours are in place.
const BOOT_MAPPED_END: u64 = 4 << 30;

/// Below, firmware's and ours lie mixed; none of it is handed out.
const LOW_MEMORY_END: u64 = 1 << 20;
/// Where in the first MiB a page is looked for: behind what BIOSes keep for themselves, before video memory.
const LOW_PAGES: (u64, u64) = (0x8000, 0xa_0000);

/// What stays across a restart: in front of the kernel, behind what a BIOS loader uses, the same for every kernel.
const KEPT: (u64, u64) = (31 << 20, (31 << 20) + (68 << 10));

static TABLES: Mutex<Option<PageTables>> = Mutex::new(None);
static BOOT_STACK_GUARD: Once<usize> = Once::new();
/// RAM above the first MiB, the image included: never a device, never firmware's.
static RAM: Once<Ranges> = Once::new();
/// A free page in the first MiB, and whether somebody has it.
static LOW_PAGE: Mutex<Option<u64>> = Mutex::new(None);

/// The memory that stays is ours, and nobody has it yet.
static KEPT_IS_FREE: Mutex<bool> = Mutex::new(false);

/// Why memory could not be set up or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The loader gave no map, or none of it is RAM for us.
    #[error("the loader's memory map holds no usable memory behind the kernel")]
    NoMemory,
    /// The frame pool is empty.
    #[error("{0}")]
    NoFrame(#[from] NoFrame),
    /// The range is not one that we can map for a device.
    #[error("cannot map {start:#x}+{len:#x} for a device: outside the physical address space, or RAM")]
    NotMappable {
        /// First byte.
        start: u64,
        /// Bytes.
        len: u64,
    },
}

/// Takes over memory: builds the frame pool from the map, installs the heap, and switches to our page tables.
///
/// # Safety
/// Runs once, before anything uses memory outside the image; the map and the image are what they say.
///
/// # Errors
/// [`MemoryError::NoMemory`] or [`MemoryError::NoFrame`]: there is not enough memory to run at all.
pub unsafe fn init(boot_info: &BootInfo) -> Result<(), MemoryError> {
    let KernelImage { text, end, .. } = boot_info.image;
    let mut ranges = free_ranges(&boot_info.memory, LOW_MEMORY_END, (text as u64, end as u64));
    *KEPT_IS_FREE.lock() = map::take(&mut ranges, KEPT);
    let bookkeeping = Bookkeeping::place(&ranges).ok_or(MemoryError::NoMemory)?;
    // SAFETY: the caller's promise makes the map's usable memory ours, and `place` chose from it, below 4 GiB.
    let (links, marks) = unsafe { bookkeeping.slices() };
    let mut pool = FramePool::new(links, marks);
    // What the entry's tables reach first: our own tables are made of it.
    for &(start, end) in &ranges {
        add_frames(&mut pool, &bookkeeping, start, end.min(BOOT_MAPPED_END));
    }
    let mut tables = build_tables(boot_info, &mut pool)?;
    guard(&mut tables, boot_info.image.stack_guard as u64, &mut pool)?;
    for page in crate::arch::descriptors::stack_guards() {
        guard(&mut tables, page as u64, &mut pool)?;
    }
    // SAFETY: the tables map the image and all RAM onto themselves, just as the entry's do.
    unsafe { cpu::load_page_tables(tables.root()) };
    for &(start, end) in &ranges {
        add_frames(&mut pool, &bookkeeping, start.max(BOOT_MAPPED_END), end);
    }
    *TABLES.lock() = Some(tables);
    BOOT_STACK_GUARD.call_once(|| boot_info.image.stack_guard);
    *LOW_PAGE.lock() = map::usable_ranges(&boot_info.memory, LOW_PAGES.0)
        .first()
        .map(|&(start, _)| start)
        .filter(|&start| start < LOW_PAGES.1);
    RAM.call_once(|| usable_ranges(&boot_info.memory, LOW_MEMORY_END));
    // SAFETY: the pool holds usable memory that is neither the image nor the bookkeeping, mapped by now.
    heap::install(unsafe { Heap::new(pool, 0) });
    Ok(())
}

/// Where the frame pool's bookkeeping lies.
struct Bookkeeping {
    start: u64,
    end: u64,
    frames: usize,
}

impl Bookkeeping {
    /// Chooses a place: the last range below 4 GiB that is large enough; describes as many frames as fit.
    fn place(ranges: &Ranges) -> Option<Bookkeeping> {
        let frames = ranges.iter().map(|&(_, end)| end / FRAME_LEN as u64).max()? as usize;
        let len = (frames as u64 * BOOKKEEPING_LEN as u64).next_multiple_of(FRAME_LEN as u64);
        let fits = |&(start, end): &(u64, u64)| start + len <= end.min(BOOT_MAPPED_END);
        let &(start, end) = ranges.iter().rev().find(|range| fits(range))?;
        let end = end.min(BOOT_MAPPED_END);
        debug_assert!(start + len <= end);
        Some(Bookkeeping { start: end - len, end, frames })
    }

    /// # Safety
    /// The chosen memory is mapped, writable, and used by nobody.
    unsafe fn slices(&self) -> (&'static mut [Links], &'static mut [u8]) {
        let links: *mut Links = core::ptr::with_exposed_provenance_mut(self.start as usize);
        let marks = links.wrapping_add(self.frames).cast::<u8>();
        // SAFETY: zero is a valid byte of both; the memory is ours and long enough for both.
        unsafe { links.cast::<u8>().write_bytes(0, self.frames * BOOKKEEPING_LEN) };
        // SAFETY: `frames` links fit, are initialised, and nobody else has them.
        let links = unsafe { core::slice::from_raw_parts_mut(links, self.frames) };
        // SAFETY: the marks lie behind the links, still inside the chosen memory.
        (links, unsafe { core::slice::from_raw_parts_mut(marks, self.frames) })
    }
}

fn add_frames(pool: &mut FramePool<'_>, bookkeeping: &Bookkeeping, start: u64, end: u64) {
    let mut add = |start: u64, end: u64| {
        if start < end {
            pool.add((start / FRAME_LEN as u64) as usize, ((end - start) / FRAME_LEN as u64) as usize);
        }
    };
    if bookkeeping.start >= start && bookkeeping.end <= end {
        add(start, bookkeeping.start);
        add(bookkeeping.end, end);
    } else {
        add(start, end);
    }
}

/// Tables that map all RAM and the image, each part with the access it needs.
fn build_tables(boot_info: &BootInfo, pool: &mut FramePool<'_>) -> Result<PageTables, MemoryError> {
    let mut frame = || pool.allocate(1, 1).map(|frame| (frame * FRAME_LEN) as u64);
    // SAFETY: the pool's frames are mapped by the entry's tables, and taken for good.
    let mut tables = unsafe { PageTables::new(cpu::has_gigabyte_pages(), &mut frame)? };
    let KernelImage { text, rodata, data, end, .. } = boot_info.image;
    let ram = boot_info.memory.iter().filter(|region| region.kind == MemoryKind::Usable);
    let ram = ram
        .map(|region| (region.start.next_multiple_of(4096).max(4096), region.end & !4095, Access::ReadWrite));
    let image = [
        (text as u64, rodata as u64, Access::Execute),
        (rodata as u64, data as u64, Access::Read),
        (data as u64, end as u64, Access::ReadWrite),
    ];
    for (start, end, access) in ram.chain(image) {
        let end = end.min(ADDRESS_END);
        if start < end {
            // SAFETY: as above; the tables are not in use.
            unsafe { tables.map(start, end, access, &mut frame)? };
        }
    }
    Ok(tables)
}

fn guard(tables: &mut PageTables, page: u64, pool: &mut FramePool<'_>) -> Result<(), NoFrame> {
    let mut frame = || pool.allocate(1, 1).map(|frame| (frame * FRAME_LEN) as u64);
    // SAFETY: guard pages hold nothing; the tables are not in use yet.
    unsafe { tables.map(page, page + FRAME_LEN as u64, Access::None, &mut frame) }
}

/// Whether `address` lies in a page below a stack: reading there is a fault.
pub(crate) fn is_guard_page(address: usize) -> bool {
    let page = address & !(FRAME_LEN - 1);
    BOOT_STACK_GUARD.get() == Some(&page)
        || crate::arch::descriptors::stack_guards().any(|guard| guard == page)
}

/// Maps `len` bytes of device registers at physical address `start`, uncached. Stays mapped for good; mapping twice is fine.
///
/// # Errors
/// [`MemoryError::NotMappable`] for RAM or an impossible address, [`MemoryError::NoFrame`] without memory for tables.
pub fn map_mmio(start: u64, len: usize) -> Result<Registers, MemoryError> {
    let base = map_outside_ram(start, len as u64, Access::Device)?;
    // SAFETY: the range has just been mapped as device memory, is not RAM, and is never unmapped.
    Ok(unsafe { Registers::new(base, len) })
}

/// Maps what firmware left at physical address `start`, for reading: tables that it does not change any more.
///
/// # Errors
/// As [`map_mmio`].
pub fn map_firmware(start: u64, len: usize) -> Result<&'static [u8], MemoryError> {
    let base = map_outside_ram(start, len as u64, Access::Read)?;
    // SAFETY: mapped for reading, for good, and no part of the memory that we hand out.
    Ok(unsafe { core::slice::from_raw_parts(base.as_ptr(), len) })
}

/// Makes accesses to a page of the heap a fault, for good: below a stack that is never freed.
///
/// # Safety
/// The page was allocated by the caller, and is never used or freed.
///
/// # Errors
/// [`MemoryError::NoFrame`] without memory for tables.
pub(crate) unsafe fn forbid_page(page: usize) -> Result<(), MemoryError> {
    // SAFETY: the caller's promise.
    unsafe { remap(page as u64, Access::None) }
}

/// # Safety
/// Nothing relies on what the page was.
unsafe fn remap(page: u64, access: Access) -> Result<(), MemoryError> {
    let mut tables = TABLES.lock();
    let not_mapped = MemoryError::NotMappable { start: page, len: FRAME_LEN as u64 };
    let tables = tables.as_mut().ok_or(not_mapped)?;
    // SAFETY: the caller's promise.
    unsafe { tables.map(page, page + FRAME_LEN as u64, access, &mut heap::take_frame)? };
    cpu::flush_address_translations();
    Ok(())
}

/// The root of the page tables, for another processor.
pub(crate) fn root() -> Option<u64> {
    TABLES.lock().as_ref().map(PageTables::root)
}

/// Memory that the next start of the machine finds as this one leaves it, if firmware does not use it. To the first who asks;
/// `None` on a machine that has none there.
pub(crate) fn take_kept() -> Option<&'static mut [u8]> {
    if !core::mem::take(&mut *KEPT_IS_FREE.lock()) {
        return None;
    }
    let start: *mut u8 = core::ptr::with_exposed_provenance_mut(KEPT.0 as usize);
    // SAFETY: RAM that the tables map, taken out of what is handed out, and given here once. Any bytes are bytes.
    Some(unsafe { core::slice::from_raw_parts_mut(start, (KEPT.1 - KEPT.0) as usize) })
}

/// A page in the first MiB, for the code that a processor starts with.
#[derive(Debug)]
pub(crate) struct LowPage(u64);

/// The one that there is, to the first who asks.
pub(crate) fn low_code_page() -> Option<LowPage> {
    LOW_PAGE.lock().take().map(LowPage)
}

impl LowPage {
    pub(crate) fn address(&self) -> u64 {
        self.0
    }

    /// Puts code there, for good.
    ///
    /// # Errors
    /// [`MemoryError::NoFrame`] without memory for tables.
    pub(crate) fn fill(self, code: &[u8]) -> Result<(), MemoryError> {
        assert!(code.len() <= FRAME_LEN, "code of more than a page");
        let page: *mut u8 = core::ptr::with_exposed_provenance_mut(self.0 as usize);
        // SAFETY: the page is usable memory that is given to nobody else, mapped, and as long as the code at least.
        unsafe { page.copy_from_nonoverlapping(code.as_ptr(), code.len()) };
        // SAFETY: nothing but the code lies there.
        unsafe { remap(self.0, Access::Execute) }
    }
}

fn map_outside_ram(start: u64, len: u64, access: Access) -> Result<NonNull<u8>, MemoryError> {
    let not_mappable = MemoryError::NotMappable { start, len };
    let end = start.checked_add(len).filter(|&end| end <= cpu::physical_address_end().min(ADDRESS_END));
    let end = end.ok_or(not_mappable)?;
    let is_ram = RAM.get().is_none_or(|ranges| map::overlaps(ranges, start & !4095, end - (start & !4095)));
    let base = NonNull::new(core::ptr::with_exposed_provenance_mut(start as usize)).ok_or(not_mappable)?;
    if is_ram || start < 4096 || len == 0 {
        return Err(not_mappable);
    }
    let mut tables = TABLES.lock();
    let tables = tables.as_mut().ok_or(not_mappable)?;
    // SAFETY: the range is outside all memory that we hand out and outside the image, so nothing of ours relies on it.
    unsafe { tables.map(start, end, access, &mut heap::take_frame)? };
    cpu::flush_address_translations();
    Ok(base)
}
