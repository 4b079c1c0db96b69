//! The local APIC: its timer, its end-of-interrupt, the address that messages go to.
//!
//! Knows its registers, as memory (xAPIC) or MSRs (x2APIC); Intel SDM vol. 3A, chapter 10. Must not know what interrupts.

use super::cpu;
use super::descriptors::{SPURIOUS_VECTOR, TIMER_VECTOR};
use crate::memory::mmio::Registers;
use crate::memory::{MemoryError, map_mmio};
use spin::Once;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

const ID: u32 = 0x02;
const TASK_PRIORITY: u32 = 0x08;
const END_OF_INTERRUPT: u32 = 0x0b;
const SPURIOUS: u32 = 0x0f;
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
}

/// Turns this processor's local APIC on, with every source of interrupts masked but NMI. Returns which kind it is.
///
/// # Errors
/// If its registers cannot be mapped.
pub fn init() -> Result<&'static str, MemoryError> {
    let (frame, flags) = ApicBase::read();
    let (local, kind) = if cpu::has_x2apic() {
        // SAFETY: the processor says that it has this mode.
        unsafe { ApicBase::write(frame, flags | ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE) };
        (LocalApic::Msrs, "x2APIC")
    } else {
        // SAFETY: it stays where it is.
        unsafe { ApicBase::write(frame, flags | ApicBaseFlags::LAPIC_ENABLE) };
        (LocalApic::Memory(map_mmio(frame.start_address().as_u64(), WINDOW_LEN)?), "xAPIC")
    };
    let local = LOCAL.call_once(|| local);
    local.write(TASK_PRIORITY, 0);
    local.write(TIMER, MASKED | u32::from(TIMER_VECTOR));
    local.write(LINT0, MASKED);
    local.write(LINT1, DELIVER_NMI);
    local.write(ERROR, MASKED | u32::from(SPURIOUS_VECTOR));
    local.write(TIMER_DIVIDE, DIVIDE_BY_16);
    local.write(SPURIOUS, ENABLED | u32::from(SPURIOUS_VECTOR));
    Ok(kind)
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
