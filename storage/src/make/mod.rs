//! Making empty stores: what `fmtarenas`, `fmtisect`, `fmtbloom` and `fmtindex` do, byte for byte (venti(8)).
//!
//! | module | what |
//! |---|---|
//! | `arenas` | an arena partition |
//! | `more` | arenas for a store that has some |
//! | `index` | index sections, and the index that joins them with the arenas |
//! | [`bloom_filter`] | a bloom filter |
//! | [`disk`] | a whole disk: tables, 9fat, and all of these |
//!
//! Knows formats and the order of writes: a partition's header is written last, so that one which was not finished is
//! none. Must not know where randomness comes from, nor overwrite anything by itself: callers ask [`is_blank`] first.

mod arenas;
pub mod disk;
mod index;
mod more;

pub use arenas::{ArenaOptions, arenas};
pub use index::{Section, index, section};
pub use more::MoreArenas;

use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes, write_bytes};
use crate::format::bloom::BloomHeader;
use crate::format::index_config::TextTooLong;
use crate::format::range_map::RangeMapError;
use crate::format::{FormatError, NameError};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Zeros are written in pieces of this many bytes.
const ZERO_PIECE: usize = 1 << 20;
/// Hashes of a bloom filter; `checkindex` accepts no other number.
const BLOOM_HASHES: u32 = 32;
/// Bytes of the smallest bloom filter that `fmtbloom` makes.
const BLOOM_LEN_MIN: u64 = 1 << 20;

/// Why a partition could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// The disk.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The partition is too small for what is to be made of it.
    #[error("{bytes} bytes are too few: at least {need} are needed")]
    TooSmall {
        /// Bytes of the partition.
        bytes: u64,
        /// Bytes that it needs.
        need: u64,
    },
    /// A number that the format does not take.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A name that the format does not take.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A map of ranges that the format does not take.
    #[error(transparent)]
    Map(#[from] RangeMapError),
    /// A text that does not fit.
    #[error(transparent)]
    Text(#[from] TextTooLong),
}

/// Whether nothing stands on `device` where tables, file systems and volumes of any kind have their beginning or a copy of
/// it: the first MiB and the last one are zero.
///
/// # Errors
/// Those of the device.
pub async fn is_blank<D: BlockDevice>(device: &D) -> Result<bool, DeviceError> {
    const LOOKED_AT: u64 = 1 << 20;
    let size = size_bytes(device);
    let len = LOOKED_AT.min(size) as usize;
    for offset in [0, size - len as u64] {
        if read_bytes(device, offset, len).await?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes an empty bloom filter: the largest power of two that `device` holds, at most `len_max` bytes, as `fmtbloom -s`.
/// Returns its size in bytes.
///
/// # Errors
/// Less than 1 MiB, or a failing device.
pub async fn bloom_filter<D: BlockDevice>(device: &D, len_max: u32) -> Result<u32, MakeError> {
    let room = size_bytes(device).min(u64::from(len_max));
    if room < BLOOM_LEN_MIN {
        return Err(MakeError::TooSmall { bytes: room, need: BLOOM_LEN_MIN });
    }
    // At most a u32, as `len_max` is.
    let len = 1u32 << room.ilog2();
    let header = BloomHeader::new(BLOOM_HASHES, len)?;
    zero(device, 0, u64::from(len)).await?;
    device.flush().await?;
    write_bytes(device, 0, Bytes::copy_from_slice(&header.encode())).await?;
    device.flush().await?;
    Ok(len)
}

/// Writes zeros.
async fn zero<D: BlockDevice>(device: &D, offset: u64, len: u64) -> Result<(), DeviceError> {
    let piece = Bytes::from(vec![0; ZERO_PIECE]);
    let mut done = 0;
    while done < len {
        let count = (len - done).min(ZERO_PIECE as u64);
        write_bytes(device, offset + done, piece.slice(..count as usize)).await?;
        done += count;
    }
    Ok(())
}

async fn write_vec<D: BlockDevice>(device: &D, offset: u64, bytes: Vec<u8>) -> Result<(), DeviceError> {
    write_bytes(device, offset, Bytes::from(bytes)).await
}

#[cfg(test)]
mod tests;
