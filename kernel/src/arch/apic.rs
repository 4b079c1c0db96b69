//! The local APIC: its timer, its end-of-interrupt, the address that messages go to, messages to other processors.
//!
//! Knows its registers, as memory (xAPIC) or MSRs (x2APIC); Intel SDM vol. 3A, chapter 10. Must not know what interrupts.

use super::cpu;
use super::descriptors::{SPURIOUS_VECTOR, TIMER_VECTOR, WAKE_VECTOR};
use crate::acpi::{Acpi, NmiInput};
use crate::memory::mmio::Registers;
use crate::memory::{MemoryError, map_mmio};
use alloc::vec::Vec;
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
const ACTIVE_LOW: u32 = 1 << 13;
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
/// Where NMIs come in, by firmware.
static NMI_INPUTS: Once<Vec<NmiInput>> = Once::new();

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

/// Turns the first processor's local APIC on, and decides for all which kind it is: what this returns.
///
/// # Errors
/// If its registers cannot be mapped.
pub fn init_first(acpi: Option<&Acpi>) -> Result<&'static str, MemoryError> {
    let (frame, flags) = ApicBase::read();
    let is_on = flags.contains(ApicBaseFlags::X2APIC_ENABLE);
    let has_far = acpi.is_some_and(|acpi| acpi.lists_x2apics || acpi.processors.iter().any(|id| *id >= 0xff));
    let kind = if cpu::has_x2apic() && wants_x2apic(is_on, cpu::hypervisor().is_some(), has_far) {
        LOCAL.call_once(|| LocalApic::Msrs);
        "x2APIC"
    } else {
        let window = map_mmio(frame.start_address().as_u64(), WINDOW_LEN)?;
        LOCAL.call_once(|| LocalApic::Memory(window));
        "xAPIC"
    };
    NMI_INPUTS.call_once(|| acpi.map_or_else(Vec::new, |acpi| acpi.nmi_inputs.clone()));
    init();
    Ok(kind)
}

/// Whether a processor that has an x2APIC is to use it: if firmware has it on already, which an xAPIC cannot undo; if it
/// is needed to name processors; and on a virtual machine, where its registers are cheaper than memory that the host must
/// watch. Otherwise firmware's choice stands: it may know why.
fn wants_x2apic(is_on: bool, is_virtual: bool, has_far: bool) -> bool {
    is_on || is_virtual || has_far
}

/// Turns this processor's local APIC on, with every source of interrupts masked but NMI. The first processor's comes
/// first.
pub fn init() {
    let Some(local) = LOCAL.get() else { return };
    let (frame, flags) = ApicBase::read();
    let mode = match local {
        LocalApic::Memory(_) => ApicBaseFlags::LAPIC_ENABLE,
        LocalApic::Msrs => ApicBaseFlags::LAPIC_ENABLE | ApicBaseFlags::X2APIC_ENABLE,
    };
    // SAFETY: it stays where it is, and the processor says that it has this mode.
    unsafe { ApicBase::write(frame, flags | mode) };
    local.write(TASK_PRIORITY, 0);
    local.write(TIMER, MASKED | u32::from(TIMER_VECTOR));
    let inputs = NMI_INPUTS.get().map_or(&[][..], Vec::as_slice);
    for (register, word) in [LINT0, LINT1].into_iter().zip(input_words(inputs, id())) {
        local.write(register, word);
    }
    local.write(ERROR, MASKED | u32::from(SPURIOUS_VECTOR));
    local.write(TIMER_DIVIDE, DIVIDE_BY_16);
    local.write(SPURIOUS, ENABLED | u32::from(SPURIOUS_VECTOR));
}

/// What stands in the registers of both inputs of the processor called `id`. Where firmware says nothing of NMIs, they
/// come in by the second one, as on every PC.
fn input_words(inputs: &[NmiInput], id: u32) -> [u32; 2] {
    if inputs.is_empty() {
        return [MASKED, DELIVER_NMI];
    }
    let mut words = [MASKED; 2];
    for input in inputs.iter().filter(|input| input.processor.is_none_or(|processor| processor == id)) {
        if let Some(word) = words.get_mut(usize::from(input.input)) {
            *word = DELIVER_NMI | if input.is_active_low { ACTIVE_LOW } else { 0 };
        }
    }
    words
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_s_choice_stands_unless_there_is_a_reason() {
        assert!(!wants_x2apic(false, false, false));
        assert!(wants_x2apic(true, false, false) && wants_x2apic(false, true, false));
        assert!(wants_x2apic(false, false, true));
    }

    #[test]
    fn nmis_come_in_where_firmware_says_or_where_they_always_did() {
        assert_eq!(input_words(&[], 3), [MASKED, DELIVER_NMI]);
        let all = NmiInput { processor: None, input: 1, is_active_low: true };
        let third = NmiInput { processor: Some(3), input: 0, is_active_low: false };
        assert_eq!(input_words(&[all, third], 3), [DELIVER_NMI, DELIVER_NMI | ACTIVE_LOW]);
        assert_eq!(input_words(&[all, third], 4), [MASKED, DELIVER_NMI | ACTIVE_LOW]);
        assert_eq!(input_words(&[third], 4), [MASKED; 2]);
    }
}
