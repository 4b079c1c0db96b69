//! The durable log read in order, for those who carry blocks to another store.
//!
//! Knows how to go on behind damage, and that a block may be whole elsewhere. Must not know where blocks go.

use super::core::Core;
use super::damaged::DamagedBlock;
use super::{Damage, DamageCause, Store, StoreError};
use crate::arena::clump_io::unpack;
use crate::arena::walk::LogCursor;
use crate::block_type::BlockType;
use crate::check::directory::Directory;
use crate::device::{BlockDevice, DeviceError};
use crate::format::Name;
use crate::score::Score;
use bytes::Bytes;

/// How much of an arena's log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The arena's name.
    pub arena: Name,
    /// Bytes of log that are durable.
    pub durable: u64,
}

/// What stands in a log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Offset in the log, in bytes.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Which block it is; `None` where neither the clump nor the directory says it.
    pub name: Option<(Score, BlockType)>,
    /// Its lump, verified: of this copy, or of another one of the same block.
    pub lump: Result<Bytes, DamageCause>,
}

impl<D: BlockDevice + 'static> Store<D> {
    /// Every arena, in the order of the index, with the durable part of its log.
    pub fn log_ends(&self) -> impl Iterator<Item = LogEnd> {
        (0..).map_while(|number| {
            let state = self.core.state();
            let arena = state.arenas.get(number)?;
            Some(LogEnd { arena: arena.name, durable: arena.durable.used })
        })
    }

    /// What stands at `offset` in the durable log of arena `number`; `None` at its end. An offset inside a clump finds
    /// rubbish, and then the next clump.
    ///
    /// # Errors
    /// If the disk is gone. What cannot be read is damage, and told to the operator.
    pub async fn log_entry(&self, number: usize, offset: u64) -> Result<Option<LogEntry>, StoreError> {
        self.core.log_entry(number, offset).await
    }
}

impl<D: BlockDevice> Core<D> {
    async fn log_entry(&self, number: usize, offset: u64) -> Result<Option<LogEntry>, StoreError> {
        let Some(used) = self.state().arenas.get(number).map(|arena| arena.durable.used) else {
            return Ok(None);
        };
        if offset >= used {
            return Ok(None);
        }
        let mut entry = match self.at_offset(number, offset).await? {
            Some(entry) if entry.lump.is_ok() && entry.end <= used => return Ok(Some(entry)),
            _ => self.pass_damage(number, offset, used).await?,
        };
        if let (Some((score, block_type)), Err(cause)) = (entry.name, &entry.lump) {
            let (address, damage) = {
                let arena = &self.state().arenas[number];
                (arena.address + offset, Damage { arena: arena.name, offset, cause: *cause })
            };
            match self.find(score, block_type).await {
                Ok(lump) => entry.lump = Ok(lump),
                Err(StoreError::Damaged(_) | StoreError::NoSuchBlock { .. }) => {
                    self.report_block(address, DamagedBlock { score, block_type, damage });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(entry))
    }

    /// The clump whose header stands at `offset`, if one does.
    async fn at_offset(&self, number: usize, offset: u64) -> Result<Option<LogEntry>, StoreError> {
        match self.read_clump(number, offset).await {
            Ok((header, clump)) => {
                let end = offset + header.clump_len() as u64;
                let lump = unpack(&clump, &header);
                Ok(Some(LogEntry { offset, end, name: Some((header.score, header.block_type)), lump }))
            }
            Err(super::read::Failure::Device(DeviceError::Gone)) => {
                Err(self.device_error(self.state().arenas[number].partition, DeviceError::Gone))
            }
            Err(_) => Ok(None),
        }
    }

    /// What is known of a damaged clump, and where the next one begins: as its header or the directory says if a clump
    /// begins there, or else at the next clump that verifies.
    async fn pass_damage(&self, number: usize, offset: u64, used: u64) -> Result<LogEntry, StoreError> {
        let (partition, geometry, magic, clumps) = {
            let arena = &self.state().arenas[number];
            (arena.partition, arena.geometry, arena.clump_magic, arena.durable.clumps)
        };
        let place = self.partition(partition);
        let gone = |error| self.device_error(partition, error);
        let mut cursor = LogCursor::new(&place.device, geometry, magic, used);
        let mut end_of = None;
        let cause = match cursor.header(offset).await.map_err(gone)? {
            Ok(header) => {
                let name = (header.score, header.block_type);
                end_of = Some((name, offset + header.clump_len() as u64));
                cursor
                    .verified_as(offset, header)
                    .await
                    .map_err(gone)?
                    .err()
                    .unwrap_or(DamageCause::BeyondEnd)
            }
            Err(cause) => cause,
        };
        let record = self.record_at(&place.device, number, offset, clumps).await.map_err(gone)?;
        for (name, end) in [end_of, record].into_iter().flatten() {
            if end == used || (end < used && cursor.header(end).await.map_err(gone)?.is_ok()) {
                return Ok(LogEntry { offset, end, name: Some(name), lump: Err(cause) });
            }
        }
        let end = cursor.find(offset + 1, used).await.map_err(gone)?.unwrap_or(used);
        Ok(LogEntry { offset, end, name: None, lump: Err(cause) })
    }

    /// What the directory says of the clump at `offset`, and where it ends.
    async fn record_at(
        &self,
        device: &D,
        number: usize,
        offset: u64,
        clumps: u32,
    ) -> Result<Option<((Score, BlockType), u64)>, DeviceError> {
        let mut directory = Directory::new(device, self.state().arenas[number].geometry);
        let mut at = 0;
        for record in 0..clumps {
            let Some(record) = directory.record(record).await? else { return Ok(None) };
            let end = at + record.clump_len() as u64;
            if at >= offset {
                return Ok((at == offset).then_some(((record.score, record.block_type), end)));
            }
            at = end;
        }
        Ok(None)
    }
}
