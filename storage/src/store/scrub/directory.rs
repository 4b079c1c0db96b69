//! The directory of an arena, record by record, a little of it at a time.
//!
//! Knows where records lie. Must not know the clumps that they speak of.

use super::reader::Reader;
use crate::device::{BlockDevice, DeviceError};
use crate::format::clump::CLUMP_HEADER_LEN;
use crate::format::directory::{DirectoryRecord, RECORD_LEN, RecordError};
use crate::format::geometry::ArenaGeometry;
use bytes::Bytes;
use core::time::Duration;

/// Bytes of directory that are held.
const CHUNK: u32 = 64 << 10;

/// A reader of records, in ascending order mostly.
pub(super) struct Directory<'a, D, P> {
    reader: &'a Reader<'a, D, P>,
    geometry: ArenaGeometry,
    /// Records that there are.
    count: u32,
    /// Blocks `first..=last`, the last of them first, as they lie on the disk.
    held: Option<(u32, u32, Bytes)>,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// This, of a clump.
    Good(DirectoryRecord),
    /// That venti gave up the clump, which is this long.
    GivenUp(usize),
    /// Nothing that could be believed.
    Bad,
}

impl Record {
    /// Bytes of the clump, if the record tells.
    pub(super) fn clump_len(&self) -> Option<usize> {
        match self {
            Record::Good(record) => Some(record.clump_len()),
            Record::GivenUp(len) => Some(*len),
            Record::Bad => None,
        }
    }
}

/// What the records say of the log together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    /// Bytes of log in front of a certain record.
    pub(super) part: Option<u64>,
    /// Bytes of log in front of the first bad record, or of all.
    pub(super) all: u64,
    /// The first record that does not tell how long its clump is.
    pub(super) first_bad: Option<u32>,
}

impl<'a, D: BlockDevice, P: AsyncFn(Duration)> Directory<'a, D, P> {
    /// The directory of an arena that holds `count` clumps.
    pub(super) fn new(reader: &'a Reader<'a, D, P>, geometry: ArenaGeometry, count: u32) -> Self {
        Directory { reader, geometry, count, held: None }
    }

    /// Adds up what the records say of the log.
    pub(super) async fn sums(&mut self, part: u32) -> Result<Sums, DeviceError> {
        let mut sums = Sums { part: None, all: 0, first_bad: None };
        for number in 0..self.count {
            if number == part {
                sums.part = Some(sums.all);
            }
            match self.record(number).await?.clump_len() {
                Some(len) => sums.all += len as u64,
                None => {
                    sums.first_bad = Some(number);
                    break;
                }
            }
        }
        Ok(sums)
    }

    /// The record of clump `number`.
    pub(super) async fn record(&mut self, number: u32) -> Result<Record, DeviceError> {
        let (block, at) = self.geometry.record_place(number);
        if !self.held.as_ref().is_some_and(|(first, last, _)| (*first..=*last).contains(&block)) {
            self.held = self.read_from(block).await?;
        }
        let Some((_, last, bytes)) = &self.held else { return Ok(Record::Bad) };
        let at = (last - block) as usize * self.geometry.block_size() as usize + at;
        let Some(record) = bytes.get(at..at + RECORD_LEN) else { return Ok(Record::Bad) };
        Ok(match DirectoryRecord::parse(record) {
            Ok(record) => Record::Good(record),
            Err(RecordError::Illegal { stored_len, .. }) => {
                Record::GivenUp(CLUMP_HEADER_LEN + usize::from(stored_len))
            }
            Err(_) => Record::Bad,
        })
    }

    /// Some blocks from `block` on, or at least that one; `None` if it cannot be read.
    async fn read_from(&self, block: u32) -> Result<Option<(u32, u32, Bytes)>, DeviceError> {
        let per_chunk = (CHUNK / self.geometry.block_size()).max(1);
        let (newest, _) = self.geometry.record_place(self.count.saturating_sub(1));
        let furthest = block.saturating_add(per_chunk - 1).min(newest).max(block);
        for last in [furthest, block] {
            let Some(offset) = self.geometry.directory_block(last) else { return Ok(None) };
            let len = (last - block + 1) as usize * self.geometry.block_size() as usize;
            match self.reader.read(offset, len).await {
                Ok(bytes) => return Ok(Some((block, last, bytes))),
                // One bad sector must not hide the other blocks.
                Err(DeviceError::Read { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
