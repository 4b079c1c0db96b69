//! The devices of virtual machines (VIRTIO 1.2), on the virtio-drivers crate.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`hal`] | virtio-drivers' memory duties | devices |
//! | [`transport`] | a modern device on PCI: its registers, doorbells, MSI-X | queues' contents, devices' kinds |
//! | [`mmio`] | a modern device without a bus: its registers, its announcement | devices' kinds |
//! | [`attached`] | either | more of either |
//! | `words` | what is wider than a register | which register |
//! | [`signal`] | waiting for a device that interrupts, or looking at one that cannot | which device |
//! | `ring`, `buffer` | a virtqueue that owns what is in flight; memory for transfers | requests |
//! | [`block`] | disks | what is on them |
//! | [`network`] | network cards | packets' meaning |
//! | `scsi` | SCSI hosts and their disks | who waits, and how long |
//! | [`entropy`] | the host's random numbers | what they are for |
//!
//! Of the crate come the queue, the `Hal` and the `Transport` trait. Its transport for PCI is not used: it
//! has no MSI-X, takes three accesses to the device for one notification, and trusts lengths, offsets and
//! lists that the device gives. Nor are its devices: they wait by spinning, and hold one flush at a time.

pub mod attached;
pub mod block;
pub(crate) mod buffer;
pub mod entropy;
#[cfg(test)]
mod fake;
pub mod hal;
pub mod mmio;
pub mod network;
mod ring;
pub(crate) mod scsi;
pub mod signal;
pub mod transport;
mod words;

use virtio_drivers::transport::{DeviceStatus, Transport};

/// A device's own kinds of features, and these that all share (VIRTIO 1.2, section 6).
mod feature {
    /// Descriptors may point to tables of descriptors.
    pub(super) const INDIRECT_DESC: u64 = 1 << 28;
    /// The device follows version 1 of the standard.
    pub(super) const VERSION_1: u64 = 1 << 32;
    /// The device reaches memory as the platform lets it. We program no IOMMU, so addresses are physical all
    /// the same.
    pub(super) const ACCESS_PLATFORM: u64 = 1 << 33;
    /// Memory accesses are ordered as between processors, which is what our fences see to.
    pub(super) const ORDER_PLATFORM: u64 = 1 << 36;
}

/// How often a status register is read before the device counts as dead: a read takes a microsecond or so.
const STATUS_READS_MAX: u32 = 1_000_000;

/// What is wrong with a virtio device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The device does not confirm a reset.
    #[error("does not reset")]
    NoReset,
    /// The device follows an older standard only.
    #[error("is a legacy device; give it virtio 1 (in QEMU: disable-legacy=on, disable-modern=off)")]
    Legacy,
    /// The device does not accept the features that we chose among those it offers.
    #[error("refuses features {0:#x}, which it offers")]
    FeaturesRefused(u64),
    /// The device does not work with what was set up.
    #[error("does not start")]
    NotStarted,
    /// The configuration cannot be read, or says what cannot be.
    #[error("has a configuration that makes no sense: {what} is {value}")]
    Configuration {
        /// The field.
        what: &'static str,
        /// What it holds.
        value: u64,
    },
    /// The configuration keeps changing or has no such field.
    #[error("has an unreadable configuration")]
    Unreadable,
    /// A queue with hardly any places.
    #[error("offers {size} places in queue {queue}, too few")]
    QueueTooSmall {
        /// The queue's number.
        queue: u16,
        /// Its size.
        size: u32,
    },
    /// A queue that cannot be set up.
    #[error("cannot have queue {queue} set up: {cause}")]
    Queue {
        /// The queue's number.
        queue: u16,
        /// Why.
        cause: virtio_drivers::Error,
    },
    /// Memory for transfers is short.
    #[error("needs memory for transfers, of which there is not enough")]
    Memory,
    /// The device gave back what it does not have.
    #[error("gave back request {id} of queue {queue}, which it does not have")]
    BogusAnswer {
        /// The queue's number.
        queue: u16,
        /// The token that it named.
        id: u16,
    },
}

/// Stops the device: it touches no memory of ours from here on.
///
/// # Errors
/// [`Problem::NoReset`]: it may still do so.
fn reset<T: Transport>(transport: &mut T) -> Result<(), Problem> {
    transport.set_status(DeviceStatus::empty());
    for _ in 0..STATUS_READS_MAX {
        if transport.get_status() == DeviceStatus::empty() {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(Problem::NoReset)
}

/// Resets the device and agrees on features: those of `wanted` that it offers, and what every device of today
/// needs.
fn negotiate<T: Transport>(transport: &mut T, wanted: u64) -> Result<u64, Problem> {
    negotiate_by(transport, |offered| offered & wanted)
}

/// The same where some features make sense with others only: `choose` has those that are offered.
fn negotiate_by<T: Transport>(transport: &mut T, choose: impl FnOnce(u64) -> u64) -> Result<u64, Problem> {
    reset(transport)?;
    let driver = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
    transport.set_status(DeviceStatus::ACKNOWLEDGE);
    transport.set_status(driver);
    let offered = transport.read_device_features();
    if offered & feature::VERSION_1 == 0 {
        return Err(Problem::Legacy);
    }
    let always = feature::VERSION_1 | feature::ACCESS_PLATFORM | feature::ORDER_PLATFORM;
    let agreed = offered & (choose(offered) | always);
    transport.write_driver_features(agreed);
    transport.set_status(driver | DeviceStatus::FEATURES_OK);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        transport.set_status(DeviceStatus::FAILED);
        return Err(Problem::FeaturesRefused(agreed));
    }
    Ok(agreed)
}

/// Tells the device to begin, its queues being set up.
fn begin<T: Transport>(transport: &mut T) -> Result<(), Problem> {
    let ready = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK;
    transport.set_status(ready | DeviceStatus::DRIVER_OK);
    let bad = DeviceStatus::FAILED | DeviceStatus::DEVICE_NEEDS_RESET;
    if transport.get_status().intersects(bad) { Err(Problem::NotStarted) } else { Ok(()) }
}

/// Reads fields of the configuration that belong together: again if the device changed them meanwhile.
fn consistent<T: Transport, R>(
    transport: &T,
    read: impl Fn(&T) -> virtio_drivers::Result<R>,
) -> Result<R, Problem> {
    for _ in 0..100 {
        let before = transport.read_config_generation();
        let fields = read(transport).map_err(|_| Problem::Unreadable)?;
        if transport.read_config_generation() == before {
            return Ok(fields);
        }
    }
    Err(Problem::Unreadable)
}
