//! An arena partition, as `fmtarenas` makes it (spec of its arithmetic: venti's `fmtarenas.c` and `arena.c`).

use super::{MakeError, write_vec, zero};
use crate::device::{BlockDevice, size_bytes};
use crate::format::Name;
use crate::format::arena_head::{ArenaHead, ArenaVersion, CLUMP_MAGIC_V4};
use crate::format::arena_partition::ArenaPartitionHeader;
use crate::format::arena_tail::ArenaTail;
use crate::format::geometry::ArenaGeometry;
use crate::format::index_config::pad_text;
use crate::format::prelude::{BLOCK_SIZE_DEFAULT, PRELUDE_LEN, usable_len};
use crate::format::range_map::{NamedRange, RangeMap};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// A rest of the partition below this joins the last arena; so small an arena is not made.
const ARENA_LEN_MIN: u64 = 1 << 20;
/// Bytes at the start of a log that must be zero, so that nothing of a former life looks like a clump.
const LOG_START_LEN: u64 = 8192;

/// What `fmtarenas` takes.
#[derive(Clone, Copy, Debug)]
pub struct ArenaOptions<'a> {
    /// Arenas are called so, with a number behind it.
    pub name: &'a str,
    /// The first number: 0, as `fmtarenas` has it, or one behind those of a store that grows.
    pub first: u64,
    /// Bytes of an arena, head and tail included.
    pub arena_len: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Version 4 is what old ventis read; it needs the whole partition zeroed, which takes its time.
    pub version: ArenaVersion,
}

impl Default for ArenaOptions<'_> {
    /// `arenas0`, `arenas1`, … of 512 MiB in blocks of 8 KiB.
    fn default() -> Self {
        ArenaOptions {
            name: "arenas",
            first: 0,
            arena_len: 512 << 20,
            block_size: BLOCK_SIZE_DEFAULT,
            version: ArenaVersion::V5,
        }
    }
}

/// Makes an arena partition of `device`. `magic` gives a random number for each arena; `done` is told of each arena that
/// is made, with how many there will be. Returns the map.
///
/// # Errors
/// A partition too small for one arena, a name or size that the format does not take, or a failing device.
pub async fn arenas<D: BlockDevice>(
    device: &D,
    options: ArenaOptions<'_>,
    mut magic: impl FnMut() -> u32,
    mut done: impl FnMut(usize, usize),
) -> Result<RangeMap, MakeError> {
    let header = ArenaPartitionHeader::fresh(options.block_size);
    let map = layout(&header, &options, size_bytes(device))?;
    if options.version == ArenaVersion::V4 {
        zero(device, u64::from(header.arena_base), map.stop() - u64::from(header.arena_base)).await?;
    }
    for (number, range) in map.ranges().iter().enumerate() {
        let clump_magic = match options.version {
            ArenaVersion::V4 => CLUMP_MAGIC_V4,
            ArenaVersion::V5 => fresh_magic(&mut magic),
        };
        arena(device, range, options.block_size, options.version, clump_magic).await?;
        done(number + 1, map.ranges().len());
    }
    let mut text = String::new();
    map.print(&mut text);
    // The map has kilobytes, and room for half a megabyte.
    let text = pad_text(text, header.map_len() as usize)?;
    write_vec(device, header.map_base(), text).await?;
    device.flush().await?;
    write_vec(device, PRELUDE_LEN, header.encode().to_vec()).await?;
    device.flush().await?;
    Ok(map)
}

/// Where the arenas lie: equal ones from the start on, the last one to the end.
fn layout(
    header: &ArenaPartitionHeader,
    options: &ArenaOptions<'_>,
    len: u64,
) -> Result<RangeMap, MakeError> {
    let usable = usable_len(len, options.block_size);
    let base = u64::from(header.arena_base);
    let need = base + ARENA_LEN_MIN;
    let space = usable.checked_sub(base).filter(|space| *space >= ARENA_LEN_MIN);
    let space = space.ok_or(MakeError::TooSmall { bytes: len, need })?;
    let arena_len = usable_len(options.arena_len, options.block_size).max(ARENA_LEN_MIN);
    let count = space / arena_len + u64::from(space % arena_len >= ARENA_LEN_MIN);
    let mut ranges: Vec<NamedRange> = Vec::new();
    for number in 0..count.max(1) {
        let start = base + number * arena_len;
        let stop = start + arena_len;
        let stop = if stop >= usable || usable - stop < ARENA_LEN_MIN { usable } else { stop };
        let name = Name::new(&format!("{}{}", options.name, options.first + number))?;
        ranges.push(NamedRange { name, start, stop });
    }
    Ok(RangeMap::new(ranges)?)
}

/// A random number that is neither the end of a log nor the magic of version 4.
fn fresh_magic(magic: &mut impl FnMut() -> u32) -> u32 {
    loop {
        let candidate = magic();
        if candidate != 0 && candidate != CLUMP_MAGIC_V4 {
            return candidate;
        }
    }
}

async fn arena<D: BlockDevice>(
    device: &D,
    range: &NamedRange,
    block_size: u32,
    version: ArenaVersion,
    clump_magic: u32,
) -> Result<(), MakeError> {
    let too_small = MakeError::TooSmall { bytes: range.len(), need: ARENA_LEN_MIN };
    let geometry = ArenaGeometry::new(range.start, range.stop, block_size).map_err(|_| too_small)?;
    let head = ArenaHead { version, name: range.name, block_size, arena_len: range.len(), clump_magic };
    write_vec(device, range.start, head.encode()).await?;
    if version == ArenaVersion::V5 {
        zero(device, geometry.log_base(), LOG_START_LEN.min(u64::from(block_size))).await?;
    }
    let mut tail = vec![0; block_size as usize];
    ArenaTail::fresh(version, range.name, clump_magic).encode_into(&mut tail);
    Ok(write_vec(device, geometry.tail_offset(), tail).await?)
}
