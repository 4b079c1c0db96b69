//! The BIOS's services: registers in, registers out. Knows how they are called; must not know what they are for.

/// Registers of a call, as `real_mode.s` keeps them. The BIOS finds zero in all segment registers.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// EAX; its high byte of 16 bits chooses the service.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
    /// ESI.
    pub esi: u32,
    /// EDI.
    pub edi: u32,
    /// EFLAGS, in the answer.
    pub flags: u32,
}

/// Bytes that the BIOS can be pointed at.
pub const SCRATCH_LEN: usize = 32;

const CARRY: u32 = 1;

unsafe extern "C" {
    static mut bios_registers: Registers;
    static mut bios_scratch: [u8; SCRATCH_LEN];
    fn bios_interrupt(number: u32);
    fn enter_kernel(entry: u32, start_info: u32) -> !;
}

impl Registers {
    /// Whether the BIOS says that it failed.
    pub fn failed(&self) -> bool {
        self.flags & CARRY != 0
    }
}

/// Where the scratch memory lies, for the BIOS: below 64 KiB, segment 0.
pub fn scratch_address() -> u32 {
    (&raw const bios_scratch).addr() as u32
}

/// Calls the BIOS, with `scratch` in scratch memory before and what it has become afterwards.
///
/// # Safety
/// The service must write only to scratch memory and the buffer at 0x60000, and return.
pub unsafe fn call(number: u8, registers: Registers, scratch: &mut [u8; SCRATCH_LEN]) -> Registers {
    let (at_registers, at_scratch) = (&raw mut bios_registers, &raw mut bios_scratch);
    // SAFETY: nothing else runs, so nothing else uses these registers.
    unsafe { at_registers.write_volatile(registers) };
    // SAFETY: as for the registers.
    unsafe { at_scratch.write_volatile(*scratch) };
    // SAFETY: the caller's promise; what the assembly changes are the two statics and the BIOS's own memory.
    unsafe { bios_interrupt(u32::from(number)) };
    // SAFETY: the BIOS has returned, so nobody writes there now.
    *scratch = unsafe { at_scratch.read_volatile() };
    // SAFETY: as for the scratch memory.
    unsafe { at_registers.read_volatile() }
}

/// Leaves for a kernel, in the way of PVH.
///
/// # Safety
/// A kernel must stand in memory with its 32 bit entry at `entry`, and a start_info at `start_info`.
pub unsafe fn enter(entry: u32, start_info: u32) -> ! {
    // SAFETY: the caller's promise.
    unsafe { enter_kernel(entry, start_info) }
}

/// Stops the machine, for someone to read what stands on its console.
pub fn stop() -> ! {
    loop {
        // SAFETY: interrupts are off in long mode, so the processor rests; nothing of ours is touched.
        unsafe { core::arch::asm!("hlt", options(nomem)) };
    }
}
