//! Processor features and the few instructions that Rust has no word for.
//!
//! Knows CPUID and control registers.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::PhysAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};
use x86_64::structures::paging::PhysFrame;

/// The parts of the vector state that interrupt entry saves; 0: with FXSAVE, for want of XSAVE.
pub static VECTOR_STATE: AtomicU32 = AtomicU32::new(0);
/// Bytes that they take. 512 for FXSAVE alone.
pub static VECTOR_STATE_LEN: AtomicU32 = AtomicU32::new(512);

/// The most that interrupt stacks have room for: AVX-512's 2696 bytes, rounded up.
const VECTOR_STATE_LEN_MAX: u32 = 2752;

/// CPUID leaf `leaf`, subleaf `subleaf`; zeros if the processor does not know it.
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    let highest = __cpuid_count(leaf & 0xf000_0000, 0).eax;
    if leaf > highest {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, subleaf)
}

fn has_ecx(bit: u32) -> bool {
    cpuid(1, 0).ecx & (1 << bit) != 0
}

/// Whether page tables may hold 1 GiB pages.
pub fn has_gigabyte_pages() -> bool {
    cpuid(0x8000_0001, 0).edx & (1 << 26) != 0
}

/// Whether the local APIC has the x2APIC's registers.
pub fn has_x2apic() -> bool {
    has_ecx(21)
}

/// Whether RDRAND works.
pub fn has_rdrand() -> bool {
    has_ecx(30)
}

/// Whether RDSEED works.
pub fn has_rdseed() -> bool {
    cpuid(7, 0).ebx & (1 << 18) != 0
}

/// The hypervisor's name, if one says so.
pub fn hypervisor() -> Option<[u8; 12]> {
    if !has_ecx(31) {
        return None;
    }
    let leaf = __cpuid_count(0x4000_0000, 0);
    let mut name = [0; 12];
    for (part, register) in name.chunks_exact_mut(4).zip([leaf.ebx, leaf.ecx, leaf.edx]) {
        part.copy_from_slice(&register.to_le_bytes());
    }
    Some(name)
}

/// One past the last physical address that the processor can form.
pub fn physical_address_end() -> u64 {
    match cpuid(0x8000_0008, 0).eax & 0xff {
        0 => 1 << 36,
        bits => 1 << bits.min(52),
    }
}

/// Turns on what the compiler's code and the libraries' feature detection may use: SSE is on since the entry; AVX and
/// AVX-512 where the processor has them and the interrupt stacks have room for their state. Runs on each processor.
pub fn enable_vector_state() {
    if !has_ecx(26) {
        return;
    }
    // SAFETY: the processor has XSAVE.
    unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::OSXSAVE)) };
    let supported = XCr0Flags::from_bits_truncate(u64::from(cpuid(0xd, 0).eax));
    let basic = XCr0Flags::X87 | XCr0Flags::SSE;
    let avx = basic | XCr0Flags::AVX;
    let avx512 = avx | XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
    for wanted in [avx512, avx, basic] {
        if !supported.contains(wanted) {
            continue;
        }
        // SAFETY: the processor offers these parts, and they are a combination that the manual allows.
        unsafe { XCr0::write(wanted) };
        let len = cpuid(0xd, 0).ebx;
        if len <= VECTOR_STATE_LEN_MAX {
            VECTOR_STATE_LEN.store(len.next_multiple_of(64), Ordering::Relaxed);
            VECTOR_STATE.store(wanted.bits() as u32, Ordering::Relaxed);
            return;
        }
    }
}

/// The same on another processor, once the first has chosen: interrupt entry is the same code on all. `false` if this one
/// cannot save what the first does.
pub fn enable_vector_state_as_first() -> bool {
    let wanted = XCr0Flags::from_bits_truncate(u64::from(VECTOR_STATE.load(Ordering::Relaxed)));
    if wanted.is_empty() {
        return true;
    }
    let supported = XCr0Flags::from_bits_truncate(u64::from(cpuid(0xd, 0).eax));
    if !has_ecx(26) || !supported.contains(wanted) {
        return false;
    }
    // SAFETY: the processor has XSAVE.
    unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::OSXSAVE)) };
    // SAFETY: the processor offers these parts, and the first one found them to be a combination that is allowed.
    unsafe { XCr0::write(wanted) };
    cpuid(0xd, 0).ebx <= VECTOR_STATE_LEN.load(Ordering::Relaxed)
}

/// Returns when all processors see what this one has stored, and nothing that follows has begun.
pub fn finish_stores() {
    // SAFETY: fences have no effect but order.
    unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
}

/// Switches to the page tables whose root is at `root`.
///
/// # Safety
/// They must map everything in use just as the current ones do.
pub unsafe fn load_page_tables(root: u64) {
    let frame = PhysFrame::containing_address(PhysAddr::new_truncate(root));
    // SAFETY: the caller's promise.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// Makes changes of the page tables count.
pub fn flush_address_translations() {
    tlb::flush_all();
}

/// The time stamp counter.
pub fn time_stamp() -> u64 {
    // SAFETY: every x86-64 processor has the counter; we never forbid reading it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Lets interrupts in and waits for one. Called with interrupts off, so that none slips in between test and wait: `sti`
/// takes effect after the instruction that follows.
pub fn enable_interrupts_and_wait() {
    // SAFETY: waiting has no effect on memory; the stack may be used, hence no `nostack`.
    unsafe { asm!("sti", "hlt", "cli") };
}

/// Stops this processor for good.
pub fn stop() -> ! {
    loop {
        // SAFETY: nothing is left to interrupt or to resume.
        unsafe { asm!("cli", "hlt") };
    }
}
