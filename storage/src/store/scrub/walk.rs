//! One arena, clump by clump: each is unpacked, hashed, and compared with its record in the directory.
//!
//! Knows how to go on behind damage. Where the records account for the log, they say where each clump is, whatever its
//! header says. Where they do not, headers lead, and behind one that is lost the next clump that verifies is looked for.
//! Must not know what is done about damage.

use super::directory::{Directory, Record};
use super::log_stream::LogStream;
use super::reader::Reader;
use crate::arena::Log;
use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError};
use crate::format::arena_tail::Counters;
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpError, ClumpHeader};
use crate::format::directory::DirectoryRecord;
use crate::score::Score;
use crate::scrub::Due;
use crate::store::DamageCause;
use core::time::Duration;

/// The name of a block.
pub(super) type BlockName = (Score, BlockType);

/// A place that does not hold what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Offset in the log.
    pub(super) offset: u64,
    pub(super) cause: DamageCause,
    /// The block that should be there, where anything still tells.
    pub(super) block: Option<BlockName>,
    /// The block that is there, whole, but not the one that the directory has.
    pub(super) whole: Option<BlockName>,
}

/// Where the way through an arena has come to.
pub(super) struct Walk<'a, D, P> {
    stream: LogStream<'a, D, P>,
    directory: Directory<'a, D, P>,
    counters: Counters,
    /// The number of the first record that is bad, when the records do not account for the log.
    directory_bad: Option<u32>,
    number: u32,
    offset: u64,
    whole: bool,
}

impl<'a, D: BlockDevice, P: AsyncFn(Duration)> Walk<'a, D, P> {
    /// Begins with what is due of an arena that holds `counters`; with `sealed`, it is summed on the way, if all of it
    /// is due.
    pub(super) async fn begin(
        reader: &'a Reader<'a, D, P>,
        log: Log,
        counters: Counters,
        due: Due,
        sealed: bool,
    ) -> Result<Walk<'a, D, P>, DeviceError> {
        let mut directory = Directory::new(reader, log.geometry, counters.clumps);
        let (mut number, mut offset) = match due {
            Due::Whole => (0, 0),
            Due::Rest { clumps, bytes } => (clumps, bytes),
        };
        let sums = directory.sums(number).await?;
        let accounts = sums.first_bad.is_none() && sums.all == counters.used;
        if !accounts || sums.part != Some(offset) {
            (number, offset) = (0, 0);
        }
        let whole = number == 0;
        let directory_bad = (!accounts).then(|| sums.first_bad.unwrap_or(counters.clumps));
        let stream = LogStream::new(reader, log, offset, counters.used, sealed && whole);
        Ok(Walk { stream, directory, counters, directory_bad, number, offset, whole })
    }

    /// The number of the first record that is bad, when the records do not account for the log.
    pub(super) fn directory_bad(&self) -> Option<u32> {
        self.directory_bad
    }

    /// Whether it began at the front.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The next clump; `None` behind the last.
    pub(super) async fn step(&mut self) -> Result<Option<Result<(), Finding>>, DeviceError> {
        if self.offset >= self.counters.used {
            return Ok(None);
        }
        let record = match self.directory_bad {
            None if self.number < self.counters.clumps => self.directory.record(self.number).await?,
            _ => Record::Bad,
        };
        let offset = self.offset;
        let found = self.stream.clump(offset, record.clump_len()).await?;
        let result = self.judge(record, &found);
        self.offset = match (record.clump_len(), found) {
            (Some(len), _) => offset + len as u64,
            (None, Ok(header)) => offset + header.clump_len() as u64,
            (None, Err((cause, header))) => self.behind(offset, cause, header).await?,
        };
        self.number = self.number.saturating_add(1);
        Ok(Some(result))
    }

    fn judge(
        &self,
        record: Record,
        found: &Result<ClumpHeader, (DamageCause, Option<ClumpHeader>)>,
    ) -> Result<(), Finding> {
        let offset = self.offset;
        let recorded = match record {
            Record::Good(record) => Some((record.score, record.block_type)),
            _ => None,
        };
        match found {
            Ok(header) if self.directory_bad.is_none() => {
                let name = (header.score, header.block_type);
                if record == Record::Good(DirectoryRecord::from(header)) {
                    return Ok(());
                }
                let cause = DamageCause::Record { number: self.number };
                let block = recorded.filter(|recorded| *recorded != name);
                Err(Finding { offset, cause, block, whole: Some(name) })
            }
            Ok(_) => Ok(()),
            Err((cause, header)) => {
                let named = header.map(|header| (header.score, header.block_type));
                Err(Finding { offset, cause: *cause, block: recorded.or(named), whole: None })
            }
        }
    }

    /// Where to go on behind a bad clump of which the directory tells nothing.
    async fn behind(
        &mut self,
        offset: u64,
        cause: DamageCause,
        header: Option<ClumpHeader>,
    ) -> Result<u64, DeviceError> {
        let given_up = match cause {
            DamageCause::Header(
                ClumpError::MarkedCorrupt { stored_len } | ClumpError::IllegalType { stored_len, .. },
            ) => Some(CLUMP_HEADER_LEN + usize::from(stored_len)),
            _ => None,
        };
        if let Some(len) = header.map(|header| header.clump_len()).or(given_up) {
            let next = offset + len as u64;
            let used = self.counters.used;
            if next == used || (next < used && self.stream.is_header(next).await?) {
                return Ok(next);
            }
        }
        self.stream.find(offset + 1).await
    }

    /// Reads the rest of the arena, if it is summed: its sum, and the seal in its tail; an error where a part of it
    /// cannot be read.
    pub(super) async fn finish(self) -> Result<Option<Result<(Score, Score), DeviceError>>, DeviceError> {
        self.stream.finish().await
    }
}
