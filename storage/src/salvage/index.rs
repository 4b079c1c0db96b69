//! Index sections and bloom filter, written again from the clumps that are there. A bucket keeps the entries that are
//! right, loses those that are not, and gets those that it lacks; buckets that are right are not written.

use crate::check::Watch;
use crate::check::bloom;
use crate::check::buckets::{Following, Judged, is_valid, judge, runs};
use crate::check::index::{Index, Known, KnownClump, Section};
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes, write_bytes};
use crate::format::bloom::{BLOOM_SIZE_MAX, BloomHeader, HASHES_MAX};
use crate::format::bucket::{self, Bucket, IndexEntry};
use crate::format::index_config::TextTooLong;
use crate::format::prelude::PRELUDE_LEN;
use crate::store::StorePart;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of filter that are written at once.
const PIECE: usize = 1 << 20;

/// What is to be done in a section, or was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buckets {
    /// Buckets to be written.
    pub(super) changed: u64,
    /// Entries that they have no room for.
    pub(super) left_over: u64,
}

/// Counts the buckets of a section that must be written; with `write`, writes them.
pub(super) async fn buckets<D: BlockDevice>(
    index: &Index<'_, D>,
    section: &Section<'_, D>,
    following: &mut Following<'_>,
    known: &Known,
    write: bool,
    watch: &mut impl Watch,
) -> Result<Buckets, DeviceError> {
    let block_size = index.config.block_size as usize;
    let magic = section.header.bucket_magic;
    let mut done = Buckets::default();
    for run in runs(section) {
        let mut blocks = read_blocks(section.device, run.offset, run.count as usize, block_size).await?;
        let mut changed = false;
        for (number, block) in (run.first..).zip(blocks.chunks_mut(block_size)) {
            let clumps = following.bucket(number);
            let judged = judge(block, magic, number, &index.spread, clumps, known);
            if !judged.is_to_change() {
                continue;
            }
            done.changed += 1;
            changed = true;
            done.left_over += rewrite(block, magic, number, index, &judged, clumps, known);
        }
        if changed && write {
            write_bytes(section.device, run.offset, Bytes::from(blocks)).await?;
        }
        watch.advance(u64::from(run.count) * block_size as u64);
    }
    if write && done.changed > 0 {
        section.device.flush().await?;
    }
    Ok(done)
}

/// Buckets that follow one another; those that cannot be read are no buckets.
async fn read_blocks<D: BlockDevice>(
    device: &D,
    offset: u64,
    count: usize,
    block_size: usize,
) -> Result<Vec<u8>, DeviceError> {
    match read_bytes(device, offset, count * block_size).await {
        Ok(blocks) => return Ok(Vec::from(blocks)),
        Err(DeviceError::Gone) => return Err(DeviceError::Gone),
        Err(_) => {}
    }
    let mut blocks = Vec::with_capacity(count * block_size);
    for number in 0..count {
        match read_bytes(device, offset + (number * block_size) as u64, block_size).await {
            Ok(block) => blocks.extend_from_slice(&block),
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            Err(_) => blocks.resize(blocks.len() + block_size, 0xff),
        }
    }
    Ok(blocks)
}

/// Makes a bucket what it should be; returns how many entries found no room.
fn rewrite<D>(
    block: &mut [u8],
    magic: u32,
    number: u32,
    index: &Index<'_, D>,
    judged: &Judged,
    clumps: &[KnownClump],
    known: &Known,
) -> u64 {
    let mut entries: Vec<IndexEntry> = Vec::new();
    if let Ok(bucket) = Bucket::parse(block, magic) {
        let here = bucket.iter().filter(|entry| index.spread.bucket_of(&entry.score) == number);
        entries.extend(here.filter(|entry| is_valid(entry, clumps, known)));
    }
    entries.extend(judged.missing.iter().map(|clump| clump.entry));
    bucket::clear(block, magic);
    let inserted = entries.iter().map(|entry| bucket::insert(block, magic, entry));
    inserted.filter(Result::is_err).count() as u64
}

/// Writes header and text of a section again.
///
/// # Errors
/// Those of the device. A text that does not fit is not written: it was read from a section of the same kind.
pub(super) async fn write_front<D: BlockDevice>(
    index: &Index<'_, D>,
    section: &Section<'_, D>,
) -> Result<Result<(), TextTooLong>, DeviceError> {
    let text = match index.config.encode(section.header.text_len() as usize) {
        Ok(text) => text,
        Err(too_long) => return Ok(Err(too_long)),
    };
    write_bytes(section.device, section.header.text_base(), Bytes::from(text)).await?;
    section.device.flush().await?;
    let header = Bytes::copy_from_slice(&section.header.encode());
    write_bytes(section.device, PRELUDE_LEN, header).await?;
    section.device.flush().await?;
    Ok(Ok(()))
}

/// A filter: its header, whether that must be written, and how many blocks are not marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilterPlan {
    header: BloomHeader,
    pub(super) header_lost: bool,
    pub(super) unmarked: u64,
}

/// Looks at the filter; `None` if its partition is too small for one.
pub(super) async fn plan_filter<D: BlockDevice>(
    part: &StorePart<D>,
    known: &Known,
    watch: &mut impl Watch,
) -> Result<Option<FilterPlan>, DeviceError> {
    let (header, header_lost) = match bloom::header(&part.device).await? {
        Ok(header) => (header, false),
        Err(_) => {
            let room = size_bytes(&part.device).min(u64::from(BLOOM_SIZE_MAX));
            // A power of two of at most 512 MiB.
            let size = room.checked_ilog2().map_or(0, |bits| 1_u32 << bits);
            let Ok(header) = BloomHeader::new(HASHES_MAX, size) else { return Ok(None) };
            (header, true)
        }
    };
    let filter = bloom::read(&part.device, &header, watch).await?;
    let scores = known.clumps.iter().filter(|clump| clump.whole).map(|clump| clump.entry.score);
    let unmarked = scores.filter(|score| !header.may_contain(&filter, score)).count() as u64;
    Ok(Some(FilterPlan { header, header_lost, unmarked }))
}

/// Writes the header if it is lost, and marks every block.
pub(super) async fn write_filter<D: BlockDevice>(
    part: &StorePart<D>,
    plan: &FilterPlan,
    known: &Known,
    watch: &mut impl Watch,
) -> Result<(), DeviceError> {
    let mut filter = bloom::read(&part.device, &plan.header, watch).await?;
    let mut changed = vec![false; filter.len().div_ceil(PIECE)];
    if plan.header_lost {
        let header = plan.header.encode();
        filter[..header.len()].copy_from_slice(&header);
        changed[0] = true;
    }
    for clump in known.clumps.iter().filter(|clump| clump.whole) {
        for bit in plan.header.positions(&clump.entry.score) {
            if crate::format::bloom::set(&mut filter, 0, bit) {
                changed[bit as usize / 8 / PIECE] = true;
            }
        }
    }
    for (number, piece) in filter.chunks(PIECE).enumerate().filter(|(number, _)| changed[*number]) {
        write_bytes(&part.device, (number * PIECE) as u64, Bytes::copy_from_slice(piece)).await?;
    }
    part.device.flush().await
}
