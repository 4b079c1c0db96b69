//! The table of interrupt controllers, MADT (ACPI 6.5, section 5.2.12).
//!
//! Knows which processors may be used, where wires end. Must not know how processors are started.

use super::{byte_at, u32_at};
use alloc::vec::Vec;

/// Processors of which note is taken.
const PROCESSORS_MAX: usize = 4096;
const IO_APICS_MAX: usize = 32;
/// NMI inputs of which note is taken: one for each processor at most.
const NMI_INPUTS_MAX: usize = PROCESSORS_MAX;

const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const LOCAL_APIC_NMI: u8 = 4;
const LOCAL_X2APIC: u8 = 9;
const LOCAL_X2APIC_NMI: u8 = 0x0a;
const ENABLED: u32 = 1;
/// Numbers that mean everybody.
const ALL: u8 = u8::MAX;
const ALL_X2: u32 = u32::MAX;
/// Of two bits of the flags: the line is active when it is low.
const POLARITY: u8 = 3;

/// One of the I/O APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its registers.
    pub address: u64,
    /// The number of its first input among those of all.
    pub first_input: u32,
}

/// An input of local APICs that brings NMIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiInput {
    /// The local APIC id of the processor; none: all of them.
    pub processor: Option<u32>,
    /// Which of the two inputs: 0 or 1.
    pub input: u8,
    /// The line is active when it is low.
    pub is_active_low: bool,
}

/// A processor that is enabled: firmware's number for it, and its local APIC's id. A number that means everybody is
/// nobody's id.
fn processor(entry: &[u8]) -> Option<(u32, u32)> {
    match byte_at(entry, 0) {
        LOCAL_APIC if u32_at(entry, 4) & ENABLED != 0 => {
            let id = byte_at(entry, 3);
            (id != ALL).then_some((byte_at(entry, 2).into(), id.into()))
        }
        LOCAL_X2APIC if u32_at(entry, 8) & ENABLED != 0 => {
            let id = u32_at(entry, 4);
            (id != ALL_X2).then_some((u32_at(entry, 12), id))
        }
        _ => None,
    }
}

/// The local APIC ids of the processors that are enabled.
pub(super) fn processors(madt: &[u8]) -> Vec<u32> {
    entries(madt).filter_map(processor).map(|(_, id)| id).take(PROCESSORS_MAX).collect()
}

/// Whether there are entries for x2APICs.
pub(super) fn lists_x2apics(madt: &[u8]) -> bool {
    entries(madt).any(|entry| byte_at(entry, 0) == LOCAL_X2APIC && processor(entry).is_some())
}

/// Inputs for NMIs. Those of processors that are not listed are left out.
pub(super) fn nmi_inputs(madt: &[u8]) -> Vec<NmiInput> {
    let mut numbers: Vec<(u32, u32)> = entries(madt).filter_map(processor).take(PROCESSORS_MAX).collect();
    numbers.sort_unstable();
    let id_of = |number: u32| {
        let at = numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        numbers.get(at).map(|(_, id)| *id)
    };
    let input = |entry: &[u8]| {
        let (all, number, flags, input) = match byte_at(entry, 0) {
            LOCAL_APIC_NMI => {
                let number = byte_at(entry, 2);
                (number == ALL, number.into(), byte_at(entry, 3), byte_at(entry, 5))
            }
            LOCAL_X2APIC_NMI => {
                let number = u32_at(entry, 4);
                (number == ALL_X2, number, byte_at(entry, 2), byte_at(entry, 8))
            }
            _ => return None,
        };
        let processor = if all { None } else { Some(id_of(number)?) };
        (input < 2).then_some(NmiInput { processor, input, is_active_low: flags & POLARITY == POLARITY })
    };
    entries(madt).filter_map(input).take(NMI_INPUTS_MAX).collect()
}

/// The I/O APICs.
pub(super) fn io_apics(madt: &[u8]) -> Vec<IoApic> {
    let ioapic = |entry: &[u8]| {
        let (address, first_input) = (u64::from(u32_at(entry, 4)), u32_at(entry, 8));
        (byte_at(entry, 0) == IO_APIC && address != 0).then_some(IoApic { address, first_input })
    };
    entries(madt).filter_map(ioapic).take(IO_APICS_MAX).collect()
}

/// The MADT's entries, as far as their lengths can be believed.
fn entries(madt: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = madt.get(44..).unwrap_or_default();
    core::iter::from_fn(move || {
        let len = usize::from(*rest.get(1)?);
        let (entry, behind) = rest.split_at_checked(len).filter(|_| len >= 2)?;
        rest = behind;
        Some(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn madt(parts: &[&[u8]]) -> Vec<u8> {
        let mut table = vec![0; 44];
        parts.iter().for_each(|part| table.extend_from_slice(part));
        table
    }

    fn x2apic(number: u32, id: u32, flags: u32) -> Vec<u8> {
        let fields = [id, flags, number].map(u32::to_le_bytes).concat();
        [&[LOCAL_X2APIC, 16, 0, 0], fields.as_slice()].concat()
    }

    #[test]
    fn processors_of_both_kinds_are_listed_and_nobody_is_everybody() {
        let table = madt(&[
            &[LOCAL_APIC, 8, 1, 4, 1, 0, 0, 0],
            &[LOCAL_APIC, 8, 2, 5, 0, 0, 0, 0],
            &[LOCAL_APIC, 8, 3, 0xff, 1, 0, 0, 0],
            &x2apic(7, 0x1_0000, 1),
            &x2apic(8, 0x1_0001, 0),
            &x2apic(9, u32::MAX, 1),
        ]);
        assert_eq!(processors(&table), [4, 0x1_0000]);
        assert!(lists_x2apics(&table));
        assert!(!lists_x2apics(&madt(&[&[LOCAL_APIC, 8, 1, 4, 1, 0, 0, 0], &x2apic(8, 7, 0)])));
    }

    #[test]
    fn nmis_come_where_the_table_says() {
        let table = madt(&[
            &[LOCAL_APIC, 8, 1, 4, 1, 0, 0, 0],
            &x2apic(0x107, 0x300, 1),
            &[LOCAL_APIC_NMI, 6, 0xff, 0, 0, 1],
            &[LOCAL_APIC_NMI, 6, 1, 0x0f, 0, 0],
            &[LOCAL_APIC_NMI, 6, 2, 0, 0, 1],
            &[LOCAL_APIC_NMI, 6, 1, 0, 0, 2],
            &[LOCAL_X2APIC_NMI, 12, 5, 0, 7, 1, 0, 0, 1, 0, 0, 0],
            &[LOCAL_X2APIC_NMI, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        ]);
        let input = |processor, input, is_active_low| NmiInput { processor, input, is_active_low };
        let expected = [
            input(None, 1, false),
            input(Some(4), 0, true),
            input(Some(0x300), 1, false),
            input(None, 0, false),
        ];
        assert_eq!(nmi_inputs(&table), expected);
    }

    #[test]
    fn a_length_that_cannot_be_ends_the_list() {
        for len in [0, 1, 200] {
            let table = madt(&[&[LOCAL_APIC, 8, 1, 4, 1, 0, 0, 0], &[LOCAL_APIC, len, 1, 5, 1, 0, 0, 0]]);
            assert_eq!(processors(&table), [4], "{len}");
        }
    }
}
