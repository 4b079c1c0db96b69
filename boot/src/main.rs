//! The image's entry: what only a machine can have. Knows the linker script and the loader's registers.
//!
//! Never: a device, a decision.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use kernel::boot_info::{BootInfo, KernelImage};
use kernel::memory::heap::GlobalHeap;

core::arch::global_asm!(include_str!("entry.s"));

#[global_allocator]
static HEAP: GlobalHeap = GlobalHeap;

/// Where the assembly arrives: long mode, first 4 GiB mapped, own stack. `start_info` is the loader's structure.
#[unsafe(no_mangle)]
extern "C" fn boot_main(start_info: u32) -> ! {
    // SAFETY: the loader put a PVH start_info there, and what it points at lies below 4 GiB, which is mapped.
    let boot_info = unsafe { BootInfo::from_pvh(start_info, image()) };
    kernel::start(boot_info)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    kernel::panic::panicked(info)
}

/// The addresses that the linker script defines.
fn image() -> KernelImage {
    unsafe extern "C" {
        static image_text_start: u8;
        static image_text_end: u8;
        static image_rodata_end: u8;
        static image_end: u8;
        static boot_stack_guard: u8;
    }
    let text = (&raw const image_text_start).addr();
    let rodata = (&raw const image_text_end).addr();
    let data = (&raw const image_rodata_end).addr();
    let end = (&raw const image_end).addr();
    let stack_guard = (&raw const boot_stack_guard).addr();
    KernelImage { text, rodata, data, end, stack_guard }
}

/// The precompiled libraries refer to it; with `panic = "abort"` nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As `rust_eh_personality`.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("unwinding in a kernel that aborts on panic")
}
