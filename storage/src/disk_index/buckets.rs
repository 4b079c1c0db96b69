//! Entries into buckets: neighbours are read together, changed, and written in the order in which they lie.

use super::redo::CHANGES_LEN_MAX;
use super::section::{Change, Section};
use super::{Fullest, Leftover};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::bucket::{self, Bucket, IndexEntry};
use crate::format::index_config::BucketSpread;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use futures_util::future::try_join_all;

/// Buckets without new entries that are read along, rather than reading twice.
const GAP_MAX: u32 = 8;

/// Puts sorted entries into their buckets, all of them in this section, and makes them durable.
pub(super) async fn insert<D: BlockDevice>(
    section: &Section<D>,
    spread: &BucketSpread,
    entries: &[IndexEntry],
    fullest: &Fullest,
    leftover: &mut Leftover,
) -> Result<(), DeviceError> {
    section.settle().await?;
    let buckets_max = (CHANGES_LEN_MAX / section.header.block_size as usize).max(1);
    let mut rest = entries;
    while !rest.is_empty() {
        let len = batch_len(rest, spread, buckets_max);
        let (here, behind) = rest.split_at(len);
        rest = behind;
        let old = read_buckets(section, spread, here).await?;
        let changes = put_all(section, spread, here, old, fullest, leftover);
        section.change(changes).await?;
    }
    section.rest().await
}

/// How many of the first entries lie in so many buckets.
fn batch_len(entries: &[IndexEntry], spread: &BucketSpread, buckets_max: usize) -> usize {
    let buckets = entries.chunk_by(|one, next| spread.bucket_of(&one.score) == spread.bucket_of(&next.score));
    buckets.take(buckets_max).map(<[IndexEntry]>::len).sum()
}

/// The buckets of these entries, those that can be read.
async fn read_buckets<D: BlockDevice>(
    section: &Section<D>,
    spread: &BucketSpread,
    entries: &[IndexEntry],
) -> Result<BTreeMap<u32, Bytes>, DeviceError> {
    let near = |one: &IndexEntry, next: &IndexEntry| {
        spread.bucket_of(&next.score) - spread.bucket_of(&one.score) <= GAP_MAX
    };
    let runs = entries.chunk_by(near).filter_map(|run| match run {
        [first, ..] => Some((spread.bucket_of(&first.score), spread.bucket_of(&run[run.len() - 1].score))),
        [] => None,
    });
    let read = try_join_all(runs.map(|(first, last)| read_run(section, first, last))).await?;
    Ok(read.into_iter().flatten().collect())
}

async fn read_run<D: BlockDevice>(
    section: &Section<D>,
    first: u32,
    last: u32,
) -> Result<Vec<(u32, Bytes)>, DeviceError> {
    let block_size = section.header.block_size as usize;
    let Some(offset) = section.header.bucket_offset(first) else { return Ok(Vec::new()) };
    match read_bytes(&section.device, offset, (last - first + 1) as usize * block_size).await {
        Ok(run) => {
            let block = |number: usize| run.slice(number * block_size..(number + 1) * block_size);
            Ok((first..=last).zip((0..).map(block)).collect())
        }
        // One bad sector must not hide its neighbours.
        Err(DeviceError::Read { .. }) => {
            let mut buckets = Vec::new();
            for number in first..=last {
                let offset = section.header.bucket_offset(number).unwrap_or(offset);
                match read_bytes(&section.device, offset, block_size).await {
                    Ok(block) => buckets.push((number, block)),
                    Err(DeviceError::Read { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(buckets)
        }
        Err(error) => Err(error),
    }
}

/// The buckets that change.
fn put_all<D: BlockDevice>(
    section: &Section<D>,
    spread: &BucketSpread,
    entries: &[IndexEntry],
    mut old: BTreeMap<u32, Bytes>,
    fullest: &Fullest,
    leftover: &mut Leftover,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for here in entries.chunk_by(|one, next| spread.bucket_of(&one.score) == spread.bucket_of(&next.score)) {
        let number = here.first().map_or(0, |entry| spread.bucket_of(&entry.score));
        let magic = section.header.bucket_magic;
        let good = |block: &Bytes| Bucket::parse(block, magic).is_ok_and(|bucket| bucket.is_sorted());
        let (Some(old), Some(offset)) =
            (old.remove(&number).filter(good), section.header.bucket_offset(number))
        else {
            leftover.damaged.extend(here.iter().map(|entry| (number, *entry)));
            continue;
        };
        let mut new = old.to_vec();
        // Not damaged, so only without room.
        let without_room = here.iter().filter(|entry| bucket::insert(&mut new, magic, entry).is_err());
        leftover.full.extend(without_room.map(|entry| (number, *entry)));
        if let Ok(bucket) = Bucket::parse(&new, magic) {
            fullest.note(bucket.len(), bucket::capacity(new.len()));
        }
        if new != old {
            changes.push(Change { offset, old, new: Bytes::from(new) });
        }
    }
    changes
}
