//! A window on a device: a named run of sectors that is itself a device.
//!
//! Knows its bounds, and that it shares a write cache with its neighbours. Must not know what lies inside, nor which table
//! it was found in.

use crate::device::{BlockDevice, DeviceError};
use alloc::string::String;
use bytes::Bytes;
use core::cell::Cell;

/// A named range of sectors of `D`. Nothing that is asked of it reaches outside.
#[derive(Clone, Debug)]
pub struct Partition<D> {
    name: String,
    device: D,
    first: u64,
    count: u64,
    /// Failed flushes of the device that this window has answered for.
    failures: Cell<u64>,
}

/// A partition that does not lie wholly on its device: its table is wrong, or the disk has shrunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "partition {name} (sectors {first}+{count}) does not fit on its disk of {disk} sectors: \
     is the partition table for another disk, or has the disk shrunk?"
)]
pub struct PartitionOutsideDisk {
    /// The partition's name.
    pub name: String,
    /// Its first sector.
    pub first: u64,
    /// Its sectors.
    pub count: u64,
    /// The sectors that the disk has.
    pub disk: u64,
}

impl<D: BlockDevice> Partition<D> {
    /// The window of `count` sectors from `first` on.
    pub fn new(
        name: impl Into<String>,
        device: D,
        first: u64,
        count: u64,
    ) -> Result<Partition<D>, PartitionOutsideDisk> {
        let (name, disk) = (name.into(), device.sector_count());
        match first.checked_add(count) {
            Some(end) if end <= disk => {
                let failures = Cell::new(device.failed_flushes());
                Ok(Partition { name, device, first, count, failures })
            }
            _ => Err(PartitionOutsideDisk { name, first, count, disk }),
        }
    }

    /// The whole of a device.
    pub fn whole(name: impl Into<String>, device: D) -> Partition<D> {
        let count = device.sector_count();
        let failures = Cell::new(device.failed_flushes());
        Partition { name: name.into(), device, first: 0, count, failures }
    }

    /// What it is called in tables, settings and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its first sector on the device below.
    pub fn first_sector(&self) -> u64 {
        self.first
    }

    /// The sector of the device below, if all of `first + count` lies inside the window.
    fn below(&self, first: u64, count: u64) -> Result<u64, DeviceError> {
        let inside = first.checked_add(count).is_some_and(|end| end <= self.count);
        if inside { Ok(self.first + first) } else { Err(DeviceError::OutOfBounds { first, count }) }
    }

    /// Errors name the sectors of this window, as the request did.
    fn translated(&self, error: DeviceError) -> DeviceError {
        match error {
            DeviceError::Read { first, count } => {
                DeviceError::Read { first: first.saturating_sub(self.first), count }
            }
            DeviceError::Write { first, count } => {
                DeviceError::Write { first: first.saturating_sub(self.first), count }
            }
            DeviceError::OutOfBounds { first, count } => {
                DeviceError::OutOfBounds { first: first.saturating_sub(self.first), count }
            }
            other => other,
        }
    }
}

impl<D: BlockDevice> BlockDevice for Partition<D> {
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn sector_count(&self) -> u64 {
        self.count
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let below = self.below(first, u64::from(count))?;
        self.device.read(below, count).await.map_err(|error| self.translated(error))
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let count = data.len().div_ceil(self.sector_size() as usize) as u64;
        let below = self.below(first, count)?;
        self.device.write(below, data).await.map_err(|error| self.translated(error))
    }

    /// Fails once, too, when the flush of a neighbour has failed since the last call: the device may have forgotten what
    /// was written here.
    async fn flush(&self) -> Result<(), DeviceError> {
        let flushed = self.device.flush().await;
        let failures = self.device.failed_flushes();
        let known = self.failures.replace(failures);
        flushed?;
        if known == failures { Ok(()) } else { Err(DeviceError::Flush) }
    }

    fn failed_flushes(&self) -> u64 {
        self.device.failed_flushes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ram::RamDisk;
    use crate::device::sim::{Fault, Request, SimDisk};
    use crate::simulation::block_on;
    use alloc::rc::Rc;
    use alloc::vec;

    #[test]
    fn writes_land_inside_the_window() {
        let disk = Rc::new(RamDisk::new(512, 100));
        let window = Partition::new("arenas", disk.clone(), 10, 5).unwrap();
        block_on(async {
            window.write(4, Bytes::from(vec![7; 512])).await.unwrap();
            assert_eq!(disk.read(14, 1).await.unwrap(), vec![7; 512]);
            assert_eq!(window.read(4, 1).await.unwrap(), vec![7; 512]);
        });
    }

    #[test]
    fn the_failed_flush_of_a_neighbour_is_a_failure_of_ours_once() {
        let disk = Rc::new(SimDisk::new(RamDisk::new(512, 100).image(), 1));
        let window = |first| Partition::new("window", disk.clone(), first, 10).unwrap();
        let (one, other) = (window(0), window(10));
        disk.inject(Request::Flush, 1, Fault::Fail);
        block_on(async {
            assert_eq!(one.flush().await, Err(DeviceError::Flush));
            assert_eq!(other.flush().await, Err(DeviceError::Flush));
            let late = window(20);
            for window in [&one, &other, &late] {
                assert_eq!(window.flush().await, Ok(()));
            }
        });
    }

    #[test]
    fn nothing_reaches_past_the_window() {
        let disk = Rc::new(RamDisk::new(512, 100));
        let window = Partition::new("arenas", disk.clone(), 10, 5).unwrap();
        block_on(async {
            for (first, count) in [(4, 2), (5, 1), (u64::MAX, 1)] {
                let outside = DeviceError::OutOfBounds { first, count: u64::from(count) };
                assert_eq!(window.read(first, count).await, Err(outside));
                let data = Bytes::from(vec![1; 512 * count as usize]);
                assert_eq!(window.write(first, data).await, Err(outside));
            }
            assert_eq!(disk.read(15, 1).await.unwrap(), vec![0; 512]);
        });
    }

    #[test]
    fn a_window_larger_than_the_disk_is_refused() {
        let disk = RamDisk::new(512, 100);
        assert!(Partition::new("arenas", &disk, 10, 91).is_err());
        assert!(Partition::new("arenas", &disk, u64::MAX, 2).is_err());
        assert!(Partition::new("arenas", &disk, 10, 90).is_ok());
    }
}
