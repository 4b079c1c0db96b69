//! One arena taken out of its disk: where it lies, and its clumps in order, unpacked and verified.
//!
//! Knows the log of an arena as its tail counts it. Must not know where blocks go, nor a store. Reads only.

use crate::arena::clump_io::unpack;
use crate::arena::walk::LogCursor;
use crate::block_type::BlockType;
use crate::check::directory::Directory;
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::arena_head::ArenaHead;
use crate::format::arena_partition::ArenaPartitionHeader;
use crate::format::arena_tail::{ArenaTail, seal_of};
use crate::format::geometry::ArenaGeometry;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::format::range_map::RangeMap;
use crate::score::Score;
use crate::store::{DamageCause, PartitionFault};
use bytes::Bytes;

/// Where the arenas of a partition lie: its map, and the bytes of a block.
///
/// # Errors
/// No arena partition, or a damaged one.
pub async fn map<D: BlockDevice>(device: &D) -> Result<(RangeMap, u32), PartitionFault> {
    let sector = read_bytes(device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = ArenaPartitionHeader::parse(&sector)?;
    let text = read_bytes(device, header.map_base(), header.map_len() as usize).await?;
    let map = RangeMap::parse(&text)?;
    Ok((map, header.block_size))
}

/// An arena that is read clump by clump.
pub struct ArenaReader<'a, D> {
    /// Its place on the device; `start` is where its head was found.
    pub geometry: ArenaGeometry,
    /// What it holds.
    pub tail: ArenaTail,
    /// Its seal; null before it is summed.
    pub seal: Score,
    cursor: LogCursor<'a, D>,
    directory: Directory<'a, D>,
    offset: u64,
    /// The record of the clump at `offset`, while the directory can be followed.
    number: Option<u32>,
}

/// A clump, or what stands where one should.
#[derive(Clone, Debug)]
pub struct Item {
    /// Offset in the log.
    pub offset: u64,
    /// What it holds, by its header or by the directory; `None` where neither says it.
    pub name: Option<(Score, BlockType)>,
    /// The lump.
    pub lump: Result<Bytes, DamageCause>,
}

impl<'a, D: BlockDevice> ArenaReader<'a, D> {
    /// The arena whose head stands at byte `start`: in a partition, or in a file that holds one arena.
    ///
    /// # Errors
    /// No head there, or a tail that cannot be read.
    pub async fn open(device: &'a D, start: u64) -> Result<ArenaReader<'a, D>, PartitionFault> {
        // The smallest block; a head says how large its block is.
        let head = ArenaHead::parse(&read_bytes(device, start, 512).await?)?;
        // Geometry counts in blocks from the start of the partition; in a file the head may stand anywhere.
        let geometry = ArenaGeometry::new(start, start.saturating_add(head.arena_len), head.block_size)?;
        let block = read_bytes(device, geometry.tail_offset(), head.block_size as usize).await?;
        let tail = ArenaTail::parse(&block)?;
        if tail.name != head.name {
            return Err(PartitionFault::OtherName { found: tail.name });
        }
        let cursor = LogCursor::new(device, geometry, tail.clump_magic, tail.written.used);
        let directory = Directory::new(device, geometry);
        let seal = seal_of(&block).unwrap_or(Score::NULL);
        Ok(ArenaReader { geometry, tail, seal, cursor, directory, offset: 0, number: Some(0) })
    }

    /// The next clump; `None` behind the last.
    ///
    /// # Errors
    /// Only [`DeviceError::Gone`]; what cannot be read is damage.
    pub async fn next(&mut self) -> Result<Option<Item>, DeviceError> {
        let (offset, used) = (self.offset, self.tail.written.used);
        if offset >= used {
            return Ok(None);
        }
        let cause = match self.cursor.header(offset).await? {
            Err(cause) => cause,
            Ok(header) => {
                let name = Some((header.score, header.block_type));
                let lump = match self.cursor.bytes(offset, header.clump_len()).await {
                    Ok(clump) => unpack(&clump, &header),
                    Err(DeviceError::Gone) => return Err(DeviceError::Gone),
                    Err(error) => Err(DamageCause::Unreadable(error)),
                };
                let end = offset + header.clump_len() as u64;
                let leads_on = end == used || self.cursor.header(end).await?.is_ok();
                match lump {
                    Err(cause) if !leads_on => cause,
                    lump => {
                        self.pass_to(end, 1);
                        return Ok(Some(Item { offset, name, lump }));
                    }
                }
            }
        };
        self.pass_damage(offset, cause).await.map(Some)
    }

    /// Offset in the log behind what [`ArenaReader::next`] returned last.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn pass_to(&mut self, offset: u64, records: u32) {
        self.offset = offset;
        self.number = self.number.and_then(|number| number.checked_add(records));
    }

    /// Goes on behind what is no clump: where the directory says, or else at the next one that verifies.
    async fn pass_damage(&mut self, offset: u64, cause: DamageCause) -> Result<Item, DeviceError> {
        let used = self.tail.written.used;
        let record = match self.number {
            Some(number) => self.directory.record(number).await?,
            None => None,
        };
        if let Some(record) = record {
            let end = offset + record.clump_len() as u64;
            if end == used || self.cursor.header(end).await?.is_ok() {
                self.pass_to(end, 1);
                return Ok(Item { offset, name: Some((record.score, record.block_type)), lump: Err(cause) });
            }
        }
        self.offset = self.cursor.find(offset + 1, used).await?.unwrap_or(used);
        self.number = None;
        Ok(Item { offset, name: None, lump: Err(cause) })
    }
}
