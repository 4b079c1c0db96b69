//! The local APIC: its timer, its end-of-interrupt, the address that messages go to, messages to other processors.
//!
//! Knows its registers, as memory (xAPIC) or MSRs (x2APIC); Intel SDM vol. 3A, chapter 10. Must not know what interrupts.

use super::cpu;
use super::descriptors::{SPURIOUS_VECTOR, TIMER_VECTOR, WAKE_VECTOR};
use crate::memory::mmio::Registers;
use crate::memory::{MemoryError, map_mmio};
use spin::Once;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

const ID: u32 = 0x02;
const TASK_PRIORITY: u32 = 0x08;
const END_OF_INTERRUPT: u32 = 0x0b;
const SPURIOUS: u32 = 0x0f;
const COMMAND: u32 = 0x30;
const COMMAND_TARGET: u32 = 0x31;
const TIMER: u32 = 0x32;
const LINT0: u32 = 0x35;
const LINT1: u32 = 0x36;
const ERROR: u32 = 0x37;
const TIMER_INITIAL: u32 = 0x38;
const TIMER_CURRENT: u32 = 0x39;
const TIMER_DIVIDE: u32 = 0x3e;

const ENABLED: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const DELIVER_NMI: u32 = 4 << 8;
const DIVIDE_BY_16: u32 = 3;
/// Commands to other processors: delivery modes, all with the level asserted.
const FIXED: u32 = 0x4000;
const NMI: u32 = 0x4400;
const INIT: u32 = 0x4500;
const STARTUP: u32 = 0x4600;
const NOT_SENT_YET: u32 = 1 << 12;
/// Looks at an xAPIC whose last command is not sent yet: more than enough, and not for ever.
const SEND_LOOKS_MAX: u32 = 1_000_000;
const X2APIC_MSRS: u32 = 0x800;
const WINDOW_LEN: usize = 4096;

static LOCAL: Once<LocalApic> = Once::new();

enum LocalApic {
    Memory(Registers),
    Msrs,
}

impl LocalApic {
    fn read(&self, register: u32) -> u32 {
        match self {
            LocalApic::Memory(window) => window.read32(register as usize * 16),
            // SAFETY: the processor has an x2APIC and it is on: its MSRs exist.
            LocalApic::Msrs => unsafe { Msr::new(X2APIC_MSRS + register).read() as u32 },
        }
    }

    fn write(&self, register: u32, value: u32) {
        match self {
            LocalApic::Memory(window) => window.write32(register as usize * 16, value),
            // SAFETY: as for reading; no register that we write touches memory.
            LocalApic::Msrs => unsafe { Msr::new(X2APIC_MSRS + register).write(u64::from(value)) },
        }
    }

    /// Sends a command to the processor called `target`. Not from a handler: an xAPIC takes it in two pieces.
    fn send(&self, target: u32, command: u32) {
        match self {
            LocalApic::Memory(_) => {
                let sent = |_: &u32| self.read(COMMAND) & NOT_SENT_YET == 0;
                // One that stays unsent is overwritten: whoever was to be woken has been, or will never be.
                let _ = (0..SEND_LOOKS_MAX).find(sent);
                self.write(COMMAND_TARGET, target << 24);
                self.write(COMMAND, command);
            }
            LocalApic::Msrs => {
                // Writing an MSR of the x2APIC waits for nothing by itself (SDM vol. 3A, 10.12.3): what was stored before
                // must be seen by whoever is woken.
                cpu::finish_stores();
                // SAFETY: as for writing; what the command does is the caller's concern.
                unsafe { Msr::new(X2APIC_MSRS + COMMAND).write(u64::from(target) << 32 | u64::from(command)) }
            }
        }
    }
}

/// Turns this processor's local APIC on, with every source of interrupts masked but NMI. Returns which kind it is. The
/// first processor's comes first and decides the kind.
///
/// # Errors
/// If its registers cannot be mapped.
pub fn init() -> Result<&'static str, MemoryError> {
    let (frame, flags) = ApicBase::read();
    let (wanted, kind) = if cpu::has_x2apic() {
        (flags | ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE, "x2APIC")
    } else {
        (flags | ApicBaseFlags::LAPIC_ENABLE, "xAPIC")
    };
    // SAFETY: it stays where it is, and the processor says that it has this mode.
    unsafe { ApicBase::write(frame, wanted) };
    let local = match LOCAL.get() {
        Some(local) => local,
        None if kind == "x2APIC" => LOCAL.call_once(|| LocalApic::Msrs),
        None => {
            let window = map_mmio(frame.start_address().as_u64(), WINDOW_LEN)?;
            LOCAL.call_once(|| LocalApic::Memory(window))
        }
    };
    local.write(TASK_PRIORITY, 0);
    local.write(TIMER, MASKED | u32::from(TIMER_VECTOR));
    local.write(LINT0, MASKED);
    local.write(LINT1, DELIVER_NMI);
    local.write(ERROR, MASKED | u32::from(SPURIOUS_VECTOR));
    local.write(TIMER_DIVIDE, DIVIDE_BY_16);
    local.write(SPURIOUS, ENABLED | u32::from(SPURIOUS_VECTOR));
    Ok(kind)
}

/// Whether a message can name the processor with this number: an xAPIC has eight bits for it, and all ones is everybody.
pub fn can_reach(id: u32) -> bool {
    match LOCAL.get() {
        Some(LocalApic::Memory(_)) => id < 0xff,
        Some(LocalApic::Msrs) => id < u32::MAX,
        None => false,
    }
}

/// Wakes a processor that waits.
pub fn wake(id: u32) {
    if let Some(local) = LOCAL.get() {
        local.send(id, FIXED | u32::from(WAKE_VECTOR));
    }
}

/// Interrupts a processor that does not let interrupts in.
pub fn interrupt_for_good(id: u32) {
    if let Some(local) = LOCAL.get() {
        local.send(id, NMI);
    }
}

/// Resets a processor; it waits for [`start_up`].
///
/// # Safety
/// Nothing of ours runs there, and the processor is not this one.
pub unsafe fn reset(id: u32) {
    if let Some(local) = LOCAL.get() {
        local.send(id, INIT);
    }
}

/// Has a processor that was reset begin at the page with this number, in 16-bit mode.
///
/// # Safety
/// What lies there must bring it to code of ours, on a stack of its own.
pub unsafe fn start_up(id: u32, page: u8) {
    if let Some(local) = LOCAL.get() {
        local.send(id, STARTUP | u32::from(page));
    }
}

/// This processor's number on the interrupt bus.
pub fn id() -> u32 {
    match LOCAL.get() {
        Some(local @ LocalApic::Memory(_)) => local.read(ID) >> 24,
        Some(local @ LocalApic::Msrs) => local.read(ID),
        None => 0,
    }
}

/// Tells the APIC that the interrupt is being dealt with. Only from a handler.
pub fn end_of_interrupt() {
    if let Some(local) = LOCAL.get() {
        local.write(END_OF_INTERRUPT, 0);
    }
}

/// Starts the timer: one interrupt after `ticks`; zero stops it.
pub fn start_timer(ticks: u32) {
    if let Some(local) = LOCAL.get() {
        local.write(TIMER, u32::from(TIMER_VECTOR));
        local.write(TIMER_INITIAL, ticks);
    }
}

/// Runs the timer without an interrupt while `wait` runs; returns the ticks that passed.
pub fn measure_timer(wait: impl FnOnce()) -> u32 {
    let Some(local) = LOCAL.get() else { return 0 };
    local.write(TIMER, MASKED | u32::from(TIMER_VECTOR));
    local.write(TIMER_INITIAL, u32::MAX);
    wait();
    let passed = u32::MAX - local.read(TIMER_CURRENT);
    local.write(TIMER_INITIAL, 0);
    passed
}
