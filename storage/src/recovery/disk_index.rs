//! The index as the disks have it: sections that belong together, the arena map that all of them repeat, and the bloom
//! filter. Reads only: what a redo log says is taken as if it were done.

use super::report::OpenReport;
use crate::device::{BlockDevice, read_bytes, size_bytes};
use crate::disk_index::{Bloom, DiskIndex, Section, read_redo};
use crate::format::bloom::{BLOOM_HEADER_LEN, BloomHeader};
use crate::format::index_config::{BucketSpread, IndexConfig};
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::store::{OpenError, PartitionFault, StorePart};
use alloc::vec::Vec;
use bytes::Bytes;

/// The index; `None` without sections. All sections must tell the same, and be there.
pub(super) async fn read<D: BlockDevice>(
    parts: Vec<StorePart<D>>,
    bloom: Option<StorePart<D>>,
    report: &mut OpenReport,
) -> Result<Option<DiskIndex<D>>, OpenError> {
    let mut sections = Vec::with_capacity(parts.len());
    let mut longest: Option<IndexConfig> = None;
    let mut texts_differ = false;
    for part in parts {
        let read = read_section(&part, longest.as_ref()).await;
        let (section, config) = read.map_err(|reason| OpenError::partition(&part.name, reason))?;
        let Found { header, redo, redo_len } = section;
        sections.push(Section::new(part.name.as_str().into(), part.device, header, redo, redo_len));
        texts_differ |= longest.as_ref().is_some_and(|longest| *longest != config);
        let longer = |longest: &IndexConfig| config.arenas.ranges().len() > longest.arenas.ranges().len();
        if longest.as_ref().is_none_or(longer) {
            longest = Some(config);
        }
    }
    let Some(config) = longest else { return Ok(None) };
    let name = &*sections[0].name.clone();
    if config.sections.ranges().len() != sections.len() {
        return Err(OpenError::partition(name, PartitionFault::OtherBuckets));
    }
    let spread = BucketSpread::new(config.sections.stop());
    let spread = spread.map_err(|reason| OpenError::partition(name, reason))?;
    let bloom = match bloom {
        Some(part) => {
            let name = part.name.clone();
            match read_bloom(part).await {
                Ok(bloom) => Some(bloom),
                // Left out, it would lack what is indexed from now on, and another venti would believe it.
                Err(fault @ PartitionFault::Device(_)) => return Err(OpenError::partition(&name, fault)),
                Err(fault) => {
                    report.bloom_fault = Some(fault);
                    None
                }
            }
        }
        None => None,
    };
    Ok(Some(DiskIndex::new(sections, spread, config, texts_differ, bloom)))
}

/// A section, and what its redo log says is still to be done.
struct Found {
    header: IndexSectionHeader,
    redo: Vec<(u64, Bytes)>,
    redo_len: usize,
}

async fn read_section<D: BlockDevice>(
    part: &StorePart<D>,
    other: Option<&IndexConfig>,
) -> Result<(Found, IndexConfig), PartitionFault> {
    let sector = read_bytes(&part.device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = IndexSectionHeader::parse(&sector)?;
    let (redo, redo_len) = read_redo(&part.device).await?;
    let text_base = header.text_base();
    let mut text = read_bytes(&part.device, text_base, header.text_len() as usize).await?.to_vec();
    for (offset, bytes) in &redo {
        let at = offset.checked_sub(text_base).and_then(|at| usize::try_from(at).ok());
        let place = at.and_then(|at| text.get_mut(at..at.saturating_add(bytes.len())));
        place.into_iter().for_each(|place| place.copy_from_slice(bytes));
    }
    let config = IndexConfig::parse(&text)?;
    if other.is_some_and(|other| !belong_together(other, &config)) || config.block_size != header.block_size {
        return Err(PartitionFault::OtherIndex);
    }
    let here = |range: &&crate::format::range_map::NamedRange| range.name == header.name;
    let range = config.sections.ranges().iter().find(here);
    let buckets = (u64::from(header.start), u64::from(header.stop));
    if range.is_none_or(|range| (range.start, range.stop) != buckets) {
        return Err(PartitionFault::OtherBuckets);
    }
    let (claimed, size) = (header.claimed_len(), size_bytes(&part.device));
    if claimed > size {
        return Err(PartitionFault::Shrunk { claimed, size });
    }
    Ok((Found { header, redo, redo_len }, config))
}

/// Whether two sections' texts are one, or one was interrupted while arenas were appended to all of them.
fn belong_together(one: &IndexConfig, other: &IndexConfig) -> bool {
    let (these, those) = (one.arenas.ranges(), other.arenas.ranges());
    let known = these.len().min(those.len());
    (one.name, one.block_size, &one.sections) == (other.name, other.block_size, &other.sections)
        && these[..known] == those[..known]
}

async fn read_bloom<D: BlockDevice>(part: StorePart<D>) -> Result<Bloom<D>, PartitionFault> {
    let bytes = read_bytes(&part.device, 0, BLOOM_HEADER_LEN).await?;
    let header = BloomHeader::parse(&bytes)?;
    let (claimed, size) = (u64::from(header.size()), size_bytes(&part.device));
    if claimed > size {
        return Err(PartitionFault::Shrunk { claimed, size });
    }
    Ok(Bloom::new(part.name.as_str().into(), part.device, header))
}
