//! The clumps that an arena's tail counts, into the memory index: from the directory, in large reads; from the log
//! where the directory cannot be believed. Reads only.

use super::read_appender;
use super::report::OpenReport;
use crate::arena::walk::LogCursor;
use crate::arena::{Arena, Log};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::arena_tail::Counters;
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpError};
use crate::format::directory::{DirectoryRecord, RECORD_LEN, RecordError};
use crate::format::geometry::ArenaGeometry;
use crate::memory_index::MemoryIndex;
use crate::recovery::ArenaReport;
use crate::store::{Damage, DamageCause};
use alloc::vec::Vec;

/// Bytes of directory read at once.
const CHUNK: u32 = 1 << 20;

/// A clump and its offset in the log.
pub(crate) type Placed = (u64, DirectoryRecord);

/// Puts every clump that the tail of `arena` counts into `index`.
pub(super) async fn fill<D: BlockDevice>(
    device: &D,
    arena: &mut Arena,
    index: &mut MemoryIndex,
    report: &mut OpenReport,
) -> Result<(), DeviceError> {
    let (log, counters) = (arena.log(), arena.durable);
    let clumps = match from_directory(device, &log, Counters::default(), counters).await {
        Ok(clumps) => clumps,
        Err(Unusable::Device(DeviceError::Gone)) => return Err(DeviceError::Gone),
        Err(unusable) => {
            let record = if let Unusable::Record(number) = unusable { number } else { 0 };
            let cause = DamageCause::Directory;
            report.damage.push(Damage { arena: arena.name, offset: u64::from(record), cause });
            let clumps = from_log(device, &log, counters.used, &mut report.damage).await?;
            rebuild_directory(device, arena, &clumps, report).await?;
            clumps
        }
    };
    for (offset, record) in clumps {
        index.insert(&record.score, record.block_type, arena.address + offset);
    }
    Ok(())
}

/// The clumps of a log that `to` counts and `from` does not, by the directory, or else by the log itself.
pub(crate) async fn clumps_between<D: BlockDevice>(
    device: &D,
    log: &Log,
    from: Counters,
    to: Counters,
) -> Result<Vec<Placed>, DeviceError> {
    match from_directory(device, log, from, to).await {
        Ok(clumps) => Ok(clumps),
        Err(Unusable::Device(DeviceError::Gone)) => Err(DeviceError::Gone),
        Err(_) => {
            let mut clumps = from_log(device, log, to.used, &mut Vec::new()).await?;
            clumps.retain(|(offset, _)| *offset >= from.used);
            Ok(clumps)
        }
    }
}

/// Why a directory is not believed.
enum Unusable {
    /// From this record on.
    Record(u32),
    /// The disk cannot read it.
    Device(DeviceError),
}

/// The clumps as the directory has them, if they add up to what the tail counts.
async fn from_directory<D: BlockDevice>(
    device: &D,
    log: &Log,
    from: Counters,
    to: Counters,
) -> Result<Vec<Placed>, Unusable> {
    let mut clumps = Vec::with_capacity(to.clumps.saturating_sub(from.clumps) as usize);
    let mut offset = from.used;
    read_records(device, &log.geometry, from.clumps..to.clumps, |number, bytes| {
        match DirectoryRecord::parse(bytes) {
            Ok(record) => {
                clumps.push((offset, record));
                offset += record.clump_len() as u64;
                Ok(())
            }
            // A clump that venti marked corrupt; its size still counts.
            Err(RecordError::Illegal { stored_len, .. }) => {
                offset += CLUMP_HEADER_LEN as u64 + u64::from(stored_len);
                Ok(())
            }
            Err(_) => Err(Unusable::Record(number)),
        }
    })
    .await?;
    if offset == to.used { Ok(clumps) } else { Err(Unusable::Record(to.clumps)) }
}

/// Reads these records in order, in large pieces. Blocks of the directory lie one below the other.
async fn read_records<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    numbers: core::ops::Range<u32>,
    mut visit: impl FnMut(u32, &[u8]) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    let per_chunk = (CHUNK / geometry.block_size()).max(1) * geometry.records_per_block();
    let mut next = numbers.start;
    while next < numbers.end {
        // Chunks end with a whole block, wherever they begin.
        let end = (next / per_chunk + 1).saturating_mul(per_chunk).min(numbers.end);
        let (first, _) = geometry.record_place(next);
        let (last, _) = geometry.record_place(end - 1);
        let offset = geometry.directory_block(last).ok_or(Unusable::Record(next))?;
        let len = (last - first + 1) as usize * geometry.block_size() as usize;
        let bytes = read_bytes(device, offset, len).await.map_err(Unusable::Device)?;
        for number in next..end {
            let (block, at) = geometry.record_place(number);
            let at = (last - block) as usize * geometry.block_size() as usize + at;
            visit(number, &bytes[at..at + RECORD_LEN])?;
        }
        next = end;
    }
    Ok(())
}

/// The clumps as their headers have them. What does not parse is reported and passed by.
async fn from_log<D: BlockDevice>(
    device: &D,
    log: &Log,
    used: u64,
    damage: &mut Vec<Damage>,
) -> Result<Vec<Placed>, DeviceError> {
    let mut cursor = LogCursor::new(device, log.geometry, log.clump_magic, used);
    let mut clumps: Vec<Placed> = Vec::new();
    let mut offset = 0;
    while offset < used {
        let cause = match cursor.header(offset).await? {
            Ok(header) => {
                clumps.push((offset, DirectoryRecord::from(&header)));
                offset += header.clump_len() as u64;
                continue;
            }
            Err(cause) => cause,
        };
        damage.push(Damage { arena: log.name, offset, cause });
        // A clump that venti gave up still says where the next one is.
        if let DamageCause::Header(
            ClumpError::MarkedCorrupt { stored_len } | ClumpError::IllegalType { stored_len, .. },
        ) = cause
        {
            let next = offset + CLUMP_HEADER_LEN as u64 + u64::from(stored_len);
            if next >= used || cursor.header(next).await?.is_ok() {
                offset = next;
                continue;
            }
        }
        // The header before may have led here wrongly; then the next clump may begin inside it.
        let mut from = offset + 1;
        if let Some((before, _)) = clumps.last().copied()
            && cursor.verified(before).await?.is_err()
        {
            from = before + CLUMP_HEADER_LEN as u64;
        }
        offset = cursor.find(from, used).await?.unwrap_or(used);
    }
    Ok(clumps)
}

/// When the log accounts for every clump and byte that the tail counts, the directory is written anew from it. Not in
/// a sealed arena: its seal covers the directory as it was.
async fn rebuild_directory<D: BlockDevice>(
    device: &D,
    arena: &mut Arena,
    clumps: &[Placed],
    report: &mut OpenReport,
) -> Result<(), DeviceError> {
    let used: u64 = clumps.iter().map(|(_, record)| record.clump_len() as u64).sum();
    let complete = clumps.len() == arena.durable.clumps as usize && used == arena.durable.used;
    if !complete || arena.durable.sealed {
        return Ok(());
    }
    let mut appender = read_appender(device, &arena.geometry, used, 0).await?;
    appender.records = clumps.iter().map(|(_, record)| record.encode()).collect();
    arena.appender = Some(appender);
    arena.tail_dirty = true;
    report.arenas.push(ArenaReport {
        arena: arena.name,
        recovered_clumps: 0,
        holes: 0,
        directory_rebuilt: true,
        frozen: false,
    });
    Ok(())
}
