//! A virtio device without a bus, its registers in memory (VIRTIO 1.2, section 4.2): as microVMs have them.
//!
//! Knows the registers, and how such a device is announced on the command line. Must not know what kind of device it is.
//!
//! Modern devices only. (The transport of the crate `virtio-drivers` waits without end for a device to give up a queue,
//! and takes legacy ones.)

use super::words;
use crate::acpi::MmioPlace;
use crate::memory::map_mmio;
use crate::memory::mmio::Registers;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Offsets of registers (4.2.2); all have 32 bits.
mod register {
    pub(super) const MAGIC: usize = 0x00;
    pub(super) const VERSION: usize = 0x04;
    pub(super) const DEVICE: usize = 0x08;
    pub(super) const DEVICE_FEATURES: usize = 0x10;
    pub(super) const DEVICE_FEATURES_SELECT: usize = 0x14;
    pub(super) const DRIVER_FEATURES: usize = 0x20;
    pub(super) const DRIVER_FEATURES_SELECT: usize = 0x24;
    pub(super) const QUEUE_SELECT: usize = 0x30;
    pub(super) const QUEUE_SIZE_MAX: usize = 0x34;
    pub(super) const QUEUE_SIZE: usize = 0x38;
    pub(super) const QUEUE_READY: usize = 0x44;
    pub(super) const QUEUE_NOTIFY: usize = 0x50;
    pub(super) const INTERRUPT_STATUS: usize = 0x60;
    pub(super) const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
    pub(super) const STATUS: usize = 0x70;
    pub(super) const QUEUE_DESC: usize = 0x80;
    pub(super) const QUEUE_DRIVER: usize = 0x90;
    pub(super) const QUEUE_DEVICE: usize = 0xa0;
    pub(super) const GENERATION: usize = 0xfc;
    pub(super) const DEVICE_OWN: usize = 0x100;
}

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const MODERN: u32 = 2;
/// The word of the command line that announces a device: `virtio_mmio.device=512@0xfeb00000:5`.
pub(crate) const WORD: &str = "virtio_mmio.device=";

impl MmioPlace {
    /// Reads what Linux calls `<size>@<address>:<irq>[:<id>]`, in the word that begins with [`WORD`].
    pub(crate) fn parse(word: &str) -> Option<MmioPlace> {
        let (len, rest) = word.strip_prefix(WORD)?.split_once('@')?;
        let (address, input) = rest.split_once(':')?;
        let input = input.split(':').next()?;
        MmioPlace::new(number(address)?, number(len)?, number(input)?)
    }
}

/// A number as kernels take it: decimal, or after `0x`, with a K behind it for 1024.
fn number(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1024_u64),
        None => (text, 1),
    };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    number.ok()?.checked_mul(unit)
}

/// Why there is no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MmioError {
    /// The address is none of a device.
    #[error("has registers where none can be")]
    NoRegisters,
    /// No magic number.
    #[error("is none: no virtio device answers there")]
    NotVirtio,
    /// Legacy, or later than anything we know.
    #[error(
        "has version {0} of the registers, and 2 is driven here (QEMU: -global virtio-mmio.force-legacy=false)"
    )]
    Version(u32),
}

/// The registers of one device.
pub struct MmioTransport {
    kind: DeviceType,
    registers: Registers,
}

impl MmioTransport {
    /// Finds the device at `place`. `None`: nothing is plugged in there, or no kind that anybody knows.
    pub(crate) fn open(place: &MmioPlace) -> Result<Option<MmioTransport>, MmioError> {
        let registers = map_mmio(place.address, place.len as usize).map_err(|_| MmioError::NoRegisters)?;
        MmioTransport::at(registers)
    }

    fn at(registers: Registers) -> Result<Option<MmioTransport>, MmioError> {
        if registers.read32(register::MAGIC) != MAGIC {
            return Err(MmioError::NotVirtio);
        }
        let kind = DeviceType::try_from(registers.read32(register::DEVICE));
        let Ok(kind) = kind else { return Ok(None) };
        match registers.read32(register::VERSION) {
            MODERN => Ok(Some(MmioTransport { kind, registers })),
            other => Err(MmioError::Version(other)),
        }
    }

    /// What acknowledges its interrupts.
    pub(crate) fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement(self.registers)
    }
}

/// The two registers that an interrupt is answered with.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement(Registers);

impl Acknowledgement {
    /// Takes note of what the device has interrupted for. Whoever then looks at its queues misses nothing: what comes
    /// later interrupts anew.
    pub(crate) fn give(self) {
        let status = self.0.read32(register::INTERRUPT_STATUS);
        if status != 0 {
            self.0.write32(register::INTERRUPT_ACKNOWLEDGE, status);
        }
    }
}

impl Transport for MmioTransport {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn read_device_features(&mut self) -> u64 {
        words::read_features(&self.registers, register::DEVICE_FEATURES_SELECT, register::DEVICE_FEATURES)
    }

    fn write_driver_features(&mut self, features: u64) {
        words::write_features(
            &self.registers,
            register::DRIVER_FEATURES_SELECT,
            register::DRIVER_FEATURES,
            features,
        );
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.registers.write32(register::QUEUE_SELECT, queue.into());
        self.registers.read32(register::QUEUE_SIZE_MAX)
    }

    fn notify(&mut self, queue: u16) {
        self.registers.write32(register::QUEUE_NOTIFY, queue.into());
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.registers.read32(register::STATUS))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.registers.write32(register::STATUS, status.bits());
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver: PhysAddr,
        device: PhysAddr,
    ) {
        self.registers.write32(register::QUEUE_SELECT, queue.into());
        self.registers.write32(register::QUEUE_SIZE, size);
        for (register, address) in [
            (register::QUEUE_DESC, descriptors),
            (register::QUEUE_DRIVER, driver),
            (register::QUEUE_DEVICE, device),
        ] {
            words::write_address(&self.registers, register, address);
        }
        self.registers.write32(register::QUEUE_READY, 1);
    }

    fn queue_unset(&mut self, _: u16) {
        // A reset takes queues back, as on PCI.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.registers.write32(register::QUEUE_SELECT, queue.into());
        self.registers.read32(register::QUEUE_READY) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.acknowledgement().give();
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.registers.read32(register::GENERATION)
    }

    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V, Error> {
        let end = offset.checked_add(size_of::<V>()).and_then(|end| end.checked_add(register::DEVICE_OWN));
        if end.is_none_or(|end| end > self.registers.len()) {
            return Err(Error::ConfigSpaceTooSmall);
        }
        Ok(words::read_fields(&self.registers, register::DEVICE_OWN + offset))
    }

    fn write_config_space<V: IntoBytes + Immutable>(&mut self, _: usize, _: V) -> Result<(), Error> {
        // No driver of ours changes a device's configuration.
        Err(Error::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    #[test]
    fn announcements_of_qemu_and_firecracker_are_understood() {
        let place = MmioPlace { address: 0xfeb0_0e00, len: 512, input: 12 };
        assert_eq!(MmioPlace::parse("virtio_mmio.device=512@0xfeb00e00:12"), Some(place));
        let place = MmioPlace { address: 0xd000_0000, len: 4096, input: 5 };
        assert_eq!(MmioPlace::parse("virtio_mmio.device=4K@0xd0000000:5:0"), Some(place));
    }

    #[test]
    fn announcements_that_cannot_be_are_not() {
        for odd in [
            "virtio_mmio.device=",
            "virtio_mmio.device=512@0xfeb00e00",
            "virtio_mmio.device=512@0xfeb00e01:5",
            "virtio_mmio.device=512@0:5",
            "virtio_mmio.device=16@0xfeb00000:5",
            "virtio_mmio.device=99999999K@0xfeb00000:5",
            "virtio_mmio.device=18446744073709551615K@0xfeb00000:5",
            "virtio_mmio.device=512@0xfeb00000:5000000000",
            "virtio_mmio.device=512@zzz:5",
            "virtio=512@0xfeb00000:5",
        ] {
            assert_eq!(MmioPlace::parse(odd), None, "{odd}");
        }
    }

    fn window(words: &mut [u32]) -> Registers {
        let base = NonNull::new(words.as_mut_ptr().cast::<u8>()).unwrap();
        // SAFETY: plain memory stands in for registers, and outlives the test's use of them.
        unsafe { Registers::new(base, size_of_val(words)) }
    }

    #[test]
    fn what_is_there_decides_whether_there_is_a_device() {
        let open = |magic, version, device| {
            let mut words = [0_u32; 0x80];
            words[..3].copy_from_slice(&[magic, version, device]);
            MmioTransport::at(window(&mut words)).map(|found| found.map(|transport| transport.kind))
        };
        assert_eq!(open(MAGIC, 2, 2), Ok(Some(DeviceType::Block)));
        assert_eq!(open(MAGIC, 2, 0), Ok(None), "an empty slot");
        assert_eq!(open(MAGIC, 1, 0), Ok(None), "an empty legacy slot");
        assert_eq!(open(MAGIC, 1, 2), Err(MmioError::Version(1)));
        assert_eq!(open(u32::MAX, 2, 2), Err(MmioError::NotVirtio));
    }

    #[test]
    fn configuration_is_read_within_the_window() {
        let mut words = [0_u32; 0x80];
        words[..3].copy_from_slice(&[MAGIC, 2, 2]);
        words[0x40..0x42].copy_from_slice(&[0x0403_0201, 0x0807_0605]);
        let transport = MmioTransport::at(window(&mut words)).unwrap().unwrap();
        assert_eq!(transport.read_config_space::<u16>(2), Ok(0x0403));
        assert_eq!(transport.read_config_space::<[u8; 6]>(0), Ok([1, 2, 3, 4, 5, 6]));
        assert_eq!(transport.read_config_space::<u32>(0xfc), Ok(0));
        assert_eq!(transport.read_config_space::<u32>(0x100), Err(Error::ConfigSpaceTooSmall));
        assert_eq!(transport.read_config_space::<u32>(usize::MAX - 3), Err(Error::ConfigSpaceTooSmall));
    }
}
