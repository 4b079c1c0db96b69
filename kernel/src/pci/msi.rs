//! Interrupts by message, one for the whole device (PCI 3.0, 6.8.1).
//!
//! Knows the capability. Must not know what the interrupt means.

use super::{Configuration, capability::capabilities};
use crate::interrupts::MsiMessage;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

const CAPABILITY_MSI: u8 = 0x05;
/// In the upper half of the capability's first word.
const CONTROL_ENABLE: u32 = 1 << 16;
const CONTROL_COUNT: u32 = 7 << 20;
const CONTROL_WIDE: u32 = 1 << 23;

/// Has `function` send `message` for its interrupts. `false`: it cannot.
pub fn enable(configuration: &mut Configuration, function: DeviceFunction, message: MsiMessage) -> bool {
    let capability = capabilities(configuration, function).find(|entry| entry.id == CAPABILITY_MSI);
    let Some(capability) = capability else { return false };
    let control = configuration.read_word(function, capability.offset);
    let Some(words) = words(control, message) else { return false };
    for (at, word) in (4u8..).step_by(4).zip(words.into_iter().flatten()) {
        let Some(register) = capability.register(at) else { return false };
        configuration.write_word(function, register, word);
    }
    // One message, whatever number the device would like.
    configuration.write_word(function, capability.offset, control & !CONTROL_COUNT | CONTROL_ENABLE);
    true
}

/// What stands behind the first word. `None`: the device cannot write to such an address.
fn words(control: u32, message: MsiMessage) -> Option<[Option<u32>; 3]> {
    let (low, high) = (message.address as u32, (message.address >> 32) as u32);
    if control & CONTROL_WIDE != 0 {
        Some([Some(low), Some(high), Some(message.data)])
    } else {
        (high == 0).then_some([Some(low), Some(message.data), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_stands_where_the_width_says() {
        let message = MsiMessage { address: 0xfee0_1000, data: 0x41 };
        assert_eq!(words(0x80_0005, message), Some([Some(0xfee0_1000), Some(0), Some(0x41)]));
        assert_eq!(words(0x0005, message), Some([Some(0xfee0_1000), Some(0x41), None]));
        assert_eq!(words(0x0005, MsiMessage { address: 1 << 32, data: 0 }), None);
    }
}
