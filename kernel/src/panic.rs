//! The end: what is printed, and what then happens to the machine.
//!
//! Knows how to report and stop. Must not know why: nothing here allocates or waits for a lock.

use crate::arch::{apic, cpu, port};
use crate::boot_info::KernelImage;
use crate::memory::heap;
use crate::{acpi, console, processors, watchdog};
use core::arch::asm;
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use spin::Once;
use x86_64::registers::control::{Cr2, Cr3};

/// Stack words that are looked through.
const STACK_WORDS_MAX: usize = 2048;
/// Lines of backtrace that are printed.
const FRAMES_MAX: usize = 32;
/// QEMU's isa-debug-exit device: writing v ends QEMU with 2v + 1.
const DEBUG_EXIT: u16 = 0xf4;

static SETTINGS: Once<Settings> = Once::new();
static REBOOT: AtomicBool = AtomicBool::new(true);
/// One more than the number of the processor that reports and ends; 0: none does.
static ENDING: AtomicU64 = AtomicU64::new(0);

/// What to do at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// QEMU has an isa-debug-exit device at 0xf4: tests see how it ended.
    pub(crate) debug_exit: bool,
    /// Where code and stack are.
    pub(crate) image: KernelImage,
}

/// How a test ended, as the value that goes to the debug-exit port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugExit {
    /// All is well: QEMU exits with 33.
    Success = 0x10,
    /// A self-test failed: 35.
    Failure = 0x11,
    /// Panic or exception: 37.
    Crash = 0x12,
}

pub(crate) fn set(settings: Settings) {
    SETTINGS.call_once(|| settings);
}

/// Whether the machine starts again after an exception or panic; otherwise it stops.
pub(crate) fn set_reboot(reboot: bool) {
    REBOOT.store(reboot, Ordering::Relaxed);
}

/// Begins the end: all other processors stop where they are. `false`: this one was at it already, so a report has failed.
/// If another one was quicker, this one stops.
pub(crate) fn begin_end() -> bool {
    let here = u64::from(apic::id()) + 1;
    match ENDING.compare_exchange(0, here, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => {
            processors::stop_others();
            true
        }
        Err(quicker) if quicker == here => false,
        Err(_) => cpu::stop(),
    }
}

/// Stops all other processors before the machine does; again, if an end has begun.
pub(crate) fn stop_all_others() {
    begin_end();
}

/// Whether some other processor has begun the end.
pub(crate) fn another_ends() -> bool {
    ![0, u64::from(apic::id()) + 1].contains(&ENDING.load(Ordering::SeqCst))
}

/// Reports a panic and ends.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    if !begin_end() {
        // A panic within a report: nothing more can be said.
        end();
    }
    let mut console = console::emergency();
    // The emergency console takes everything, so there is no error to handle.
    let _ = writeln!(console, "\nPANIC {info}{}", processors::Here);
    registers(&mut console);
    let here = 0usize;
    backtrace(&mut console, panicked as *const () as u64, (&raw const here).addr() as u64);
    if let Some(memory) = heap::status_if_free() {
        let _ = writeln!(console, "{memory:?}");
    }
    end()
}

/// Prints what a panic can know of the registers: those that calls preserve, and those that say where the machine is. The
/// others hold this report's own values.
#[inline(never)]
fn registers(console: &mut impl Write) {
    let mut saved = [0u64; 8];
    // SAFETY: writes the eight words of `saved` alone; `pushfq` and `pop` leave the stack as it was, and not `nostack` makes
    // the compiler keep nothing of its own there.
    unsafe {
        asm!(
            "mov [{to}], rbx",
            "mov [{to} + 8], rbp",
            "mov [{to} + 16], rsp",
            "mov [{to} + 24], r12",
            "mov [{to} + 32], r13",
            "mov [{to} + 40], r14",
            "mov [{to} + 48], r15",
            "pushfq",
            "pop qword ptr [{to} + 56]",
            to = in(reg) saved.as_mut_ptr(),
        );
    }
    let [rbx, rbp, rsp, r12, r13, r14, r15, rflags] = saved;
    let cr2 = Cr2::read_raw();
    let cr3 = Cr3::read().0.start_address().as_u64();
    // The emergency console takes everything, so there is no error to handle.
    let _ = writeln!(console, "rbx {rbx:016x} rbp {rbp:016x} rsp {rsp:016x} r12 {r12:016x}");
    let _ = writeln!(console, "r13 {r13:016x} r14 {r14:016x} r15 {r15:016x} rflags {rflags:08x}");
    let _ = writeln!(console, "cr2 {cr2:016x} cr3 {cr3:016x}");
}

/// Prints what look like return addresses on the stack from `stack_pointer` on: they point behind a call instruction in our
/// code. `addr2line -f -i -e granary-kernel ADDRESS…` names them. A few may be leftovers of calls that have returned.
pub(crate) fn backtrace(console: &mut impl Write, instruction: u64, stack_pointer: u64) {
    let Some(KernelImage { text, rodata, data, end, .. }) = SETTINGS.get().map(|settings| settings.image)
    else {
        return;
    };
    let _ = writeln!(console, "backtrace (addr2line -f -i -e granary-kernel):");
    let _ = writeln!(console, "  {instruction:#x}");
    let mut printed = 0;
    let first = (stack_pointer as usize).next_multiple_of(8);
    let (data, end) = match processors::stack_end(first) {
        Some(end) => (first, end),
        None => (data, end),
    };
    for address in (first..end.saturating_sub(8)).step_by(8).take(STACK_WORDS_MAX) {
        if address < data || printed == FRAMES_MAX {
            return;
        }
        // SAFETY: on a stack of another processor, or between the start of our data and the end of the image, where those of
        // the first are; the guard pages of the stacks lie below them, and a stack's last words are a caller that never
        // returns, but another's guard may follow.
        let word = match unsafe { guarded_read(address) } {
            Some(word) => word as usize,
            None => return,
        };
        if word > text + 8 && word < rodata && follows_call(word) {
            let _ = writeln!(console, "  {word:#x}");
            printed += 1;
        }
    }
}

/// # Safety
/// `address` lies in our data, or on a stack of ours.
unsafe fn guarded_read(address: usize) -> Option<u64> {
    if crate::memory::is_guard_page(address) {
        return None;
    }
    let word: *const u64 = core::ptr::with_exposed_provenance(address);
    // SAFETY: the caller says that it is our data, and it is no guard page: mapped.
    Some(unsafe { word.read_volatile() })
}

/// Whether the bytes before `address`, in our code, can be a call: `e8` with a 32-bit distance, or `ff /2` in its lengths.
fn follows_call(address: usize) -> bool {
    let code: *const u8 = core::ptr::with_exposed_provenance(address - 7);
    // SAFETY: the caller checked that these bytes lie in our code, which is always readable.
    let before: [u8; 7] = unsafe { code.cast::<[u8; 7]>().read_volatile() };
    is_call(before)
}

/// Whether seven bytes can end with a call instruction.
fn is_call(before: [u8; 7]) -> bool {
    let indirect = |length: usize| {
        let [opcode, operand] = [before[7 - length], before[8 - length]];
        opcode == 0xff && operand >> 3 & 7 == 2
    };
    before[2] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(indirect)
}

/// Ends after an exception or a panic, as set.
pub(crate) fn end() -> ! {
    let settings = SETTINGS.get();
    if settings.is_some_and(|settings| settings.debug_exit) {
        debug_exit(DebugExit::Crash);
    }
    if REBOOT.load(Ordering::Relaxed) {
        acpi::power::reset();
    }
    // It shall stand still.
    watchdog::disarm();
    cpu::stop()
}

/// Ends QEMU if the command line says that it can be ended so; otherwise does nothing.
pub fn debug_exit(result: DebugExit) {
    if SETTINGS.get().is_some_and(|settings| settings.debug_exit) {
        // SAFETY: the command line says that QEMU's device is there; it touches no memory.
        unsafe { port::write(DEBUG_EXIT, result as u8) };
    }
}

#[cfg(test)]
mod tests {
    use super::is_call;

    #[test]
    fn calls_are_told_from_other_code() {
        assert!(is_call([0, 0, 0xe8, 1, 2, 3, 4]));
        assert!(is_call([0, 0, 0, 0, 0, 0xff, 0xd0]));
        assert!(is_call([0, 0xff, 0x15, 1, 2, 3, 4]));
        assert!(!is_call([0x90; 7]));
        assert!(!is_call([0, 0, 0, 0, 0, 0xff, 0xe0]));
    }
}
