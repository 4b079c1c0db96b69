//! Checks of disks that only a machine can make: `selftest=disk` on the command line. **It overwrites every
//! disk that can be written.**
//!
//! Knows what must hold of a disk, and how fast it is at several depths. Must not know drivers.

use crate::disk::Disk;
use crate::time;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use futures_util::stream::{self, StreamExt};
use storage::device::{BlockDevice, DeviceError};

/// Bytes that are written and read on each disk, unless it is smaller.
const SPAN: u64 = 64 << 20;
const DEPTHS: [usize; 3] = [1, 4, 32];
const REQUEST_LENS: [usize; 3] = [4 << 10, 64 << 10, 4 << 20];

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A request failed.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// A sector holds what was not written there.
    #[error("sector {0} holds what was not written there")]
    Wrong(u64),
    /// A request that must fail did not.
    #[error("a request that must fail did not")]
    Accepted,
}

/// Checks every disk; returns how many are not good. No disk at all counts as one.
pub async fn disks(disks: &[Rc<Disk>]) -> u32 {
    let mut failures = u32::from(disks.is_empty());
    for disk in disks {
        match check(disk).await {
            Ok(()) => log::info!("{}: good", disk.identity()),
            Err(error) => {
                log::error!("{}: {error}", disk.identity());
                failures += 1;
            }
        }
    }
    failures
}

async fn check(disk: &Disk) -> Result<(), CheckError> {
    let count = disk.sector_count();
    if disk.read(count, 1).await != Err(DeviceError::OutOfBounds { first: count, count: 1 }) {
        return Err(CheckError::Accepted);
    }
    if disk.is_read_only() {
        let sector = Bytes::from(alloc::vec![0; disk.sector_size() as usize]);
        disk.read(0, 1).await?;
        return if disk.write(0, sector).await.is_ok() { Err(CheckError::Accepted) } else { Ok(()) };
    }
    let mut generation = 0;
    for depth in DEPTHS {
        for len in REQUEST_LENS {
            generation += 1;
            round(disk, depth, len, generation).await?;
        }
    }
    Ok(())
}

/// Writes, flushes, reads and compares.
async fn round(disk: &Disk, depth: usize, len: usize, generation: u64) -> Result<(), CheckError> {
    // Small requests one after the other are about their number, not about bytes.
    let span = if len < 64 << 10 { SPAN / 16 } else { SPAN };
    let sector = disk.sector_size() as usize;
    let per_request = (len / sector).max(1);
    let requests = (span.min(disk.sector_count() * sector as u64) / len as u64).max(1);
    let firsts = || stream::iter((0..requests).map(|index| index * per_request as u64));

    // Composed beforehand: the disk is timed, not the pattern.
    let data: Vec<Bytes> = (0..requests)
        .map(|index| pattern(index * per_request as u64, per_request, sector, generation))
        .collect();
    let start = time::now();
    let mut writes = firsts()
        .zip(stream::iter(data.clone()))
        .map(|(first, data)| disk.write(first, data))
        .buffer_unordered(depth);
    while let Some(outcome) = writes.next().await {
        outcome?;
    }
    let written = time::now();
    disk.flush().await?;
    let flushed = time::now();
    let mut reads = firsts().map(|first| disk.read(first, per_request as u32)).buffered(depth);
    let mut answers = Vec::new();
    while let Some(bytes) = reads.next().await {
        answers.push(bytes?);
    }
    let read = time::now();
    for (index, (bytes, expected)) in answers.iter().zip(&data).enumerate() {
        if bytes != expected {
            return Err(CheckError::Wrong(index as u64 * per_request as u64));
        }
    }
    log::info!(
        "{} KiB, {depth} at once: write {} MB/s, flush {} µs, read {} MB/s, {} µs a read",
        len >> 10,
        rate(requests * len as u64, written.since(start)),
        flushed.since(written).as_micros(),
        rate(requests * len as u64, read.since(flushed)),
        read.since(flushed).as_micros() as u64 / requests,
    );
    Ok(())
}

/// Sectors that each say where they belong and when they were written.
fn pattern(first: u64, sectors: usize, sector: usize, generation: u64) -> Bytes {
    let mut bytes = alloc::vec![generation as u8; sectors * sector];
    for (number, chunk) in (first..).zip(bytes.chunks_exact_mut(sector)) {
        chunk[..8].copy_from_slice(&number.to_le_bytes());
        chunk[sector - 8..].copy_from_slice(&(number ^ generation << 48).to_le_bytes());
    }
    Bytes::from(bytes)
}

/// Megabytes a second.
fn rate(bytes: u64, time: Duration) -> u64 {
    bytes / (time.as_micros() as u64).max(1)
}
