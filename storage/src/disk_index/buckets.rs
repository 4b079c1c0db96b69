//! Entries into buckets: neighbours are read, changed and written together, in the order in which they lie.

use super::{Leftover, Section};
use crate::device::{BlockDevice, DeviceError, read_bytes, write_bytes};
use crate::format::bucket::{self, IndexEntry, InsertError};
use crate::format::index_config::BucketSpread;
use alloc::vec::Vec;
use bytes::Bytes;

/// Buckets without new entries that are read along, rather than reading twice.
const GAP_MAX: u32 = 8;

/// Puts sorted entries into their buckets, all of them in this section, and makes them durable.
pub(super) async fn insert<D: BlockDevice>(
    section: &Section<D>,
    spread: &BucketSpread,
    entries: &[IndexEntry],
    buffer_bytes: usize,
    leftover: &mut Leftover,
) -> Result<(), DeviceError> {
    let run_max = (buffer_bytes as u32 / section.header.block_size).clamp(1, 128);
    let mut rest = entries;
    while let Some(entry) = rest.first() {
        let first = spread.bucket_of(&entry.score);
        let (len, buckets) = run(rest, spread, first, run_max);
        let (here, behind) = rest.split_at(len);
        rest = behind;
        let block_size = section.header.block_size as usize;
        let Some(offset) = section.header.bucket_offset(first) else { continue };
        let read = read_bytes(&section.device, offset, buckets as usize * block_size).await?;
        let mut blocks = Vec::from(read);
        for entry in here {
            let number = spread.bucket_of(&entry.score);
            let at = (number - first) as usize * block_size;
            put(&mut blocks[at..at + block_size], section.header.bucket_magic, entry, number, leftover);
        }
        write_bytes(&section.device, offset, Bytes::from(blocks)).await?;
    }
    if entries.is_empty() { Ok(()) } else { section.device.flush().await }
}

/// How many of the first entries lie in buckets close together, and how many buckets these are.
fn run(entries: &[IndexEntry], spread: &BucketSpread, first: u32, run_max: u32) -> (usize, u32) {
    let mut last = first;
    let mut len = 0;
    for entry in entries {
        let number = spread.bucket_of(&entry.score);
        if number - last > GAP_MAX || number - first >= run_max {
            break;
        }
        last = number;
        len += 1;
    }
    (len, last - first + 1)
}

fn put(block: &mut [u8], magic: u32, entry: &IndexEntry, number: u32, leftover: &mut Leftover) {
    match bucket::insert(block, magic, entry) {
        Ok(_) => {}
        Err(InsertError::Full(_)) => leftover.full.push(*entry),
        Err(InsertError::Damaged(_)) => {
            leftover.damaged.push(number);
            bucket::clear(block, magic);
            // An empty bucket has room.
            let _ = bucket::insert(block, magic, entry);
        }
    }
}
