//! The bloom filter against the clumps that were found. Holds the whole filter in memory. Reads only.

use super::index::Known;
use super::{Fault, Finding, Watch};
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes};
use crate::format::bloom::{BLOOM_HEADER_LEN, BloomHeader, is_in_header, test};
use crate::score::Score;
use crate::store::{PartitionFault, StorePart};
use alloc::vec::Vec;

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// The header, if it is one and the filter lies within its partition.
pub(crate) async fn header<D: BlockDevice>(
    device: &D,
) -> Result<Result<BloomHeader, PartitionFault>, DeviceError> {
    let bytes = match read_bytes(device, 0, BLOOM_HEADER_LEN).await {
        Ok(bytes) => bytes,
        Err(DeviceError::Gone) => return Err(DeviceError::Gone),
        Err(error) => return Ok(Err(error.into())),
    };
    let header = match BloomHeader::parse(&bytes) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error.into())),
    };
    let (claimed, size) = (u64::from(header.size()), size_bytes(device));
    Ok(if claimed > size { Err(PartitionFault::Shrunk { claimed, size }) } else { Ok(header) })
}

/// The whole filter; pieces that cannot be read are zero.
pub(crate) async fn read<D: BlockDevice>(
    device: &D,
    header: &BloomHeader,
    watch: &mut impl Watch,
) -> Result<Vec<u8>, DeviceError> {
    let size = u64::from(header.size());
    let mut filter = Vec::with_capacity(size as usize);
    while (filter.len() as u64) < size {
        let len = CHUNK.min(size - filter.len() as u64) as usize;
        match read_bytes(device, filter.len() as u64, len).await {
            Ok(piece) => filter.extend_from_slice(&piece),
            Err(DeviceError::Gone) => return Err(DeviceError::Gone),
            Err(_) => filter.resize(filter.len() + len, 0),
        }
        watch.advance(len as u64);
    }
    Ok(filter)
}

/// Checks that every block that the index has is in the filter.
pub(crate) async fn check<D: BlockDevice>(
    part: &StorePart<D>,
    known: &Known,
    watch: &mut impl Watch,
    findings: &mut Vec<Finding>,
) -> Result<(), DeviceError> {
    let mut tell = |len: u64, fault| {
        let partition = part.name.as_str().into();
        findings.push(Finding { partition, arena: None, offset: 0, len, fault });
    };
    let header = match header(&part.device).await? {
        Ok(header) => header,
        Err(fault) => {
            tell(BLOOM_HEADER_LEN as u64, Fault::Header(fault));
            return Ok(());
        }
    };
    let filter = read(&part.device, &header, watch).await?;
    let (mut missing, mut hidden) = (0, 0);
    let mut example = Score::NULL;
    let mut last = None;
    for clump in known.clumps.iter().filter(|clump| clump.indexed && clump.whole) {
        let score = clump.entry.score;
        if last.replace(score) == Some(score) {
            continue;
        }
        if !header.may_contain(&filter, &score) {
            missing += 1;
            example = score;
        }
        let in_header =
            header.positions(&score).find(|bit| is_in_header(*bit) && test(&filter, 0, *bit) == Some(false));
        hidden += u64::from(in_header.is_some());
    }
    if missing > 0 {
        tell(u64::from(header.size()), Fault::BloomMissing { blocks: missing, score: example });
    }
    if hidden > 0 {
        tell(BLOOM_HEADER_LEN as u64, Fault::BloomHidden { blocks: hidden });
    }
    Ok(())
}
