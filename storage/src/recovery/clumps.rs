//! The clumps of a log in order, some at a time: from the directory, in large reads, or from the log where the
//! directory cannot be believed. Reads only.
//!
//! Must not know what becomes of them.

use crate::arena::walk::LogCursor;
use crate::arena::{Log, count};
use crate::device::{BlockDevice, DeviceError, read_twice};
use crate::format::arena_tail::Counters;
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpError};
use crate::format::directory::{DirectoryRecord, RECORD_LEN, RecordError};
use crate::format::geometry::ArenaGeometry;
use crate::store::{Damage, DamageCause};
use alloc::vec::Vec;

/// Bytes of directory read at once.
const CHUNK: u32 = 1 << 20;

/// A clump and its offset in the log.
pub(crate) type Placed = (u64, DirectoryRecord);

/// Why a directory is not believed.
pub(crate) enum Unusable {
    /// From this record on.
    Record(u32),
    /// The disk cannot read it.
    Device(DeviceError),
}

/// The clumps that `to` counts and `from` does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) from: Counters,
    pub(crate) to: Counters,
}

/// Reads the clumps of a gap from an arena's directory, in order.
pub(crate) struct DirectoryReader<'a, D> {
    device: &'a D,
    geometry: ArenaGeometry,
    to: Counters,
    /// What was read so far, clumps of illegal types included.
    reached: Counters,
    /// Records read but not asked for: the first one's number, and their blocks as they lie on the disk.
    chunk: Vec<u8>,
    chunk_blocks: core::ops::Range<u32>,
}

impl<'a, D: BlockDevice> DirectoryReader<'a, D> {
    pub(crate) fn new(device: &'a D, log: &Log, gap: Gap) -> DirectoryReader<'a, D> {
        let geometry = log.geometry;
        DirectoryReader {
            device,
            geometry,
            to: gap.to,
            reached: gap.from,
            chunk: Vec::new(),
            chunk_blocks: 0..0,
        }
    }

    /// Everything up to the last clump that was returned. After the last one that `to` counts it is `to`.
    pub(crate) fn reached(&self) -> Counters {
        if self.reached.clumps == self.to.clumps { self.to } else { self.reached }
    }

    /// About `most` clumps more, none at the end. The end is an error if sizes do not add up to what the tail counts:
    /// then none of the places can be believed.
    pub(crate) async fn next(&mut self, most: usize) -> Result<Vec<Placed>, Unusable> {
        let mut clumps = Vec::new();
        while self.reached.clumps < self.to.clumps && clumps.len() < most {
            let number = self.reached.clumps;
            let (block, at) = self.geometry.record_place(number);
            if !self.chunk_blocks.contains(&block) {
                self.read_chunk(block).await?;
            }
            let behind = (self.chunk_blocks.end - 1 - block) as usize * self.geometry.block_size() as usize;
            let at = behind + at;
            let bytes = self.chunk.get(at..at + RECORD_LEN).ok_or(Unusable::Record(number))?;
            match DirectoryRecord::parse(bytes) {
                Ok(record) => {
                    clumps.push((self.reached.used, record));
                    count(&mut self.reached, &record);
                }
                // A clump that venti marked corrupt; its size still counts.
                Err(RecordError::Illegal { stored_len, .. }) => {
                    self.reached.clumps += 1;
                    self.reached.used += CLUMP_HEADER_LEN as u64 + u64::from(stored_len);
                }
                Err(_) => return Err(Unusable::Record(number)),
            }
        }
        let at_end = self.reached.clumps >= self.to.clumps;
        if at_end && self.reached.used != self.to.used {
            return Err(Unusable::Record(self.to.clumps));
        }
        Ok(clumps)
    }

    /// Reads blocks of the directory from `first` on. They lie one below the other.
    async fn read_chunk(&mut self, first: u32) -> Result<(), Unusable> {
        let per_chunk = (CHUNK / self.geometry.block_size()).max(1);
        let (last_block, _) = self.geometry.record_place(self.to.clumps.saturating_sub(1));
        let end = (first / per_chunk + 1).saturating_mul(per_chunk).min(last_block.saturating_add(1));
        let unusable = Unusable::Record(self.reached.clumps);
        let offset = self.geometry.directory_block(end - 1).ok_or(unusable)?;
        let len = (end - first) as usize * self.geometry.block_size() as usize;
        let bytes = read_twice(self.device, offset, len).await.map_err(Unusable::Device)?;
        self.chunk = bytes.into();
        self.chunk_blocks = first..end;
        Ok(())
    }
}

/// Whether the directory accounts for every byte of a gap.
pub(crate) async fn check_directory<D: BlockDevice>(device: &D, log: &Log, gap: Gap) -> Result<(), Unusable> {
    let mut reader = DirectoryReader::new(device, log, gap);
    while !reader.next(8192).await?.is_empty() {}
    Ok(())
}

/// Whether a whole clump begins behind `clumps`, within the gap, and ends outside: then the gap does not end where a log
/// ever ended, and the tail that says so is damaged.
pub(crate) async fn is_cut_off<D: BlockDevice>(
    device: &D,
    log: &Log,
    gap: Gap,
    clumps: &[Placed],
) -> Result<bool, DeviceError> {
    let last = clumps.last().map(|(offset, record)| offset + record.clump_len() as u64);
    let limit = log.geometry.log_limit(gap.from.clumps.saturating_add(clumps.len() as u32 + 1));
    let mut cursor = LogCursor::new(device, log.geometry, log.clump_magic, limit);
    let Some(next) = cursor.find(last.unwrap_or(gap.from.used), gap.to.used).await? else { return Ok(false) };
    Ok(cursor.header(next).await?.is_ok_and(|header| next + header.clump_len() as u64 > gap.to.used))
}

/// The clumps of a gap as their headers have them. What does not parse is reported and passed by.
pub(crate) async fn from_log<D: BlockDevice>(
    device: &D,
    log: &Log,
    gap: Gap,
    damage: &mut Vec<Damage>,
) -> Result<Vec<Placed>, DeviceError> {
    let used = gap.to.used;
    let mut cursor = LogCursor::new(device, log.geometry, log.clump_magic, used);
    let mut clumps: Vec<Placed> = Vec::new();
    let mut offset = gap.from.used;
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
        // A clump that venti gave up still says where the next one is, if that is a place in this log.
        if let DamageCause::Header(
            ClumpError::MarkedCorrupt { stored_len } | ClumpError::IllegalType { stored_len, .. },
        ) = cause
        {
            let next = offset + CLUMP_HEADER_LEN as u64 + u64::from(stored_len);
            if next == used || (next < used && cursor.header(next).await?.is_ok()) {
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
