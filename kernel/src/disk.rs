//! The disks of the machine, whatever drives them.
//!
//! Knows which kinds of disk there are. Must not know what is on them.

use crate::ahci::{MappedPort, Port};
use crate::drive::Drive;
use crate::virtio::attached::Attached;
use crate::virtio::block::VirtioBlock;
use crate::virtio::hal::KernelHal;
use crate::virtio::scsi::Scsi;
use crate::{ahci, nvme};
use alloc::string::String;
use bytes::Bytes;
use core::fmt;
use net::disks::DiskHealth;
use storage::device::narrowed::Narrowed;
use storage::device::{BlockDevice, DeviceError};
use virtio_drivers::transport::pci::bus::DeviceFunction;

/// Where something is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Into PCI.
    Pci(DeviceFunction),
    /// Nowhere: its registers are at this address.
    Memory(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Pci(place) => write!(formatter, "pci {place}"),
            Place::Memory(address) => write!(formatter, "virtio-mmio {address:#x}"),
        }
    }
}

/// What tells one disk from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskIdentity {
    /// What drives it: `virtio`, `nvme`, `ahci`, `scsi`.
    pub kind: &'static str,
    /// Where it is plugged in.
    pub place: Place,
    /// Which of several disks there, such as `namespace 1`; empty where there can be only one.
    pub unit: String,
    /// Its serial number, empty if it has none. In QEMU: `serial=` of the device.
    pub serial: String,
    /// Its name in the world (EUI-64, NGUID, NAA), empty if it has none.
    pub guid: String,
}

impl DiskIdentity {
    /// Puts disks into an order that lasts: by their own names, whatever slot or bus they are found in; those that have
    /// none come last, by place.
    pub fn order(&self) -> impl Ord + '_ {
        let is_nameless = self.serial.is_empty() && self.guid.is_empty();
        (is_nameless, &self.serial, &self.guid, &self.unit, self.place)
    }
}

impl fmt::Display for DiskIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} disk at {}", self.kind, self.place)?;
        for (word, value) in [("", &self.unit), ("serial ", &self.serial), ("guid ", &self.guid)] {
            if !value.is_empty() {
                write!(formatter, ", {word}{value}")?;
            }
        }
        Ok(())
    }
}

/// A disk.
pub struct Disk {
    identity: DiskIdentity,
    /// In its own sectors, or in shorter ones that its tables count in.
    sectors: Narrowed<Device>,
}

/// One more kind of disk is one more line here, and one in each function below.
#[expect(clippy::large_enum_variant, reason = "a disk lives as long as the machine, and there are few")]
pub(crate) enum Device {
    VirtioBlock(VirtioBlock<Attached>),
    Nvme(Drive<nvme::Controller>),
    Ahci(Drive<Port<MappedPort>>),
    Scsi(Drive<Scsi<Attached, KernelHal>>),
}

impl Disk {
    pub(crate) fn new(identity: DiskIdentity, device: Device) -> Disk {
        Disk { identity, sectors: Narrowed::new(device) }
    }

    pub(crate) fn device(&self) -> &Device {
        self.sectors.device()
    }

    /// From now on in sectors of `sector_size` bytes; whether its own are a multiple of that.
    pub(crate) fn narrow(&self, sector_size: u32) -> bool {
        self.sectors.narrow(sector_size)
    }

    /// Which disk it is.
    pub fn identity(&self) -> &DiskIdentity {
        &self.identity
    }

    /// Whether it refuses writes.
    pub fn is_read_only(&self) -> bool {
        match self.device() {
            Device::VirtioBlock(disk) => disk.geometry().read_only,
            Device::Nvme(disk) => disk.geometry().read_only,
            Device::Ahci(disk) => disk.geometry().read_only,
            Device::Scsi(disk) => disk.geometry().read_only,
        }
    }

    /// Whether it has no trouble. A disk of a host's is always well: it is the host's to look after.
    pub(crate) fn is_well(&self) -> bool {
        match self.device() {
            Device::VirtioBlock(_) => true,
            Device::Nvme(disk) => disk.is_well(),
            Device::Ahci(disk) => disk.is_well(),
            Device::Scsi(disk) => disk.is_well(),
        }
    }

    /// How it says that it is; `None`: it does not tell.
    pub(crate) async fn health(&self) -> Option<DiskHealth> {
        match self.device() {
            Device::VirtioBlock(_) | Device::Scsi(_) => None,
            Device::Nvme(disk) => nvme::health::parse(&disk.health().await?),
            Device::Ahci(disk) => ahci::health::parse(&disk.health().await?),
        }
    }

    /// Requests that it works on at once; more wait for their turn.
    pub fn depth(&self) -> usize {
        match self.device() {
            Device::VirtioBlock(disk) => disk.depth(),
            Device::Nvme(disk) => disk.depth(),
            Device::Ahci(disk) => disk.depth(),
            Device::Scsi(disk) => disk.depth(),
        }
    }
}

impl BlockDevice for Device {
    fn sector_size(&self) -> u32 {
        match self {
            Device::VirtioBlock(disk) => disk.sector_size(),
            Device::Nvme(disk) => disk.sector_size(),
            Device::Ahci(disk) => disk.sector_size(),
            Device::Scsi(disk) => disk.sector_size(),
        }
    }

    fn sector_count(&self) -> u64 {
        match self {
            Device::VirtioBlock(disk) => disk.sector_count(),
            Device::Nvme(disk) => disk.sector_count(),
            Device::Ahci(disk) => disk.sector_count(),
            Device::Scsi(disk) => disk.sector_count(),
        }
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        match self {
            Device::VirtioBlock(disk) => disk.read(first, count).await,
            Device::Nvme(disk) => disk.read(first, count).await,
            Device::Ahci(disk) => disk.read(first, count).await,
            Device::Scsi(disk) => disk.read(first, count).await,
        }
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        match self {
            Device::VirtioBlock(disk) => disk.write(first, data).await,
            Device::Nvme(disk) => disk.write(first, data).await,
            Device::Ahci(disk) => disk.write(first, data).await,
            Device::Scsi(disk) => disk.write(first, data).await,
        }
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        match self {
            Device::VirtioBlock(disk) => disk.flush().await,
            Device::Nvme(disk) => disk.flush().await,
            Device::Ahci(disk) => disk.flush().await,
            Device::Scsi(disk) => disk.flush().await,
        }
    }

    fn failed_flushes(&self) -> u64 {
        match self {
            Device::VirtioBlock(disk) => disk.failed_flushes(),
            Device::Nvme(disk) => disk.failed_flushes(),
            Device::Ahci(disk) => disk.failed_flushes(),
            Device::Scsi(disk) => disk.failed_flushes(),
        }
    }
}

impl BlockDevice for Disk {
    fn sector_size(&self) -> u32 {
        self.sectors.sector_size()
    }

    fn sector_count(&self) -> u64 {
        self.sectors.sector_count()
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        self.sectors.read(first, count).await
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        self.sectors.write(first, data).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.sectors.flush().await
    }

    fn failed_flushes(&self) -> u64 {
        self.sectors.failed_flushes()
    }
}

/// Bytes of `count` sectors from `first` on, if a disk of this many sectors has them.
pub(crate) fn transfer_len(
    sector_size: u32,
    sector_count: u64,
    first: u64,
    count: u64,
) -> Result<usize, DeviceError> {
    let outside = DeviceError::OutOfBounds { first, count };
    let end = first.checked_add(count).ok_or(outside)?;
    if end > sector_count {
        return Err(outside);
    }
    let bytes = count.checked_mul(u64::from(sector_size)).ok_or(outside)?;
    usize::try_from(bytes).map_err(|_| outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn identity(serial: &str, guid: &str, device: u8) -> DiskIdentity {
        let place = Place::Pci(DeviceFunction { bus: 0, device, function: 0 });
        DiskIdentity {
            kind: "nvme",
            place,
            unit: "namespace 1".into(),
            serial: serial.into(),
            guid: guid.into(),
        }
    }

    #[test]
    fn disks_keep_their_order_when_they_change_places() {
        let mut here =
            [identity("", "", 1), identity("b", "", 2), identity("a", "", 3), identity("", "7", 4)];
        let mut there =
            [identity("a", "", 1), identity("", "7", 2), identity("b", "", 3), identity("", "", 4)];
        for disks in [&mut here, &mut there] {
            disks.sort_by(|one, other| one.order().cmp(&other.order()));
            let names: Vec<_> = disks.iter().map(|disk| (disk.serial.as_str(), disk.guid.as_str())).collect();
            assert_eq!(names, [("", "7"), ("a", ""), ("b", ""), ("", "")]);
        }
    }

    #[test]
    fn a_disk_is_called_by_all_that_it_has() {
        let shown = identity("s", "7", 2).to_string();
        assert_eq!(shown, "nvme disk at pci 00:02.0, namespace 1, serial s, guid 7");
        assert_eq!(
            DiskIdentity { unit: "".into(), ..identity("", "", 2) }.to_string(),
            "nvme disk at pci 00:02.0"
        );
    }
}
