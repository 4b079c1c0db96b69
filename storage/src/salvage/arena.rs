//! What is to be written in one arena so that head, log, directory and tail agree again, and writing it.
//!
//! Only places that do not hold what they must are written. A clump whose data is lost keeps its header, since that is
//! all that is left of its name; bytes of which nobody knows what they were become the lump of a filler clump, as when a
//! store is opened, so that the log is one chain for every reader.

use super::{LeftReason, Settings};
use crate::Timestamp;
use crate::arena::count;
use crate::check::arena::{Sum, Survey};
use crate::check::directory::Directory;
use crate::check::log::{CLUMP_LEN_MIN, Clump, State};
use crate::device::{BlockDevice, DeviceError, read_bytes, write_bytes};
use crate::format::arena_head::{ArenaHead, ArenaVersion};
use crate::format::arena_tail::{ArenaTail, Counters, set_seal};
use crate::format::clump::{CLUMP_HEADER_LEN, CLUMP_LEN_MAX, ClumpHeader};
use crate::format::directory::{DirectoryRecord, RECORD_LEN};
use crate::format::geometry::{ArenaGeometry, END_MARK_LEN};
use crate::recovery::fill_hole;
use crate::score::Score;
use crate::store::PartitionFault;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes at a log's start that a new arena has zero.
const LOG_START_LEN: u32 = 8192;

/// A clump of the log as it will be.
#[derive(Clone, Copy, Debug)]
pub(super) struct FinalClump {
    pub(super) offset: u64,
    pub(super) header: ClumpHeader,
    /// Its data is whole; fillers are.
    pub(super) whole: bool,
    /// What stands there now need not be looked at.
    untouched: bool,
    filler: bool,
}

/// What is to be written in an arena.
#[derive(Clone, Debug)]
pub(crate) struct ArenaPlan {
    pub(super) geometry: ArenaGeometry,
    /// The head, if it is lost.
    pub(super) head: Option<ArenaHead>,
    /// The arena is made anew: nothing was ever in it.
    pub(super) fresh: bool,
    /// Headers of clumps, with their offsets in the log.
    pub(super) headers: Vec<(u64, [u8; CLUMP_HEADER_LEN])>,
    /// How many of them are fillers'.
    pub(super) fillers: usize,
    /// Where in the log the end mark is missing.
    pub(super) end_mark: Option<u64>,
    /// Every record, if the directory has others.
    pub(super) directory: Option<Vec<[u8; RECORD_LEN]>>,
    /// The tail as it stands; `None` if it is lost.
    pub(super) tail_now: Option<ArenaTail>,
    /// The tail once log and directory are right.
    pub(super) tail: ArenaTail,
    /// What stands where the seal does.
    pub(super) seal: Score,
    /// The seal may have to be another.
    pub(super) sum: bool,
    /// Nothing says whether the arena was sealed.
    pub(super) seal_unknown: bool,
    /// All clumps have their data.
    pub(super) whole: bool,
}

/// A plan and the clumps that the arena will have; or why it is left as it is.
pub(super) type Made = Result<(ArenaPlan, Vec<FinalClump>), LeftReason>;

/// Plans an arena.
pub(super) async fn make<D: BlockDevice>(
    device: &D,
    survey: &Survey,
    sum: Sum,
    settings: &Settings,
    magic: &mut impl FnMut() -> u32,
) -> Result<Made, DeviceError> {
    let place = &survey.place;
    if !survey.is_reachable() {
        return Ok(Err(LeftReason::Unreachable));
    }
    let other = |fault: Option<&PartitionFault>| matches!(fault, Some(PartitionFault::OtherName { .. }));
    if other(place.head.as_ref().err()) && other(place.tail.as_ref().err()) {
        return Ok(Err(LeftReason::OtherDisk));
    }
    let Some(clump_magic) = survey.clump_magic else {
        return Ok(match is_zero(device, place.geometry.log_base(), LOG_START_LEN).await? {
            true => Ok((fresh(survey, magic()), Vec::new())),
            false => Err(LeftReason::NoMagic),
        });
    };
    let clumps = match final_clumps(device, survey, settings).await? {
        Ok(clumps) => clumps,
        Err(reason) => return Ok(Err(reason)),
    };
    let tail = tail_of(survey, &clumps, clump_magic);
    let room = place.geometry.log_limit(tail.written.clumps);
    if tail.written.used > room || survey.walked.unreachable {
        return Ok(Err(LeftReason::NoRoom));
    }
    let head = ArenaHead {
        version: survey.version,
        name: place.range.name,
        block_size: place.geometry.block_size(),
        arena_len: place.geometry.len(),
        clump_magic,
    };
    let mut plan = ArenaPlan {
        geometry: place.geometry,
        head: place.head.is_err().then_some(head),
        fresh: false,
        headers: changed_headers(device, place.geometry, &clumps, clump_magic).await?,
        fillers: clumps.iter().filter(|clump| clump.filler).count(),
        end_mark: end_mark(device, survey, &tail).await?,
        directory: None,
        tail_now: survey.tail().copied(),
        tail,
        seal: place.seal,
        sum: false,
        seal_unknown: place.tail.is_err(),
        whole: clumps.iter().all(|clump| clump.whole),
    };
    let records: Vec<_> = clumps.iter().map(|clump| DirectoryRecord::from(&clump.header).encode()).collect();
    plan.directory = (!is_directory(device, place.geometry, &records).await?).then_some(records);
    plan.sum = matches!(sum, Sum::Bad(_) | Sum::Missing) || plan.is_to_write();
    Ok(Ok((plan, clumps)))
}

async fn is_zero<D: BlockDevice>(device: &D, offset: u64, len: u32) -> Result<bool, DeviceError> {
    match read_bytes(device, offset, len as usize).await {
        Ok(bytes) => Ok(bytes.iter().all(|byte| *byte == 0)),
        Err(DeviceError::Gone) => Err(DeviceError::Gone),
        Err(_) => Ok(false),
    }
}

/// An arena without anything, as `fmtarenas` makes it.
fn fresh(survey: &Survey, clump_magic: u32) -> ArenaPlan {
    let place = &survey.place;
    let (version, name) = (ArenaVersion::V5, place.range.name);
    let (block_size, arena_len) = (place.geometry.block_size(), place.geometry.len());
    ArenaPlan {
        geometry: place.geometry,
        head: Some(ArenaHead { version, name, block_size, arena_len, clump_magic }),
        fresh: true,
        headers: Vec::new(),
        fillers: 0,
        end_mark: None,
        directory: None,
        tail_now: None,
        tail: ArenaTail::fresh(version, name, clump_magic),
        seal: Score::NULL,
        sum: false,
        seal_unknown: false,
        whole: true,
    }
}

/// The clumps that the log will have: what was found, and fillers over the rest.
async fn final_clumps<D: BlockDevice>(
    device: &D,
    survey: &Survey,
    settings: &Settings,
) -> Result<Result<Vec<FinalClump>, LeftReason>, DeviceError> {
    let geometry = survey.place.geometry;
    let counted = survey.counted().used;
    let is_kept = |clump: &&Clump| {
        let lost = matches!(clump.state, State::Lost(_));
        // What nobody counted and is torn was never promised to anyone.
        !lost || (!settings.fill && (clump.offset < counted || survey.tail().is_none()))
    };
    let (kept, dropped): (Vec<&Clump>, Vec<&Clump>) = survey.walked.clumps.iter().partition(is_kept);
    let mut clumps: Vec<FinalClump> = kept
        .into_iter()
        .map(|clump| FinalClump {
            offset: clump.offset,
            header: clump.header,
            whole: !matches!(clump.state, State::Lost(_)),
            untouched: clump.state == State::Whole,
            filler: false,
        })
        .collect();
    let holes = survey.walked.holes.iter().map(|hole| (hole.offset, hole.len));
    let holes = holes.chain(dropped.iter().map(|clump| (clump.offset, clump.header.clump_len() as u64)));
    for (offset, len) in holes {
        if len < CLUMP_LEN_MIN {
            return Ok(Err(LeftReason::SmallHole { offset, len }));
        }
        match fill_hole(device, &geometry, offset, len, settings.now).await {
            Ok(fillers) => clumps.extend(fillers.into_iter().map(|(offset, header)| FinalClump {
                offset,
                header,
                whole: true,
                untouched: false,
                filler: true,
            })),
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            Err(_) => return Ok(Err(LeftReason::Unreadable { offset, len })),
        }
    }
    clumps.sort_unstable_by_key(|clump| clump.offset);
    Ok(Ok(clumps))
}

/// The tail that counts these clumps.
fn tail_of(survey: &Survey, clumps: &[FinalClump], clump_magic: u32) -> ArenaTail {
    let old = survey.tail();
    let mut written = Counters { sealed: survey.counted().sealed, ..Counters::default() };
    // An arena without clumps has all of them indexed.
    let mut indexed = written;
    let promised = old.map_or(Counters::default(), |tail| tail.indexed);
    for clump in clumps {
        count(&mut written, &DirectoryRecord::from(&clump.header));
        if written.clumps == promised.clumps && written.used == promised.used {
            indexed = written;
        }
    }
    indexed.sealed = written.sealed && promised.sealed && indexed == written;
    let times = clumps.iter().map(|clump| clump.header.written_at);
    let first = times.clone().find(|time| *time != Timestamp(0)).unwrap_or_default();
    let behind = clumps.iter().filter(|clump| clump.offset >= survey.counted().used);
    let last = behind.map(|clump| clump.header.written_at).max().unwrap_or_default();
    let old_times = old.map(|tail| (tail.created_at, tail.written_at)).unwrap_or_default();
    ArenaTail {
        version: survey.version,
        name: survey.place.range.name,
        clump_magic,
        created_at: if old_times.0 == Timestamp(0) { first } else { old_times.0 },
        written_at: old_times.1.max(last),
        indexed,
        written,
    }
}

/// The headers that do not stand where they must.
async fn changed_headers<D: BlockDevice>(
    device: &D,
    geometry: ArenaGeometry,
    clumps: &[FinalClump],
    clump_magic: u32,
) -> Result<Vec<(u64, [u8; CLUMP_HEADER_LEN])>, DeviceError> {
    let mut changed = Vec::new();
    for clump in clumps.iter().filter(|clump| !clump.untouched) {
        let header = clump.header.encode(clump_magic);
        match read_bytes(device, geometry.log_base() + clump.offset, CLUMP_HEADER_LEN).await {
            Ok(now) if now == header[..] => {}
            Ok(_) => changed.push((clump.offset, header)),
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            // What cannot be read cannot be changed in part.
            Err(_) => {}
        }
    }
    Ok(changed)
}

/// Where the end mark is missing, in an arena that may grow.
async fn end_mark<D: BlockDevice>(
    device: &D,
    survey: &Survey,
    tail: &ArenaTail,
) -> Result<Option<u64>, DeviceError> {
    let end = tail.written.used;
    if tail.written.sealed {
        return Ok(None);
    }
    let there = survey.place.geometry.log_base() + end;
    Ok((!is_zero(device, there, END_MARK_LEN as u32).await?).then_some(end))
}

async fn is_directory<D: BlockDevice>(
    device: &D,
    geometry: ArenaGeometry,
    records: &[[u8; RECORD_LEN]],
) -> Result<bool, DeviceError> {
    let mut directory = Directory::new(device, geometry);
    for (number, records) in (0..).zip(records.chunks(geometry.records_per_block() as usize)) {
        let block = directory.block(number).await?;
        if block.get(..records.len() * RECORD_LEN) != Some(records.as_flattened()) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl ArenaPlan {
    /// Whether anything is to be written before the index.
    pub(super) fn is_to_write(&self) -> bool {
        self.head.is_some()
            || !self.headers.is_empty()
            || self.end_mark.is_some()
            || self.directory.is_some()
            || self.tail_now != Some(self.tail)
    }

    /// Whether the largest clump would not fit any more: what is behind such an arena was written after it was sealed.
    pub(super) fn is_nearly_full(&self) -> bool {
        let Counters { used, clumps, .. } = self.tail.written;
        !self.geometry.fits(used, clumps, (CLUMP_LEN_MAX - CLUMP_HEADER_LEN) as u16)
    }

    /// The tail once the index has every clump.
    pub(super) fn tail_indexed(&self) -> ArenaTail {
        ArenaTail { indexed: self.tail.written, ..self.tail }
    }

    /// Writes head, log, directory and tail, each flushed before the next: after a power cut the same is found again.
    pub(super) async fn write<D: BlockDevice>(&self, device: &D) -> Result<(), DeviceError> {
        if self.fresh {
            let zeros = Bytes::from(vec![0; LOG_START_LEN.min(self.geometry.block_size()) as usize]);
            write_bytes(device, self.geometry.log_base(), zeros).await?;
        }
        if let Some(head) = &self.head {
            write_bytes(device, self.geometry.start(), Bytes::from(head.encode())).await?;
        }
        for (offset, header) in &self.headers {
            let place = self.geometry.log_base() + offset;
            write_bytes(device, place, Bytes::copy_from_slice(header)).await?;
        }
        if let Some(end) = self.end_mark {
            let mark = Bytes::from_static(&[0; END_MARK_LEN as usize]);
            write_bytes(device, self.geometry.log_base() + end, mark).await?;
        }
        device.flush().await?;
        if let Some(records) = &self.directory {
            self.write_directory(device, records).await?;
            device.flush().await?;
        }
        if self.tail_now != Some(self.tail) {
            self.write_tail(device, &self.tail, self.seal).await?;
        }
        Ok(())
    }

    async fn write_directory<D: BlockDevice>(
        &self,
        device: &D,
        records: &[[u8; RECORD_LEN]],
    ) -> Result<(), DeviceError> {
        let mut directory = Directory::new(device, self.geometry);
        for (number, records) in (0..).zip(records.chunks(self.geometry.records_per_block() as usize)) {
            let now = directory.block(number).await?;
            let records = records.as_flattened();
            if now.get(..records.len()) == Some(records) {
                continue;
            }
            let Some(offset) = self.geometry.directory_block(number) else { continue };
            let mut block = vec![0; self.geometry.block_size() as usize];
            block[..records.len()].copy_from_slice(records);
            write_bytes(device, offset, Bytes::from(block)).await?;
        }
        Ok(())
    }

    /// Writes a tail block, and flushes.
    pub(super) async fn write_tail<D: BlockDevice>(
        &self,
        device: &D,
        tail: &ArenaTail,
        seal: Score,
    ) -> Result<(), DeviceError> {
        let mut block = vec![0; self.geometry.block_size() as usize];
        tail.encode_into(&mut block);
        set_seal(&mut block, seal);
        write_bytes(device, self.geometry.tail_offset(), Bytes::from(block)).await?;
        device.flush().await
    }
}
