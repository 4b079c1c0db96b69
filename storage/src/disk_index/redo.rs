//! The redo log of an index section: what is about to be written in place, so that a write which a power cut tears can
//! be done again. Without it a torn bucket would lose entries that were in it before.
//!
//! It stands in the part of the section's first 256 KiB that venti leaves to others, and is zero again when the index is
//! at rest. A log that was left behind is done again only where the disk still holds, sector by sector, what was there
//! before or what was to come: if another venti has worked on the section since, nothing is touched.

use super::section::{Change, Section};
use crate::device::{BlockDevice, DeviceError, read_bytes, write_bytes};
use crate::score::{SCORE_LEN, Score};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem::offset_of;
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where it begins: behind what partition tables take, before the place of venti's configuration.
const REDO_AT: u64 = 64 * 1024;

/// Bytes it may take.
const REDO_LEN: usize = 176 * 1024;

/// Bytes that the changes of one log have together, at most.
pub(super) const CHANGES_LEN_MAX: usize = 168 * 1024;

/// What a disk writes whole, at the least.
const SECTOR: usize = 512;

const MAGIC: [u8; 8] = *b"granredo";
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The first sector begins with it; records, CRCs and bytes of the changes follow at once.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    len: U32,
    changes: U32,
    check: [u8; SCORE_LEN], // SHA-1 of the `len` bytes behind the header
}
const _: () = assert!(size_of::<RawHeader>() == 36 && offset_of!(RawHeader, check) == 16);

/// One for each change.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawChange {
    offset: U64,
    len: U32,
}
const _: () = assert!(size_of::<RawChange>() == 12);

// 512-byte buckets have the most records.
const _: () = assert!(
    size_of::<RawHeader>() + CHANGES_LEN_MAX + CHANGES_LEN_MAX / SECTOR * (size_of::<RawChange>() + 4)
        < REDO_LEN
);

/// Makes it durable that these changes are to be made. They have at most [`CHANGES_LEN_MAX`] bytes.
pub(super) async fn write<D: BlockDevice>(
    section: &Section<D>,
    changes: &[Change],
) -> Result<(), DeviceError> {
    let mut body = Vec::new();
    for Change { offset, new, .. } in changes {
        // At most `CHANGES_LEN_MAX`.
        let raw = RawChange { offset: (*offset).into(), len: (new.len() as u32).into() };
        body.extend_from_slice(raw.as_bytes());
    }
    for sector in changes.iter().flat_map(|change| change.old.chunks(SECTOR)) {
        body.extend_from_slice(&CRC.checksum(sector).to_be_bytes());
    }
    changes.iter().for_each(|change| body.extend_from_slice(&change.new));
    let header = RawHeader {
        magic: MAGIC,
        len: (body.len() as u32).into(),
        changes: (changes.len() as u32).into(),
        check: Score::of(&body).0,
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.append(&mut body);
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    section.redo_len.set(section.redo_len.get().max(bytes.len()));
    write_bytes(&section.device, REDO_AT, Bytes::from(bytes)).await?;
    section.device.flush().await
}

/// Makes the place zero again. Need not be durable: a log that is done is done.
pub(super) async fn clear<D: BlockDevice>(section: &Section<D>) -> Result<(), DeviceError> {
    let len = section.redo_len.get();
    write_bytes(&section.device, REDO_AT, Bytes::from(vec![0; len])).await?;
    section.redo_len.set(0);
    Ok(())
}

/// What a log that was left behind says: places, and what must stand there. Also how long the log is.
pub(crate) async fn read<D: BlockDevice>(device: &D) -> Result<(Vec<(u64, Bytes)>, usize), DeviceError> {
    let first = match read_bytes(device, REDO_AT, SECTOR).await {
        Err(DeviceError::Read { .. }) => return Ok((Vec::new(), 0)),
        first => first?,
    };
    let Ok((header, _)) = RawHeader::read_from_prefix(&first) else { return Ok((Vec::new(), 0)) };
    let len = header.len.get() as usize;
    if header.magic != MAGIC || size_of::<RawHeader>() + len > REDO_LEN {
        return Ok((Vec::new(), 0));
    }
    let body = match read_bytes(device, REDO_AT + size_of::<RawHeader>() as u64, len).await {
        Err(DeviceError::Read { .. }) => return Ok((Vec::new(), 0)),
        body => body?,
    };
    let whole = (size_of::<RawHeader>() + len).next_multiple_of(SECTOR);
    if Score::of(&body).0 != header.check {
        return Ok((Vec::new(), whole));
    }
    Ok((still_to_do(device, &body, header.changes.get() as usize).await?, whole))
}

/// The changes of a log, if none has been overtaken by others. Those that seem to be on the disk, too: what a reader sees
/// need not be durable.
async fn still_to_do<D: BlockDevice>(
    device: &D,
    body: &Bytes,
    count: usize,
) -> Result<Vec<(u64, Bytes)>, DeviceError> {
    let Ok((records, rest)) = <[RawChange]>::ref_from_prefix_with_elems(body, count) else {
        return Ok(Vec::new());
    };
    let total: usize = records.iter().map(|record| record.len.get() as usize).sum();
    let (mut crcs, mut images) = (rest, rest.get(total / SECTOR * 4..).unwrap_or_default());
    let mut changes = Vec::new();
    for record in records {
        let len = record.len.get() as usize;
        let (Some(new), Some(old_crcs)) = (images.get(..len), crcs.get(..len / SECTOR * 4)) else {
            return Ok(Vec::new());
        };
        (images, crcs) = (&images[len..], &crcs[old_crcs.len()..]);
        let now = match read_bytes(device, record.offset.get(), len).await {
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            now => now.unwrap_or_default(),
        };
        let sectors = now.chunks(SECTOR).zip(new.chunks(SECTOR)).zip(old_crcs.chunks(4));
        let ours =
            |((now, new), crc): ((&[u8], &[u8]), &[u8])| now == new || CRC.checksum(now).to_be_bytes() == crc;
        // Sectors that cannot be read may have been torn by the same cut.
        if !now.is_empty() && !sectors.into_iter().all(ours) {
            return Ok(Vec::new());
        }
        changes.push((record.offset.get(), Bytes::copy_from_slice(new)));
    }
    Ok(changes)
}
