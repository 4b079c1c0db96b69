//! The buckets of an index against the clumps that were found: what a bucket should hold, and what it does. Reads only.

use super::index::{Index, Known, KnownClump, Section};
use super::{Fault, Finding, IndexSummary, Watch};
use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes};
use crate::format::FormatError;
use crate::format::bucket::{Bucket, IndexEntry, capacity};
use crate::format::index_config::BucketSpread;
use crate::score::Score;
use alloc::vec::Vec;

/// Bytes of buckets read at once.
const CHUNK: u32 = 1 << 20;

/// What is to be said of one bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    /// Entries in it.
    pub(crate) entries: u32,
    /// The block is no bucket.
    pub(crate) bad: Option<FormatError>,
    pub(crate) unsorted: bool,
    /// Entries of other buckets.
    pub(crate) wrong: u32,
    /// Entries that point to no such clump, or to a lost one where there is a whole one.
    pub(crate) phantoms: Vec<IndexEntry>,
    /// What it should hold, and does not.
    pub(crate) missing: Vec<KnownClump>,
}

impl Judged {
    /// Whether the bucket must be written again to be as it should.
    pub(crate) fn is_to_change(&self) -> bool {
        self.bad.is_some()
            || self.unsorted
            || self.wrong > 0
            || !self.phantoms.is_empty()
            || !self.missing.is_empty()
    }
}

/// Whether this entry may stay: it belongs here, and points to a clump that is as good as any.
pub(crate) fn is_valid(entry: &IndexEntry, clumps: &[KnownClump], known: &Known) -> bool {
    let group = group_of(clumps, &entry.score, entry.block_type);
    let at = group.iter().find(|clump| clump.entry.address == entry.address);
    match at {
        Some(clump) => {
            clump.entry.lump_len == entry.lump_len && (clump.whole || !group.iter().any(|clump| clump.whole))
        }
        None => !known.covers(entry.address),
    }
}

/// The copies of one block.
fn group_of<'a>(clumps: &'a [KnownClump], score: &Score, block_type: BlockType) -> &'a [KnownClump] {
    let key = |clump: &KnownClump| (clump.entry.score, clump.entry.block_type);
    let wanted = (*score, block_type);
    let start = clumps.partition_point(|clump| key(clump) < wanted);
    let len = clumps[start..].partition_point(|clump| key(clump) == wanted);
    &clumps[start..start + len]
}

/// Judges a bucket by the clumps that belong into it.
pub(crate) fn judge(
    block: &[u8],
    magic: u32,
    number: u32,
    spread: &BucketSpread,
    clumps: &[KnownClump],
    known: &Known,
) -> Judged {
    let mut judged = Judged::default();
    let bucket = match Bucket::parse(block, magic) {
        Ok(bucket) => bucket,
        Err(error) => {
            judged.bad = Some(error);
            judged.missing = groups(clumps).map(best).collect();
            return judged;
        }
    };
    judged.entries = bucket.len() as u32;
    judged.unsorted = !bucket.is_sorted();
    let mut valid: Vec<(Score, BlockType)> = Vec::with_capacity(bucket.len());
    let mut legal = 0;
    for entry in bucket.iter() {
        legal += 1;
        if spread.bucket_of(&entry.score) != number {
            judged.wrong += 1;
        } else if is_valid(&entry, clumps, known) {
            valid.push((entry.score, entry.block_type));
        } else {
            judged.phantoms.push(entry);
        }
    }
    // Entries of an illegal type answer nothing.
    judged.wrong += judged.entries - legal;
    valid.sort_unstable();
    let lacks = |group: &&[KnownClump]| {
        group
            .first()
            .is_some_and(|first| valid.binary_search(&(first.entry.score, first.entry.block_type)).is_err())
    };
    judged.missing = groups(clumps).filter(lacks).map(best).collect();
    judged
}

/// The clumps, block by block.
fn groups(clumps: &[KnownClump]) -> impl Iterator<Item = &[KnownClump]> {
    clumps.chunk_by(|one, next| {
        (one.entry.score, one.entry.block_type) == (next.entry.score, next.entry.block_type)
    })
}

/// The copy that an entry should point to: the last whole one, or else the last one. It counts as indexed if any does.
fn best(group: &[KnownClump]) -> KnownClump {
    let whole = group.iter().rev().find(|clump| clump.whole);
    let clump = whole.or(group.last()).copied();
    // Groups are not empty.
    let Some(clump) = clump else { unreachable!("a group has a first clump") };
    KnownClump { indexed: group.iter().any(|clump| clump.indexed), ..clump }
}

/// A run of buckets that were read together.
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) offset: u64,
}

/// The buckets of a section in pieces; those behind the partition's end are left out.
pub(crate) fn runs<D: BlockDevice>(section: &Section<'_, D>) -> impl Iterator<Item = Run> {
    let header = section.header;
    let size = size_bytes(section.device);
    let per_run = (CHUNK / header.block_size).max(1);
    (header.start..header.stop).step_by(per_run as usize).filter_map(move |first| {
        let offset = header.bucket_offset(first)?;
        let there = size.saturating_sub(offset) / u64::from(header.block_size);
        let count = u64::from(per_run.min(header.stop - first)).min(there) as u32;
        (count > 0).then_some(Run { first, count, offset })
    })
}

/// Follows ascending buckets through the sorted clumps.
pub(crate) struct Following<'a> {
    rest: &'a [KnownClump],
    spread: BucketSpread,
}

impl<'a> Following<'a> {
    pub(crate) fn new(known: &'a Known, spread: BucketSpread) -> Following<'a> {
        Following { rest: &known.clumps, spread }
    }

    /// The clumps of this bucket; buckets are asked for in ascending order.
    pub(crate) fn bucket(&mut self, number: u32) -> &'a [KnownClump] {
        let before = self.rest.partition_point(|clump| self.spread.bucket_of(&clump.entry.score) < number);
        let rest = &self.rest[before..];
        let len = rest.partition_point(|clump| self.spread.bucket_of(&clump.entry.score) == number);
        self.rest = &rest[len..];
        &rest[..len]
    }
}

/// Checks every bucket.
pub(crate) async fn check<D: BlockDevice>(
    index: &Index<'_, D>,
    known: &Known,
    watch: &mut impl Watch,
    findings: &mut Vec<Finding>,
) -> Result<IndexSummary, DeviceError> {
    let block_size = index.config.block_size;
    let mut summary =
        IndexSummary { capacity: capacity(block_size as usize) as u32, ..IndexSummary::default() };
    let mut following = Following::new(known, index.spread);
    for section in &index.sections {
        for run in runs(section) {
            let len = run.count as usize * block_size as usize;
            let whole = match read_bytes(section.device, run.offset, len).await {
                Err(DeviceError::Gone) => return Err(DeviceError::Gone),
                read => read.ok(),
            };
            for number in run.first..run.first + run.count {
                let at = (number - run.first) as usize * block_size as usize;
                let offset = run.offset + at as u64;
                let clumps = following.bucket(number);
                let block = match &whole {
                    Some(whole) => Ok(whole.slice(at..at + block_size as usize)),
                    None => read_bytes(section.device, offset, block_size as usize).await,
                };
                let mut tell = |fault| {
                    let (partition, len) = (section.name.clone(), u64::from(block_size));
                    findings.push(Finding { partition, arena: None, offset, len, fault });
                };
                let block = match block {
                    Ok(block) => block,
                    Err(error) => {
                        tell(Fault::BucketUnreadable(error));
                        continue;
                    }
                };
                let magic = section.header.bucket_magic;
                let judged = judge(&block, magic, number, &index.spread, clumps, known);
                count(&judged, &mut summary);
                faults(&judged, summary.capacity).for_each(&mut tell);
            }
            watch.advance(len as u64);
        }
    }
    Ok(summary)
}

fn count(judged: &Judged, summary: &mut IndexSummary) {
    summary.buckets += 1;
    summary.entries += u64::from(judged.entries);
    summary.fullest = summary.fullest.max(judged.entries);
    summary.full += u64::from(judged.entries >= summary.capacity);
}

fn faults(judged: &Judged, capacity: u32) -> impl Iterator<Item = Fault> {
    let mut indexed = judged.missing.iter().filter(|clump| clump.indexed && clump.whole);
    let entries = indexed.clone().count() as u32;
    let missing = indexed.next().map(|clump| Fault::Missing { entries, score: clump.entry.score });
    let entries = judged.phantoms.len() as u32;
    let phantom = judged.phantoms.first().map(|entry| Fault::Phantom { entries, score: entry.score });
    let bad = judged.bad.map(Fault::Bucket);
    let order = judged.unsorted.then_some(Fault::BucketOrder);
    let wrong = (judged.wrong > 0).then_some(Fault::WrongBucket { entries: judged.wrong });
    let full = (judged.entries >= capacity).then_some(Fault::FullBucket);
    [bad, order, wrong, phantom, missing, full].into_iter().flatten()
}
