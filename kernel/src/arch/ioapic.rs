//! The I/O APICs: wires that become interrupt messages (Intel 82093AA).
//!
//! Knows their registers. Must not know devices, nor who listens. Only machines without PCI need them: everything else
//! sends its messages itself.

use crate::acpi::IoApic;
use crate::interrupts::MsiMessage;
use crate::memory::map_mmio;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const LEN: usize = 0x20;
const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;
const MASKED: u32 = 1 << 16;

/// Where a PC has its only one.
pub const USUAL: IoApic = IoApic { address: 0xfec0_0000, first_input: 0 };

/// Has what rises on `input` sent as `message`, at each edge. Whether one of `all` has that input.
pub fn route(all: &[IoApic], input: u32, message: MsiMessage) -> bool {
    all.iter().any(|ioapic| route_on(ioapic, input, message))
}

fn route_on(ioapic: &IoApic, input: u32, message: MsiMessage) -> bool {
    let Some(number) = input.checked_sub(ioapic.first_input) else { return false };
    let Ok(registers) = map_mmio(ioapic.address, LEN) else { return false };
    let select = |register| registers.write32(SELECT, register);
    select(VERSION);
    let last = registers.read32(WINDOW) >> 16 & 0xff;
    if number > last {
        return false;
    }
    let (low, high) = entry(message);
    let at = FIRST_ENTRY + 2 * number;
    for (register, value) in [(at, MASKED), (at + 1, high), (at, low)] {
        select(register);
        registers.write32(WINDOW, value);
    }
    true
}

/// The two words of a redirection entry: fixed delivery to one processor, active high, by edge.
fn entry(message: MsiMessage) -> (u32, u32) {
    let destination = (message.address >> 12) as u32 & 0xff;
    (message.data & 0xff, destination << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_what_the_message_says() {
        assert_eq!(entry(MsiMessage { address: 0xfee0_3000, data: 0x41 }), (0x41, 3 << 24));
    }
}
