//! Which address each arena has: what the index sections say, when there are any. Reads only.

use crate::device::{BlockDevice, read_bytes};
use crate::format::index_config::IndexConfig;
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::format::range_map::RangeMap;
use crate::store::{OpenError, PartitionFault, StorePart};

/// The arena map of the index; `None` without sections. All sections must tell the same.
pub(super) async fn read<D: BlockDevice>(sections: &[StorePart<D>]) -> Result<Option<RangeMap>, OpenError> {
    let mut first: Option<IndexConfig> = None;
    for section in sections {
        let config = read_config(section).await;
        let config = config.and_then(|config| match &first {
            Some(first) if *first != config => Err(PartitionFault::OtherIndex),
            _ => Ok(config),
        });
        let config = config
            .map_err(|reason| OpenError::Partition { partition: section.name.as_str().into(), reason })?;
        first = first.or(Some(config));
    }
    Ok(first.map(|config| config.arenas))
}

async fn read_config<D: BlockDevice>(section: &StorePart<D>) -> Result<IndexConfig, PartitionFault> {
    let sector = read_bytes(&section.device, PRELUDE_LEN, HEADER_LEN as usize).await?;
    let header = IndexSectionHeader::parse(&sector)?;
    let text = read_bytes(&section.device, header.text_base(), header.text_len() as usize).await?;
    Ok(IndexConfig::parse(&text)?)
}
