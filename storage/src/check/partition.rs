//! Arena partitions: their headers, their maps, and which arenas lie where. Where a header or a map is lost, the arenas
//! themselves say it. Reads only.

use super::{Fault, Finding, Report};
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes};
use crate::format::arena_head::ArenaHead;
use crate::format::arena_partition::{ArenaPartitionHeader, MisplacedArena};
use crate::format::arena_tail::{ArenaTail, seal_of};
use crate::format::geometry::ArenaGeometry;
use crate::format::prelude::{BLOCK_SIZE_DEFAULT, HEADER_LEN, PRELUDE_LEN, is_block_size, usable_len};
use crate::format::range_map::{NamedRange, RangeMap};
use crate::recovery::{plausible, read_head};
use crate::score::Score;
use crate::store::{PartitionFault, StorePart};
use alloc::vec::Vec;

/// Nobody leaves more than this behind the last arena.
const ARENA_LEN_MIN: u64 = 1 << 20;

/// Bytes read at once where arenas are looked for.
const CHUNK: u64 = 1 << 20;

/// An arena and what its two ends say.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The number of its partition.
    pub(crate) partition: usize,
    pub(crate) range: NamedRange,
    pub(crate) geometry: ArenaGeometry,
    /// Where its log begins in the index's address space; `None` if the index does not know it.
    pub(crate) address: Option<u64>,
    pub(crate) head: Result<ArenaHead, PartitionFault>,
    pub(crate) tail: Result<ArenaTail, PartitionFault>,
    /// As it stands in the tail.
    pub(crate) seal: Score,
}

impl Place {
    /// What a check reads of it, about.
    pub(crate) fn bytes_to_read(&self) -> u64 {
        match &self.tail {
            Ok(tail) if tail.written.sealed => tail.written.used + self.geometry.len(),
            Ok(tail) => tail.written.used,
            Err(_) => self.geometry.size(),
        }
    }
}

/// An arena partition.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) header: ArenaPartitionHeader,
    pub(crate) map: RangeMap,
    /// The header or the map on the disk is not this one.
    pub(crate) lost: bool,
    /// Arenas may be missing in the map: it must not be written.
    pub(crate) incomplete: bool,
}

/// All partitions, as far as they are understood, and the arenas in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arenas {
    pub(crate) partitions: Vec<Option<Partition>>,
    pub(crate) places: Vec<Place>,
}

/// Reads headers, maps, heads and tails.
pub(crate) async fn read<D: BlockDevice>(
    parts: &[StorePart<D>],
    report: &mut Report,
) -> Result<Arenas, DeviceError> {
    let mut arenas = Arenas::default();
    for (number, part) in parts.iter().enumerate() {
        let partition = read_partition(part, report).await?;
        let ranges = partition.iter().flat_map(|partition| partition.map.ranges());
        for range in ranges {
            let block_size = partition.as_ref().map_or(BLOCK_SIZE_DEFAULT, |found| found.header.block_size);
            match read_place(number, part, block_size, range).await? {
                Ok(place) => arenas.places.push(place),
                Err(fault) => report.findings.push(of_arena(part, range, Fault::Map(fault))),
            }
        }
        arenas.partitions.push(partition);
    }
    Ok(arenas)
}

/// A finding about a whole arena.
fn of_arena<D>(part: &StorePart<D>, range: &NamedRange, fault: Fault) -> Finding {
    let partition = part.name.as_str().into();
    Finding { partition, arena: Some(range.name), offset: range.start, len: range.len(), fault }
}

/// What fails only if the device is gone; anything else is a fault of what was to be read.
fn or_gone<T>(read: Result<T, PartitionFault>) -> Result<Result<T, PartitionFault>, DeviceError> {
    match read {
        Err(PartitionFault::Device(DeviceError::Gone)) => Err(DeviceError::Gone),
        other => Ok(other),
    }
}

async fn read_partition<D: BlockDevice>(
    part: &StorePart<D>,
    report: &mut Report,
) -> Result<Option<Partition>, DeviceError> {
    let finding = |offset, len, fault| Finding {
        partition: part.name.as_str().into(),
        arena: None,
        offset,
        len,
        fault,
    };
    let (header, header_lost) = match or_gone(read_header(&part.device).await)? {
        Ok(header) => (header, false),
        Err(fault) => {
            report.findings.push(finding(PRELUDE_LEN, HEADER_LEN, Fault::Header(fault)));
            match guess_header(&part.device).await? {
                Some(header) => (header, true),
                None => return Ok(None),
            }
        }
    };
    let (map, map_lost) = match or_gone(read_map(&part.device, &header).await)? {
        Ok(map) => (map, false),
        Err(fault) => {
            report.findings.push(finding(header.map_base(), header.map_len(), Fault::Map(fault)));
            (find_arenas(&part.device, &header).await?, true)
        }
    };
    let usable = usable_len(size_bytes(&part.device), header.block_size);
    let incomplete = map_lost && map.stop().saturating_add(ARENA_LEN_MIN) <= usable;
    Ok(Some(Partition { header, map, lost: header_lost || map_lost, incomplete }))
}

async fn read_header<D: BlockDevice>(device: &D) -> Result<ArenaPartitionHeader, PartitionFault> {
    let sector = read_bytes(device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = ArenaPartitionHeader::parse(&sector)?;
    // Where the first arena would lie behind the end, the header is not what it was: its map is not there either.
    let (claimed, size) = (u64::from(header.arena_base), size_bytes(device));
    if claimed > size { Err(PartitionFault::Shrunk { claimed, size }) } else { Ok(header) }
}

async fn read_map<D: BlockDevice>(
    device: &D,
    header: &ArenaPartitionHeader,
) -> Result<RangeMap, PartitionFault> {
    let text = read_bytes(device, header.map_base(), header.map_len() as usize).await?;
    Ok(RangeMap::parse(&text)?)
}

/// The header that a partition must have had: one whose map or first arena stands where it says.
async fn guess_header<D: BlockDevice>(device: &D) -> Result<Option<ArenaPartitionHeader>, DeviceError> {
    let others = (9..=16).map(|bits| 1 << bits).filter(|size| *size != BLOCK_SIZE_DEFAULT);
    for block_size in core::iter::once(BLOCK_SIZE_DEFAULT).chain(others) {
        let header = ArenaPartitionHeader::fresh(block_size);
        if let Ok(map) = or_gone(read_map(device, &header).await)?
            && map.ranges().first().is_some_and(|range| range.start == u64::from(header.arena_base))
        {
            return Ok(Some(header));
        }
        let head = read_or_nothing(device, u64::from(header.arena_base), block_size as usize).await?;
        if ArenaHead::parse(&head).is_ok_and(|head| head.block_size == block_size) {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

/// Bytes, or none where they cannot be read.
async fn read_or_nothing<D: BlockDevice>(
    device: &D,
    offset: u64,
    len: usize,
) -> Result<bytes::Bytes, DeviceError> {
    match read_bytes(device, offset, len).await {
        Err(DeviceError::Gone) => Err(DeviceError::Gone),
        read => Ok(read.unwrap_or_default()),
    }
}

/// The arenas that follow one another from the first on: each says where it ends, in its head or in its tail.
async fn find_arenas<D: BlockDevice>(
    device: &D,
    header: &ArenaPartitionHeader,
) -> Result<RangeMap, DeviceError> {
    let block = u64::from(header.block_size);
    let usable = usable_len(size_bytes(device), header.block_size);
    let mut ranges = Vec::new();
    let mut start = u64::from(header.arena_base);
    while start < usable {
        let head = read_or_nothing(device, start, header.block_size as usize).await?;
        let by_head = ArenaHead::parse(&head).ok().filter(|head| {
            head.block_size == header.block_size
                && head.arena_len.is_multiple_of(block)
                && start.checked_add(head.arena_len).is_some_and(|stop| stop <= usable)
        });
        let found = match by_head {
            Some(head) => Some((head.name, start + head.arena_len)),
            None => find_tail(device, start, usable, header.block_size).await?,
        };
        let Some((name, stop)) = found else { break };
        if ArenaGeometry::new(start, stop, header.block_size).is_err() {
            break;
        }
        ranges.push(NamedRange { name, start, stop });
        start = stop;
    }
    Ok(RangeMap::new(ranges).unwrap_or_default())
}

/// The next tail block: the arena's name, and where it ends. Nothing if the head of another arena comes first.
async fn find_tail<D: BlockDevice>(
    device: &D,
    from: u64,
    usable: u64,
    block_size: u32,
) -> Result<Option<(crate::format::Name, u64)>, DeviceError> {
    let mut offset = from;
    while offset < usable {
        let len = CHUNK.min(usable - offset);
        let chunk = read_or_nothing(device, offset, len as usize).await?;
        for (number, block) in chunk.chunks(block_size as usize).enumerate() {
            let stop = offset + (number as u64 + 1) * u64::from(block_size);
            if ArenaHead::parse(block).is_ok_and(|head| head.block_size == block_size) {
                return Ok(None);
            }
            let Ok(tail) = ArenaTail::parse(block) else { continue };
            let geometry = ArenaGeometry::new(from, stop, block_size);
            if geometry.is_ok_and(|geometry| plausible(&tail.written, &geometry)) {
                return Ok(Some((tail.name, stop)));
            }
        }
        offset += len;
    }
    Ok(None)
}

async fn read_place<D: BlockDevice>(
    number: usize,
    part: &StorePart<D>,
    block_size: u32,
    range: &NamedRange,
) -> Result<Result<Place, PartitionFault>, DeviceError> {
    let usable = usable_len(size_bytes(&part.device), block_size);
    if range.stop > usable || !is_block_size(block_size) {
        let arena_base = ArenaPartitionHeader::fresh(block_size).arena_base;
        return Ok(Err(MisplacedArena { range: *range, arena_base, usable }.into()));
    }
    let geometry = match ArenaGeometry::new(range.start, range.stop, block_size) {
        Ok(geometry) => geometry,
        Err(bad) => return Ok(Err(bad.into())),
    };
    let head = or_gone(read_head(&part.device, &geometry, range).await)?;
    let (tail, seal) = match or_gone(read_tail(&part.device, &geometry, range).await)? {
        Ok((tail, seal)) => (Ok(tail), seal),
        Err(fault) => (Err(fault), Score::NULL),
    };
    Ok(Ok(Place { partition: number, range: *range, geometry, address: None, head, tail, seal }))
}

async fn read_tail<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    range: &NamedRange,
) -> Result<(ArenaTail, Score), PartitionFault> {
    let block = read_bytes(device, geometry.tail_offset(), geometry.block_size() as usize).await?;
    let tail = ArenaTail::parse(&block)?;
    if tail.name != range.name {
        return Err(PartitionFault::OtherName { found: tail.name });
    }
    if !plausible(&tail.written, geometry) {
        return Err(PartitionFault::Counters);
    }
    Ok((tail, seal_of(&block).unwrap_or(Score::NULL)))
}
