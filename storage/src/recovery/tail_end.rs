//! Whether the log of an arena can end where its tail says: behind its last clump.
//!
//! A tail has no checksum. Where it counts too little, what the next clump is written over, or what a hole is filled
//! with, is the inside of a clump that was promised.

use super::clumps::{Gap, check_directory};
use crate::arena::Arena;
use crate::device::{BlockDevice, DeviceError, read_twice};
use crate::format::arena_tail::Counters;
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpHeader};
use crate::format::directory::{DirectoryRecord, RECORD_LEN};

/// Clumps at the end of the log, one of which must stand where its record says: the last may be damaged itself.
const LOOK_BACK: u32 = 4;

/// Compares the end of the directory with the log; what cannot be read proves nothing.
pub(super) async fn is_plausible<D: BlockDevice>(device: &D, arena: &Arena) -> Result<bool, DeviceError> {
    let Counters { clumps, mut used, .. } = arena.current;
    for number in (clumps.saturating_sub(LOOK_BACK)..clumps).rev() {
        let (block, at) = arena.geometry.record_place(number);
        let Some(offset) = arena.geometry.directory_block(block) else { break };
        let Some(record) = read(device, offset + at as u64, RECORD_LEN).await? else { return Ok(true) };
        let Ok(record) = DirectoryRecord::parse(&record) else { break };
        let Some(start) = used.checked_sub(record.clump_len() as u64) else { break };
        let Some(header) = read(device, arena.place(start), CLUMP_HEADER_LEN).await? else { return Ok(true) };
        if ClumpHeader::parse(&header, arena.clump_magic).is_ok_and(|header| header.score == record.score) {
            return Ok(true);
        }
        used = start;
    }
    let gap = Gap { from: Counters::default(), to: arena.current };
    Ok(check_directory(device, &arena.log(), gap).await.is_ok())
}

async fn read<D: BlockDevice>(
    device: &D,
    offset: u64,
    len: usize,
) -> Result<Option<bytes::Bytes>, DeviceError> {
    match read_twice(device, offset, len).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(DeviceError::Read { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
