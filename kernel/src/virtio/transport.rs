//! A virtio device on PCI, as its drivers see it (VIRTIO 1.2, section 4.1).
//!
//! Knows where the device's registers lie, how it is told of new chains, and how it interrupts: entry 0 of
//! its MSI-X table for queues, entry 1 for changes of its configuration. Must not know what kind of device it
//! is.
//!
//! Modern devices only. What the device says about itself is checked here: windows that are too small,
//! doorbells outside their window, vectors that it does not accept. A device that fails shows
//! [`DeviceStatus::FAILED`].

use super::words;
use crate::interrupts::MsiMessage;
use crate::memory::mmio::Registers;
use crate::pci::capability::{Capability, capabilities};
use crate::pci::msix::Msix;
use crate::pci::{Bars, Function};
use virtio_drivers::transport::pci::bus::ConfigurationAccess;
use virtio_drivers::transport::pci::virtio_device_type;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Offsets in the common configuration (4.1.4.3).
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0;
    pub(super) const DEVICE_FEATURE: usize = 4;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 8;
    pub(super) const DRIVER_FEATURE: usize = 12;
    pub(super) const CONFIG_VECTOR: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const GENERATION: usize = 21;
    pub(super) const QUEUE_SELECT: usize = 22;
    pub(super) const QUEUE_SIZE: usize = 24;
    pub(super) const QUEUE_VECTOR: usize = 26;
    pub(super) const QUEUE_ENABLE: usize = 28;
    pub(super) const QUEUE_NOTIFY_OFF: usize = 30;
    pub(super) const QUEUE_DESC: usize = 32;
    pub(super) const QUEUE_DRIVER: usize = 40;
    pub(super) const QUEUE_DEVICE: usize = 48;
    pub(super) const LEN: u32 = 56;
}

const CAPABILITY_VENDOR: u8 = 9;
const KIND_COMMON: u8 = 1;
const KIND_NOTIFY: u8 = 2;
const KIND_DEVICE: u8 = 4;

const NO_VECTOR: u16 = 0xffff;
const VECTOR_QUEUES: u16 = 0;
const VECTOR_CONFIG: u16 = 1;

/// Queues whose doorbells are remembered: none of our drivers uses more.
const QUEUES_MAX: usize = 3;

/// Why a function of PCI is not a device for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Not a virtio device.
    #[error("is no virtio device")]
    NotVirtio,
    /// A window of registers that a modern device has is missing, too small, or has no address.
    #[error("lacks the registers for {0}: a legacy device, or firmware gave it no address")]
    Missing(&'static str),
}

/// The registers of one device.
pub struct PciTransport {
    kind: DeviceType,
    common: Registers,
    doorbells: Registers,
    doorbell_step: u32,
    device: Option<Registers>,
    /// Where each queue is notified, once it is set up.
    doorbell: [Option<usize>; QUEUES_MAX],
    queue_vector: u16,
    config_vector: u16,
    failed: bool,
}

impl PciTransport {
    /// Finds the registers of `function`, and lets it reach memory.
    pub fn open(function: &mut Function) -> Result<PciTransport, TransportError> {
        let kind = virtio_device_type(&function.info).ok_or(TransportError::NotVirtio)?;
        let bars = function.bars();
        let part = |kind| Part::find(function, kind);
        let common_part = part(KIND_COMMON).ok_or(TransportError::Missing("configuration"))?;
        let notify_part = part(KIND_NOTIFY).ok_or(TransportError::Missing("notification"))?;
        let device_part = part(KIND_DEVICE);
        let common = (common_part.len >= common::LEN).then(|| common_part.map(&bars)).flatten();
        let doorbell_step = notify_part.capability.register(16);
        let doorbell_step = doorbell_step.map(|at| function.configuration.read_word(function.place, at));
        let transport = PciTransport {
            kind,
            common: common.ok_or(TransportError::Missing("configuration"))?,
            doorbells: notify_part.map(&bars).ok_or(TransportError::Missing("notification"))?,
            doorbell_step: doorbell_step.ok_or(TransportError::Missing("notification"))?,
            device: device_part.and_then(|part| part.map(&bars)),
            doorbell: [None; QUEUES_MAX],
            queue_vector: NO_VECTOR,
            config_vector: NO_VECTOR,
            failed: false,
        };
        function.enable();
        Ok(transport)
    }

    /// Sets up what the device sends when a queue, and when its configuration, has news. `false` if it
    /// cannot: then it has to be looked at from time to time. Before the driver resets the device and sets up
    /// its queues.
    pub fn interrupt_by(
        &mut self,
        function: &mut Function,
        queues: MsiMessage,
        configuration: Option<MsiMessage>,
    ) -> bool {
        let bars = function.bars();
        let Some(msix) = Msix::find(&function.configuration, function.place, &bars) else { return false };
        msix.set(VECTOR_QUEUES, queues);
        self.queue_vector = VECTOR_QUEUES;
        if let Some(message) = configuration.filter(|_| msix.entries() > VECTOR_CONFIG) {
            msix.set(VECTOR_CONFIG, message);
            self.config_vector = VECTOR_CONFIG;
        }
        msix.enable(&mut function.configuration, function.place);
        true
    }

    fn set_vector(&mut self, register: usize, vector: u16) {
        self.common.write16(register, vector);
        if vector != NO_VECTOR && self.common.read16(register) != vector {
            log::error!("virtio device: it does not take interrupt vector {vector}");
            self.failed = true;
        }
    }

    /// Where the queue that is selected is notified, if that lies within the window.
    fn doorbell_of_selected(&self) -> Option<usize> {
        let step = usize::try_from(self.doorbell_step).ok()?;
        let at = usize::from(self.common.read16(common::QUEUE_NOTIFY_OFF)).checked_mul(step)?;
        let inside = at.checked_add(2)? <= self.doorbells.len();
        (inside && at.is_multiple_of(2)).then_some(at)
    }
}

/// A stretch of registers that a capability points to (`virtio_pci_cap`, 4.1.4).
struct Part {
    capability: Capability,
    bar: u8,
    offset: u32,
    len: u32,
}

impl Part {
    /// The first of its kind, which is the one that the device prefers.
    fn find(function: &Function, kind: u8) -> Option<Part> {
        let (configuration, place) = (&function.configuration, function.place);
        let mut own = capabilities(configuration, place).filter(|entry| entry.id == CAPABILITY_VENDOR);
        own.find_map(|capability| {
            let word = |at| Some(configuration.read_word(place, capability.register(at)?));
            let [_, _, _, its_kind] = word(0)?.to_le_bytes();
            (its_kind == kind).then_some(())?;
            Some(Part { capability, bar: word(4)? as u8, offset: word(8)?, len: word(12)? })
        })
    }

    fn map(&self, bars: &Bars) -> Option<Registers> {
        // A register file need not be aligned better than its widest register.
        self.offset.is_multiple_of(4).then(|| bars.map(self.bar, self.offset, self.len)).flatten()
    }
}

impl Transport for PciTransport {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn read_device_features(&mut self) -> u64 {
        words::read_features(&self.common, common::DEVICE_FEATURE_SELECT, common::DEVICE_FEATURE)
    }

    fn write_driver_features(&mut self, features: u64) {
        words::write_features(&self.common, common::DRIVER_FEATURE_SELECT, common::DRIVER_FEATURE, features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.common.write16(common::QUEUE_SELECT, queue);
        self.common.read16(common::QUEUE_SIZE).into()
    }

    fn notify(&mut self, queue: u16) {
        if let Some(Some(at)) = self.doorbell.get(usize::from(queue)) {
            self.doorbells.write16(*at, queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        let status = DeviceStatus::from_bits_truncate(self.common.read8(common::STATUS).into());
        if self.failed { status | DeviceStatus::FAILED } else { status }
    }

    fn set_status(&mut self, status: DeviceStatus) {
        if status == DeviceStatus::empty() {
            self.failed = false;
        }
        self.common.write8(common::STATUS, status.bits() as u8);
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
        self.set_vector(common::CONFIG_VECTOR, self.config_vector);
        self.common.write16(common::QUEUE_SELECT, queue);
        self.common.write16(common::QUEUE_SIZE, size as u16);
        for (register, address) in [
            (common::QUEUE_DESC, descriptors),
            (common::QUEUE_DRIVER, driver),
            (common::QUEUE_DEVICE, device),
        ] {
            words::write_address(&self.common, register, address);
        }
        self.set_vector(common::QUEUE_VECTOR, self.queue_vector);
        let doorbell = self.doorbell_of_selected();
        match self.doorbell.get_mut(usize::from(queue)) {
            Some(place) if doorbell.is_some() => *place = doorbell,
            _ => {
                log::error!("virtio device: the doorbell of queue {queue} lies nowhere");
                self.failed = true;
            }
        }
        self.common.write16(common::QUEUE_ENABLE, 1);
    }

    fn queue_unset(&mut self, _: u16) {
        // Only a reset takes a queue back on PCI.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.common.write16(common::QUEUE_SELECT, queue);
        self.common.read16(common::QUEUE_ENABLE) == 1
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        // Messages need no acknowledgement.
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.common.read8(common::GENERATION).into()
    }

    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V, Error> {
        let device = self.device.as_ref().ok_or(Error::ConfigSpaceMissing)?;
        let end = offset.checked_add(size_of::<V>()).ok_or(Error::ConfigSpaceTooSmall)?;
        if end > device.len() {
            return Err(Error::ConfigSpaceTooSmall);
        }
        Ok(words::read_fields(device, offset))
    }

    fn write_config_space<V: IntoBytes + Immutable>(&mut self, _: usize, _: V) -> Result<(), Error> {
        // No driver of ours changes a device's configuration.
        Err(Error::Unsupported)
    }
}
