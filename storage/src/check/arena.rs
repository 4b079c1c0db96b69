//! One arena: its two ends against each other, its log, what directory and tail say of it, and its seal. Reads only.

use super::log::{CLUMP_LEN_MIN, Extent, State, Walked, walk};
use super::partition::Place;
use super::{ArenaSummary, Fault, Finding, Report, Watch};
use crate::arena::walk::LogCursor;
use crate::arena::{Log, count};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::arena_head::{ArenaVersion, CLUMP_MAGIC_V4};
use crate::format::arena_tail::{ArenaTail, Counters};
use crate::format::clump::{CLUMP_HEADER_LEN, CLUMP_LEN_MAX, ClumpHeader};
use crate::format::directory::{DirectoryRecord, RECORD_LEN};
use crate::format::geometry::ArenaGeometry;
use crate::format::seal::Sealer;
use crate::score::Score;
use crate::store::PartitionFault;

/// How far behind the last clump that is counted others are looked for, where the tail is good: more than what a server
/// writes at once.
const LOOK_AHEAD: u64 = 4 << 20;

/// Bytes read at once for a seal.
const CHUNK: u64 = 1 << 20;

/// An arena that was read through.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    pub(crate) place: Place,
    pub(crate) version: ArenaVersion,
    /// What its clumps begin with; `None` where nobody knows.
    pub(crate) clump_magic: Option<u32>,
    pub(crate) walked: Walked,
}

impl Survey {
    /// What the tail says; nothing where it is lost.
    pub(crate) fn tail(&self) -> Option<&ArenaTail> {
        self.place.tail.as_ref().ok()
    }

    /// What the tail counts.
    pub(crate) fn counted(&self) -> Counters {
        self.tail().map_or(Counters::default(), |tail| tail.written)
    }

    /// Counters over the clumps that begin in front of this offset of the log.
    pub(crate) fn counters_before(&self, limit: u64) -> Counters {
        let mut counters = Counters::default();
        for clump in self.walked.clumps.iter().take_while(|clump| clump.offset < limit) {
            count(&mut counters, &DirectoryRecord::from(&clump.header));
        }
        counters
    }
}

/// Reads an arena through. `search`: whether clumps are looked for behind bytes that are none, where none is counted.
pub(crate) async fn survey<D: BlockDevice>(
    device: &D,
    place: &Place,
    search: bool,
    watch: &mut impl Watch,
) -> Result<Survey, DeviceError> {
    let mut place = place.clone();
    let unreadable = |fault: Option<&PartitionFault>| matches!(fault, Some(PartitionFault::Device(_)));
    if unreadable(place.head.as_ref().err()) && unreadable(place.tail.as_ref().err()) {
        // Behind the end of a disk that was cut off, most likely.
        let version = ArenaVersion::V5;
        return Ok(Survey { place, version, clump_magic: None, walked: Walked::default() });
    }
    settle_magic(device, &mut place).await?;
    let (version, magic) = match (&place.tail, &place.head) {
        (Ok(tail), _) => (tail.version, Some(tail.clump_magic)),
        (_, Ok(head)) => (head.version, Some(head.clump_magic)),
        _ => {
            let magic = find_magic(device, &place.geometry).await?;
            let old = magic == Some(CLUMP_MAGIC_V4);
            (if old { ArenaVersion::V4 } else { ArenaVersion::V5 }, magic)
        }
    };
    let mut walked = Walked::default();
    if let Some(clump_magic) = magic {
        let log = Log { name: place.range.name, geometry: place.geometry, clump_magic };
        let extent = match &place.tail {
            Ok(tail) => {
                let Counters { used, clumps, sealed, .. } = tail.written;
                let look_ahead = if clumps > 0 || search { LOOK_AHEAD } else { 0 };
                Extent { counted: used, clumps, open: !sealed, look_ahead }
            }
            Err(_) => Extent { counted: 0, clumps: 0, open: true, look_ahead: u64::MAX },
        };
        walked = walk(device, log, extent, watch).await?;
    }
    Ok(Survey { place, version, clump_magic: magic, walked })
}

/// Where head and tail disagree about what clumps begin with, the log decides; the other one counts as damaged.
async fn settle_magic<D: BlockDevice>(device: &D, place: &mut Place) -> Result<(), DeviceError> {
    let (Ok(head), Ok(tail)) = (&place.head, &place.tail) else { return Ok(()) };
    let (by_head, by_tail) = (head.clump_magic, tail.clump_magic);
    if by_head == by_tail {
        return Ok(());
    }
    let limit = place.geometry.log_limit(1);
    let mut cursor = LogCursor::new(device, place.geometry, by_head, limit);
    if tail.written.clumps > 0 && cursor.header(0).await?.is_ok() {
        place.tail = Err(PartitionFault::OtherMagic(by_tail));
    } else {
        place.head = Err(PartitionFault::OtherMagic(by_head));
    }
    Ok(())
}

/// What the first clump that verifies begins with.
async fn find_magic<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
) -> Result<Option<u32>, DeviceError> {
    let limit = geometry.log_limit(1);
    let mut cursor = LogCursor::new(device, *geometry, 0, limit);
    let mut at = 0;
    while at + CLUMP_LEN_MIN <= limit {
        let bytes = match cursor.bytes(at, CLUMP_LEN_MAX).await {
            Ok(bytes) => bytes,
            Err(DeviceError::Read { .. }) => {
                at += u64::from(device.sector_size());
                continue;
            }
            Err(error) => return Err(error),
        };
        for (inside, window) in bytes.windows(CLUMP_HEADER_LEN).enumerate() {
            let Some(magic) = magic_of(window) else { continue };
            let mut there = LogCursor::new(device, *geometry, magic, limit);
            if there.verified(at + inside as u64).await?.is_ok() {
                return Ok(Some(magic));
            }
        }
        at += (bytes.len() as u64).saturating_sub(CLUMP_HEADER_LEN as u64 - 1).max(1);
    }
    Ok(None)
}

/// What a header begins with, if these bytes look like one at all.
fn magic_of(window: &[u8]) -> Option<u32> {
    let magic = u32::from_be_bytes(*window.first_chunk()?);
    let like = matches!(window.get(29), Some(1 | 2)) && window.get(30..34) == Some(&[0; 4]) && magic != 0;
    (like && ClumpHeader::parse(window, magic).is_ok()).then_some(magic)
}

/// What is to be said of a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// The arena is not sealed, or its tail is lost.
    Open,
    /// Sealed, and not summed yet.
    Missing,
    /// As it should be.
    Good,
    /// Another one, or some of the arena cannot be read.
    Bad(Option<Score>),
}

/// Computes the seal of an arena that has one.
pub(crate) async fn sum<D: BlockDevice>(
    device: &D,
    survey: &Survey,
    watch: &mut impl Watch,
) -> Result<Sum, DeviceError> {
    let Some(tail) = survey.tail().filter(|tail| tail.written.sealed) else { return Ok(Sum::Open) };
    if survey.place.seal == Score::NULL || tail.indexed != tail.written {
        return Ok(Sum::Missing);
    }
    let computed = seal(device, &survey.place.geometry, watch).await?;
    Ok(if computed == Some(survey.place.seal) { Sum::Good } else { Sum::Bad(computed) })
}

/// The SHA-1 of an arena; `None` if some of it cannot be read.
pub(crate) async fn seal<D: BlockDevice>(
    device: &D,
    geometry: &ArenaGeometry,
    watch: &mut impl Watch,
) -> Result<Option<Score>, DeviceError> {
    let mut sealer = Sealer::new(geometry);
    let mut offset = geometry.start();
    while offset < geometry.stop() {
        let len = CHUNK.min(geometry.stop() - offset);
        match read_bytes(device, offset, len as usize).await {
            Ok(chunk) if sealer.update(&chunk).is_ok() => {}
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            _ => return Ok(None),
        }
        offset += len;
        watch.advance(len);
    }
    Ok(sealer.finish().ok())
}

/// Puts everything that is to be said of an arena into the report.
pub(crate) fn report(partition: &str, survey: &Survey, sum: Sum, with_index: bool, report: &mut Report) {
    let mut writer = Writer { partition: partition.into(), survey, report };
    writer.ends();
    writer.log();
    writer.directory();
    writer.counters(with_index);
    writer.seal(sum);
    writer.summary(sum);
}

struct Writer<'a> {
    partition: alloc::rc::Rc<str>,
    survey: &'a Survey,
    report: &'a mut Report,
}

impl Writer<'_> {
    fn tell(&mut self, offset: u64, len: u64, fault: Fault) {
        let (partition, arena) = (self.partition.clone(), Some(self.survey.place.range.name));
        self.report.findings.push(Finding { partition, arena, offset, len, fault });
    }

    fn ends(&mut self) {
        let geometry = self.survey.place.geometry;
        let block = u64::from(geometry.block_size());
        if let Err(fault) = &self.survey.place.head {
            self.tell(geometry.start(), block, Fault::Head(fault.clone()));
        }
        if let Err(fault) = &self.survey.place.tail {
            self.tell(geometry.tail_offset(), block, Fault::Tail(fault.clone()));
        }
        if self.survey.clump_magic.is_none() && self.survey.is_reachable() {
            self.tell(geometry.log_base(), geometry.size(), Fault::NoMagic);
        }
    }

    fn log(&mut self) {
        let survey = self.survey;
        let base = survey.place.geometry.log_base();
        for clump in &survey.walked.clumps {
            let (cause, whole) = match clump.state {
                State::Whole => continue,
                State::Header(cause) => (cause, true),
                State::Lost(cause) => (cause, false),
            };
            let (offset, len) = (base + clump.offset, clump.header.clump_len() as u64);
            match self.is_counted(clump.offset) {
                true => {
                    self.tell(offset, len, Fault::Clump { cause, score: clump.header.score, whole });
                }
                false => self.tell(offset, len, Fault::TornEnd(cause)),
            }
        }
        for hole in &survey.walked.holes {
            let (offset, cause) = (base + hole.offset, hole.cause);
            let counted = self.is_counted(hole.offset);
            let fault = if counted { Fault::Hole { cause } } else { Fault::TornEnd(cause) };
            self.tell(offset, hole.len, fault);
        }
        if let Some(cause) = survey.walked.behind {
            let offset = base + survey.walked.end;
            self.tell(offset, CLUMP_HEADER_LEN as u64, Fault::TornEnd(cause));
        }
    }

    /// Whether a place in the log was promised to hold a clump. Where the tail is lost, nobody knows.
    fn is_counted(&self, offset: u64) -> bool {
        self.survey.tail().is_none() || offset < self.survey.counted().used
    }

    fn directory(&mut self) {
        let geometry = self.survey.place.geometry;
        let per_block = geometry.records_per_block();
        let bad = &self.survey.walked.bad_records;
        for run in bad.chunk_by(|one, next| one / per_block == next / per_block) {
            let Some(record) = run.first().copied() else { continue };
            let (block, at) = geometry.record_place(record);
            let Some(offset) = geometry.directory_block(block) else { continue };
            let span = run.last().map_or(1, |last| last - record + 1) as usize;
            let (len, records) = ((span * RECORD_LEN) as u64, run.len() as u32);
            self.tell(offset + at as u64, len, Fault::Directory { record, records });
        }
    }

    fn counters(&mut self, with_index: bool) {
        let survey = self.survey;
        let Some(tail) = survey.tail() else { return };
        let geometry = survey.place.geometry;
        let (offset, len) = (geometry.tail_offset(), u64::from(geometry.block_size()));
        let counted = survey.counters_before(tail.written.used);
        let holes = survey.walked.holes.iter().any(|hole| hole.offset < tail.written.used);
        let log = Counters { sealed: tail.written.sealed, ..counted };
        if log != tail.written && !holes {
            self.tell(offset, len, Fault::Counters { tail: tail.written, log });
        }
        let behind = survey.walked.clumps.len() - counted.clumps as usize;
        if behind > 0 {
            let base = geometry.log_base();
            let len = survey.walked.end - tail.written.used;
            self.tell(base + tail.written.used, len, Fault::Unsynced { clumps: behind as u32 });
        }
        let indexed = survey.counters_before(tail.indexed.used);
        let holes = survey.walked.holes.iter().any(|hole| hole.offset < tail.indexed.used);
        let beyond = tail.indexed.used > tail.written.used;
        let other = (indexed.clumps, indexed.used) != (tail.indexed.clumps, tail.indexed.used);
        if beyond || (other && !holes) {
            self.tell(offset, len, Fault::Indexed(tail.indexed));
        } else if with_index && tail.written.clumps > tail.indexed.clumps {
            let clumps = tail.written.clumps - tail.indexed.clumps;
            self.tell(offset, len, Fault::Unindexed { clumps });
        }
    }

    fn seal(&mut self, sum: Sum) {
        let (geometry, stored) = (self.survey.place.geometry, self.survey.place.seal);
        let fault = match sum {
            Sum::Open | Sum::Good => return,
            Sum::Missing => Fault::Unsummed,
            Sum::Bad(computed) => Fault::Seal { stored, computed },
        };
        self.tell(geometry.start(), geometry.len(), fault);
    }

    fn summary(&mut self, sum: Sum) {
        let walked = &self.survey.walked;
        let lost = walked.clumps.iter().filter(|clump| matches!(clump.state, State::Lost(_))).count();
        self.report.arenas.push(ArenaSummary {
            partition: self.partition.clone(),
            arena: self.survey.place.range.name,
            whole: (walked.clumps.len() - lost) as u32,
            lost: lost as u32,
            hole_bytes: walked.holes.iter().map(|hole| hole.len).sum(),
            sealed: self.survey.counted().sealed,
            seal_good: sum == Sum::Good,
        });
    }
}

impl Survey {
    /// Whether a place can be written at all: its ends can be read.
    pub(crate) fn is_reachable(&self) -> bool {
        let unreadable = |fault: Option<&PartitionFault>| matches!(fault, Some(PartitionFault::Device(_)));
        !unreadable(self.place.head.as_ref().err()) && !unreadable(self.place.tail.as_ref().err())
    }
}
