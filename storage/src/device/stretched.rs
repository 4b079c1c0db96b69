//! A device that should be longer than it is: what lies behind its end is there, and cannot be read.
//!
//! For disks that were cut off: tables and maps still say where things were. Must not know formats.

use super::{BlockDevice, DeviceError};
use bytes::Bytes;

/// A device with sectors behind its end.
#[derive(Clone, Debug)]
pub struct Stretched<D> {
    device: D,
    sectors: u64,
}

impl<D: BlockDevice> Stretched<D> {
    /// `device`, as if it had `sectors`; not fewer than it has.
    pub fn new(device: D, sectors: u64) -> Stretched<D> {
        let sectors = sectors.max(device.sector_count());
        Stretched { device, sectors }
    }

    /// Whether `first + count` are sectors that are there; an error if they should not even be.
    fn is_there(&self, first: u64, count: u64) -> Result<bool, DeviceError> {
        let end = first.checked_add(count).filter(|end| *end <= self.sectors);
        let end = end.ok_or(DeviceError::OutOfBounds { first, count })?;
        Ok(end <= self.device.sector_count())
    }
}

impl<D: BlockDevice> BlockDevice for Stretched<D> {
    fn sector_size(&self) -> u32 {
        self.device.sector_size()
    }

    fn sector_count(&self) -> u64 {
        self.sectors
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        match self.is_there(first, u64::from(count))? {
            true => self.device.read(first, count).await,
            false => Err(DeviceError::Read { first, count: u64::from(count) }),
        }
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let count = data.len().div_ceil(self.sector_size() as usize) as u64;
        match self.is_there(first, count)? {
            true => self.device.write(first, data).await,
            false => Err(DeviceError::Write { first, count }),
        }
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.device.flush().await
    }

    fn failed_flushes(&self) -> u64 {
        self.device.failed_flushes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ram::RamDisk;
    use crate::simulation::block_on;
    use alloc::vec;

    #[test]
    fn what_is_cut_off_cannot_be_read_or_written_and_the_rest_can() {
        let disk = Stretched::new(RamDisk::new(512, 4), 6);
        assert_eq!((disk.sector_count(), Stretched::new(&disk, 1).sector_count()), (6, 6));
        block_on(async {
            let data = Bytes::from(vec![3; 1024]);
            assert_eq!(disk.write(2, data.clone()).await, Ok(()));
            assert_eq!(disk.read(2, 2).await, Ok(data.clone()));
            assert_eq!(disk.read(3, 2).await, Err(DeviceError::Read { first: 3, count: 2 }));
            assert_eq!(disk.write(4, data).await, Err(DeviceError::Write { first: 4, count: 2 }));
            assert_eq!(disk.read(5, 2).await, Err(DeviceError::OutOfBounds { first: 5, count: 2 }));
        });
    }
}
