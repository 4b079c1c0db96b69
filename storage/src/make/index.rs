//! Index sections, as `fmtisect` makes them, and the index that joins them with the arenas, as `fmtindex` does.

use super::{MakeError, write_vec, zero};
use crate::device::{BlockDevice, size_bytes};
use crate::format::Name;
use crate::format::index_config::{IndexConfig, place_arenas};
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::format::range_map::{NamedRange, RangeMap};
use alloc::vec::Vec;

/// Fewer scores to a bucket than this are never wanted (venti's limit).
const DIVISOR_MIN: u64 = 100;

/// A section that is made, and the device that holds it.
#[derive(Clone, Debug)]
pub struct Section<D> {
    /// The partition.
    pub device: D,
    /// Its header.
    pub header: IndexSectionHeader,
}

/// Makes an index section of `device`. `bucket_magic`: random and not 0, or 0 for version 1, which needs all buckets
/// zeroed.
///
/// # Errors
/// A partition too small for one bucket, or a failing device.
pub async fn section<D: BlockDevice>(
    device: D,
    name: &str,
    block_size: u32,
    bucket_magic: u32,
) -> Result<Section<D>, MakeError> {
    let header = IndexSectionHeader::fresh(Name::new(name)?, block_size, size_bytes(&device), bucket_magic)?;
    if bucket_magic == 0 {
        zero(&device, u64::from(header.block_base), u64::from(header.blocks) * u64::from(block_size)).await?;
    }
    zero(&device, header.text_base(), header.text_len()).await?;
    device.flush().await?;
    write_vec(&device, PRELUDE_LEN, header.encode().to_vec()).await?;
    device.flush().await?;
    Ok(Section { device, header })
}

/// Joins sections and arenas to the index `name`. `arenas`: names and bytes of log and directory, in the order in which
/// they get addresses.
///
/// # Errors
/// No section, sections of different block sizes, too many arenas for the text, or a failing device.
pub async fn index<D: BlockDevice>(
    name: &str,
    sections: &mut [Section<D>],
    arenas: impl IntoIterator<Item = (Name, u64)>,
) -> Result<IndexConfig, MakeError> {
    let name = Name::new(name)?;
    let none = MakeError::TooSmall { bytes: 0, need: PRELUDE_LEN + HEADER_LEN };
    let block_size = sections.first().ok_or(none)?.header.block_size;
    spread(sections);
    let ranges = sections.iter().map(|Section { header, .. }| NamedRange {
        name: header.name,
        start: header.start.into(),
        stop: header.stop.into(),
    });
    let sections_map = RangeMap::new(ranges.collect())?;
    let arenas = place_arenas(&RangeMap::new(Vec::new())?, arenas)?;
    let config = IndexConfig { name, block_size, sections: sections_map, arenas };
    for section in sections {
        section.header.index_name = Some(name);
        let text = config.encode(section.header.text_len() as usize)?;
        write_vec(&section.device, section.header.text_base(), text).await?;
        section.device.flush().await?;
        write_vec(&section.device, PRELUDE_LEN, section.header.encode().to_vec()).await?;
        section.device.flush().await?;
    }
    Ok(config)
}

/// Gives every section its buckets: only so many in all are used that a divisor of the scores yields exactly them.
pub(super) fn spread<D>(sections: &mut [Section<D>]) {
    let blocks: u64 = sections.iter().map(|section| u64::from(section.header.blocks)).sum();
    let mut blocks = blocks.min(u64::from(u32::MAX));
    let mut divisor = (1u64 << 32).div_ceil(blocks);
    if divisor < DIVISOR_MIN {
        divisor = DIVISOR_MIN;
        blocks = u64::from(u32::MAX) / (DIVISOR_MIN - 1);
    }
    // Below 2^32, as the divisor is at least 2.
    let used = (u64::from(u32::MAX) / divisor + 1) as u32;
    let spare = (blocks as u32).saturating_sub(used) / sections.len() as u32;
    let mut start = 0;
    for section in sections.iter_mut() {
        section.header.start = start;
        section.header.stop =
            start.saturating_add(section.header.blocks - spare.min(section.header.blocks)).min(used);
        start = section.header.stop;
    }
    if let Some(last) = sections.last_mut() {
        last.header.stop = used;
    }
}
