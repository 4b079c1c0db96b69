//! From reset to our code: what another processor runs first.
//!
//! Knows that it begins in 16-bit mode at a page below 1 MiB, and what long mode needs. Must not know who is started, or
//! what it will do.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// Where the code's data begin: GDT pointer, far pointer, page tables, the cell of the stack, where to go, the GDT.
const GDT_POINTER: usize = 8;
const FAR_POINTER: usize = 16;
const PAGE_TABLES: usize = 24;
const CELL: usize = 32;
const ENTRY: usize = 40;
const GDT: usize = 48;
/// Null, 64-bit code, data.
const SEGMENTS: [u64; 3] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

// Straight from 16-bit to long mode: paging and protection are switched on at once (Intel SDM vol. 3A, 9.8.5, allows it,
// and so does AMD's manual). The cell holds a stack for whoever comes first; who finds none stops.
global_asm!(
    ".pushsection .rodata.processor_start_up, \"a\", @progbits",
    ".balign 16",
    ".code16",
    ".global processor_start_up",
    "processor_start_up:",
    ".Lprocessor_start_up:",
    "jmp 2f",
    ".balign 8",
    ".skip 64",
    "2: cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "lgdtl 8",
    // PAE, OSFXSR, OSXMMEXCPT.
    "movl $0x620, %eax",
    "movl %eax, %cr4",
    "movl 24, %eax",
    "movl %eax, %cr3",
    // EFER: long mode, no-execute.
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x900, %eax",
    "wrmsr",
    // Paging, write-protect, FPU, protection; caches on.
    "movl $0x80010033, %eax",
    "movl %eax, %cr0",
    "ljmpl *16",
    ".code64",
    ".global processor_start_up_long",
    "processor_start_up_long:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "xorl %eax, %eax",
    "movl %eax, %fs",
    "movl %eax, %gs",
    "movq .Lprocessor_start_up+32(%rip), %rdx",
    "xorl %ecx, %ecx",
    "xchgq %rcx, (%rdx)",
    "testq %rcx, %rcx",
    "jz 4f",
    "movq %rcx, %rsp",
    "popq %rdi",
    "movq .Lprocessor_start_up+40(%rip), %rax",
    "xorl %ebp, %ebp",
    "call *%rax",
    "4: cli",
    "hlt",
    "jmp 4b",
    ".global processor_start_up_end",
    "processor_start_up_end:",
    ".popsection",
    options(att_syntax)
);

unsafe extern "C" {
    static processor_start_up: u8;
    static processor_start_up_long: u8;
    static processor_start_up_end: u8;
}

/// The end of a stack whose last word is what its owner is told; zero when it has been taken.
static STACK: AtomicU64 = AtomicU64::new(0);

/// Room for the code.
pub const LEN_MAX: usize = 256;

/// What is to lie at physical address `page`, below 1 MiB: brings each processor that starts there to `entry`, with the
/// word on the stack that it was offered. `None` if `page_tables` lie where a 16-bit processor cannot name them.
pub fn code(page: u64, page_tables: u64, entry: extern "C" fn(usize) -> !) -> Option<[u8; LEN_MAX]> {
    let start = (&raw const processor_start_up).addr();
    let len = (&raw const processor_start_up_end).addr() - start;
    let long = (&raw const processor_start_up_long).addr() - start;
    let (page, page_tables) = (u32::try_from(page).ok()?, u32::try_from(page_tables).ok()?);
    let mut code = [0; LEN_MAX];
    // SAFETY: the assembly lies between the two symbols, in read-only data.
    let source = unsafe { core::slice::from_raw_parts(&raw const processor_start_up, len) };
    code.get_mut(..len)?.copy_from_slice(source);
    let mut put = |at: usize, bytes: &[u8]| code[at..at + bytes.len()].copy_from_slice(bytes);
    put(GDT_POINTER, &(size_of_val(&SEGMENTS) as u16 - 1).to_le_bytes());
    put(GDT_POINTER + 2, &(page + GDT as u32).to_le_bytes());
    put(FAR_POINTER, &(page + long as u32).to_le_bytes());
    put(FAR_POINTER + 4, &8u16.to_le_bytes());
    put(PAGE_TABLES, &u64::from(page_tables).to_le_bytes());
    put(CELL, &((&raw const STACK).expose_provenance() as u64).to_le_bytes());
    put(ENTRY, &(entry as usize as u64).to_le_bytes());
    for (at, segment) in (GDT..).step_by(8).zip(SEGMENTS) {
        put(at, &segment.to_le_bytes());
    }
    Some(code)
}

/// Offers a stack that ends at `top` to the next processor that starts.
pub fn offer_stack(top: usize) {
    STACK.store(top as u64, Ordering::SeqCst);
}

/// Takes the offer back. `false` if a processor was quicker: the stack is its own.
pub fn withdraw_stack() -> bool {
    STACK.swap(0, Ordering::SeqCst) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "C" fn nowhere(_: usize) -> ! {
        std::process::abort()
    }

    #[test]
    fn the_code_finds_its_data_where_they_are_put() {
        let code = code(0x8000, 0x0123_4000, nowhere).unwrap();
        assert_eq!(code[..2], [0xeb, (GDT + 24 - 2) as u8], "a jump over the data");
        assert_eq!(code[8..14], [23, 0, 0x30, 0x80, 0, 0], "the table's pointer");
        let long = u32::from_le_bytes(code[16..20].try_into().unwrap()) as usize - 0x8000;
        // mov eax, 16, the first 64-bit instruction.
        assert_eq!(code[long..long + 5], [0xb8, 16, 0, 0, 0]);
        assert_eq!(code[20..22], [8, 0]);
        assert_eq!(code[24..32], [0, 0x40, 0x23, 1, 0, 0, 0, 0]);
        assert_eq!(code[56..64], 0x00af_9b00_0000_ffffu64.to_le_bytes());
    }

    #[test]
    fn page_tables_above_four_gigabytes_cannot_be_named() {
        assert!(code(0x8000, 1 << 32, nowhere).is_none());
    }

    #[test]
    fn a_stack_is_taken_once() {
        offer_stack(4096);
        assert!(withdraw_stack());
        assert!(!withdraw_stack());
    }
}
