//! A virtio device, whatever it is attached to. Knows the two ways; must not know more of either.

use super::mmio::MmioTransport;
use super::transport::PciTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The registers of one device.
pub enum Attached {
    /// On PCI.
    Pci(PciTransport),
    /// In memory.
    Mmio(MmioTransport),
}

macro_rules! either {
    ($self:ident, $transport:ident => $call:expr) => {
        match $self {
            Attached::Pci($transport) => $call,
            Attached::Mmio($transport) => $call,
        }
    };
}

impl Transport for Attached {
    fn device_type(&self) -> DeviceType {
        either!(self, transport => transport.device_type())
    }

    fn read_device_features(&mut self) -> u64 {
        either!(self, transport => transport.read_device_features())
    }

    fn write_driver_features(&mut self, features: u64) {
        either!(self, transport => transport.write_driver_features(features));
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        either!(self, transport => transport.max_queue_size(queue))
    }

    fn notify(&mut self, queue: u16) {
        either!(self, transport => transport.notify(queue));
    }

    fn get_status(&self) -> DeviceStatus {
        either!(self, transport => transport.get_status())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        either!(self, transport => transport.set_status(status));
    }

    fn set_guest_page_size(&mut self, size: u32) {
        either!(self, transport => transport.set_guest_page_size(size));
    }

    fn requires_legacy_layout(&self) -> bool {
        either!(self, transport => transport.requires_legacy_layout())
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver: PhysAddr,
        device: PhysAddr,
    ) {
        either!(self, transport => transport.queue_set(queue, size, descriptors, driver, device));
    }

    fn queue_unset(&mut self, queue: u16) {
        either!(self, transport => transport.queue_unset(queue));
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        either!(self, transport => transport.queue_used(queue))
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        either!(self, transport => transport.ack_interrupt())
    }

    fn read_config_generation(&self) -> u32 {
        either!(self, transport => transport.read_config_generation())
    }

    fn read_config_space<V: FromBytes + IntoBytes>(&self, offset: usize) -> Result<V, Error> {
        either!(self, transport => transport.read_config_space(offset))
    }

    fn write_config_space<V: IntoBytes + Immutable>(&mut self, offset: usize, value: V) -> Result<(), Error> {
        either!(self, transport => transport.write_config_space(offset, value))
    }
}
