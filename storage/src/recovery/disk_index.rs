//! The index as the disks have it: sections that belong together, the arena map that all of them repeat, and the bloom
//! filter. Reads only.

use super::report::OpenReport;
use crate::device::{BlockDevice, read_bytes, size_bytes};
use crate::disk_index::{Bloom, DiskIndex, Section};
use crate::format::bloom::{BLOOM_HEADER_LEN, BloomHeader};
use crate::format::index_config::{BucketSpread, IndexConfig};
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::store::{OpenError, PartitionFault, StorePart};
use alloc::vec::Vec;

/// The index; `None` without sections. All sections must tell the same, and be there.
pub(super) async fn read<D: BlockDevice>(
    parts: Vec<StorePart<D>>,
    bloom: Option<StorePart<D>>,
    report: &mut OpenReport,
) -> Result<Option<DiskIndex<D>>, OpenError> {
    let mut sections = Vec::with_capacity(parts.len());
    let mut first: Option<IndexConfig> = None;
    for part in parts {
        let read = read_section(&part, first.as_ref()).await;
        let (header, config) = read.map_err(|reason| OpenError::partition(&part.name, reason))?;
        sections.push(Section { name: part.name.as_str().into(), device: part.device, header });
        first = first.or(Some(config));
    }
    let Some(config) = first else { return Ok(None) };
    let name = &sections[0].name;
    if config.sections.ranges().len() != sections.len() {
        return Err(OpenError::partition(name, PartitionFault::OtherBuckets));
    }
    let spread = BucketSpread::new(config.sections.stop());
    let spread = spread.map_err(|reason| OpenError::partition(name, reason))?;
    let bloom = match bloom {
        Some(part) => match read_bloom(part).await {
            Ok(bloom) => Some(bloom),
            Err(fault) => {
                report.bloom_fault = Some(fault);
                None
            }
        },
        None => None,
    };
    Ok(Some(DiskIndex { sections, spread, arenas: config.arenas, bloom }))
}

async fn read_section<D: BlockDevice>(
    part: &StorePart<D>,
    first: Option<&IndexConfig>,
) -> Result<(IndexSectionHeader, IndexConfig), PartitionFault> {
    let sector = read_bytes(&part.device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = IndexSectionHeader::parse(&sector)?;
    let text = read_bytes(&part.device, header.text_base(), header.text_len() as usize).await?;
    let config = IndexConfig::parse(&text)?;
    if first.is_some_and(|first| *first != config) || config.block_size != header.block_size {
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
    Ok((header, config))
}

async fn read_bloom<D: BlockDevice>(part: StorePart<D>) -> Result<Bloom<D>, PartitionFault> {
    let bytes = read_bytes(&part.device, 0, BLOOM_HEADER_LEN).await?;
    let header = BloomHeader::parse(&bytes)?;
    let (claimed, size) = (u64::from(header.size()), size_bytes(&part.device));
    if claimed > size {
        return Err(PartitionFault::Shrunk { claimed, size });
    }
    Ok(Bloom { name: part.name.as_str().into(), device: part.device, header })
}
