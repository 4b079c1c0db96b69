//! The clumps that an arena's tail counts, into the memory index: all of them, or those that the index on disk does not
//! have. Reads only.

use super::clumps::{DirectoryReader, Gap, Placed, Unusable, from_log, is_cut_off};
use super::plan::Plan;
use super::read_appender;
use super::report::OpenReport;
use crate::arena::Arena;
use crate::device::{BlockDevice, DeviceError};
use crate::format::arena_tail::Counters;
use crate::memory_index::MemoryIndex;
use crate::recovery::ArenaReport;
use crate::store::{Damage, DamageCause};
use alloc::vec::Vec;

/// Clumps held at a time.
const CLUMPS_MAX: usize = 8192;

/// Puts every clump into `index` that the tail of `arena` counts and `from` does not. Stops early where `plan` finds it
/// too large, which the caller finds too.
pub(super) async fn fill<D: BlockDevice>(
    device: &D,
    arena: &mut Arena,
    from: Counters,
    plan: &Plan,
    index: &mut MemoryIndex,
    report: &mut OpenReport,
) -> Result<(), DeviceError> {
    let gap = Gap { from, to: arena.durable };
    let mut reader = DirectoryReader::new(device, &arena.log(), gap);
    let record = loop {
        match reader.next(CLUMPS_MAX).await {
            Ok(clumps) if clumps.is_empty() => return Ok(()),
            Ok(clumps) => {
                put(index, arena, &clumps);
                if plan.check(index).is_err() && reader.reached() != gap.to {
                    return Ok(());
                }
            }
            Err(Unusable::Device(DeviceError::Gone)) => return Err(DeviceError::Gone),
            Err(Unusable::Device(_)) => break 0,
            Err(Unusable::Record(number)) => break number,
        }
    };
    let cause = DamageCause::Directory;
    report.damage.push(Damage { arena: arena.name, offset: u64::from(record), cause });
    // What the directory said so far of this arena may be wrong, too.
    let addresses = arena.address..arena.address + arena.geometry.size();
    index.retain(|address| !addresses.contains(&address));
    let mut damage = Vec::new();
    let clumps = from_log(device, &arena.log(), gap, &mut damage).await?;
    if !arena.durable.sealed && is_cut_off(device, &arena.log(), gap, &clumps).await? {
        report.damage.push(Damage { arena: arena.name, offset: 0, cause: DamageCause::Tail });
        arena.forget_counters();
        return Ok(());
    }
    report.damage.append(&mut damage);
    rebuild_directory(device, arena, gap, &clumps, report).await?;
    put(index, arena, &clumps);
    Ok(())
}

fn put(index: &mut MemoryIndex, arena: &Arena, clumps: &[Placed]) {
    for (offset, record) in clumps {
        index.insert(&record.score, record.block_type, arena.address + offset);
    }
}

/// When the log accounts for every clump and byte of the gap, its part of the directory is written anew. Not in a
/// sealed arena: its seal covers the directory as it was.
async fn rebuild_directory<D: BlockDevice>(
    device: &D,
    arena: &mut Arena,
    gap: Gap,
    clumps: &[Placed],
    report: &mut OpenReport,
) -> Result<(), DeviceError> {
    let bytes: u64 = clumps.iter().map(|(_, record)| record.clump_len() as u64).sum();
    let complete = u64::from(gap.from.clumps) + clumps.len() as u64 == u64::from(gap.to.clumps)
        && gap.from.used + bytes == gap.to.used;
    if !complete || arena.durable.sealed {
        return Ok(());
    }
    let mut appender = match read_appender(device, &arena.geometry, gap.to.used, gap.from.clumps).await {
        Ok(appender) => appender,
        Err(DeviceError::Read { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
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
