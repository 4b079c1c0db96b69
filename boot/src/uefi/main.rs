//! The UEFI loader. Finds the kernel in 9fat, loads it, and starts it as PVH loaders do.
//!
//! | part | what |
//! |---|---|
//! | `disk` | the firmware's disks as [`storage::device::BlockDevice`]s |
//! | `screen` | the screen that the firmware has set up |
//! | `leave`, `leave.s` | the kernel's memory, the end of the firmware's services, the jump |
//!
//! Tables and file system are read by `storage`, the kernel file by [`kernel::loader`]. Built as an ELF file;
//! `granary image create` makes the PE file of it that firmware starts. Nothing is written to a disk but the
//! count of a new kernel's starts. Never: a
//! driver taken from the firmware, a setting of its own.

#![no_std]
#![no_main]

extern crate alloc;

mod disk;
mod leave;
mod screen;

use alloc::format;
use alloc::string::String;
use core::convert::Infallible;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::Ordering;
use core::time::Duration;
use disk::EfiDisk;
use kernel::loader::{BadKernel, Choice, KernelFile, NoVolume, Unusable, at_once, open_9fat};
use leave::{COMMAND_LINE_MAX, NoRoom, Parcel, Told};
use storage::fat::Volume;
use storage::partition::Partition;
use storage::slots::Candidate;
use uefi::boot::{self, Tpl};
use uefi::proto::loaded_image::LoadedImage;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Guid, Status, entry, system};

#[global_allocator]
static HEAP: uefi::allocator::Allocator = uefi::allocator::Allocator;

/// A kernel file is never longer: so much has a 9fat at most.
const KERNEL_LEN_MAX: u64 = 64 << 20;
/// How long the last words stand on the screen before the firmware goes on to the next thing to boot.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// Why a disk started no kernel.
#[derive(Debug, thiserror::Error)]
enum DiskError {
    #[error(transparent)]
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
    Room(#[from] NoRoom),
}

#[entry]
fn efi_start() -> Status {
    let disks = disk::all();
    if disks.is_empty() {
        say(format_args!("granary: cannot boot: the firmware shows no disk"));
    }
    for disk in disks {
        let name = disk.name();
        let Err(error) = boot_from(disk);
        say(format_args!("granary: cannot boot from {name}: {error}"));
    }
    boot::stall(LAST_WORDS);
    Status::LOAD_ERROR
}

fn boot_from(disk: EfiDisk) -> Result<Infallible, DiskError> {
    let mut volume = at_once(open_9fat(disk, |complaint| say(format_args!("granary: {complaint}"))))?;
    let choice = at_once(Choice::read(&volume));
    choice.remark().iter().for_each(|remark| say(format_args!("granary: {remark}")));
    for candidate in &choice.candidates {
        let Err(error) = start(&mut volume, &choice, candidate);
        say(format_args!("granary: {}: {error}", candidate.slot.file()));
    }
    Err(DiskError::NoKernel)
}

/// Loads the kernel of a slot and starts it.
fn start(
    volume: &mut Volume<Partition<EfiDisk>>,
    choice: &Choice,
    candidate: &Candidate,
) -> Result<Infallible, KernelError> {
    say(format_args!("granary: loading {}", candidate.slot.file()));
    let file = at_once(Choice::read_file(volume, candidate, KERNEL_LEN_MAX))?;
    {
        // The firmware's interrupts use our stack, below whose pointer such long arithmetic keeps its numbers.
        // SAFETY: nothing of the firmware is called until the guard is gone.
        let _no_interrupts = unsafe { boot::raise_tpl(Tpl::HIGH_LEVEL) };
        Choice::verify(candidate, &file)?;
    }
    let kernel = KernelFile::parse(&file)?;
    let words = format!("slot={} {}", candidate.slot, command_line());
    let told = Told { rsdp: root_pointer(), smbios: smbios_entry(), screen: screen::find() };
    let parcel = Parcel::pack(&kernel, &words, &told)?;
    at_once(choice.count(volume, candidate))?;
    parcel.send()
}

/// The words behind the loader's own name, if whoever started it gave it words: boot managers put other things there, too.
fn command_line() -> String {
    let mut line = String::new();
    let Some(image) = disk::open::<LoadedImage>(boot::image_handle()) else { return line };
    let Ok(options) = image.load_options_as_cstr16() else { return line };
    for letter in options.iter().map(|letter| char::from(*letter)) {
        if !(' '..='~').contains(&letter) || line.len() >= COMMAND_LINE_MAX {
            return String::new();
        }
        line.push(letter);
    }
    match line.split_once(' ') {
        Some((name, words)) if name.to_ascii_lowercase().ends_with(".efi") => words.into(),
        _ => String::new(),
    }
}

/// Where ACPI's root pointer lies; 0 if the firmware has none.
fn root_pointer() -> u64 {
    table(&[ConfigTableEntry::ACPI2_GUID, ConfigTableEntry::ACPI_GUID]).unwrap_or(0)
}

/// Where SMBIOS's entry point lies.
fn smbios_entry() -> Option<u64> {
    table(&[ConfigTableEntry::SMBIOS3_GUID, ConfigTableEntry::SMBIOS_GUID]).filter(|address| *address != 0)
}

/// The address of the first of these tables that the firmware has.
fn table(guids: &[Guid]) -> Option<u64> {
    system::with_config_table(|entries| {
        let entry = |guid: &Guid| entries.iter().find(|entry| entry.guid == *guid);
        guids.iter().find_map(entry).map(|entry| entry.address.addr() as u64)
    })
}

/// Says a line on the firmware's console.
fn say(line: fmt::Arguments<'_>) {
    // A console that fails has nobody to tell it to.
    system::with_stdout(|console| {
        let _ = writeln!(console, "{line}");
    });
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if !leave::HAS_LEFT.load(Ordering::Relaxed) {
        say(format_args!("granary: the boot loader has failed: {info}"));
    }
    loop {
        core::hint::spin_loop();
    }
}

/// The precompiled libraries refer to it; with `panic = "abort"` nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As `rust_eh_personality`.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("unwinding in a program that aborts on panic")
}
