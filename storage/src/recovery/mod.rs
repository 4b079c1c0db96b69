//! Opening a store after whatever happened to it: every log is followed to its last whole clump, directories and
//! counters are continued up to there, and the memory index is filled.
//!
//! | module | what |
//! |---|---|
//! | `load` | partitions and arenas: maps, heads, tails |
//! | `disk_index` | index sections and bloom filter: which address each arena has |
//! | `plan` | whether memory takes the whole index, or what the index on disk lacks |
//! | `clumps` | the clumps of a log in order, by the directory, or by the log where the directory is damaged |
//! | `fill` | the clumps that a tail counts, into memory |
//! | `tail_end` | whether the log can end where the tail says |
//! | `scan` | clumps behind those that the tail counts, and what to do about holes |
//! | `report` | what was found |
//!
//! Nothing is written before everything has been understood. Must not know how a store serves.

mod clumps;
mod disk_index;
mod fill;
mod load;
mod plan;
mod report;
mod scan;
mod tail_end;

pub(crate) use clumps::{DirectoryReader, Gap, Placed, Unusable, check_directory, from_log};
pub(crate) use load::read_head;
pub use report::{ArenaReport, OpenReport};
pub(crate) use scan::fill_hole;

use crate::Timestamp;
use crate::arena::{Appender, Arena, OpenLog};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::disk_index::DiskIndex;
use crate::format::arena_tail::Counters;
use crate::format::clump::CLUMP_HEADER_LEN;
use crate::format::geometry::ArenaGeometry;
use crate::store::{Core, CoreParts, OpenError, PartitionFault, StorePart, StoreParts, StoreSettings};
use alloc::vec::Vec;
use load::Loaded;
use plan::Plan;

/// Opens the parts; what was found beyond the tails is in memory, and still to be made durable.
pub(crate) async fn open<D: BlockDevice>(
    parts: StoreParts<D>,
    settings: StoreSettings,
    now: Timestamp,
) -> Result<(Core<D>, OpenReport), OpenError> {
    let mut report = OpenReport::default();
    let disk_index = disk_index::read(parts.index_sections, parts.bloom, &mut report).await?;
    let map = disk_index.as_ref().map(DiskIndex::arenas);
    let Loaded { mut arenas, unmapped } = load::load(&parts.arenas, map.as_ref(), &mut report).await?;
    let plan = Plan::choose(&settings, &arenas, disk_index.is_some())?;
    if let Some(disk_index) = disk_index.as_ref().filter(|_| !plan.whole) {
        let clumps = arenas.iter().map(|arena| u64::from(arena.indexed.clumps)).sum();
        prepare(disk_index, &settings, clumps, &mut report).await?;
    }
    report.index_on_disk = !plan.whole;
    report.not_indexed = plan.missing;
    report.index_first = plan.index_first;
    let mut index = plan.memory_index(&arenas);
    let mut search_fresh = true;
    for arena in &mut arenas {
        let part = &parts.arenas[arena.partition];
        if let Some(from) = plan.fill_from(arena) {
            let found = fill::fill(&part.device, arena, from, &plan, &mut index, &mut report).await;
            found.map_err(|error| OpenError::partition(&part.name, error))?;
        }
        if !arena.current.sealed {
            let scanned =
                scan::scan(&part.device, arena, now, &settings, &mut index, &mut report, &mut search_fresh);
            scanned.await.map_err(|error| OpenError::partition(&part.name, error))?;
        }
        plan.check(&index)?;
    }
    index.finish_filling();
    report.arenas_count = arenas.len();
    report.clumps = arenas.iter().map(|arena| u64::from(arena.current.clumps)).sum();
    let (damage, index_whole) = (report.damage.clone(), plan.whole);
    let partitions = parts.arenas;
    let core = CoreParts { partitions, arenas, unmapped, index, index_whole, disk_index, damage };
    Ok((Core::new(core, settings), report))
}

/// The arenas of a partition that is to join a store.
pub(crate) async fn load_new<D: BlockDevice>(
    number: usize,
    part: &StorePart<D>,
) -> Result<Vec<Arena>, OpenError> {
    let mut arenas = Vec::new();
    load::load_partition(number, part, &mut arenas, &mut OpenReport::default()).await?;
    Ok(arenas)
}

/// Whether an arena holds nothing at all.
pub(crate) async fn is_empty<D: BlockDevice>(device: &D, arena: &Arena) -> Result<bool, DeviceError> {
    let fresh = arena.current == Counters::default() && !arena.tail_damaged;
    Ok(fresh && !scan::begins(device, arena).await?)
}

/// Gets the index on disk ready to be asked.
async fn prepare<D: BlockDevice>(
    disk_index: &DiskIndex<D>,
    settings: &StoreSettings,
    clumps: u64,
    report: &mut OpenReport,
) -> Result<(), OpenError> {
    let sparse = disk_index.prepare(settings.index_bytes_max, clumps).await;
    let sparse = sparse.map_err(|failed| OpenError::partition(&failed.partition, failed.error))?;
    if let Some(fault) = sparse {
        report.bloom_fault = Some(fault);
    }
    let foreign = disk_index.foreign_section(clumps).await;
    match foreign.map_err(|failed| OpenError::partition(&failed.partition, failed.error))? {
        Some(section) => Err(OpenError::partition(&section, PartitionFault::ForeignBuckets)),
        None => Ok(()),
    }
}

/// Reads what an arena needs in memory to grow behind `used` bytes of log and `records` durable records.
pub(crate) async fn read_appender<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    used: u64,
    records: u32,
) -> Result<Appender, DeviceError> {
    let end = geometry.log_base() + used;
    let sector = u64::from(device.sector_size());
    // With sectors larger than blocks the log's first sector has the tail of the arena before it, which changes.
    let start = (end - end % sector).max(geometry.log_base());
    let last_sector = read_bytes(device, start, (end - start) as usize).await?;
    let log = OpenLog::new(end, &last_sector, device.sector_size());
    let (block, len) = geometry.record_place(records);
    let block_start = match geometry.directory_block(block).filter(|_| len > 0) {
        Some(offset) => read_bytes(device, offset, len).await?.to_vec(),
        None => Vec::new(),
    };
    Ok(Appender { log, records_from: records, records: Vec::new(), block_start })
}

/// Whether counters can be those of an arena of this size.
pub(crate) fn plausible(counters: &Counters, geometry: &ArenaGeometry) -> bool {
    let Counters { clumps, compressed_clumps, used, uncompressed_size, .. } = *counters;
    // Compression only makes clumps smaller.
    let used_max = uncompressed_size.saturating_add(u64::from(clumps) * CLUMP_HEADER_LEN as u64);
    compressed_clumps <= clumps
        && used <= used_max
        && (compressed_clumps > 0 || used == used_max)
        && used <= geometry.log_limit(clumps)
        && used >= u64::from(clumps) * 39
        && uncompressed_size >= u64::from(clumps)
        && uncompressed_size <= u64::from(clumps) * crate::format::clump::LUMP_LEN_MAX as u64
}
