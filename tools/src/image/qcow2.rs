//! QEMU's own format, version 3 (docs/interop/qcow2.txt of QEMU): clusters of 64 KiB, only those with data.

use super::source::Source;
use std::fs::File;
use std::os::unix::fs::FileExt;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries in a cluster of the first and second level tables, 8 bytes each.
const TABLE_ENTRIES: u64 = CLUSTER / 8;
/// Counts in a cluster, 2 bytes each.
const COUNTS: u64 = CLUSTER / 2;
/// In a table: the cluster is used once, so it may be written in place.
const COPIED: u64 = 1 << 63;
const HEADER_LEN: u32 = 104;

/// Writes `source` to the empty `file`.
///
/// # Errors
/// If reading or writing fails.
pub(super) fn write(source: &Source, file: &File, passed: impl Fn(u64)) -> anyhow::Result<()> {
    let first_entries = source.len().div_ceil(CLUSTER).div_ceil(TABLE_ENTRIES);
    let first_clusters = first_entries.div_ceil(TABLE_ENTRIES);
    let mut first = vec![0_u8; (first_clusters * CLUSTER) as usize];
    // Behind the header and the first level: in the order in which they are needed.
    let mut next = (1 + first_clusters) * CLUSTER;
    let mut take = || {
        let at = next;
        next += CLUSTER;
        at
    };
    let mut second: Option<(u64, u64, Vec<u8>)> = None;
    source.blocks(CLUSTER as u32, passed, |offset, bytes| {
        let cluster = offset / CLUSTER;
        let index = cluster / TABLE_ENTRIES;
        let mut table = match second.take() {
            Some(table) if table.0 == index => table,
            other => {
                flush(file, other)?;
                let at = take();
                put(&mut first, index, at | COPIED);
                (index, at, vec![0; CLUSTER as usize])
            }
        };
        let at = take();
        put(&mut table.2, cluster % TABLE_ENTRIES, at | COPIED);
        file.write_all_at(bytes, at)?;
        second = Some(table);
        Ok(())
    })?;
    flush(file, second)?;
    file.write_all_at(&first, CLUSTER)?;
    let counts = counts(next / CLUSTER);
    let mut directory = vec![0; (counts.directory * CLUSTER) as usize];
    for block in 0..counts.blocks {
        put(&mut directory, block, next + (counts.directory + block) * CLUSTER);
    }
    let mut blocks = vec![0; (counts.blocks * CLUSTER) as usize];
    for count in blocks.chunks_exact_mut(2).take(counts.clusters as usize) {
        count.copy_from_slice(&1_u16.to_be_bytes());
    }
    file.write_all_at(&directory, next)?;
    file.write_all_at(&blocks, next + counts.directory * CLUSTER)?;
    let header = header(source.len(), first_entries, next, counts.directory);
    file.write_all_at(&header, 0)?;
    file.set_len(counts.clusters * CLUSTER)?;
    Ok(())
}

fn put(table: &mut [u8], index: u64, value: u64) {
    let at = index as usize * 8;
    table[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

fn flush(file: &File, table: Option<(u64, u64, Vec<u8>)>) -> std::io::Result<()> {
    table.map_or(Ok(()), |(_, at, bytes)| file.write_all_at(&bytes, at))
}

/// How many clusters there are with the counts of all, themselves included.
struct Counts {
    clusters: u64,
    blocks: u64,
    directory: u64,
}

fn counts(used: u64) -> Counts {
    let mut counts = Counts { clusters: used, blocks: 0, directory: 0 };
    loop {
        let blocks = counts.clusters.div_ceil(COUNTS);
        let directory = blocks.div_ceil(TABLE_ENTRIES);
        let clusters = used + blocks + directory;
        if clusters == counts.clusters {
            return Counts { clusters, blocks, directory };
        }
        counts.clusters = clusters;
    }
}

fn header(len: u64, first_entries: u64, counts_at: u64, counts_clusters: u64) -> Vec<u8> {
    let mut header = Vec::from(*b"QFI\xfb");
    let small = |header: &mut Vec<u8>, value: u32| header.extend(value.to_be_bytes());
    let large = |header: &mut Vec<u8>, value: u64| header.extend(value.to_be_bytes());
    small(&mut header, 3);
    large(&mut header, 0); // no backing file,
    small(&mut header, 0); // so no name of one
    small(&mut header, CLUSTER_BITS);
    large(&mut header, len);
    small(&mut header, 0); // not encrypted
    small(&mut header, first_entries as u32);
    large(&mut header, CLUSTER);
    large(&mut header, counts_at);
    small(&mut header, counts_clusters as u32);
    small(&mut header, 0); // no snapshots,
    large(&mut header, 0); // nowhere
    for _incompatible_compatible_and_clearing_features in 0..3 {
        large(&mut header, 0);
    }
    small(&mut header, 4); // counts of 2⁴ bits
    small(&mut header, HEADER_LEN);
    header
}
