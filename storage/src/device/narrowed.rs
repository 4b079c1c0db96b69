//! A device seen in sectors that are shorter than its own.
//!
//! For disks with sectors of 4096 bytes that hold an image whose tables count in 512: one file starts on disks of either
//! kind. Whole sectors go straight through; a part of one is read, changed and written back, one such write at a time,
//! so that neighbours in one sector never undo each other. The disk writes its own sectors whole or not at all, so a
//! power cut leaves the neighbours as they were. Must not know formats.

use super::{BlockDevice, DeviceError};
use async_lock::RwLock;
use bytes::{Bytes, BytesMut};
use core::cell::Cell;

/// A device in shorter sectors.
pub struct Narrowed<D> {
    device: D,
    sector_size: Cell<u32>,
    /// Taken alone by writes of parts of sectors, together by all others.
    parts: RwLock<()>,
}

/// Where a stretch of short sectors lies: long ones, and bytes to leave out at their start.
struct Place {
    first: u64,
    count: u32,
    skip: usize,
}

impl<D: BlockDevice> Narrowed<D> {
    /// `device` in its own sectors, until [`Narrowed::narrow`] is called.
    pub fn new(device: D) -> Narrowed<D> {
        let sector_size = Cell::new(device.sector_size());
        Narrowed { device, sector_size, parts: RwLock::new(()) }
    }

    /// From now on in sectors of `sector_size` bytes, of which the device's own must be a multiple; whether they are.
    pub fn narrow(&self, sector_size: u32) -> bool {
        let fits = sector_size.is_power_of_two() && sector_size <= self.device.sector_size();
        if fits {
            self.sector_size.set(sector_size);
        }
        fits
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Short sectors in a long one.
    fn ratio(&self) -> u64 {
        u64::from(self.device.sector_size() / self.sector_size.get())
    }

    fn place(&self, first: u64, count: u64) -> Result<Place, DeviceError> {
        let outside = DeviceError::OutOfBounds { first, count };
        let end = first.checked_add(count).filter(|end| *end <= self.sector_count()).ok_or(outside)?;
        let (start, ratio) = (first / self.ratio(), self.ratio());
        Ok(Place {
            first: start,
            count: u32::try_from(end.div_ceil(ratio) - start).map_err(|_| outside)?,
            skip: (first % ratio) as usize * self.sector_size.get() as usize,
        })
    }

    /// Errors name the sectors that the request named.
    fn translated(error: DeviceError, first: u64, count: u64) -> DeviceError {
        match error {
            DeviceError::Read { .. } => DeviceError::Read { first, count },
            DeviceError::Write { .. } => DeviceError::Write { first, count },
            DeviceError::OutOfBounds { .. } => DeviceError::OutOfBounds { first, count },
            other => other,
        }
    }

    async fn write_parts(&self, place: &Place, data: &Bytes) -> Result<(), DeviceError> {
        let _alone = self.parts.write().await;
        // A write that cannot know what stands beside its own bytes has failed as a write.
        let failed = DeviceError::Write { first: place.first, count: place.count.into() };
        let old = self.device.read(place.first, place.count).await;
        let mut sectors = BytesMut::from(old.map_err(|error| match error {
            DeviceError::Read { .. } => failed,
            other => other,
        })?);
        let target = sectors.get_mut(place.skip..).and_then(|rest| rest.get_mut(..data.len()));
        target.ok_or(failed)?.copy_from_slice(data);
        self.device.write(place.first, sectors.freeze()).await
    }
}

impl<D: BlockDevice> BlockDevice for Narrowed<D> {
    fn sector_size(&self) -> u32 {
        self.sector_size.get()
    }

    fn sector_count(&self) -> u64 {
        self.device.sector_count().saturating_mul(self.ratio())
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let place = self.place(first, count.into())?;
        let len = count as usize * self.sector_size.get() as usize;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let sectors = self.device.read(place.first, place.count).await;
        let sectors = sectors.map_err(|error| Self::translated(error, first, count.into()))?;
        let failed = DeviceError::Read { first, count: count.into() };
        if sectors.len() < place.skip + len {
            return Err(failed);
        }
        Ok(sectors.slice(place.skip..place.skip + len))
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let count = data.len().div_ceil(self.sector_size.get() as usize) as u64;
        let place = self.place(first, count)?;
        if data.is_empty() || !data.len().is_multiple_of(self.sector_size.get() as usize) {
            return if data.is_empty() { Ok(()) } else { Err(DeviceError::OutOfBounds { first, count }) };
        }
        let whole = place.skip == 0 && data.len().is_multiple_of(self.device.sector_size() as usize);
        let written = if whole {
            let _together = self.parts.read().await;
            self.device.write(place.first, data).await
        } else {
            self.write_parts(&place, &data).await
        };
        written.map_err(|error| Self::translated(error, first, count))
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
    use alloc::vec::Vec;
    use futures_util::future::try_join_all;

    fn disk() -> Narrowed<RamDisk> {
        let content: Vec<u8> = (0..32u8).flat_map(|sector| vec![sector; 512]).collect();
        let disk = Narrowed::new(RamDisk::from_bytes(4096, &content));
        assert_eq!(disk.sector_size(), 4096);
        assert!(disk.narrow(512));
        disk
    }

    fn sectors(disk: &Narrowed<RamDisk>) -> Vec<u8> {
        let bytes = block_on(disk.read(0, 32)).unwrap();
        bytes
            .chunks(512)
            .map(|sector| if sector.iter().all(|byte| *byte == sector[0]) { sector[0] } else { 255 })
            .collect()
    }

    #[test]
    fn every_stretch_of_short_sectors_is_read_and_written_alone() {
        for first in 0..32u64 {
            for count in 1..=(32 - first) {
                let disk = disk();
                let read = block_on(disk.read(first, count as u32)).unwrap();
                assert!((first..).zip(read.chunks(512)).all(|(at, sector)| sector == [at as u8; 512]));
                assert_eq!(read.len() as u64, count * 512);
                block_on(disk.write(first, vec![99; count as usize * 512].into())).unwrap();
                let expected: Vec<u8> = (0..32)
                    .map(|at| if (first..first + count).contains(&at) { 99 } else { at as u8 })
                    .collect();
                assert_eq!(sectors(&disk), expected, "{first}+{count}");
            }
        }
    }

    #[test]
    fn neighbours_in_one_sector_that_are_written_together_are_both_there() {
        let disk = disk();
        let writes = (0..32u64).map(|at| disk.write(at, vec![at as u8 + 100; 512].into()));
        block_on(try_join_all(writes)).unwrap();
        assert_eq!(sectors(&disk), (100..132).collect::<Vec<u8>>());
    }

    #[test]
    fn what_is_outside_or_not_whole_is_refused_in_the_callers_own_numbers() {
        let disk = disk();
        assert_eq!(disk.sector_count(), 32);
        let outside = |first, count| DeviceError::OutOfBounds { first, count };
        assert_eq!(block_on(disk.read(31, 2)), Err(outside(31, 2)));
        assert_eq!(block_on(disk.read(u64::MAX, 2)), Err(outside(u64::MAX, 2)));
        assert_eq!(block_on(disk.write(1, vec![0; 100].into())), Err(outside(1, 1)));
        assert_eq!(block_on(disk.read(32, 0)), Ok(Bytes::new()));
        assert_eq!(block_on(disk.write(3, Bytes::new())), Ok(()));
        for size in [0, 3, 1000, 8192] {
            assert!(!disk.narrow(size));
        }
    }
}
