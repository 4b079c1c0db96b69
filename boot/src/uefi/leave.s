// From a firmware's long mode to a kernel's entry: page tables of ours, the kernel put in its place, 32-bit protected
// mode without paging. RDI: the orders, as `leave.rs` lays them out.

.set TABLES, 0
.set PLACE_CODE, 8
.set STACK, 16
.set COPIES, 24
.set COPY_COUNT, 32
.set ENTRY, 40
.set START_INFO, 44
.set GDT_POINTER, 48
.set COPY_LEN, 32

.section .text.leave, "ax", @progbits
.code64
.balign 16
.global leave_firmware
leave_firmware:
    cli
    cld
    // Global pages of the firmware's end here; five levels stay five levels.
    mov rax, cr4
    and eax, 0x1020
    mov cr4, rax
    mov rax, [rdi + TABLES]
    mov cr3, rax
    mov rax, [rdi + PLACE_CODE]
    jmp rax

// From here on copied below 4 GiB, outside of everything that is overwritten: this file is not needed any more.
.balign 16
.global place_start
place_start:
    mov rsp, [rdi + STACK]
    lgdt [rdi + GDT_POINTER]
    mov rbp, rdi
    mov r9, [rbp + COPIES]
    mov r10, [rbp + COPY_COUNT]
2:  test r10, r10
    jz 3f
    mov rsi, [r9]
    mov rdi, [r9 + 8]
    mov rdx, [r9 + 16]          // bytes to copy
    mov rcx, rdx
    shr rcx, 3
    rep movsq
    mov ecx, edx
    and ecx, 7
    rep movsb
    mov rdx, [r9 + 24]          // zeros behind them
    xor eax, eax
    mov rcx, rdx
    shr rcx, 3
    rep stosq
    mov ecx, edx
    and ecx, 7
    rep stosb
    add r9, COPY_LEN
    dec r10
    jmp 2b
3:  lea rax, [rip + place_32]
    push 8
    push rax
    retfq

.code32
place_32:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    mov eax, 1                  // protection, nothing else: paging ends
    mov cr0, eax
    mov ecx, 0xc0000080         // EFER
    rdmsr
    and eax, 0xfffffeff         // no long mode
    wrmsr
    xor eax, eax
    mov cr4, eax
    mov ebx, [ebp + START_INFO]
    jmp dword ptr [ebp + ENTRY]
.global place_end
place_end:
.code64
