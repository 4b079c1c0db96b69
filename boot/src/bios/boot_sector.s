// The code in the disk's first sector: fetches the second stage and jumps to it. Started by a BIOS in real mode at
// 0x7c00 with the drive's number in DL. At most 440 bytes, data included.

.section .boot_sector, "ax", @progbits
.code16
boot_sector:
    cli
    cld
    xor ax, ax
    mov ss, ax
    mov sp, 0x7c00
    mov ds, ax
    mov es, ax
    sti
    .byte 0xea                  // far jump: some BIOSes start us at 07c0:0000
    .word boot_sector_here
    .word 0
boot_sector_here:
    push dx
    mov ah, 0x41                // are there reads by sector number?
    mov bx, 0x55aa
    int 0x13
    pop dx
    mov si, offset no_extensions
    jc boot_sector_failed
    cmp bx, 0xaa55
    jne boot_sector_failed

fetch:
    mov ax, word ptr [sectors_left]
    test ax, ax
    jz fetched
    cmp ax, 64                  // 32 KiB at once: every BIOS can
    jbe 2f
    mov ax, 64
2:  sub word ptr [sectors_left], ax
    mov word ptr [packet_count], ax
    mov si, offset packet
    push ax
    push dx
    mov ah, 0x42
    int 0x13
    pop dx
    pop ax
    mov si, offset no_read
    jc boot_sector_failed
    add word ptr [packet_sector], ax
    shl ax, 5                   // sectors to paragraphs of 16 bytes
    add word ptr [packet_segment], ax
    jmp fetch

fetched:
    .byte 0xea
    .word stage2
    .word 0

// Says the text at SI on screen and on the first serial port, and stops. The second stage uses it too.
.global boot_sector_failed
boot_sector_failed:
    lodsb
    test al, al
    jz 4f
    push ax
    mov ah, 0x0e
    mov bx, 7
    int 0x10
    mov cx, 0xffff              // a serial port that is not there must not hold us
3:  mov dx, 0x3fd
    in al, dx
    test al, 0x20
    loopz 3b
    pop ax
    mov dx, 0x3f8
    out dx, al
    jmp boot_sector_failed
4:  cli
    hlt
    jmp 4b

packet:
    .byte 16, 0
packet_count:
    .word 0
    .word 0
packet_segment:
    .word 0x800
packet_sector:
    .quad 34
sectors_left:
    .word stage2_sectors
no_extensions:
    .asciz "granary: this BIOS reads no large disks\r\n"
no_read:
    .asciz "granary: the disk cannot be read\r\n"
