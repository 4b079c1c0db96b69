//! Behind what a tail counts: whole clumps that reached the disk before the power went, or before the tail did.
//!
//! Every clump is unpacked and hashed. Bytes that are no clump end the log, unless whole clumps follow: then they are a
//! *hole*, and become the lump of a filler clump, so that the log is one chain again for every reader. Only the 38
//! bytes where the hole begins are written; what was there did not verify. Clumps that cannot be reached so are left
//! alone, and the arena takes no more. Nothing is written over what cannot be *read*: it may be whole, and readable the
//! next time. Then the clumps behind are served, and the arena is left as it is.

use super::read_appender;
use super::report::{ArenaReport, OpenReport};
use super::tail_end;
use crate::Timestamp;
use crate::arena::walk::LogCursor;
use crate::arena::{Arena, count};
use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError, read_bytes, read_twice, write_bytes};
use crate::format::clump::{CLUMP_HEADER_LEN, CLUMP_LEN_MAX, ClumpHeader, Encoding};
use crate::format::directory::DirectoryRecord;
use crate::format::geometry::{ArenaGeometry, END_MARK_LEN};
use crate::memory_index::MemoryIndex;
use crate::score::Score;
use crate::store::{Damage, DamageCause, StoreSettings};
use alloc::vec::Vec;
use bytes::Bytes;

/// How far behind the last whole clump others are looked for. More than what waits to be written at once, mostly.
const LOOK_AHEAD: u64 = 4 << 20;

/// The smallest clump.
const CLUMP_LEN_MIN: u64 = CLUMP_HEADER_LEN as u64 + 1;

/// What was found behind the tail's end.
#[derive(Default)]
struct Found {
    clumps: Vec<(u64, ClumpHeader)>,
    holes: Vec<(u64, u64)>,
    end: u64,
    /// Whole clumps lie behind the end, where no filler reaches.
    unreachable: bool,
    /// Some of it cannot be read now.
    unreadable: bool,
}

/// Continues `arena` with what is found, in memory; the next commit makes directory and tail follow.
pub(super) async fn scan<D: BlockDevice>(
    device: &D,
    arena: &mut Arena,
    now: Timestamp,
    settings: &StoreSettings,
    index: &mut MemoryIndex,
    report: &mut OpenReport,
    search_fresh: &mut bool,
) -> Result<(), DeviceError> {
    if arena.current.clumps > 0 && !tail_end::is_plausible(device, arena).await? {
        report.damage.push(Damage { arena: arena.name, offset: 0, cause: DamageCause::Tail });
        arena.forget_counters();
        arena.appender = None;
        let addresses = arena.address..arena.address + arena.geometry.size();
        index.retain(|address| !addresses.contains(&address));
    }
    let mut found = look(device, arena, *search_fresh, report).await?;
    *search_fresh &= arena.current.clumps > 0 || !found.clumps.is_empty();
    let mut fillers = Vec::new();
    for (offset, len) in found.holes.clone() {
        let cause = DamageCause::Hole { len };
        report.damage.push(Damage { arena: arena.name, offset, cause });
        match fill_hole(device, &arena.geometry, offset, len, now).await {
            Ok(filler) => fillers.extend(filler),
            Err(DeviceError::Read { .. }) => found.unreadable = true,
            Err(error) => return Err(error),
        }
    }
    if found.unreadable {
        fillers.clear();
    }
    if !settings.read_only && write_fillers(device, arena, &fillers).await.is_err() {
        // Without the fillers nothing behind the first hole can be part of the log.
        let first = found.holes[0].0;
        found.clumps.retain(|(offset, _)| *offset < first);
        fillers.clear();
        found.end = first;
        found.unreachable = true;
    }
    let recovered_clumps = found.clumps.len() as u32;
    found.clumps.extend(fillers);
    found.clumps.sort_unstable_by_key(|(offset, _)| *offset);
    let mark_missing = needs_end_mark(device, arena, found.end).await?;
    let changed = !found.clumps.is_empty() || arena.tail_damaged || mark_missing;
    arena.frozen = found.unreachable || found.unreadable;
    // An arena that holds something must be able to go on.
    let needed = changed || (arena.current.clumps > 0 && arena.appender.is_none());
    let mut counted = !found.unreadable;
    if needed && counted && !settings.read_only {
        match extend(device, arena, &found, mark_missing).await {
            Ok(()) => {}
            Err(DeviceError::Read { .. }) => {
                arena.frozen = true;
                counted = false;
            }
            Err(error) => return Err(error),
        }
    }
    adopt(arena, &found, counted, settings.read_only, index);
    if changed || arena.frozen {
        report.arenas.push(ArenaReport {
            arena: arena.name,
            recovered_clumps,
            holes: found.holes.len() as u32,
            directory_rebuilt: false,
            frozen: arena.frozen,
        });
    }
    Ok(())
}

/// Follows the log from the tail's end.
async fn look<D: BlockDevice>(
    device: &D,
    arena: &Arena,
    search_fresh: bool,
    report: &mut OpenReport,
) -> Result<Found, DeviceError> {
    let geometry = arena.geometry;
    let mut found = Found { end: arena.current.used, ..Found::default() };
    let limit = geometry.log_limit(arena.current.clumps.saturating_add(1));
    // A store may have thousands of fresh arenas: only the first of them is searched.
    let fresh = arena.current.clumps == 0 && !search_fresh && !arena.tail_damaged;
    if fresh && !begins(device, arena).await? {
        return Ok(found);
    }
    let mut cursor = LogCursor::new(device, geometry, arena.clump_magic, limit);
    loop {
        let clumps = arena.current.clumps as usize + found.clumps.len() + found.holes.len() + 1;
        let limit = geometry.log_limit(clumps as u32);
        let cause = match cursor.verified(found.end).await? {
            Ok(header) if found.end + header.clump_len() as u64 + END_MARK_LEN <= limit => {
                found.clumps.push((found.end, header));
                found.end += header.clump_len() as u64;
                continue;
            }
            Ok(_) => DamageCause::BeyondEnd,
            Err(cause) => cause,
        };
        if fresh && found.clumps.is_empty() {
            return Ok(found);
        }
        let is_unreadable = matches!(cause, DamageCause::Unreadable(_));
        let until = limit.min(found.end + LOOK_AHEAD);
        let Some(next) = cursor.find(found.end + 1, until).await? else {
            // Behind what a good tail counts nothing was promised.
            found.unreadable |= is_unreadable && arena.tail_damaged;
            return Ok(found);
        };
        if let Some(next) = reachable(&mut cursor, found.end, next, until).await? {
            found.unreadable |= is_unreadable;
            report.damage.push(Damage { arena: arena.name, offset: found.end, cause });
            found.holes.push((found.end, next - found.end));
            found.end = next;
        } else {
            found.unreachable = true;
            return Ok(found);
        }
    }
}

/// Whether the first bytes of an arena's log look like a clump.
pub(super) async fn begins<D: BlockDevice>(device: &D, arena: &Arena) -> Result<bool, DeviceError> {
    match read_bytes(device, arena.place(0), CLUMP_HEADER_LEN).await {
        Ok(bytes) => Ok(ClumpHeader::parse(&bytes, arena.clump_magic).is_ok()),
        Err(DeviceError::Read { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The first whole clump that is far enough behind `end` for a filler between them.
async fn reachable<D: BlockDevice>(
    cursor: &mut LogCursor<'_, D>,
    end: u64,
    first: u64,
    until: u64,
) -> Result<Option<u64>, DeviceError> {
    let nearest = end + CLUMP_LEN_MIN;
    if first >= nearest { Ok(Some(first)) } else { cursor.find(nearest, until).await }
}

/// The filler clumps that cover a hole: headers whose lumps are the bytes that stand in the hole.
pub(crate) async fn fill_hole<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    offset: u64,
    len: u64,
    now: Timestamp,
) -> Result<Vec<(u64, ClumpHeader)>, DeviceError> {
    let (mut at, mut left) = (offset, len);
    let mut fillers = Vec::new();
    while left > 0 {
        let mut clump_len = left.min(CLUMP_LEN_MAX as u64);
        // What remains must be a whole clump, too.
        if left > clump_len && left - clump_len < CLUMP_LEN_MIN {
            clump_len -= CLUMP_LEN_MIN;
        }
        let lump_len = clump_len as usize - CLUMP_HEADER_LEN;
        let lump = read_twice(device, geometry.log_base() + at + CLUMP_HEADER_LEN as u64, lump_len).await?;
        let header = ClumpHeader {
            block_type: BlockType::DATA,
            stored_len: lump_len as u16,
            lump_len: lump_len as u16,
            score: Score::of(&lump),
            encoding: Encoding::Plain,
            creator: 0,
            written_at: now,
        };
        fillers.push((at, header));
        at += clump_len;
        left -= clump_len;
    }
    Ok(fillers)
}

/// Writes the headers of fillers and makes them durable: directory and tail will count them.
async fn write_fillers<D: BlockDevice>(
    device: &D,
    arena: &Arena,
    fillers: &[(u64, ClumpHeader)],
) -> Result<(), DeviceError> {
    for (offset, header) in fillers {
        let bytes = Bytes::copy_from_slice(&header.encode(arena.clump_magic));
        write_bytes(device, arena.place(*offset), bytes).await?;
    }
    if fillers.is_empty() { Ok(()) } else { device.flush().await }
}

/// Whether something else than the end mark stands where the log ends; venti would complain.
async fn needs_end_mark<D: BlockDevice>(device: &D, arena: &Arena, end: u64) -> Result<bool, DeviceError> {
    match read_bytes(device, arena.place(end), END_MARK_LEN as usize).await {
        Ok(mark) => Ok(mark.iter().any(|byte| *byte != 0)),
        Err(DeviceError::Read { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Prepares directory records and the log's end for the commit that follows, if one must. Needs to read the sectors
/// in which log and directory end; nothing has changed where it cannot.
async fn extend<D: BlockDevice>(
    device: &D,
    arena: &mut Arena,
    found: &Found,
    mark_missing: bool,
) -> Result<(), DeviceError> {
    let records_from = arena.appender.as_ref().map_or(arena.durable.clumps, |appender| appender.records_from);
    let mut appender = read_appender(device, &arena.geometry, found.end, records_from).await?;
    appender.records = arena.appender.take().map_or(Vec::new(), |appender| appender.records);
    appender.records.extend(found.clumps.iter().map(|(_, header)| DirectoryRecord::from(header).encode()));
    if mark_missing && !arena.frozen {
        appender.log.mark_end();
    }
    arena.appender = Some(appender);
    arena.tail_dirty |= arena.tail_damaged || mark_missing || !found.clumps.is_empty();
    Ok(())
}

/// Puts what was found into the index, and counts it unless nothing can be added to log and directory.
fn adopt(arena: &mut Arena, found: &Found, counted: bool, read_only: bool, index: &mut MemoryIndex) {
    arena.on_disk_used = found.end;
    for (offset, header) in &found.clumps {
        index.insert(&header.score, header.block_type, arena.address + offset);
        if !counted {
            continue;
        }
        count(&mut arena.current, &DirectoryRecord::from(header));
        if arena.created_at == Timestamp(0) {
            arena.created_at = header.written_at;
        }
        arena.written_at = arena.written_at.max(header.written_at);
    }
    if read_only {
        arena.durable = arena.current;
    }
}
