//! Bytes at any offset of a disk that only moves whole sectors.
//!
//! Knows how to round to sectors of any size (512, 4096, …). Must not know formats.

use super::{BlockDevice, DeviceError};
use bytes::{Bytes, BytesMut};

/// Bytes on the device.
pub fn size_bytes<D: BlockDevice>(device: &D) -> u64 {
    device.sector_count().saturating_mul(u64::from(device.sector_size()))
}

/// The sectors that hold `len` bytes at `offset`: the first one, and how many.
fn sectors<D: BlockDevice>(device: &D, offset: u64, len: usize) -> Result<(u64, u32), DeviceError> {
    let size = u64::from(device.sector_size());
    let first = offset / size;
    let outside = DeviceError::OutOfBounds { first, count: (len as u64).div_ceil(size) };
    let end = offset.checked_add(len as u64).ok_or(outside)?.div_ceil(size);
    if end > device.sector_count() {
        return Err(outside);
    }
    Ok((first, u32::try_from(end - first).map_err(|_| outside)?))
}

/// Reads exactly `len` bytes at `offset`: one request to the device, and no copy.
pub async fn read_bytes<D: BlockDevice>(device: &D, offset: u64, len: usize) -> Result<Bytes, DeviceError> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    let (first, count) = sectors(device, offset, len)?;
    let mut read = device.read(first, count).await?;
    let start = (offset - first * u64::from(device.sector_size())) as usize;
    if read.len() < start + len {
        return Err(DeviceError::Read { first, count: u64::from(count) });
    }
    Ok(read.split_off(start).split_to(len))
}

/// As [`read_bytes`], but asks a second time where the device cannot read: for those who would otherwise take what they
/// cannot read for damaged.
pub async fn read_twice<D: BlockDevice>(device: &D, offset: u64, len: usize) -> Result<Bytes, DeviceError> {
    match read_bytes(device, offset, len).await {
        Err(DeviceError::Read { .. }) => read_bytes(device, offset, len).await,
        result => result,
    }
}

/// Writes `data` at `offset`. Where it does not fill its first or last sector, these are read first and their other
/// bytes written back: the caller sees to it that nobody else writes them meanwhile.
pub async fn write_bytes<D: BlockDevice>(device: &D, offset: u64, data: Bytes) -> Result<(), DeviceError> {
    if data.is_empty() {
        return Ok(());
    }
    let size = u64::from(device.sector_size());
    let (first, count) = sectors(device, offset, data.len())?;
    let head = (offset - first * size) as usize;
    let whole = count as usize * size as usize;
    if head == 0 && whole == data.len() {
        return device.write(first, data).await;
    }
    let mut sectors = BytesMut::with_capacity(whole);
    sectors.resize(whole, 0);
    if head != 0 {
        let old = device.read(first, 1).await?;
        sectors[..head].copy_from_slice(old.get(..head).ok_or(DeviceError::Read { first, count: 1 })?);
    }
    let end = head + data.len();
    if end != whole {
        let last = first + u64::from(count) - 1;
        let old = device.read(last, 1).await?;
        let keep = whole - end;
        let kept = old.len().checked_sub(keep).ok_or(DeviceError::Read { first: last, count: 1 })?;
        sectors[end..].copy_from_slice(&old[kept..]);
    }
    sectors[head..end].copy_from_slice(&data);
    device.write(first, sectors.freeze()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ram::RamDisk;
    use crate::simulation::block_on;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_range_reads_and_writes_as_if_the_disk_were_bytes(
            large in any::<bool>(), offset in 0..40_000usize, len in 0..20_000usize, other in 0..40_000usize,
        ) {
            let sector = if large { 4096 } else { 512 };
            let mut expected: Vec<u8> = (0..65_536u32).map(|i| (i * 7 + i / 251) as u8).collect();
            let disk = RamDisk::from_bytes(sector, &expected);
            let data: Vec<u8> = (0..len).map(|i| (i * 13) as u8).collect();
            expected[offset..offset + len].copy_from_slice(&data);
            block_on(async {
                write_bytes(&disk, offset as u64, Bytes::from(data)).await.unwrap();
                let read = read_bytes(&disk, other as u64, len).await.unwrap();
                assert_eq!(read, expected[other..other + len]);
            });
            prop_assert_eq!(disk.image().to_vec(), expected);
        }
    }

    #[test]
    fn what_reaches_past_the_end_is_refused() {
        let disk = RamDisk::new(512, 2);
        block_on(async {
            assert!(read_bytes(&disk, 1000, 25).await.is_err());
            assert!(read_bytes(&disk, u64::MAX, 2).await.is_err());
            assert!(write_bytes(&disk, 1000, Bytes::from_static(&[1; 25])).await.is_err());
            assert!(read_bytes(&disk, 1000, 24).await.is_ok());
        });
    }
}
