//! Bits into the filter, piece by piece in the order of the disk. Bits that fall into the filter's header are left out:
//! there they cannot be kept (spec 3.11 rule 4).

use super::Bloom;
use crate::device::{BlockDevice, DeviceError, read_bytes, write_bytes};
use crate::format::bloom::set;
use crate::format::bucket::IndexEntry;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of filter that are read and written at once.
const PIECE: u32 = 1 << 20;

/// Marks the entries' scores, and makes that durable.
pub(super) async fn mark<D: BlockDevice>(
    bloom: &Bloom<D>,
    entries: &[IndexEntry],
    buffer_bytes: usize,
) -> Result<(), DeviceError> {
    let per_pass = (buffer_bytes / (4 * bloom.header.hashes() as usize)).max(1);
    for pass in entries.chunks(per_pass) {
        let mut bits: Vec<u32> = pass.iter().flat_map(|entry| bloom.header.positions(&entry.score)).collect();
        bits.sort_unstable();
        mark_sorted(bloom, &bits).await?;
    }
    if entries.is_empty() { Ok(()) } else { bloom.device.flush().await }
}

async fn mark_sorted<D: BlockDevice>(bloom: &Bloom<D>, bits: &[u32]) -> Result<(), DeviceError> {
    let mut rest = bits;
    while let Some(first) = rest.first() {
        let offset = first / 8 / PIECE * PIECE;
        let len = PIECE.min(bloom.header.size() - offset);
        let end = rest.partition_point(|bit| bit / 8 < offset.saturating_add(len));
        let (here, behind) = rest.split_at(end);
        rest = behind;
        let mut piece = Vec::from(read_bytes(&bloom.device, u64::from(offset), len as usize).await?);
        let mut changed = false;
        for bit in here {
            changed |= set(&mut piece, u64::from(offset), *bit);
        }
        if changed {
            write_bytes(&bloom.device, u64::from(offset), Bytes::from(piece)).await?;
        }
    }
    Ok(())
}
