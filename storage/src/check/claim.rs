//! How many bytes a partition says that it has, which may be more than there are. Reads only.

use crate::device::{BlockDevice, read_bytes};
use crate::format::arena_partition::ArenaPartitionHeader;
use crate::format::bloom::{BLOOM_HEADER_LEN, BloomHeader};
use crate::format::index_section::IndexSectionHeader;
use crate::format::prelude::{HEADER_LEN, PRELUDE_LEN};
use crate::format::range_map::RangeMap;

/// Bytes up to the last arena, the last bucket, or the end of the filter; 0 where nothing says so.
pub async fn claimed_len<D: BlockDevice>(device: &D) -> u64 {
    let sector = read_bytes(device, PRELUDE_LEN, HEADER_LEN as usize).await.unwrap_or_default();
    if let Ok(header) = ArenaPartitionHeader::parse(&sector) {
        let text = read_bytes(device, header.map_base(), header.map_len() as usize).await;
        return RangeMap::parse(&text.unwrap_or_default()).map_or(0, |map| map.stop());
    }
    if let Ok(header) = IndexSectionHeader::parse(&sector) {
        return header.claimed_len();
    }
    let start = read_bytes(device, 0, BLOOM_HEADER_LEN).await.unwrap_or_default();
    BloomHeader::parse(&start).map_or(0, |header| u64::from(header.size()))
}
