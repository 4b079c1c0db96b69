//! The BIOS loader: boot sector and second stage. Finds the kernel in 9fat, loads it, and starts it as PVH loaders do.
//!
//! | part | what |
//! |---|---|
//! | `boot_sector.s` | the disk's first sector: fetches the rest |
//! | `real_mode.s` | between real mode, where the BIOS lives, and long mode, where everything else runs |
//! | `firmware` | the BIOS's services, one call each |
//! | `disk` | the boot disk as a [`storage::device::BlockDevice`] |
//! | `console` | words on screen and serial port |
//! | `memory` | the memory map; the heap; where the kernel may go |
//!
//! Tables and file system are read by `storage`, the kernel file by [`kernel::loader`]. Nothing is written to the disk
//! but the count of a new kernel's starts. Never: interrupts in long mode, a second processor.

#![no_std]
#![no_main]

extern crate alloc;

mod console;
mod disk;
mod firmware;
mod memory;

use alloc::format;
use alloc::vec::Vec;
use console::say;
use core::convert::Infallible;
use core::panic::PanicInfo;
use disk::{BiosDisk, NoDisk};
use kernel::loader::{
    BadKernel, Choice, Handover, KernelFile, MAP_ENTRY_LEN, NoVolume, Unusable, at_once, map_entry, open_9fat,
};
use memory::{MemoryError, MemoryMap};
use storage::fat::Volume;
use storage::partition::Partition;
use storage::slots::Candidate;

core::arch::global_asm!(include_str!("boot_sector.s"));
core::arch::global_asm!(include_str!("real_mode.s"));

/// Why no kernel was started.
#[derive(Debug, thiserror::Error)]
enum BootError {
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Disk(#[from] NoDisk),
    #[error("the boot disk: {0}")]
    Volume(#[from] NoVolume),
    #[error("9fat holds no kernel: neither granary.a nor granary.b can be started")]
    NoKernel,
}

/// Why one of the kernels was not started.
#[derive(Debug, thiserror::Error)]
enum KernelError {
    #[error(transparent)]
    File(#[from] Unusable),
    #[error(transparent)]
    Format(#[from] BadKernel),
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Where the assembly arrives: long mode, interrupts off, the first 4 GiB mapped. `drive` is the BIOS's number.
#[unsafe(no_mangle)]
extern "C" fn stage2_main(drive: u32) -> ! {
    console::start();
    let Err(error) = boot(drive as u8);
    say(format_args!("granary: cannot boot: {error}"));
    firmware::stop()
}

fn boot(drive: u8) -> Result<Infallible, BootError> {
    let map = MemoryMap::read()?;
    let len_max = memory::start_heap(&map)?;
    let disk = BiosDisk::open(drive)?;
    let mut volume = at_once(open_9fat(disk, |complaint| say(format_args!("granary: {complaint}"))))?;
    let choice = at_once(Choice::read(&volume));
    choice.remark().iter().for_each(|remark| say(format_args!("granary: {remark}")));
    for candidate in &choice.candidates {
        let Err(error) = start(&mut volume, &choice, candidate, len_max, &map);
        say(format_args!("granary: {}: {error}", candidate.slot.file()));
    }
    Err(BootError::NoKernel)
}

/// Loads the kernel of a slot and starts it.
fn start(
    volume: &mut Volume<Partition<BiosDisk>>,
    choice: &Choice,
    candidate: &Candidate,
    len_max: u64,
    map: &MemoryMap,
) -> Result<Infallible, KernelError> {
    say(format_args!("granary: loading {}", candidate.slot.file()));
    let file = at_once(Choice::read_file(volume, candidate, len_max))?;
    Choice::verify(candidate, &file)?;
    let kernel = KernelFile::parse(&file)?;
    for segment in &kernel.segments {
        map.check_free(segment.address, segment.len)?;
    }
    at_once(choice.count(volume, candidate))?;
    for segment in &kernel.segments {
        // SAFETY: the range was just checked to be RAM outside everything of ours, and it lies below 4 GiB.
        unsafe { memory::place(segment.address, segment.bytes, segment.len) };
    }
    let regions: Vec<u8> = map.regions().iter().flat_map(|r| map_entry(r.start, r.len, r.kind)).collect();
    let command_line = format!("slot={}\0", candidate.slot);
    let handover = Handover {
        command_line: command_line.as_ptr().addr() as u64,
        map: regions.as_ptr().addr() as u64,
        map_entries: (regions.len() / MAP_ENTRY_LEN) as u32,
        ..Handover::default()
    };
    let info = handover.encode();
    // SAFETY: the kernel stands where its file wants it, and what it is told lies in our memory below 4 GiB, which
    // nobody touches any more.
    unsafe { firmware::enter(kernel.entry, info.as_ptr().addr() as u32) }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say(format_args!("granary: the boot loader has failed: {info}"));
    firmware::stop()
}

/// The precompiled libraries refer to it; with `panic = "abort"` nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As `rust_eh_personality`.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("unwinding in a program that aborts on panic")
}
