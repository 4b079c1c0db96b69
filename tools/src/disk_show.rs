//! What is on disks, read and never written: partitions, arenas, index sections, bloom filter.
//!
//! Knows which structure of `storage::format` stands where. Must not know how it is printed.

use crate::host::device::FileDevice;
use serde::Serialize;
use storage::device::{BlockDevice, read_bytes, size_bytes};
use storage::disk::survey::{NamedDisk, Survey};
use storage::format::arena_head::ArenaHead;
use storage::format::arena_partition::ArenaPartitionHeader;
use storage::format::arena_tail::{ArenaTail, seal_of};
use storage::format::bloom::{BLOOM_HEADER_LEN, BloomHeader};
use storage::format::geometry::ArenaGeometry;
use storage::format::index_section::IndexSectionHeader;
use storage::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use storage::format::range_map::{NamedRange, RangeMap};
use storage::partition::Partition;
use storage::score::Score;
use storage::store::StorePart;

type Part = StorePart<Partition<FileDevice>>;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Show {
    /// The disks, in the order in which they were named.
    pub disks: Vec<Disk>,
    /// Arena partitions.
    pub arenas: Vec<ArenaPartition>,
    /// Index sections.
    pub index: Vec<IndexSection>,
    /// Bytes of the bloom filter.
    pub bloom: Option<u32>,
    /// A `venti.conf` with which plan9port's venti serves the same partitions.
    pub venti_conf: Option<String>,
    /// What is damaged or doubtful, with its place.
    pub problems: Vec<String>,
}

/// A disk.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// Its file.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Its partitions.
    pub parts: Vec<DiskPart>,
}

/// A partition, in bytes.
#[derive(Debug, Serialize)]
pub struct DiskPart {
    /// Its name.
    pub name: String,
    /// First byte on the disk.
    pub start: u64,
    /// One past its last byte.
    pub end: u64,
    /// What it seems to hold.
    pub contents: &'static str,
}

/// An arena partition.
#[derive(Debug, Serialize)]
pub struct ArenaPartition {
    /// Disk and partition.
    pub name: String,
    /// Bytes of a block.
    pub block_size: u32,
    /// Its arenas.
    pub arenas: Vec<Arena>,
}

/// An arena, by its tail.
#[derive(Debug, Serialize)]
pub struct Arena {
    /// Its name.
    pub name: String,
    /// First byte in the partition.
    pub start: u64,
    /// Version of head and tail.
    pub version: u32,
    /// Bytes for log and directory.
    pub size: u64,
    /// Bytes of log.
    pub used: u64,
    /// Clumps in the log.
    pub clumps: u32,
    /// Clumps that the index sections have.
    pub indexed: u32,
    /// Whether it takes no more.
    pub sealed: bool,
    /// The SHA-1 over a sealed arena.
    pub seal: Option<String>,
}

/// An index section.
#[derive(Debug, Serialize)]
pub struct IndexSection {
    /// Disk and partition.
    pub name: String,
    /// The index it belongs to.
    pub index: Option<String>,
    /// First bucket.
    pub start: u32,
    /// One past its last bucket.
    pub stop: u32,
    /// Bytes of a bucket.
    pub block_size: u32,
}

/// Reads what `survey` found on `disks`.
pub async fn show(disks: &[NamedDisk<FileDevice>], survey: &Survey<FileDevice>) -> Show {
    let damage = survey.findings.iter().filter(|finding| finding.what.is_damage());
    let problems = damage.map(ToString::to_string).collect();
    let venti_conf = venti_conf(survey);
    let (arenas, index) = (Vec::new(), Vec::new());
    let mut show = Show { disks: Vec::new(), arenas, index, bloom: None, venti_conf, problems };
    for (disk, layout) in disks.iter().zip(&survey.layouts) {
        let sector = u64::from(disk.device.sector_size());
        let parts = layout.iter().flat_map(|layout| &layout.parts).map(|part| DiskPart {
            name: part.name.clone(),
            start: part.first * sector,
            end: (part.first + part.count) * sector,
            contents: part.contents.name(),
        });
        let parts = parts.collect();
        show.disks.push(Disk { name: disk.name.clone(), bytes: size_bytes(&disk.device), parts });
    }
    for part in &survey.parts.arenas {
        match arena_partition(part, &mut show.problems).await {
            Ok(found) => show.arenas.push(found),
            Err(problem) => show.problems.push(format!("{}: {problem}", part.name)),
        }
    }
    for part in &survey.parts.index_sections {
        match index_section(part).await {
            Ok(found) => show.index.push(found),
            Err(problem) => show.problems.push(format!("{}: {problem}", part.name)),
        }
    }
    if let Some(part) = &survey.parts.bloom {
        match bloom(part).await {
            Ok(size) => show.bloom = Some(size),
            Err(problem) => show.problems.push(format!("{}: {problem}", part.name)),
        }
    }
    show
}

async fn arena_partition(part: &Part, problems: &mut Vec<String>) -> anyhow::Result<ArenaPartition> {
    let device = &part.device;
    let header = read_bytes(device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = ArenaPartitionHeader::parse(&header)?;
    let text = read_bytes(device, header.map_base(), usize::try_from(header.map_len())?).await?;
    let map = RangeMap::parse(&text)?;
    header.check_map(&map, size_bytes(device))?;
    let mut arenas = Vec::new();
    for range in map.ranges() {
        match arena(part, range, header.block_size, problems).await {
            Ok(found) => arenas.push(found),
            Err(problem) => problems.push(format!("{}: {}: {problem}", part.name, range.name)),
        }
    }
    Ok(ArenaPartition { name: part.name.clone(), block_size: header.block_size, arenas })
}

async fn arena(
    part: &Part,
    range: &NamedRange,
    block_size: u32,
    problems: &mut Vec<String>,
) -> anyhow::Result<Arena> {
    let geometry = ArenaGeometry::new(range.start, range.stop, block_size)?;
    let head = read_bytes(&part.device, range.start, block_size as usize).await?;
    if let Err(problem) = ArenaHead::parse(&head) {
        problems.push(format!("{}: {}: {problem}", part.name, range.name));
    }
    let block = read_bytes(&part.device, geometry.tail_offset(), block_size as usize).await?;
    let tail = ArenaTail::parse(&block)?;
    anyhow::ensure!(tail.name == range.name, "its tail says that it is {}", tail.name);
    Ok(Arena {
        name: range.name.to_string(),
        start: range.start,
        version: tail.version.number(),
        size: geometry.size(),
        used: tail.written.used,
        clumps: tail.written.clumps,
        indexed: tail.indexed.clumps,
        sealed: tail.written.sealed,
        seal: seal_of(&block).filter(|seal| *seal != Score::NULL).map(|seal| seal.to_string()),
    })
}

async fn index_section(part: &Part) -> anyhow::Result<IndexSection> {
    let header = read_bytes(&part.device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = IndexSectionHeader::parse(&header)?;
    Ok(IndexSection {
        name: part.name.clone(),
        index: header.index_name.map(|name| name.to_string()),
        start: header.start,
        stop: header.stop,
        block_size: header.block_size,
    })
}

async fn bloom(part: &Part) -> anyhow::Result<u32> {
    let header = read_bytes(&part.device, 0, BLOOM_HEADER_LEN).await?;
    Ok(BloomHeader::parse(&header)?.size())
}

/// Names partitions by their bytes on the disk, which plan9port's venti takes whatever table there is.
fn venti_conf(survey: &Survey<FileDevice>) -> Option<String> {
    let place = |part: &Part| {
        let file = part.name.rsplit_once('/').map_or(part.name.as_str(), |(file, _)| file);
        let sector = u64::from(part.device.sector_size());
        let start = part.device.first_sector() * sector;
        format!("{file}:{start}-{}", start + size_bytes(&part.device))
    };
    let parts = &survey.parts;
    if parts.arenas.is_empty() || parts.index_sections.is_empty() {
        return None;
    }
    let mut text = String::from("index main\n");
    parts.index_sections.iter().for_each(|part| text += &format!("isect {}\n", place(part)));
    parts.arenas.iter().for_each(|part| text += &format!("arenas {}\n", place(part)));
    parts.bloom.iter().for_each(|part| text += &format!("bloom {}\n", place(part)));
    Some(text)
}
