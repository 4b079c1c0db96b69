//! What the definition block says of devices that nothing else announces, found by its bytes.
//!
//! Knows how QEMU and Firecracker write virtio devices (`LNRO0005`) and QEMU the register of its event device. A block that
//! says it otherwise has none.

use alloc::vec::Vec;
use core::fmt;

/// The id of a virtio device without a bus.
const VIRTIO: &[u8] = b"LNRO0005\0";
/// Bytes behind the id in which its resources are looked for.
const NEAR: usize = 128;
/// Small tag and length of a `Memory32Fixed` (ACPI 6.5, 6.4.3.4), and of an extended interrupt (6.4.3.6) with one number.
const MEMORY: &[u8] = &[0x86, 9, 0];
const INTERRUPT: &[u8] = &[0x89, 6, 0];
/// `OperationRegion (EREG, SystemMemory, …` with an address of 32 bits.
const EVENTS: &[u8] = b"\x5b\x80EREG\x00\x0c";
/// More are lies.
const DEVICES_MAX: usize = 64;

/// Longer windows are lies.
const LEN_MAX: u64 = 64 << 10;

/// Where a device without a bus is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioPlace {
    /// Its first register.
    pub address: u64,
    /// Bytes of registers.
    pub len: u32,
    /// Its input at the I/O APICs.
    pub input: u32,
}

impl MmioPlace {
    /// A place that can be one.
    pub(crate) fn new(address: u64, len: u64, input: u64) -> Option<MmioPlace> {
        let sensible = address != 0 && address.is_multiple_of(4) && (0x100..=LEN_MAX).contains(&len);
        let input = u32::try_from(input).ok()?;
        sensible.then_some(MmioPlace { address, len: len as u32, input })
    }
}

impl fmt::Display for MmioPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "virtio-mmio {:#x}", self.address)
    }
}

/// The virtio devices, in the block's order.
pub(super) fn virtio_devices(block: &[u8]) -> Vec<MmioPlace> {
    let starts = block.windows(VIRTIO.len()).enumerate().filter(|(_, bytes)| *bytes == VIRTIO);
    let device = |(start, _)| {
        let rest = block.get(start + VIRTIO.len()..)?;
        let near = rest.get(..NEAR).unwrap_or(rest);
        let memory = behind(near, MEMORY)?;
        let interrupt = behind(near, INTERRUPT)?;
        let (address, len) = (u32_at(memory, 1)?, u32_at(memory, 5)?);
        MmioPlace::new(address.into(), len.into(), u32_at(interrupt, 2)?.into())
    };
    starts.filter_map(device).take(DEVICES_MAX).collect()
}

/// The register that says which events came, the power button's among them; reading it clears it.
pub(super) fn event_register(block: &[u8]) -> Option<u64> {
    u32_at(behind(block, EVENTS)?, 0).map(u64::from)
}

fn behind<'a>(bytes: &'a [u8], pattern: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(pattern.len()).position(|candidate| candidate == pattern)?;
    bytes.get(at + pattern.len()..)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(address: u32, input: u32) -> Vec<u8> {
        let mut bytes = b"\x08_HID\x0dLNRO0005\0\x08_CRS\x11\x1a\x0a\x17".to_vec();
        bytes.extend([0x86, 9, 0, 1]);
        bytes.extend(address.to_le_bytes());
        bytes.extend(512_u32.to_le_bytes());
        bytes.extend([0x89, 6, 0, 1, 1]);
        bytes.extend(input.to_le_bytes());
        bytes.extend([0x79, 0]);
        bytes
    }

    #[test]
    fn devices_are_found_in_order_and_half_of_one_is_none() {
        let mut block = b"DSDT and more".to_vec();
        block.extend(device(0xfeb0_0000, 24));
        block.extend(device(0xfeb0_0200, 25));
        block.extend(&device(0xfeb0_0400, 26)[..30]);
        let place = |address, input| MmioPlace { address, len: 512, input };
        assert_eq!(virtio_devices(&block), [place(0xfeb0_0000, 24), place(0xfeb0_0200, 25)]);
    }

    #[test]
    fn the_event_register_is_found() {
        assert_eq!(event_register(b"..\x5b\x80EREG\x00\x0c\x00\x00\xea\xfe\x0a\x04"), Some(0xfeea_0000));
        assert_eq!(event_register(b"..\x5b\x80EREG\x00\x0c\x00"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_can_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut block = VIRTIO.to_vec();
            block.extend(&bytes);
            // Whatever comes out, nothing may panic.
            let _ = (virtio_devices(&block), event_register(&bytes));
        }
    }
}
