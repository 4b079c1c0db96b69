//! A plain disk in memory: every write is durable at once, nothing ever fails.
//!
//! For tests, for trying things out, and as a scratch disk. Must not know formats.

use super::image::Image;
use super::{BlockDevice, DeviceError};
use bytes::Bytes;
use core::cell::RefCell;

/// A disk whose sectors live in memory (sparsely: what was never written is zero and costs nothing).
#[derive(Debug)]
pub struct RamDisk {
    image: RefCell<Image>,
}

impl RamDisk {
    /// A disk of zeros.
    pub fn new(sector_size: u32, sector_count: u64) -> RamDisk {
        RamDisk { image: RefCell::new(Image::new(sector_size, sector_count)) }
    }

    /// A disk with this content; a last sector that is not full is filled with zeros.
    pub fn from_bytes(sector_size: u32, content: &[u8]) -> RamDisk {
        RamDisk { image: RefCell::new(Image::from_bytes(sector_size, content)) }
    }

    /// A copy of everything on the disk.
    pub fn image(&self) -> Image {
        self.image.borrow().clone()
    }

    /// Changes bytes behind everyone's back, as rot does.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        self.image.borrow_mut().put(offset, bytes);
    }

    fn check(&self, first: u64, count: u64, whole: bool) -> Result<u64, DeviceError> {
        let image = self.image.borrow();
        if !whole || !image.contains(first, count) {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        Ok(first * u64::from(image.sector_size()))
    }
}

impl From<Image> for RamDisk {
    fn from(image: Image) -> RamDisk {
        RamDisk { image: RefCell::new(image) }
    }
}

impl BlockDevice for RamDisk {
    fn sector_size(&self) -> u32 {
        self.image.borrow().sector_size()
    }

    fn sector_count(&self) -> u64 {
        self.image.borrow().sector_count()
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let offset = self.check(first, u64::from(count), true)?;
        let image = self.image.borrow();
        Ok(image.get(offset, count as usize * image.sector_size() as usize))
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let sector = self.sector_size() as usize;
        let whole = data.len().is_multiple_of(sector);
        let offset = self.check(first, data.len().div_ceil(sector) as u64, whole)?;
        self.image.borrow_mut().put(offset, &data);
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// None ever does.
    fn failed_flushes(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::block_on;
    use alloc::vec;

    #[test]
    fn a_large_disk_costs_only_what_is_written() {
        let disk = RamDisk::new(512, (1 << 40) / 512);
        let far = (1 << 40) / 512 - 3;
        block_on(async {
            disk.write(far, Bytes::from(vec![9; 1536])).await.unwrap();
            assert_eq!(disk.read(far, 3).await.unwrap(), vec![9; 1536]);
            assert_eq!(disk.read(7, 1).await.unwrap(), vec![0; 512]);
        });
    }

    #[test]
    fn half_sectors_and_sectors_outside_are_refused() {
        let disk = RamDisk::new(4096, 4);
        block_on(async {
            assert!(disk.write(0, Bytes::from(vec![1; 512])).await.is_err());
            assert!(disk.read(3, 2).await.is_err());
            assert!(disk.read(3, 1).await.is_ok());
        });
    }
}
