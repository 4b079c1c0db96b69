//! How a driver reads and writes what is wider than a register, on PCI as elsewhere (VIRTIO 1.2, sections 4.1.3.1 and
//! 4.2.2). Knows registers, not which one means what.

use crate::memory::mmio::Registers;
use zerocopy::{FromBytes, IntoBytes};

/// The features that are read at `value`, half by half, as `select` says.
pub(super) fn read_features(registers: &Registers, select: usize, value: usize) -> u64 {
    let half = |number| {
        registers.write32(select, number);
        u64::from(registers.read32(value))
    };
    half(0) | half(1) << 32
}

/// Writes features at `value`, half by half, as `select` says.
pub(super) fn write_features(registers: &Registers, select: usize, value: usize, features: u64) {
    for (number, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
        registers.write32(select, number);
        registers.write32(value, half);
    }
}

/// Writes an address at `at` in two halves: the standard has drivers do so.
pub(super) fn write_address(registers: &Registers, at: usize, address: u64) {
    registers.write32(at, address as u32);
    registers.write32(at + 4, (address >> 32) as u32);
}

/// A value at `offset`, inside the window: each field by an access of its own width, as the standard has it (4.1.3.1).
pub(super) fn read_fields<V: FromBytes + IntoBytes>(registers: &Registers, offset: usize) -> V {
    let width = align_of::<V>().min(4);
    let mut value = V::new_zeroed();
    for (at, bytes) in (offset..).step_by(width).zip(value.as_mut_bytes().chunks_exact_mut(width)) {
        match width {
            4 => bytes.copy_from_slice(&registers.read32(at).to_le_bytes()),
            2 => bytes.copy_from_slice(&registers.read16(at).to_le_bytes()),
            _ => bytes.copy_from_slice(&[registers.read8(at)]),
        }
    }
    value
}
