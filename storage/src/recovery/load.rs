//! Partitions and arenas: headers, maps, heads and tails. Reads only.

use super::plausible;
use super::report::OpenReport;
use crate::arena::Arena;
use crate::device::{BlockDevice, DeviceError, read_twice, size_bytes};
use crate::format::arena_head::ArenaHead;
use crate::format::arena_partition::ArenaPartitionHeader;
use crate::format::arena_tail::{ArenaTail, Counters, seal_of};
use crate::format::geometry::ArenaGeometry;
use crate::format::index_config::ADDRESS_BASE;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::format::range_map::{NamedRange, RangeMap};
use crate::format::{Fault, Name};
use crate::score::Score;
use crate::store::{Damage, DamageCause, OpenError, PartitionFault, StorePart};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The arenas of all partitions.
pub(super) struct Loaded {
    /// In the order of their addresses.
    pub(super) arenas: Vec<Arena>,
    /// Those that the index's map does not have: they are not served, as in venti.
    pub(super) unmapped: Vec<Arena>,
}

/// Loads the arenas of all partitions.
pub(super) async fn load<D: BlockDevice>(
    parts: &[StorePart<D>],
    map: Option<&RangeMap>,
    report: &mut OpenReport,
) -> Result<Loaded, OpenError> {
    if parts.is_empty() {
        return Err(OpenError::NoArenas);
    }
    let mut arenas = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        load_partition(number, part, &mut arenas, report).await?;
    }
    check_names(&arenas, parts)?;
    match map {
        Some(map) => place_by_map(arenas, map, parts, report),
        None => {
            let mut address = ADDRESS_BASE;
            for arena in &mut arenas {
                arena.address = address;
                address += arena.geometry.size();
            }
            Ok(Loaded { arenas, unmapped: Vec::new() })
        }
    }
}

/// Gives arenas the addresses that the index has for them.
fn place_by_map<D>(
    arenas: Vec<Arena>,
    map: &RangeMap,
    parts: &[StorePart<D>],
    report: &mut OpenReport,
) -> Result<Loaded, OpenError> {
    let mut by_name: BTreeMap<Name, Arena> = arenas.into_iter().map(|arena| (arena.name, arena)).collect();
    let mut placed = Vec::with_capacity(map.ranges().len());
    for range in map.ranges() {
        let mut arena = by_name.remove(&range.name).ok_or(OpenError::MissingArena { arena: range.name })?;
        let size = arena.geometry.size();
        if range.len() != size {
            let reason = PartitionFault::OtherSize { mapped: range.len(), size };
            return Err(OpenError::arena(&parts[arena.partition].name, range.name, reason));
        }
        arena.address = range.start;
        placed.push(arena);
    }
    let mut unmapped: Vec<Arena> = by_name.into_values().collect();
    unmapped.sort_by_key(|arena| (arena.partition, arena.geometry.start()));
    report.unmapped.extend(unmapped.iter().map(|arena| arena.name));
    Ok(Loaded { arenas: placed, unmapped })
}

fn check_names<D>(arenas: &[Arena], parts: &[StorePart<D>]) -> Result<(), OpenError> {
    let mut seen: BTreeMap<Name, usize> = BTreeMap::new();
    let name_of = |partition: usize| -> Rc<str> { parts[partition].name.as_str().into() };
    for arena in arenas {
        if let Some(first) = seen.insert(arena.name, arena.partition) {
            let (first, second) = (name_of(first), name_of(arena.partition));
            return Err(OpenError::SameArena { arena: arena.name, first, second });
        }
    }
    Ok(())
}

pub(super) async fn load_partition<D: BlockDevice>(
    number: usize,
    part: &StorePart<D>,
    arenas: &mut Vec<Arena>,
    report: &mut OpenReport,
) -> Result<(), OpenError> {
    let read = read_map(part).await;
    let (header, map) = read.map_err(|reason| OpenError::partition(&part.name, reason))?;
    for range in map.ranges() {
        let arena = load_arena(number, &part.device, header.block_size, range, report).await;
        arenas.push(arena.map_err(|reason| OpenError::arena(&part.name, range.name, reason))?);
    }
    Ok(())
}

async fn read_map<D: BlockDevice>(
    part: &StorePart<D>,
) -> Result<(ArenaPartitionHeader, RangeMap), PartitionFault> {
    let sector = read_twice(&part.device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = ArenaPartitionHeader::parse(&sector)?;
    let text = read_twice(&part.device, header.map_base(), header.map_len() as usize).await?;
    let map = RangeMap::parse(&text)?;
    header.check_map(&map, size_bytes(&part.device))?;
    Ok((header, map))
}

async fn load_arena<D: BlockDevice>(
    partition: usize,
    device: &D,
    block_size: u32,
    range: &NamedRange,
    report: &mut OpenReport,
) -> Result<Arena, PartitionFault> {
    let geometry = ArenaGeometry::new(range.start, range.stop, block_size)?;
    let head = read_head(device, &geometry, range).await;
    let (tail, seal) = read_tail(device, &geometry, range, head.is_ok()).await?;
    let damage = |cause| Damage { arena: range.name, offset: 0, cause };
    if head.is_err() {
        report.damage.push(damage(DamageCause::Head));
    }
    let (tail, tail_damaged) = match (tail, head) {
        (Some(tail), Ok(head)) if tail.clump_magic != head.clump_magic => {
            let clump_magic = read_magic(device, &geometry, tail.clump_magic, head.clump_magic).await?;
            let damaged = if clump_magic == head.clump_magic { DamageCause::Tail } else { DamageCause::Head };
            report.damage.push(damage(damaged));
            (ArenaTail { clump_magic, ..tail }, false)
        }
        (Some(tail), _) => (tail, false),
        (None, Ok(head)) => {
            report.damage.push(damage(DamageCause::Tail));
            (ArenaTail::fresh(head.version, head.name, head.clump_magic), true)
        }
        (None, Err(_)) => return Err(PartitionFault::HeadAndTail),
    };
    let indexed =
        if counts_within(&tail.indexed, &tail.written) { tail.indexed } else { Counters::default() };
    Ok(Arena {
        name: range.name,
        partition,
        geometry,
        address: 0,
        version: tail.version,
        clump_magic: tail.clump_magic,
        created_at: tail.created_at,
        written_at: tail.written_at,
        indexed,
        placed: indexed,
        durable: tail.written,
        current: tail.written,
        on_disk_used: tail.written.used,
        seal: if tail.written.sealed { seal } else { Score::NULL },
        tail_dirty: false,
        tail_damaged,
        frozen: false,
        index_stuck: false,
        seal_failed: false,
        appender: None,
    })
}

/// An indexed set that counts more than the written set counts nothing.
fn counts_within(indexed: &Counters, written: &Counters) -> bool {
    indexed.clumps <= written.clumps && indexed.used <= written.used
}

/// The tail of an arena, if it can be that of this arena, and its seal. A tail of another arena, or of a version that
/// nobody knows, is an error unless the head says that the arena is this one: then it is the tail that is damaged.
async fn read_tail<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    range: &NamedRange,
    head_is_good: bool,
) -> Result<(Option<ArenaTail>, Score), PartitionFault> {
    let block = read_twice(device, geometry.tail_offset(), geometry.block_size() as usize).await;
    let parsed = block.map_err(PartitionFault::from).and_then(|block| {
        let tail = ArenaTail::parse(&block)?;
        Ok((tail, seal_of(&block).unwrap_or(Score::NULL)))
    });
    match parsed {
        Ok((tail, _)) if tail.name != range.name && !head_is_good => {
            Err(PartitionFault::OtherName { found: tail.name })
        }
        Ok((tail, _)) if tail.name != range.name => Ok((None, Score::NULL)),
        Ok((tail, seal)) => Ok((plausible(&tail.written, geometry).then_some(tail), seal)),
        Err(PartitionFault::Format(error)) if matches!(error.fault, Fault::Version(_)) && !head_is_good => {
            Err(error.into())
        }
        Err(PartitionFault::Device(DeviceError::Gone)) => Err(DeviceError::Gone.into()),
        Err(_) => Ok((None, Score::NULL)),
    }
}

/// Head and tail disagree about what clumps begin with: the log knows.
async fn read_magic<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    in_tail: u32,
    in_head: u32,
) -> Result<u32, DeviceError> {
    match read_twice(device, geometry.log_base(), size_of::<u32>()).await {
        Ok(first) if first[..] == in_head.to_be_bytes() => Ok(in_head),
        Err(DeviceError::Gone) => Err(DeviceError::Gone),
        _ => Ok(in_tail),
    }
}

/// The head block of an arena, if it is that of this arena.
pub(crate) async fn read_head<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    range: &NamedRange,
) -> Result<ArenaHead, PartitionFault> {
    let block = read_twice(device, geometry.start(), geometry.block_size() as usize).await?;
    let head = ArenaHead::parse(&block)?;
    let good = head.name == range.name
        && head.arena_len == geometry.len()
        && head.block_size == geometry.block_size();
    if good { Ok(head) } else { Err(PartitionFault::OtherName { found: head.name }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indexed_set_beyond_the_written_one_counts_nothing() {
        let small = Counters { clumps: 1, used: 39, ..Counters::default() };
        let large = Counters { clumps: 2, used: 78, ..Counters::default() };
        assert!(counts_within(&small, &large) && !counts_within(&large, &small));
    }
}
