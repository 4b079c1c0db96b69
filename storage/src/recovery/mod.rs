//! Opening a store after whatever happened to it: every log is followed to its last whole clump, directories and
//! counters are continued up to there, and the memory index is filled.
//!
//! | module | what |
//! |---|---|
//! | `load` | partitions and arenas: maps, heads, tails |
//! | `disk_index` | index sections and bloom filter: which address each arena has |
//! | `fill` | the clumps that a tail counts, from the directory, or from the log where the directory is damaged |
//! | `scan` | clumps behind those that the tail counts, and what to do about holes |
//! | `report` | what was found |
//!
//! Nothing is written before everything has been understood. Must not know how a store serves.

mod disk_index;
mod fill;
mod load;
mod report;
mod scan;

pub(crate) use fill::clumps_between;
pub use report::{ArenaReport, OpenReport};

use crate::Timestamp;
use crate::arena::{Appender, OpenLog};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::arena_tail::Counters;
use crate::format::geometry::ArenaGeometry;
use crate::memory_index::MemoryIndex;
use crate::store::{Core, CoreParts, OpenError, StoreParts, StoreSettings};
use alloc::vec::Vec;

/// Lumps are taken to be so large, in bytes, when the index is laid out for a store that is still empty.
const LUMP_LEN_GUESS: u64 = 16 * 1024;

/// Opens the parts; what was found beyond the tails is in memory, and still to be made durable.
pub(crate) async fn open<D: BlockDevice>(
    parts: StoreParts<D>,
    settings: StoreSettings,
    now: Timestamp,
) -> Result<(Core<D>, OpenReport), OpenError> {
    let mut report = OpenReport::default();
    let index = disk_index::read(parts.index_sections, parts.bloom, &mut report).await?;
    let map = index.as_ref().map(|index| &index.arenas);
    let mut arenas = load::load(&parts.arenas, map, &mut report).await?;
    let limit = arenas.last().map_or(0, |arena| arena.address + arena.geometry.size());
    let clumps: u64 = arenas.iter().map(|arena| u64::from(arena.durable.clumps)).sum();
    let room: u64 = arenas.iter().map(|arena| arena.geometry.size()).sum();
    let mut memory_index = MemoryIndex::new(limit, clumps.max(room / LUMP_LEN_GUESS));
    let mut search_fresh = true;
    for arena in &mut arenas {
        let part = &parts.arenas[arena.partition];
        let found = fill::fill(&part.device, arena, &mut memory_index, &mut report).await;
        found.map_err(|error| OpenError::partition(&part.name, error))?;
        if !arena.current.sealed {
            let scanned = scan::scan(
                &part.device,
                arena,
                now,
                &settings,
                &mut memory_index,
                &mut report,
                &mut search_fresh,
            );
            scanned.await.map_err(|error| OpenError::partition(&part.name, error))?;
        }
    }
    memory_index.finish_filling();
    report.arenas_count = arenas.len();
    report.clumps = arenas.iter().map(|arena| u64::from(arena.current.clumps)).sum();
    let damage = report.damage.clone();
    let core = CoreParts { partitions: parts.arenas, arenas, index: memory_index, disk_index: index, damage };
    Ok((Core::new(core, settings), report))
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
    let start = end - end % sector;
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
fn plausible(counters: &Counters, geometry: &ArenaGeometry) -> bool {
    let Counters { clumps, compressed_clumps, used, uncompressed_size, .. } = *counters;
    compressed_clumps <= clumps
        && used <= geometry.log_limit(clumps)
        && used >= u64::from(clumps) * 39
        && uncompressed_size >= u64::from(clumps)
        && uncompressed_size <= u64::from(clumps) * crate::format::clump::LUMP_LEN_MAX as u64
}
