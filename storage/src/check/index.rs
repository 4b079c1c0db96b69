//! The index sections: their headers and texts against each other, every bucket against the clumps that were found.
//! What is lost of one section is taken from the others. Reads only.

use super::arena::Survey;
use super::log::State;
use super::partition::Arenas;
use super::{Fault, Finding, Report};
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes};
use crate::format::bucket::IndexEntry;
use crate::format::clump::ClumpHeader;
use crate::format::index_config::{ADDRESS_BASE, BucketSpread, IndexConfig, place_arenas};
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN, block_base};
use crate::format::range_map::{NamedRange, RangeMap};
use crate::store::{PartitionFault, StorePart};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Buckets looked at to learn what they all carry.
const SAMPLE: u32 = 256;

/// An index that is understood.
pub(crate) struct Index<'a, D> {
    pub(crate) config: IndexConfig,
    pub(crate) spread: BucketSpread,
    pub(crate) sections: Vec<Section<'a, D>>,
}

/// One of its sections.
pub(crate) struct Section<'a, D> {
    pub(crate) name: Rc<str>,
    pub(crate) device: &'a D,
    pub(crate) header: IndexSectionHeader,
    /// Header or text on the disk are not these.
    pub(crate) lost: bool,
}

impl<D> Index<'_, D> {
    /// Bytes of all buckets.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.spread.buckets()) * u64::from(self.config.block_size)
    }
}

/// A clump that an entry may point to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownClump {
    pub(crate) entry: IndexEntry,
    /// Its data is whole.
    pub(crate) whole: bool,
    /// A tail says that the index has it.
    pub(crate) indexed: bool,
}

/// All clumps, by score, type and address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) clumps: Vec<KnownClump>,
    /// Addresses of the arenas that were read through.
    ranges: Vec<(u64, u64)>,
}

impl Known {
    /// Takes the clumps of an arena.
    pub(crate) fn add(&mut self, survey: &Survey) {
        let clumps = survey.walked.clumps.iter();
        let clumps = clumps.map(|clump| (clump.offset, clump.header, !matches!(clump.state, State::Lost(_))));
        self.add_clumps(survey, clumps);
    }

    /// Takes clumps as those of an arena, each with its offset in the log and whether its data is whole.
    pub(crate) fn add_clumps(
        &mut self,
        survey: &Survey,
        clumps: impl Iterator<Item = (u64, ClumpHeader, bool)>,
    ) {
        let Some(address) = survey.place.address else { return };
        self.ranges.push((address, address + survey.place.geometry.size()));
        let indexed = survey.tail().map_or(0, |tail| tail.indexed.used);
        self.clumps.extend(clumps.map(|(offset, header, whole)| KnownClump {
            entry: IndexEntry {
                score: header.score,
                block_type: header.block_type,
                address: address + offset,
                lump_len: header.lump_len,
                read_hint: IndexEntry::read_hint_for(header.stored_len),
            },
            whole,
            indexed: offset < indexed,
        }));
    }

    /// Puts them in order; once all are there.
    pub(crate) fn sort(&mut self) {
        let key = |known: &KnownClump| (known.entry.score, known.entry.block_type, known.entry.address);
        self.clumps.sort_unstable_by_key(key);
        self.ranges.sort_unstable();
    }

    /// Whether an address lies in an arena that was read through.
    pub(crate) fn covers(&self, address: u64) -> bool {
        let above = self.ranges.partition_point(|(start, _)| *start <= address);
        above.checked_sub(1).is_some_and(|at| address < self.ranges[at].1)
    }
}

/// Gives arenas their addresses, and says which are missing on one side.
pub(crate) fn place<D>(
    index: Option<&Index<'_, D>>,
    arenas: &mut Arenas,
    parts: &[StorePart<D>],
    report: &mut Report,
) {
    let Some(index) = index else {
        let mut address = ADDRESS_BASE;
        for place in &mut arenas.places {
            place.address = Some(address);
            address += place.geometry.size();
        }
        return;
    };
    let mut mapped: BTreeMap<_, &NamedRange> =
        index.config.arenas.ranges().iter().map(|range| (range.name, range)).collect();
    for place in &mut arenas.places {
        let size = place.geometry.size();
        let fault = match mapped.remove(&place.range.name) {
            Some(range) if range.len() == size => {
                place.address = Some(range.start);
                continue;
            }
            Some(range) => Fault::Map(PartitionFault::OtherSize { mapped: range.len(), size }),
            None => Fault::Unmapped,
        };
        let partition = parts[place.partition].name.as_str().into();
        let (offset, len) = (place.range.start, place.range.len());
        report.findings.push(Finding { partition, arena: Some(place.range.name), offset, len, fault });
    }
    let Some(section) = index.sections.first() else { return };
    for range in mapped.values() {
        let (offset, len) = (section.header.text_base(), section.header.text_len());
        let (partition, arena) = (section.name.clone(), Some(range.name));
        report.findings.push(Finding { partition, arena, offset, len, fault: Fault::NoArena });
    }
}

/// What stands in front of a section's buckets.
struct Front {
    header: Result<IndexSectionHeader, PartitionFault>,
    config: Result<IndexConfig, PartitionFault>,
}

/// Reads the sections; `None` if nothing says how they belong together.
pub(crate) async fn read<'a, D: BlockDevice>(
    parts: &'a [StorePart<D>],
    arenas: &Arenas,
    report: &mut Report,
) -> Result<Option<Index<'a, D>>, DeviceError> {
    let mut fronts = Vec::new();
    for part in parts {
        fronts.push(read_front(&part.device).await?);
    }
    let Some(config) = agree(&fronts, arenas) else {
        for (part, front) in parts.iter().zip(fronts) {
            tell_front(part, &front, report);
        }
        return Ok(None);
    };
    let Ok(spread) = BucketSpread::new(config.sections.stop()) else { return Ok(None) };
    let mut sections = Vec::new();
    for ((part, mut front), range) in parts.iter().zip(fronts).zip(config.sections.ranges()) {
        if front.config.as_ref().is_ok_and(|other| *other != config) {
            front.config = Err(PartitionFault::OtherIndex);
        }
        if front.header.as_ref().is_ok_and(|header| !fits(header, range, &config)) {
            front.header = Err(PartitionFault::OtherBuckets);
        }
        let lost = tell_front(part, &front, report);
        let header = match front.header {
            Ok(header) => header,
            Err(_) => guess_header(&part.device, range, &config).await?,
        };
        let (claimed, size) = (header.claimed_len(), size_bytes(&part.device));
        if claimed > size {
            let fault = Fault::Header(PartitionFault::Shrunk { claimed, size });
            tell(part, PRELUDE_LEN, HEADER_LEN, fault, report);
        }
        sections.push(Section { name: part.name.as_str().into(), device: &part.device, header, lost });
    }
    Ok(Some(Index { config, spread, sections }))
}

fn tell<D>(part: &StorePart<D>, offset: u64, len: u64, fault: Fault, report: &mut Report) {
    let partition = part.name.as_str().into();
    report.findings.push(Finding { partition, arena: None, offset, len, fault });
}

/// Tells what is wrong in front of the buckets; `true` if anything is.
fn tell_front<D>(part: &StorePart<D>, front: &Front, report: &mut Report) -> bool {
    if let Err(fault) = &front.header {
        tell(part, PRELUDE_LEN, HEADER_LEN, Fault::Header(fault.clone()), report);
    }
    if let Err(fault) = &front.config {
        let block_size = front.header.as_ref().map_or(8192, |header| header.block_size);
        let base = crate::format::prelude::text_base(block_size);
        tell(part, base, block_base(block_size) - base, Fault::Map(fault.clone()), report);
    }
    front.header.is_err() || front.config.is_err()
}

fn fits(header: &IndexSectionHeader, range: &NamedRange, config: &IndexConfig) -> bool {
    header.name == range.name
        && header.index_name == Some(config.name)
        && (u64::from(header.start), u64::from(header.stop)) == (range.start, range.stop)
        && header.block_size == config.block_size
}

async fn read_front<D: BlockDevice>(device: &D) -> Result<Front, DeviceError> {
    let header = match read_header(device).await {
        Err(PartitionFault::Device(DeviceError::Gone)) => return Err(DeviceError::Gone),
        header => header,
    };
    let sizes = header.as_ref().map(|header| header.block_size).into_iter();
    let mut config = Err(PartitionFault::OtherIndex);
    for block_size in sizes.chain((9..=16).rev().map(|bits| 1 << bits)) {
        match read_config(device, block_size).await {
            Err(PartitionFault::Device(DeviceError::Gone)) => return Err(DeviceError::Gone),
            Ok(found) if found.block_size == block_size => {
                config = Ok(found);
                break;
            }
            Ok(_) => {}
            Err(fault) if header.as_ref().is_ok_and(|header| header.block_size == block_size) => {
                config = Err(fault);
            }
            Err(_) => {}
        }
    }
    Ok(Front { header, config })
}

async fn read_header<D: BlockDevice>(device: &D) -> Result<IndexSectionHeader, PartitionFault> {
    let sector = read_bytes(device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    Ok(IndexSectionHeader::parse(&sector)?)
}

async fn read_config<D: BlockDevice>(device: &D, block_size: u32) -> Result<IndexConfig, PartitionFault> {
    let base = crate::format::prelude::text_base(block_size);
    let text = read_bytes(device, base, (block_base(block_size) - base) as usize).await?;
    Ok(IndexConfig::parse(&text)?)
}

/// What the sections say together: the first good text that names as many sections as there are; else what the headers
/// and the arenas add up to.
fn agree(fronts: &[Front], arenas: &Arenas) -> Option<IndexConfig> {
    let texts = fronts.iter().filter_map(|front| front.config.as_ref().ok());
    let whole = |config: &&IndexConfig| config.sections.ranges().len() == fronts.len();
    if let Some(config) = texts.clone().find(whole) {
        return Some(config.clone());
    }
    if texts.count() > 0 {
        return None;
    }
    let headers: Option<Vec<_>> = fronts.iter().map(|front| front.header.as_ref().ok()).collect();
    let headers = headers?;
    let first = headers.first()?;
    let ranges = headers.iter().map(|header| NamedRange {
        name: header.name,
        start: header.start.into(),
        stop: header.stop.into(),
    });
    let sections = RangeMap::new(ranges.collect()).ok()?;
    let places = arenas.places.iter().map(|place| (place.range.name, place.geometry.size()));
    let arenas = place_arenas(&RangeMap::default(), places).ok()?;
    Some(IndexConfig { name: first.index_name?, block_size: first.block_size, sections, arenas })
}

/// The header that a section must have had.
async fn guess_header<D: BlockDevice>(
    device: &D,
    range: &NamedRange,
    config: &IndexConfig,
) -> Result<IndexSectionHeader, DeviceError> {
    let block_size = config.block_size;
    let base = block_base(block_size);
    let blocks = (size_bytes(device) / u64::from(block_size)).saturating_sub(base / u64::from(block_size));
    let mut header = IndexSectionHeader {
        name: range.name,
        index_name: Some(config.name),
        block_size,
        block_base: base as u32,
        blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
        start: range.start as u32,
        stop: range.stop as u32,
        bucket_magic: 0,
    };
    let mut votes: BTreeMap<u32, u32> = BTreeMap::new();
    let step = (header.stop.saturating_sub(header.start) / SAMPLE).max(1) as usize;
    for bucket in (header.start..header.stop).step_by(step) {
        let Some(offset) = header.bucket_offset(bucket) else { continue };
        match read_bytes(device, offset + 2, 4).await {
            Ok(magic) => {
                let magic = magic.first_chunk().copied().map_or(0, u32::from_be_bytes);
                *votes.entry(magic).or_default() += u32::from(magic != 0);
            }
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            Err(_) => {}
        }
    }
    // A section of version 1 has zeros there.
    header.bucket_magic = votes.iter().max_by_key(|(_, count)| **count).map_or(0, |(magic, _)| *magic);
    Ok(header)
}
