// The second stage's ways between real mode, where the BIOS lives, and long mode, where Rust does.
//
// Memory below 1 MiB:  0x1000 page tables   0x8000 second stage, its data   0x50000 stack in real mode (to 0x54000)
//                      0x54000 stack in long mode (to 0x60000)              0x60000 buffer for the BIOS (64 KiB)

.set CODE32, 0x08
.set DATA32, 0x10
.set CODE16, 0x18
.set DATA16, 0x20
.set CODE64, 0x28

.section .real_mode, "ax", @progbits
.code16
.global stage2
stage2:
    mov byte ptr [boot_drive], dl
    mov ax, 0x5000
    mov ss, ax
    mov sp, 0x4000

    mov eax, 0x80000000         // has the processor a long mode?
    cpuid
    mov si, offset no_long_mode
    cmp eax, 0x80000001
    jb boot_sector_failed
    mov eax, 0x80000001
    cpuid
    test edx, 0x20000000
    jz boot_sector_failed

    mov ax, 0x2401              // address line 20 on: by the BIOS, and by the chipset
    int 0x15
    in al, 0x92
    or al, 2
    and al, 0xfe
    out 0x92, al

    // Map the first 4 GiB onto themselves, as the kernel's entry does.
    xor eax, eax
    mov es, ax
    mov di, 0x1000
    mov cx, 0x1800
    rep stosd
    mov di, 0x1000
    mov dword ptr [di], 0x2003
    mov di, 0x2000
    mov eax, 0x3003
5:  mov dword ptr [di], eax
    add eax, 0x1000
    add di, 8
    cmp di, 0x2020
    jb 5b
    mov di, 0x3000
    mov eax, 0x83
6:  mov dword ptr [di], eax
    add eax, 0x200000
    add di, 8
    cmp di, 0x7000
    jb 6b

// From real mode to where the long mode's stack says.
enter_long_mode:
    cli
    lgdt [gdt_pointer]          // every time: BIOSes load their own
    mov eax, 0x1000
    mov cr3, eax
    mov eax, cr4
    or eax, 0x620               // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov ecx, 0xc0000080         // EFER
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    and eax, 0xfffffff3         // no FPU emulation, no lazy FPU state
    or eax, 0x80000023          // paging, FPU, protection
    mov cr0, eax
    .byte 0x66, 0xea
    .long in_long_mode
    .word CODE64

.code64
in_long_mode:
    mov eax, DATA32
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov rsp, qword ptr [saved_stack]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

// The first return from real mode ends here.
begin:
    mov rsp, 0x60000
    mov edi, offset stage2_bss_start
    mov ecx, offset stage2_bss_end
    sub ecx, edi
    xor eax, eax
    rep stosb
    xor ebp, ebp
    movzx edi, byte ptr [boot_drive]
    call stage2_main

// bios_interrupt(number in EDI): the BIOS's service with the registers in bios_registers, which then hold its answer.
.global bios_interrupt
bios_interrupt:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov byte ptr [interrupt_number], dil
    mov qword ptr [saved_stack], rsp
    push CODE32
    mov eax, offset leave_long_mode
    push rax
    retfq

.code32
leave_long_mode:
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    and eax, 0xfffffeff
    wrmsr
    .byte 0xea
    .long leave_protected_mode
    .word CODE16

.code16
leave_protected_mode:
    mov ax, DATA16              // so that limits are those of real mode
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ss, ax
    lidt [real_mode_vectors]
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea
    .word in_real_mode
    .word 0
in_real_mode:
    mov ax, 0x5000
    mov ss, ax
    mov sp, 0x4000
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov gs, ax
    mov ebx, dword ptr [bios_registers + 4]
    mov ecx, dword ptr [bios_registers + 8]
    mov edx, dword ptr [bios_registers + 12]
    mov esi, dword ptr [bios_registers + 16]
    mov edi, dword ptr [bios_registers + 20]
    xor ebp, ebp
    mov eax, dword ptr [bios_registers]
    sti
    .byte 0xcd                  // int
interrupt_number:
    .byte 0
    cli
    cld
    pushfd
    push eax
    xor ax, ax
    mov ds, ax
    pop dword ptr [bios_registers]
    pop dword ptr [bios_registers + 24]
    mov dword ptr [bios_registers + 4], ebx
    mov dword ptr [bios_registers + 8], ecx
    mov dword ptr [bios_registers + 12], edx
    mov dword ptr [bios_registers + 16], esi
    mov dword ptr [bios_registers + 20], edi
    jmp enter_long_mode

// enter_kernel(entry in EDI, start_info in ESI): as PVH wants it, and never back.
.code64
.global enter_kernel
enter_kernel:
    push CODE32
    mov eax, offset leave_for_kernel
    push rax
    retfq

.code32
leave_for_kernel:
    mov eax, DATA32
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    and eax, 0xfffffeff
    wrmsr
    xor eax, eax
    mov cr4, eax
    mov ebx, esi
    jmp edi

.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    // 32 bit code
    .quad 0x00cf93000000ffff    // data
    .quad 0x00009b000000ffff    // 16 bit code
    .quad 0x000093000000ffff    // 16 bit data
    .quad 0x00af9b000000ffff    // 64 bit code
gdt_pointer:
    .word 47
    .long gdt
real_mode_vectors:
    .word 0x3ff
    .long 0

.balign 8
saved_stack:
    .quad first_frame
first_frame:
    .skip 48                    // rbx, rbp, r12 to r15
    .quad begin
.global bios_registers
bios_registers:
    .skip 28
.global bios_scratch
.balign 4
bios_scratch:                   // what the BIOS reads or fills in, beside registers and sectors
    .skip 32
boot_drive:
    .byte 0
no_long_mode:
    .asciz "granary: this machine has no 64 bit processor\r\n"
