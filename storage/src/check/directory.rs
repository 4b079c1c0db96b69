//! Records of an arena's directory, one by one, whatever state it is in. Reads only.

use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::directory::{DirectoryRecord, RECORD_LEN};
use crate::format::geometry::ArenaGeometry;
use bytes::Bytes;

/// A directory, with the block read last.
pub(crate) struct Directory<'a, D> {
    device: &'a D,
    geometry: ArenaGeometry,
    /// Its number, and its bytes: none where they cannot be read.
    block: Option<(u32, Bytes)>,
}

impl<'a, D: BlockDevice> Directory<'a, D> {
    pub(crate) fn new(device: &'a D, geometry: ArenaGeometry) -> Directory<'a, D> {
        Directory { device, geometry, block: None }
    }

    /// The bytes of a block; none where they cannot be read, or lie outside the arena.
    pub(crate) async fn block(&mut self, number: u32) -> Result<Bytes, DeviceError> {
        if let Some((held, bytes)) = &self.block
            && *held == number
        {
            return Ok(bytes.clone());
        }
        let bytes = match self.geometry.directory_block(number) {
            None => Bytes::new(),
            Some(offset) => {
                match read_bytes(self.device, offset, self.geometry.block_size() as usize).await {
                    Err(DeviceError::Gone) => return Err(DeviceError::Gone),
                    read => read.unwrap_or_default(),
                }
            }
        };
        self.block = Some((number, bytes.clone()));
        Ok(bytes)
    }

    /// The record of clump `number`, if it is one.
    pub(crate) async fn record(&mut self, number: u32) -> Result<Option<DirectoryRecord>, DeviceError> {
        let (block, at) = self.geometry.record_place(number);
        let bytes = self.block(block).await?;
        Ok(bytes.get(at..at + RECORD_LEN).and_then(|bytes| DirectoryRecord::parse(bytes).ok()))
    }
}
