// The PVH entry (Xen's "direct boot" ABI, docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging off,
// EBX = physical address of hvm_start_info. Every way to boot ends here.

.section .note.pvh, "a", @note
.balign 4
.long 4                         // length of the name
.long 4                         // length of the value
.long 18                        // XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.long pvh_entry

.section .text.entry, "ax", @progbits
.code32
.global pvh_entry
pvh_entry:
    cli
    cld
    mov esi, ebx

    // Map the first 4 GiB onto themselves: one level-4 entry, four level-3 entries, 2048 pages of 2 MiB.
    mov edi, offset boot_tables
    lea eax, [edi + 0x1003]
    mov [edi], eax
    mov ecx, 4
    lea eax, [edi + 0x2003]
    lea edx, [edi + 0x1000]
1:  mov [edx], eax
    add eax, 0x1000
    add edx, 8
    dec ecx
    jnz 1b
    mov ecx, 2048
    mov eax, 0x83               // present, writable, large
    lea edx, [edi + 0x2000]
2:  mov [edx], eax
    add eax, 0x200000
    add edx, 8
    dec ecx
    jnz 2b
    mov cr3, edi

    mov eax, cr4
    or eax, 0x620               // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xc0000080         // EFER
    rdmsr
    or eax, 0x900               // long mode, no-execute
    wrmsr
    mov eax, cr0
    and eax, 0xfffffff3         // no FPU emulation, no lazy FPU state
    or eax, 0x80010023          // paging, write-protect, FPU
    mov cr0, eax

    lgdt [boot_gdt_pointer]
    mov esp, offset boot_stack_top
    push 8
    mov eax, offset long_mode_entry
    push eax
    retf

.code64
long_mode_entry:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rsp, offset boot_stack_top
    xor ebp, ebp
    mov edi, esi
    call boot_main
3:  hlt
    jmp 3b

.section .rodata.boot_gdt, "a", @progbits
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    // 64-bit code
    .quad 0x00cf93000000ffff    // data
boot_gdt_pointer:
    .word 23
    .long boot_gdt

.section .bss.boot_tables, "aw", @nobits
.balign 4096
boot_tables:
    .skip 0x6000

// The kernel unmaps the guard page, so that an overflow is a fault and not a corruption.
.section .bss.boot_stack, "aw", @nobits
.balign 4096
.global boot_stack_guard
boot_stack_guard:
    .skip 0x1000
    .skip 0x80000
boot_stack_top:
