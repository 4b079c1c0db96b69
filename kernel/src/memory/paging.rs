//! Page tables: every mapped address is its own physical address.
//!
//! Knows the four levels of x86-64 tables (Intel SDM vol. 3A, 4.5). Must not know what is mapped or why.

use core::ptr::NonNull;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: usize = 512;

/// The lower half of the address space; identity mapping cannot reach behind.
pub const ADDRESS_END: u64 = 1 << 47;

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: an access is a fault.
    None,
    /// Loads.
    Read,
    /// Loads and stores.
    ReadWrite,
    /// Loads and instruction fetches.
    Execute,
    /// Loads and stores that reach a device, unbuffered and in order.
    Device,
}

impl Access {
    fn bits(self) -> u64 {
        match self {
            Access::None => 0,
            Access::Read => PRESENT | NO_EXECUTE,
            Access::ReadWrite => PRESENT | WRITABLE | NO_EXECUTE,
            Access::Execute => PRESENT,
            Access::Device => PRESENT | WRITABLE | NO_EXECUTE | UNCACHED | WRITE_THROUGH,
        }
    }
}

/// No frame was left for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for page tables")]
pub struct NoFrame;

/// One tree of tables, not necessarily the one in use.
#[derive(Debug)]
pub struct PageTables {
    root: NonNull<Table>,
    gigabyte_pages: bool,
}

#[repr(C, align(4096))]
struct Table([u64; ENTRIES]);

// SAFETY: the tables are reached through this value alone.
unsafe impl Send for PageTables {}

impl PageTables {
    /// Empty tables.
    ///
    /// # Safety
    /// Here and in [`PageTables::map`], `frame` must return addresses of frames that are mapped, and that nobody else
    /// uses from then on.
    ///
    /// # Errors
    /// [`NoFrame`] if `frame` had none.
    pub unsafe fn new(
        gigabyte_pages: bool,
        frame: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<PageTables, NoFrame> {
        Ok(PageTables { root: new_table(frame)?, gigabyte_pages })
    }

    /// The root's address, for CR3.
    pub fn root(&self) -> u64 {
        self.root.addr().get() as u64
    }

    /// Maps the pages that hold `start..end` onto themselves, in place of what they were; whole large pages where they fit.
    ///
    /// # Safety
    /// As [`PageTables::new`]; and if these tables are in use, nothing may rely on what the pages were.
    ///
    /// # Errors
    /// [`NoFrame`] if `frame` had none; part of the range may be mapped then.
    pub unsafe fn map(
        &mut self,
        start: u64,
        end: u64,
        access: Access,
        frame: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), NoFrame> {
        assert!(start <= end && end <= ADDRESS_END, "identity mapping of {start:#x}..{end:#x}");
        let mut at = start & !0xfff;
        while at < end {
            let level = self.largest_level(at, end);
            at += self.map_page(at, level, access, frame)?;
        }
        Ok(())
    }

    /// The level whose pages fit at `at`: 2 for 1 GiB, 1 for 2 MiB, 0 for 4 KiB.
    fn largest_level(&self, at: u64, end: u64) -> u32 {
        let top = if self.gigabyte_pages { 2 } else { 1 };
        let fits = |level: u32| at.is_multiple_of(page_len(level)) && end - at >= page_len(level);
        (1..=top).rev().find(|&level| fits(level)).unwrap_or(0)
    }

    /// Maps one page of at most `level` at `at`; returns how long it is.
    fn map_page(
        &mut self,
        at: u64,
        level: u32,
        access: Access,
        frame: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<u64, NoFrame> {
        let mut table = self.root;
        for depth in (0..=3).rev() {
            // SAFETY: every table was made by `new_table` from a frame that is ours, and `&mut self` is the only way.
            let entries = unsafe { &mut table.as_mut().0 };
            let entry = &mut entries[(at >> (12 + 9 * depth)) as usize % ENTRIES];
            let is_table = *entry & PRESENT != 0 && *entry & LARGE == 0 && depth > 0;
            if depth == 0 || (depth <= level && !is_table) {
                let bits = access.bits();
                let large = if depth > 0 && bits != 0 { LARGE } else { 0 };
                *entry = if bits == 0 { 0 } else { at | bits | large };
                return Ok(page_len(depth));
            }
            table = descend(entry, depth, frame)?;
        }
        Err(NoFrame)
    }

    /// What the page at `at` allows: for tests.
    #[cfg(test)]
    fn look_up(&self, at: u64) -> Option<(u64, u64)> {
        let mut table = self.root;
        for depth in (0..=3).rev() {
            // SAFETY: as in `map_page`.
            let entry = unsafe { table.as_ref() }.0[(at >> (12 + 9 * depth)) as usize % ENTRIES];
            if entry & PRESENT == 0 {
                return None;
            }
            if depth == 0 || entry & LARGE != 0 {
                let offset = at & (page_len(depth) - 1);
                return Some(((entry & ADDRESS & !(page_len(depth) - 1)) + offset, entry));
            }
            table = table_at(entry);
        }
        None
    }
}

/// The table below `entry`, made if it is not there; a large page becomes a table of smaller ones that say the same.
fn descend(
    entry: &mut u64,
    depth: u32,
    frame: &mut dyn FnMut() -> Option<u64>,
) -> Result<NonNull<Table>, NoFrame> {
    let old = *entry;
    if old & PRESENT != 0 && old & LARGE == 0 {
        return Ok(table_at(old));
    }
    let mut table = new_table(frame)?;
    if old & PRESENT != 0 {
        let large = if depth == 1 { 0 } else { LARGE };
        let first = (old & !LARGE) | large;
        // SAFETY: `new_table` has just made it and nobody else knows it.
        for (index, small) in (0..).zip(&mut unsafe { table.as_mut() }.0) {
            *small = first + index * page_len(depth - 1);
        }
    }
    *entry = table.addr().get() as u64 | PRESENT | WRITABLE;
    Ok(table)
}

fn page_len(level: u32) -> u64 {
    1 << (12 + 9 * level)
}

fn table_at(entry: u64) -> NonNull<Table> {
    let address = core::ptr::with_exposed_provenance_mut((entry & ADDRESS) as usize);
    let Some(table) = NonNull::new(address) else { panic!("page table at address 0") };
    table
}

fn new_table(frame: &mut dyn FnMut() -> Option<u64>) -> Result<NonNull<Table>, NoFrame> {
    let table = table_at(frame().ok_or(NoFrame)?);
    // SAFETY: `frame` returned a mapped frame that is ours now: writable, aligned, as long as a table.
    unsafe { table.write(Table([0; ENTRIES])) };
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc};

    const GIB: u64 = 1 << 30;

    fn frame() -> Option<u64> {
        // SAFETY: the layout is not empty. Tests leak a few tables.
        let frame = unsafe { alloc(Layout::from_size_align(4096, 4096).unwrap()) };
        Some(frame.expose_provenance() as u64)
    }

    fn tables(gigabyte_pages: bool) -> PageTables {
        // SAFETY: `frame` allocates.
        unsafe { PageTables::new(gigabyte_pages, &mut frame) }.unwrap()
    }

    fn map(tables: &mut PageTables, start: u64, end: u64, access: Access) {
        // SAFETY: `frame` allocates, and the tables are not in use.
        unsafe { tables.map(start, end, access, &mut frame) }.unwrap();
    }

    #[test]
    fn every_address_maps_onto_itself() {
        for gigabyte_pages in [false, true] {
            let mut tables = tables(gigabyte_pages);
            map(&mut tables, 0x1000, 5 * GIB + 0x3000, Access::ReadWrite);
            for at in [0x1000, 0x1f_ffff, 0x20_0000, GIB - 1, GIB, 3 * GIB + 12345, 5 * GIB + 0x2fff] {
                assert_eq!(tables.look_up(at).unwrap().0, at);
            }
            assert_eq!(tables.look_up(0), None);
            assert_eq!(tables.look_up(5 * GIB + 0x3000), None);
        }
    }

    #[test]
    fn a_page_inside_a_large_one_changes_alone() {
        let mut tables = tables(true);
        map(&mut tables, 0, 2 * GIB, Access::ReadWrite);
        map(&mut tables, GIB + 0x5000, GIB + 0x6000, Access::None);
        map(&mut tables, GIB + 0x8000, GIB + 0x8001, Access::Device);
        assert_eq!(tables.look_up(GIB + 0x5000), None);
        let (address, bits) = tables.look_up(GIB + 0x8123).unwrap();
        assert_eq!((address, bits & UNCACHED), (GIB + 0x8123, UNCACHED));
        for at in [0, GIB + 0x4fff, GIB + 0x6000, GIB + 0x7000, 2 * GIB - 1] {
            let (address, bits) = tables.look_up(at).unwrap();
            assert_eq!((address, bits & (UNCACHED | WRITABLE)), (at, WRITABLE));
        }
    }

    #[test]
    fn mapping_over_a_finer_mapping_keeps_the_tree_whole() {
        let mut tables = tables(true);
        map(&mut tables, 0x20_0000, 0x20_3000, Access::Execute);
        map(&mut tables, 0, GIB, Access::Read);
        for at in [0, 0x20_0000, 0x20_2fff, 0x20_3000, GIB - 1] {
            let (address, bits) = tables.look_up(at).unwrap();
            assert_eq!((address, bits & NO_EXECUTE), (at, NO_EXECUTE));
        }
    }

    #[test]
    fn no_frame_is_an_error() {
        let mut tables = tables(false);
        // SAFETY: no frame is ever returned.
        assert_eq!(unsafe { tables.map(0, 4096, Access::Read, &mut || None) }, Err(NoFrame));
    }
}
