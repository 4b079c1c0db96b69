//! Whether a disk was laid out here, by its tables; and its tables, for a disk that is larger than it was then.
//!
//! Only tables that are, byte for byte, what laying out writes count: a disk that another system laid out, or changed,
//! is never one. Must not know what the new room is used for.
//!
//! The order of the writes: the copy at the new end, then the first table, then the sector that protects it, each
//! durable before the next. The first table and one copy are never both in the making, so that at any power cut one of
//! them is whole and is what [`own`](fn@own) and every firmware go by (UEFI 2.10, section 5.3.2).

use super::{DISK_LEN_MIN, entries, padded, plan9_end};
use crate::device::{BlockDevice, DeviceError};
use crate::disk::gpt::{self, Guid, Header};
use crate::disk::mbr;
use crate::disk::unfinished::PARTITIONS;
use bytes::Bytes;

/// A disk that was laid out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    disk: Guid,
    partitions: [Guid; PARTITIONS],
    /// Sectors that the table covers.
    covered: u64,
    /// First and last sector of the Plan 9 partition.
    plan9: (u64, u64),
    /// The first table is damaged; this is what its copy says.
    is_copy: bool,
}

/// Looks at the tables of a disk; `None` where they are not ours.
///
/// # Errors
/// Those of the device.
pub async fn own<D: BlockDevice>(device: &D) -> Result<Option<Own>, DeviceError> {
    let (sector_size, sectors) = (device.sector_size(), device.sector_count());
    if sectors.saturating_mul(sector_size.into()) < DISK_LEN_MIN {
        return Ok(None);
    }
    let first = device.read(0, 1).await?;
    let protects = mbr::parse(&first).is_some_and(|entries| {
        let mut kinds = entries.map(|entry| entry.kind);
        kinds.next() == Some(mbr::GPT_PROTECTIVE) && kinds.next().is_none()
    });
    if !protects {
        return Ok(None);
    }
    let count = gpt::table_sectors(sector_size);
    let primary = device.read(gpt::PRIMARY_AT, count as u32).await?;
    if let Some(own) = parse_first(&primary, sector_size).filter(|own| own.covered <= sectors) {
        return Ok(Some(own));
    }
    let copy = device.read(sectors - count, count as u32).await?;
    Ok(parse_copy(&copy, sector_size, sectors))
}

fn parse_first(bytes: &[u8], sector_size: u32) -> Option<Own> {
    let (header, array) = bytes.split_at_checked(sector_size as usize)?;
    let header = Header::parse(header, gpt::PRIMARY_AT).ok()?;
    let own = Own::of(&header, array, header.other_sector.checked_add(1)?, sector_size, false)?;
    (own.tables(sector_size).primary == bytes).then_some(own)
}

fn parse_copy(bytes: &[u8], sector_size: u32, sectors: u64) -> Option<Own> {
    let (array, header) = bytes.split_at_checked(bytes.len().checked_sub(sector_size as usize)?)?;
    let header = Header::parse(header, sectors.checked_sub(1)?).ok()?;
    let own = Own::of(&header, array, sectors, sector_size, true)?;
    (own.tables(sector_size).backup == bytes).then_some(own)
}

impl Own {
    fn of(header: &Header, array: &[u8], covered: u64, sector_size: u32, is_copy: bool) -> Option<Own> {
        let found = header.entries(array).ok()?;
        let [.., plan9] = &found[..] else { return None };
        let plan9 = (plan9.first, plan9.last);
        let partitions = <[Guid; PARTITIONS]>::try_from(
            found.iter().map(|entry| entry.unique).collect::<alloc::vec::Vec<_>>(),
        );
        let partitions = partitions.ok()?;
        let is_large = covered.saturating_mul(sector_size.into()) >= DISK_LEN_MIN;
        let is_ours = is_large
            && found == entries(sector_size, plan9.1, partitions)
            && plan9.1 < plan9_end(sector_size, covered);
        is_ours.then_some(Own { disk: header.disk, partitions, covered, plan9, is_copy })
    }

    fn tables(&self, sector_size: u32) -> gpt::Encoded {
        gpt::encode(
            self.disk,
            self.covered,
            sector_size,
            &entries(sector_size, self.plan9.1, self.partitions),
        )
    }

    /// First sector of the Plan 9 partition, and how many it has.
    pub fn plan9(&self) -> (u64, u64) {
        (self.plan9.0, self.plan9.1 + 1 - self.plan9.0)
    }

    /// Gives the disk tables that cover all of it. Returns whether anything had to be written.
    ///
    /// # Errors
    /// Those of the device; the next call goes on.
    pub async fn cover_all<D: BlockDevice>(&mut self, device: &D) -> Result<bool, DeviceError> {
        let (sector_size, sectors) = (device.sector_size(), device.sector_count());
        let mut wrote = false;
        if self.is_copy {
            wrote |= write(device, gpt::PRIMARY_AT, self.tables(sector_size).primary).await?;
            self.is_copy = false;
        }
        let last = plan9_end(sector_size, sectors).saturating_sub(1);
        if self.covered < sectors || self.plan9.1 < last {
            self.covered = sectors;
            self.plan9.1 = self.plan9.1.max(last);
            let tables = self.tables(sector_size);
            wrote |= write(device, sectors - gpt::table_sectors(sector_size), tables.backup).await?;
            wrote |= write(device, gpt::PRIMARY_AT, tables.primary).await?;
        }
        let first = device.read(0, 1).await?;
        let covering = first.first_chunk().and_then(|sector| mbr::covering(sector, sectors));
        if let Some(covering) = covering {
            let mut sector = first.to_vec();
            sector.iter_mut().zip(covering).for_each(|(old, new)| *old = new);
            wrote |= write(device, 0, padded(&sector, sector_size)).await?;
        }
        Ok(wrote)
    }
}

/// Makes these sectors durable, if they are not what stands there.
async fn write<D: BlockDevice>(
    device: &D,
    first: u64,
    sectors: alloc::vec::Vec<u8>,
) -> Result<bool, DeviceError> {
    let count = (sectors.len() / device.sector_size() as usize) as u32;
    let found = device.read(first, count).await;
    if found.is_ok_and(|found| found[..] == sectors[..]) {
        return Ok(false);
    }
    device.write(first, Bytes::from(sectors)).await?;
    device.flush().await?;
    Ok(true)
}
