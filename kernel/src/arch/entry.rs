//! Where interrupts and exceptions enter.
//!
//! Knows the processor's stack frame and how to save what Rust code may change: integer and vector registers. Must not
//! know what interrupts mean: [`crate::interrupts`] and [`super::exceptions`] do.

use super::cpu::{VECTOR_STATE, VECTOR_STATE_LEN};
use super::descriptors::EXCEPTIONS;
use super::exceptions;
use core::arch::global_asm;

/// Bytes from one stub to the next.
const STUB_LEN: u64 = 8;
/// Exceptions for which the processor pushes an error code (Intel SDM vol. 3A, table 6-1).
const WITH_ERROR_CODE: u32 = 1 << 8 | 0x7c00 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;

// A stub is a call, so the address that it pushes tells the vector.
global_asm!(
    ".pushsection .text.interrupt_stubs, \"ax\", @progbits",
    ".balign 8",
    ".global interrupt_stubs",
    "interrupt_stubs:",
    ".rept 256",
    "call interrupt_common",
    ".balign 8",
    ".endr",
    "interrupt_common:",
    "push rax; push rcx; push rdx; push rbx; push rbp; push rsi; push rdi",
    "push r8; push r9; push r10; push r11; push r12; push r13; push r14; push r15",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "mov eax, [rip + {len}]",
    "sub rsp, rax",
    "and rsp, -64",
    "mov eax, [rip + {state}]",
    "xor edx, edx",
    "test eax, eax",
    "jz 2f",
    // XSAVE's header must be zero, but for what the instruction itself writes there.
    "mov [rsp + 512], rdx; mov [rsp + 520], rdx; mov [rsp + 528], rdx; mov [rsp + 536], rdx",
    "mov [rsp + 544], rdx; mov [rsp + 552], rdx; mov [rsp + 560], rdx; mov [rsp + 568], rdx",
    "xsave64 [rsp]",
    "call {entered}",
    "mov eax, [rip + {state}]",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "jmp 3f",
    "2:",
    "fxsave64 [rsp]",
    "call {entered}",
    "fxrstor64 [rsp]",
    "3:",
    "mov rsp, rbp",
    "pop r15; pop r14; pop r13; pop r12; pop r11; pop r10; pop r9; pop r8",
    "pop rdi; pop rsi; pop rbp; pop rbx; pop rdx; pop rcx; pop rax",
    // Only what has no error code ever returns.
    "add rsp, 8",
    "iretq",
    ".popsection",
    len = sym VECTOR_STATE_LEN,
    state = sym VECTOR_STATE,
    entered = sym interrupt_entered,
);

unsafe extern "C" {
    /// The first stub.
    static interrupt_stubs: u8;
}

/// Where vector `vector` enters.
pub fn stub_address(vector: usize) -> u64 {
    (&raw const interrupt_stubs).addr() as u64 + vector as u64 * STUB_LEN
}

/// What `interrupt_common` pushed, from the last on; behind it an error code perhaps, then the processor's frame.
#[repr(C)]
struct Saved {
    /// r15 … r8, rdi, rsi, rbp, rbx, rdx, rcx, rax.
    registers: [u64; 15],
    /// The address behind the stub's call.
    stub_end: u64,
    /// Error code or RIP, and what follows: enough for both cases.
    rest: [u64; 5],
}

/// The interrupted code's registers.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    /// What happened.
    pub vector: u8,
    /// The processor's error code; zero if the exception has none.
    pub error_code: u64,
    /// r15 … r8, rdi, rsi, rbp, rbx, rdx, rcx, rax.
    pub registers: [u64; 15],
    /// Where it was.
    pub rip: u64,
    /// Its flags.
    pub rflags: u64,
    /// Its stack.
    pub rsp: u64,
}

extern "C" fn interrupt_entered(saved: &Saved) {
    // A call of 5 bytes at a multiple of 8: its end is inside its own stub.
    let vector = ((saved.stub_end - stub_address(0)) / STUB_LEN) as u8;
    if vector >= EXCEPTIONS {
        crate::interrupts::entered(vector);
        return;
    }
    let has_error_code = WITH_ERROR_CODE & (1 << vector) != 0;
    let [error_code, rip, _cs, rflags, rsp] = saved.rest;
    let (error_code, rip, rflags, rsp) = if has_error_code {
        (error_code, rip, rflags, rsp)
    } else {
        (0, saved.rest[0], saved.rest[2], saved.rest[3])
    };
    exceptions::entered(&Interrupted { vector, error_code, registers: saved.registers, rip, rflags, rsp });
}
