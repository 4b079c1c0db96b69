//! The seam under everything that is kept: a disk of sectors.
//!
//! Buffers change hands by ownership ([`Bytes`]), never by reference: a device may still be moving them when the
//! future that asked is dropped.

pub mod bytes_at;
mod image;
pub mod narrowed;
pub mod ram;
pub mod sim;
pub mod stretched;

pub use bytes_at::{read_bytes, read_twice, size_bytes, write_bytes};
pub use image::Image;

use alloc::rc::Rc;
use bytes::Bytes;

/// A disk, or a window on one. Requests may be under way in any number; each completes by itself.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait BlockDevice {
    /// Bytes in a sector: the unit of every address and length here. A power of two, at least 512.
    fn sector_size(&self) -> u32;

    /// Sectors on the device.
    fn sector_count(&self) -> u64;

    /// Reads `count` sectors from `first` on. Returns exactly `count * sector_size` bytes.
    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError>;

    /// Writes whole sectors from `first` on; `data` is a multiple of the sector size long.
    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError>;

    /// Returns once every write that had completed before the call survives a power cut.
    async fn flush(&self) -> Result<(), DeviceError>;

    /// Flushes that have failed so far. Each may have lost writes of anyone who shares the device: who has unflushed
    /// writes, and asks for a flush of its own only afterwards, must count them as lost although that one succeeds.
    /// [`Partition`](crate::partition::Partition) sees to it.
    fn failed_flushes(&self) -> u64;
}

/// Why a device did not do what it was asked. Says nothing of what is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The request lies outside the device, or is not whole sectors: a mistake of ours or a lie in a table.
    #[error("request for sectors {first}+{count} is outside the device or not whole sectors")]
    OutOfBounds {
        /// First sector asked for.
        first: u64,
        /// Sectors asked for.
        count: u64,
    },
    /// The device could not read these sectors.
    #[error("cannot read sectors {first}+{count}")]
    Read {
        /// First sector asked for.
        first: u64,
        /// Sectors asked for.
        count: u64,
    },
    /// The device could not write these sectors; what they hold now is unknown.
    #[error("cannot write sectors {first}+{count}")]
    Write {
        /// First sector given.
        first: u64,
        /// Sectors given.
        count: u64,
    },
    /// The device could not make earlier writes durable; each of them counts as not written.
    #[error("cannot flush the write cache")]
    Flush,
    /// The device is gone or no longer answers.
    #[error("the device does not answer")]
    Gone,
}

impl<D: BlockDevice> BlockDevice for Rc<D> {
    fn sector_size(&self) -> u32 {
        (**self).sector_size()
    }

    fn sector_count(&self) -> u64 {
        (**self).sector_count()
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        (**self).read(first, count).await
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        (**self).write(first, data).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        (**self).flush().await
    }

    fn failed_flushes(&self) -> u64 {
        (**self).failed_flushes()
    }
}

impl<D: BlockDevice> BlockDevice for &D {
    fn sector_size(&self) -> u32 {
        (**self).sector_size()
    }

    fn sector_count(&self) -> u64 {
        (**self).sector_count()
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        (**self).read(first, count).await
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        (**self).write(first, data).await
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        (**self).flush().await
    }

    fn failed_flushes(&self) -> u64 {
        (**self).failed_flushes()
    }
}
