//! Segments, interrupt gates, and the stacks that interrupts run on: of the first processor, and of each other one.
//!
//! Knows that the precompiled core library keeps values below the stack pointer (the red zone), so *every* gate switches
//! to a stack of its own (IST). A stack is not re-entrant: what can interrupt another class has its own. Must not know
//! what an interrupt means.

use super::entry::stub_address;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// Exceptions have the vectors below.
pub const EXCEPTIONS: u8 = 32;
/// Where the silenced 8259s would interrupt.
pub const PIC_VECTORS: u8 = 0x20;
/// The local APIC's timer.
pub const TIMER_VECTOR: u8 = 0x30;
/// Another processor has something for this one.
pub const WAKE_VECTOR: u8 = 0x31;
/// The first of the vectors for devices.
pub const FIRST_DEVICE_VECTOR: u8 = 0x40;
/// How many there are.
pub const DEVICE_VECTORS: usize = 176;
/// The local APIC's "never mind".
pub const SPURIOUS_VECTOR: u8 = 0xff;

const STACK_LEN: usize = 32 * 1024;
const GUARD_LEN: usize = 4096;
/// Interrupt stacks of a processor.
pub const STACKS: usize = 5;

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; GUARD_LEN + STACK_LEN]>);

// SAFETY: only the processor writes to the stacks.
unsafe impl Sync for Stack {}

static INTERRUPT_STACKS: [Stack; STACKS] =
    [const { Stack(UnsafeCell::new([0; GUARD_LEN + STACK_LEN])) }; STACKS];
static TASK_STATE: Once<TaskStateSegment> = Once::new();
static SEGMENTS: Once<Segments> = Once::new();
static GATES: Once<[Gate; 256]> = Once::new();

/// The pages below the interrupt stacks, to be unmapped.
pub fn stack_guards() -> impl Iterator<Item = usize> {
    INTERRUPT_STACKS.iter().map(|stack| stack.0.get().addr())
}

/// Which of the interrupt stacks, 1-based, a vector runs on.
fn stack_of(vector: u8) -> u8 {
    match vector {
        2 => 3,
        8 => 4,
        18 => 5,
        0..EXCEPTIONS => 2,
        _ => 1,
    }
}

/// A 64-bit interrupt gate (Intel SDM vol. 3A, 6.14.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
struct Gate([u64; 2]);

impl Gate {
    fn new(handler: u64, segment: u16, stack: u8) -> Gate {
        const PRESENT_INTERRUPT_GATE: u64 = 0x8e00 << 32;
        let low = handler & 0xffff | u64::from(segment) << 16 | u64::from(stack) << 32;
        Gate([low | PRESENT_INTERRUPT_GATE | (handler & 0xffff_0000) << 32, handler >> 32])
    }
}

/// A processor's segments, and the selectors of code, data and task state.
struct Segments(GlobalDescriptorTable, [SegmentSelector; 3]);

impl Segments {
    fn new(task_state: &'static TaskStateSegment) -> Segments {
        let mut table = GlobalDescriptorTable::new();
        let code = table.append(Descriptor::kernel_code_segment());
        let data = table.append(Descriptor::kernel_data_segment());
        let task = table.append(Descriptor::tss_segment(task_state));
        Segments(table, [code, data, task])
    }

    fn load(&'static self) {
        let Segments(table, [code, data, task]) = self;
        table.load();
        // SAFETY: the table has just been loaded, and this is its code segment.
        unsafe { CS::set_reg(*code) };
        for load in [SS::set_reg, DS::set_reg, ES::set_reg] {
            // SAFETY: as above, its data segment.
            unsafe { load(*data) };
        }
        // SAFETY: as above, its task state, which lives for ever.
        unsafe { load_tss(*task) };
        let gates = GATES.call_once(|| {
            core::array::from_fn(|vector| Gate::new(stub_address(vector), code.0, stack_of(vector as u8)))
        });
        let base = VirtAddr::from_ptr(gates);
        let pointer = DescriptorTablePointer { limit: (size_of_val(gates) - 1) as u16, base };
        // SAFETY: the gates live for ever; each leads to its stub, on a stack of its own.
        unsafe { lidt(&pointer) };
    }
}

fn task_state(tops: [usize; STACKS]) -> TaskStateSegment {
    let mut state = TaskStateSegment::new();
    let mut table = [VirtAddr::zero(); 7];
    for (slot, top) in table.iter_mut().zip(tops) {
        *slot = VirtAddr::new_truncate(top as u64);
    }
    state.interrupt_stack_table = table;
    state
}

/// Loads our segments, task state and gates on the first processor. Interrupts stay off.
pub fn load() {
    let task_state = TASK_STATE.call_once(|| {
        let top = |stack: &Stack| stack.0.get().expose_provenance() + GUARD_LEN + STACK_LEN;
        task_state(INTERRUPT_STACKS.each_ref().map(top))
    });
    SEGMENTS.call_once(|| Segments::new(task_state)).load();
}

/// What [`load`] loads, for another processor. It can be loaded once: a task state is one processor's.
pub struct Tables(&'static Segments);

impl Tables {
    /// Tables over interrupt stacks that end at `tops`.
    ///
    /// # Safety
    /// Each is the end of a stack that is this processor's alone for good.
    pub unsafe fn new(tops: [usize; STACKS]) -> Tables {
        let task_state = Box::leak(Box::new(task_state(tops)));
        Tables(Box::leak(Box::new(Segments::new(task_state))))
    }

    /// Loads them on this processor. Interrupts stay off.
    pub fn load(self) {
        self.0.load();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_encoded_as_the_manual_says() {
        let gate = Gate::new(0x1234_5678_9abc_def0, 8, 3);
        assert_eq!(gate, Gate([0x9abc_8e03_0008_def0, 0x1234_5678]));
    }

    #[test]
    fn every_vector_has_a_stack_and_what_can_interrupt_handlers_its_own() {
        assert!((0..=255).all(|vector| (1..=STACKS as u8).contains(&stack_of(vector))));
        let shared = |vector: u8| (0..=255).filter(|&other| stack_of(other) == stack_of(vector)).count();
        assert_eq!([2, 8, 18].map(shared), [1; 3]);
    }
}
