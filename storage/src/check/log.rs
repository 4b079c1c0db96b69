//! One log from its first byte to its last clump, whatever happened to it. Every clump is unpacked and hashed.
//!
//! Three witnesses say what a clump is: its header, its record in the directory, and where the next clump begins. Where
//! the header does not verify, the others are asked; what none of them knows is a hole. Must not know what becomes of it.

use super::Watch;
use super::directory::Directory;
use crate::Timestamp;
use crate::arena::Log;
use crate::arena::walk::LogCursor;
use crate::device::{BlockDevice, DeviceError};
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpError, ClumpHeader, Encoding};
use crate::format::directory::DirectoryRecord;
use crate::format::geometry::END_MARK_LEN;
use crate::store::DamageCause;
use alloc::vec::Vec;

/// The smallest clump, and the smallest hole that a filler can cover.
pub(crate) const CLUMP_LEN_MIN: u64 = CLUMP_HEADER_LEN as u64 + 1;

/// Records looked through for the clump behind a hole.
const RECORDS_AHEAD: u32 = 1 << 16;

/// A clump of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clump {
    /// Its offset in the log.
    pub(crate) offset: u64,
    /// What it is, or must have been.
    pub(crate) header: ClumpHeader,
    pub(crate) state: State,
}

/// What is left of a clump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All of it.
    Whole,
    /// Its data; the header is known from the directory.
    Header(DamageCause),
    /// Its name and its length.
    Lost(DamageCause),
}

/// Bytes that are no clump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) cause: DamageCause,
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Bytes of log that the tail counts; whatever is in there should be clumps.
    pub(crate) counted: u64,
    /// Clumps that the tail counts.
    pub(crate) clumps: u32,
    /// Whether the log may go on behind that.
    pub(crate) open: bool,
    /// How far behind the last clump others are looked for.
    pub(crate) look_ahead: u64,
}

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walked {
    pub(crate) clumps: Vec<Clump>,
    pub(crate) holes: Vec<Hole>,
    /// Where the log ends.
    pub(crate) end: u64,
    /// Numbers of directory records, among those that the tail counts, that are not the log's; ascending.
    pub(crate) bad_records: Vec<u32>,
    /// What stands behind the end, if it is not the end mark.
    pub(crate) behind: Option<DamageCause>,
    /// Whole clumps stand so close behind the end that no filler fits in front of them.
    pub(crate) unreachable: bool,
}

struct Walk<'a, D> {
    cursor: LogCursor<'a, D>,
    directory: Directory<'a, D>,
    log: Log,
    extent: Extent,
    limit: u64,
    /// The record of the clump at the end, if the directory can be followed.
    number: Option<u32>,
    walked: Walked,
}

/// Walks a log.
pub(crate) async fn walk<D: BlockDevice>(
    device: &D,
    log: Log,
    extent: Extent,
    watch: &mut impl Watch,
) -> Result<Walked, DeviceError> {
    let limit = extent.counted.max(log.geometry.log_limit(extent.clumps.saturating_add(1)));
    let cursor = LogCursor::new(device, log.geometry, log.clump_magic, limit);
    let directory = Directory::new(device, log.geometry);
    let mut walk = Walk { cursor, directory, log, extent, limit, number: Some(0), walked: Walked::default() };
    loop {
        let before = walk.walked.end;
        let goes_on = walk.step().await?;
        watch.advance(walk.walked.end - before);
        if !goes_on {
            return Ok(walk.walked);
        }
    }
}

impl<D: BlockDevice> Walk<'_, D> {
    /// Takes what stands at the end; `false` once nothing more does.
    async fn step(&mut self) -> Result<bool, DeviceError> {
        let at = self.walked.end;
        let inside = at < self.extent.counted;
        if !inside && !self.extent.open {
            return Ok(false);
        }
        let cause = match self.cursor.verified(at).await? {
            Ok(header) if inside || self.has_room(&header) => {
                self.take(header, State::Whole).await?;
                return Ok(true);
            }
            Ok(_) => DamageCause::BeyondEnd,
            Err(cause) => cause,
        };
        if let Some(header) = self.header_by_record(at, self.number).await?
            && self.cursor.verified_as(at, header).await?.is_ok()
        {
            self.take(header, State::Header(cause)).await?;
            return Ok(true);
        }
        if inside && let Some(header) = self.own_header(at).await? {
            self.take(header, State::Lost(cause)).await?;
            return Ok(true);
        }
        self.pass(cause, inside).await
    }

    fn has_room(&self, header: &ClumpHeader) -> bool {
        let clumps = self.walked.clumps.len() + self.walked.holes.len() + 1;
        let end = self.walked.end + header.clump_len() as u64 + END_MARK_LEN;
        end <= self.log.geometry.log_limit(u32::try_from(clumps).unwrap_or(u32::MAX))
    }

    /// The header as a record of the directory has it; what records do not hold is taken from the log.
    async fn header_by_record(
        &mut self,
        at: u64,
        number: Option<u32>,
    ) -> Result<Option<ClumpHeader>, DeviceError> {
        let Some(number) = number else { return Ok(None) };
        let Some(record) = self.directory.record(number).await? else { return Ok(None) };
        let raw = match self.cursor.bytes(at, CLUMP_HEADER_LEN).await {
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            raw => raw.unwrap_or_default(),
        };
        let time = raw.get(CLUMP_HEADER_LEN - 4..).and_then(|bytes| bytes.first_chunk()).copied();
        Ok(Some(ClumpHeader {
            block_type: record.block_type,
            stored_len: record.stored_len,
            lump_len: record.lump_len,
            score: record.score,
            encoding: if record.is_compressed() { Encoding::Whack } else { Encoding::Plain },
            creator: 0,
            written_at: Timestamp(u32::from_be_bytes(time.unwrap_or_default())),
        }))
    }

    /// The clump's own header, if its length is borne out: by the directory, or by what stands behind it.
    async fn own_header(&mut self, at: u64) -> Result<Option<ClumpHeader>, DeviceError> {
        let Ok(header) = self.cursor.header(at).await? else { return Ok(None) };
        let end = at + header.clump_len() as u64;
        let record = match self.number {
            Some(number) => self.directory.record(number).await?,
            None => None,
        };
        let stands = record == Some(DirectoryRecord::from(&header))
            || end == self.extent.counted
            || self.cursor.header(end).await?.is_ok();
        Ok(stands.then_some(header))
    }

    /// Goes on to the next clump that verifies. `false` if there is none, and need not be.
    async fn pass(&mut self, cause: DamageCause, inside: bool) -> Result<bool, DeviceError> {
        let at = self.walked.end;
        let ahead = at.saturating_add(self.extent.look_ahead).min(self.limit);
        let until = if inside { self.extent.counted } else { ahead };
        let found = self.cursor.find(at + 1, until).await?;
        let Some(next) = found.or(inside.then_some(until)) else {
            let at_mark = cause == DamageCause::Header(ClumpError::EndOfLog);
            self.walked.behind = (!at_mark && at + END_MARK_LEN <= self.limit).then_some(cause);
            return Ok(false);
        };
        if self.take_by_records(next, cause).await? {
            return Ok(true);
        }
        if let Ok(header) = self.cursor.header(at).await?
            && at + header.clump_len() as u64 == next
        {
            self.take(header, State::Lost(cause)).await?;
            return Ok(true);
        }
        // A filler must fit in front of the next clump; what nothing counts may be left out for that.
        let next = match next - at < CLUMP_LEN_MIN && !inside {
            true => self.cursor.find(at + CLUMP_LEN_MIN, until).await?,
            false => Some(next),
        };
        let Some(next) = next else {
            self.walked.behind = Some(cause);
            self.walked.unreachable = true;
            return Ok(false);
        };
        self.walked.holes.push(Hole { offset: at, len: next - at, cause });
        self.walked.end = next;
        self.follow_directory(next).await?;
        Ok(true)
    }

    /// Takes the clumps up to `next` as the directory has them, if its records add up to just that.
    async fn take_by_records(&mut self, next: u64, cause: DamageCause) -> Result<bool, DeviceError> {
        let mut headers = Vec::new();
        let (mut at, mut number) = (self.walked.end, self.number);
        while at < next
            && let Some(header) = self.header_by_record(at, number).await?
        {
            headers.push(header);
            at += header.clump_len() as u64;
            number = number.and_then(|number| number.checked_add(1));
        }
        if at != next {
            return Ok(false);
        }
        for header in headers {
            let verified = self.cursor.verified_as(self.walked.end, header).await?;
            let state = if verified.is_ok() { State::Header(cause) } else { State::Lost(cause) };
            self.take(header, state).await?;
        }
        Ok(true)
    }

    /// Finds the record of the clump at `next`, behind a hole.
    async fn follow_directory(&mut self, next: u64) -> Result<(), DeviceError> {
        let Some(first) = self.number.take() else { return Ok(()) };
        let Ok(header) = self.cursor.header(next).await? else { return Ok(()) };
        let wanted = DirectoryRecord::from(&header);
        let last = self.extent.clumps.max(first).min(first.saturating_add(RECORDS_AHEAD));
        for number in first..last {
            if self.directory.record(number).await? == Some(wanted) {
                self.walked.bad_records.extend(first..number);
                self.number = Some(number);
                return Ok(());
            }
        }
        self.walked.bad_records.extend(first..self.extent.clumps);
        Ok(())
    }

    /// Takes the clump at the end.
    async fn take(&mut self, header: ClumpHeader, state: State) -> Result<(), DeviceError> {
        let offset = self.walked.end;
        if let Some(number) = self.number {
            if offset < self.extent.counted && number < self.extent.clumps {
                let record = self.directory.record(number).await?;
                if record != Some(DirectoryRecord::from(&header)) {
                    self.walked.bad_records.push(number);
                }
            }
            self.number = number.checked_add(1);
        }
        self.walked.clumps.push(Clump { offset, header, state });
        self.walked.end = offset + header.clump_len() as u64;
        Ok(())
    }
}
