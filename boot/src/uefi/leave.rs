//! Leaving the firmware: what the kernel needs packed into one parcel of memory, and the jump.
//!
//! The kernel's place may be in use by the firmware's own services until they have ended, so its segments wait in the parcel and
//! are copied at the very end, by code in the parcel, with page tables in the parcel. Knows PVH's entry (32-bit
//! protected mode, EBX = start_info). Must not know how the kernel was found.

use core::sync::atomic::{AtomicBool, Ordering};
use heapless::Vec;
use kernel::boot_info::screen::Screen;
use kernel::boot_info::smbios;
use kernel::loader::identity::{IdentityMap, PAGE_LEN, TABLE_LEN};
use kernel::loader::regions::{self, REGIONS_MAX, Region};
use kernel::loader::{Handover, KernelFile, MAP_ENTRY_LEN, MODULE_LEN, SEGMENTS_MAX, Segment, module};
use uefi::boot::{self, AllocateType};
use uefi::mem::memory_map::{MemoryMap, MemoryMapMut, MemoryMapOwned, MemoryType};

core::arch::global_asm!(include_str!("leave.s"));

const PAGE: usize = 4096;
/// The parcel's pages: code; orders, with the stack above them; start_info and what it points at; the map; tables; segments.
const ORDERS: usize = PAGE;
const INFO: usize = 2 * PAGE;
const MODULES: usize = INFO + 0x100;
const SCREEN: usize = INFO + 0x200;
const SMBIOS: usize = INFO + 0x300;
const COMMAND_LINE: usize = INFO + 0x400;
const MAP: usize = 3 * PAGE;
const TABLES: usize = MAP + (REGIONS_MAX * MAP_ENTRY_LEN).next_multiple_of(PAGE);
const TABLES_LEN: usize = 16 * TABLE_LEN;
const SEGMENTS: usize = TABLES + TABLES_LEN;
/// In the page of the orders.
const GDT: usize = ORDERS + 0x100;
const COPIES: usize = ORDERS + 0x200;
const COPY_LEN: usize = 32;
/// Null, 32-bit code, data.
const GDT_ENTRIES: [u64; 3] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// Where 32-bit code can reach.
const REACH: u64 = 1 << 32;
/// Parcels that lie where the kernel belongs are put aside; so many at most.
const TRIES: usize = 64;
const FIVE_LEVELS: u64 = 1 << 12;

/// Bytes of command line that a parcel holds, its final zero included.
pub const COMMAND_LINE_MAX: usize = MAP - COMMAND_LINE;

/// Whether the firmware's services have ended, its console among them.
pub static HAS_LEFT: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    static place_start: u8;
    static place_end: u8;
    fn leave_firmware(orders: u64) -> !;
}

/// Why the kernel cannot be given the machine.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum NoRoom {
    /// The firmware's map says so.
    #[error("it wants {len} bytes of memory at {address:#x}, where there is none, or the firmware keeps it")]
    Taken {
        /// Where.
        address: u64,
        /// How much.
        len: u64,
    },
    /// Not enough memory where it is needed.
    #[error("there are no {0} bytes of memory free below 4 GiB")]
    Low(usize),
    /// No map.
    #[error("the firmware gives no memory map: {0}")]
    NoMap(uefi::Status),
}

/// What a kernel is told of the machine.
pub struct Told {
    /// ACPI's root pointer; 0 for none.
    pub rsdp: u64,
    /// SMBIOS's entry point.
    pub smbios: Option<u64>,
    /// The screen.
    pub screen: Option<Screen>,
}

/// A kernel ready to go.
pub struct Parcel {
    address: u64,
    memory: &'static mut [u8],
}

impl Parcel {
    /// Packs a kernel, and what it is told: of the machine, and words, of which [`COMMAND_LINE_MAX`] - 1 bytes fit; the
    /// rest is cut off.
    pub fn pack(kernel: &KernelFile<'_>, command_line: &str, told: &Told) -> Result<Parcel, NoRoom> {
        for segment in &kernel.segments {
            // Where this succeeds nobody else comes there; where not, the map decides below.
            let pages = (segment.address % PAGE as u64 + segment.len).div_ceil(PAGE as u64) as usize;
            let start = segment.address - segment.address % PAGE as u64;
            let _ = boot::allocate_pages(AllocateType::Address(start), MemoryType::LOADER_DATA, pages);
        }
        check_place(&kernel.segments)?;
        let segments_len: usize = kernel.segments.iter().map(|segment| segment.bytes.len() + 16).sum();
        let len = (SEGMENTS + segments_len).next_multiple_of(PAGE);
        let mut parcel = allocate(len, &kernel.segments)?;
        parcel.put_code();
        parcel.put_orders(kernel);
        parcel.put_tables();
        parcel.put_segments(&kernel.segments);
        let line = command_line.as_bytes();
        parcel.put(COMMAND_LINE, &line[..line.len().min(COMMAND_LINE_MAX - 1)]);
        let module_count = parcel.put_modules(told);
        let handover = Handover {
            command_line: parcel.at(COMMAND_LINE),
            rsdp: told.rsdp,
            map: parcel.at(MAP),
            // Known once the firmware's services have ended.
            map_entries: 0,
            modules: parcel.at(MODULES),
            module_count,
        };
        parcel.put(INFO, &handover.encode());
        Ok(parcel)
    }

    /// Ends the firmware's services and starts the kernel.
    pub fn send(mut self) -> ! {
        // SAFETY: nothing is used afterwards that the services own: no protocol is open, and nothing is allocated, freed
        // or said from here on.
        let mut map = unsafe { boot::exit_boot_services(Some(MemoryType::LOADER_DATA)) };
        HAS_LEFT.store(true, Ordering::Relaxed);
        let regions = joined(&mut map);
        for (index, region) in regions.iter().enumerate() {
            self.put(MAP + index * MAP_ENTRY_LEN, &region.encode());
        }
        self.put(INFO + 48, &(regions.len() as u32).to_le_bytes());
        core::mem::forget(map);
        // SAFETY: the parcel holds all that the assembly needs, and what it overwrites was checked to be RAM that nobody
        // needs any more.
        unsafe { leave_firmware(self.at(ORDERS)) }
    }

    fn at(&self, offset: usize) -> u64 {
        self.address + offset as u64
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.memory[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u64(&mut self, offset: usize, value: u64) {
        self.put(offset, &value.to_le_bytes());
    }

    fn put_code(&mut self) {
        let start = &raw const place_start;
        let len = (&raw const place_end).addr() - start.addr();
        // SAFETY: the assembly between the two labels, which nobody writes.
        let code = unsafe { core::slice::from_raw_parts(start, len) };
        self.put(0, code);
    }

    /// What PVH has no field for; says how many modules there are.
    fn put_modules(&mut self, told: &Told) -> u32 {
        let mut count = 0;
        let mut put = |place, bytes: &[u8]| {
            self.put(place, bytes);
            let entry = module(self.at(place), bytes.len() as u64);
            self.put(MODULES + count as usize * MODULE_LEN, &entry);
            count += 1;
        };
        if let Some(screen) = told.screen {
            put(SCREEN, &screen.encode());
        }
        if let Some(address) = told.smbios {
            put(SMBIOS, &smbios::encode(address));
        }
        count
    }

    /// As `leave.s` reads them.
    fn put_orders(&mut self, kernel: &KernelFile<'_>) {
        let numbers = [TABLES, 0, INFO, COPIES].map(|offset| self.at(offset));
        for (index, number) in numbers.into_iter().enumerate() {
            self.put_u64(ORDERS + index * 8, number);
        }
        self.put_u64(ORDERS + 32, kernel.segments.len() as u64);
        self.put(ORDERS + 40, &kernel.entry.to_le_bytes());
        self.put(ORDERS + 44, &(self.at(INFO) as u32).to_le_bytes());
        self.put(ORDERS + 48, &(size_of_val(&GDT_ENTRIES) as u16 - 1).to_le_bytes());
        self.put_u64(ORDERS + 50, self.at(GDT));
        for (index, entry) in GDT_ENTRIES.into_iter().enumerate() {
            self.put_u64(GDT + index * 8, entry);
        }
    }

    fn put_tables(&mut self) {
        let address = self.at(TABLES);
        let levels = if control_register_4() & FIVE_LEVELS == 0 { 4 } else { 5 };
        let mut map = IdentityMap::new(&mut self.memory[TABLES..SEGMENTS], address, levels);
        let here = leave_firmware as *const () as u64;
        let low = (0..REACH).step_by(PAGE_LEN as usize);
        for address in low.chain([here, here + PAGE as u64]) {
            assert!(map.map(address).is_ok(), "the parcel has too few pages for tables");
        }
    }

    fn put_segments(&mut self, segments: &[Segment<'_>]) {
        const { assert!(SEGMENTS_MAX * COPY_LEN <= INFO - COPIES - 0x400, "orders and stack share a page") };
        let mut offset = SEGMENTS;
        for (index, segment) in segments.iter().enumerate() {
            let len = segment.bytes.len();
            let order = [self.at(offset), segment.address, len as u64, segment.len - len as u64];
            for (word, number) in order.into_iter().enumerate() {
                self.put_u64(COPIES + index * COPY_LEN + word * 8, number);
            }
            self.put(offset, segment.bytes);
            offset += len.next_multiple_of(16);
        }
    }
}

/// Whether every segment's place is RAM once the firmware's services have ended.
fn check_place(segments: &[Segment<'_>]) -> Result<(), NoRoom> {
    let mut map = boot::memory_map(MemoryType::LOADER_DATA).map_err(|error| NoRoom::NoMap(error.status()))?;
    let regions = joined(&mut map);
    for Segment { address, len, .. } in segments {
        let below = address.checked_add(*len).is_some_and(|end| end <= REACH);
        if !below || !regions::is_ram(&regions, *address, *len) {
            return Err(NoRoom::Taken { address: *address, len: *len });
        }
    }
    Ok(())
}

/// The firmware's map, as the kernel will see it.
fn joined(map: &mut MemoryMapOwned) -> Vec<Region, REGIONS_MAX> {
    map.sort();
    regions::joined(map.entries().map(|entry| Region {
        start: entry.phys_start,
        len: entry.page_count.saturating_mul(PAGE as u64),
        kind: regions::efi_kind(entry.ty.0),
    }))
}

/// Memory below 4 GiB, full of zeros, that no segment will be copied to.
fn allocate(len: usize, segments: &[Segment<'_>]) -> Result<Parcel, NoRoom> {
    for _ in 0..TRIES {
        let place = AllocateType::MaxAddress(REACH - 1);
        let memory = boot::allocate_pages(place, MemoryType::LOADER_DATA, len / PAGE);
        let start = memory.map_err(|_| NoRoom::Low(len))?;
        let address = start.addr().get() as u64;
        let clear = |segment: &Segment<'_>| {
            address + len as u64 <= segment.address || segment.address + segment.len <= address
        };
        if segments.iter().all(clear) {
            // SAFETY: pages just allocated, and never freed.
            unsafe { start.write_bytes(0, len) };
            // SAFETY: as above, and they hold zeros now.
            let memory = unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) };
            return Ok(Parcel { address, memory });
        }
    }
    Err(NoRoom::Low(len))
}

fn control_register_4() -> u64 {
    let value;
    // SAFETY: reading it changes nothing; firmware runs at the highest privilege.
    unsafe { core::arch::asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
