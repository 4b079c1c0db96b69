//! Exceptions: a report on the console, then the end; but breakpoints and NMIs, which are counted.
//!
//! Knows the exceptions' names. Must not know how the machine stops.

use super::cpu;
use super::entry::Interrupted;
use crate::{console, panic, processors};
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::control::{Cr2, Cr3};

const BREAKPOINT: u8 = 3;
const NMI: u8 = 2;

/// Breakpoints and NMIs since start.
pub static HARMLESS: AtomicU64 = AtomicU64::new(0);

/// Called for every exception; returns if the interrupted code can go on.
pub fn entered(interrupted: &Interrupted) {
    if matches!(interrupted.vector, BREAKPOINT | NMI) {
        if interrupted.vector == NMI && panic::another_ends() {
            cpu::stop();
        }
        HARMLESS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if !panic::begin_end() {
        // An exception within a report: nothing more can be said.
        panic::end();
    }
    let mut console = console::emergency();
    report(&mut console, interrupted);
    panic::backtrace(&mut console, interrupted.rip, interrupted.rsp);
    panic::end()
}

fn report(console: &mut impl Write, interrupted: &Interrupted) {
    let Interrupted { vector, error_code, registers, rip, rflags, rsp } = interrupted;
    let name = name(*vector);
    let [r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax] = registers;
    let cr2 = Cr2::read_raw();
    let cr3 = Cr3::read().0.start_address().as_u64();
    // The emergency console takes everything, so there is no error to handle.
    let _ = writeln!(
        console,
        "\nEXCEPTION {vector} ({name}) error code {error_code:#x} at {rip:#018x}{}",
        processors::Here
    );
    let _ = writeln!(console, "rax {rax:016x} rbx {rbx:016x} rcx {rcx:016x} rdx {rdx:016x}");
    let _ = writeln!(console, "rsi {rsi:016x} rdi {rdi:016x} rbp {rbp:016x} rsp {rsp:016x}");
    let _ = writeln!(console, "r8  {r8:016x} r9  {r9:016x} r10 {r10:016x} r11 {r11:016x}");
    let _ = writeln!(console, "r12 {r12:016x} r13 {r13:016x} r14 {r14:016x} r15 {r15:016x}");
    let _ = writeln!(console, "rflags {rflags:08x} cr2 {cr2:016x} cr3 {cr3:016x}");
}

fn name(vector: u8) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug",
        4 => "overflow",
        5 => "bound range",
        6 => "invalid opcode",
        7 => "no FPU",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack fault",
        13 => "general protection",
        14 => "page fault",
        16 => "x87 error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD error",
        20 => "virtualization",
        21 => "control protection",
        _ => "reserved",
    }
}
