//! What a disk says of itself before the first request.
//!
//! Knows the configuration space and the feature bits (VIRTIO 1.2, sections 5.2.3 and 5.2.4). Must not know
//! requests.

use crate::virtio::{Problem, consistent, feature};
use alloc::string::String;
use virtio_drivers::transport::Transport;

/// Bytes in the unit of every address on the wire, whatever the sectors of the disk.
pub(super) const UNIT: u32 = 512;
/// Bytes in a serial number.
pub(super) const SERIAL_LEN: usize = 20;
/// The largest sectors that we expect.
const SECTOR_MAX: u32 = 64 << 10;

const SIZE_MAX: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;

/// The features that we make use of.
pub(super) const WANTED: u64 = SIZE_MAX | READ_ONLY | BLK_SIZE | FLUSH | feature::INDIRECT_DESC;

const CAPACITY_AT: usize = 0;
const SIZE_MAX_AT: usize = 8;
const BLK_SIZE_AT: usize = 20;

/// A disk's shape and abilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Sectors on the disk.
    pub sector_count: u64,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether the disk has a cache to flush; if not, it writes through.
    pub flushes: bool,
    /// The longest stretch of memory in one request, in bytes.
    segment_max: u32,
}

impl Geometry {
    pub(super) fn read<T: Transport>(transport: &T, features: u64) -> Result<Geometry, Problem> {
        let field = |has: u64, at: usize, otherwise: u32| {
            if features & has == 0 {
                Ok(otherwise)
            } else {
                consistent(transport, |t| t.read_config_space(at))
            }
        };
        let [low, high] = consistent(transport, |t| t.read_config_space::<[u32; 2]>(CAPACITY_AT))?;
        let units = u64::from(high) << 32 | u64::from(low);
        let sector_size = field(BLK_SIZE, BLK_SIZE_AT, UNIT)?;
        if !sector_size.is_power_of_two() || !(UNIT..=SECTOR_MAX).contains(&sector_size) {
            return Err(Problem::Configuration { what: "the sector size", value: sector_size.into() });
        }
        let segment_max = field(SIZE_MAX, SIZE_MAX_AT, u32::MAX)?;
        if segment_max < sector_size {
            return Err(Problem::Configuration { what: "the largest segment", value: segment_max.into() });
        }
        // Bytes and units must stay countable in 64 bits.
        if units > u64::MAX / u64::from(UNIT) {
            return Err(Problem::Configuration { what: "the capacity", value: units });
        }
        Ok(Geometry {
            sector_size,
            sector_count: units / u64::from(sector_size / UNIT),
            read_only: features & READ_ONLY != 0,
            flushes: features & FLUSH != 0,
            segment_max,
        })
    }

    /// The largest request in bytes, whole sectors: as the device wants it, and at most `ours`.
    pub(super) fn request_max(&self, ours: u32) -> u32 {
        let most = self.segment_max.min(ours).max(self.sector_size);
        most - most % self.sector_size
    }
}

/// The text of a serial number: up to the first NUL, without what cannot be printed.
pub(super) fn serial_text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    text.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}
