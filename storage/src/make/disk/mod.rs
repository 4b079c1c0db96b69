//! A whole disk for a node: where things lie on it, and laying it out.
//!
//! A plain GPT; in it a partition for BIOS loaders, one for EFI loaders, and one for Plan 9 to the end. The Plan 9
//! partition has a table of its own in its second sector, which gives the names that Plan 9 and venti know: `9fat` with
//! kernel and settings, `nvram`, `isect`, `arenas`, and on large disks `bloom`.
//!
//! A bloom filter is made only where one of 512 MiB costs little: in smaller ones venti's arithmetic sets bits inside the
//! header and loses them, so that a real venti that takes over the disk would not find some blocks. Granary needs none.
//!
//! | module | what |
//! |---|---|
//! | [`lay_out`](fn@lay_out) | the writes, and their order |
//! | [`state`](fn@state) | whether a disk is blank, begun, or somebody's |
//! | [`own`] | whether a disk was laid out here, and its tables where it has grown |
//! | [`grow`](fn@grow) | what such a disk has grown by, for the store |
//!
//! A disk that loses power on the way is never taken for a store: its first sector is that of
//! [`Unfinished`], durable before anything else is written, until all else is durable.

mod grow;
mod lay_out;
pub mod own;
mod state;

pub use grow::{GrowError, Grown, grow, is_addition};
pub use lay_out::{Content, LayOutError, Made, lay_out};
pub use state::{State, state};

use super::MakeError;
use crate::device::BlockDevice;
use crate::disk::gpt::{self, Guid};
use crate::disk::mbr;
use crate::disk::prep;
use crate::disk::unfinished::{PARTITIONS, Unfinished};
use alloc::vec::Vec;

/// Partitions begin at multiples of this many bytes.
const ALIGNMENT: u64 = 1 << 20;
/// The partition for EFI loaders: FAT16 has enough clusters.
const EFI_LEN: u64 = 33 << 20;
/// 9fat: room for two kernels, settings and names.
const FAT_LEN: u64 = 64 << 20;
/// The smallest disk: tables, 9fat, and arenas worth having.
const DISK_LEN_MIN: u64 = 256 << 20;
/// The size of a bloom filter without venti's fault, and of the smallest disk that gets one.
const BLOOM_LEN: u64 = 512 << 20;
const BLOOM_FROM_LEN: u64 = 128 << 30;
/// Arenas are larger than venti's usual ones on a disk of more than this, or the index's text would not hold them all.
const LARGE_ARENAS_FROM_LEN: u64 = 4 << 40;

/// The name of the index.
const INDEX_NAME: &str = "main";

/// Where everything lies, in sectors of the disk.
#[derive(Clone, Debug)]
pub struct Plan {
    sector_size: u32,
    sectors: u64,
    arena_len: u64,
    /// First and last sector of the Plan 9 partition.
    plan9: (u64, u64),
    /// Inside it.
    parts: Vec<prep::Part>,
}

impl Plan {
    /// For a disk of `sectors` sectors, with arenas of `arena_len` bytes.
    ///
    /// # Errors
    /// A disk below 256 MiB.
    pub fn new(sector_size: u32, sectors: u64, arena_len: u64) -> Result<Plan, MakeError> {
        let bytes = sectors.saturating_mul(sector_size.into());
        if bytes < DISK_LEN_MIN {
            return Err(MakeError::TooSmall { bytes, need: DISK_LEN_MIN });
        }
        let alignment = ALIGNMENT / u64::from(sector_size);
        let start = alignment + EFI_LEN / u64::from(sector_size);
        let end = plan9_end(sector_size, sectors);
        let parts = parts(sector_size, end - start);
        Ok(Plan { sector_size, sectors, arena_len, plan9: (start, end - 1), parts })
    }

    /// For this disk, with arenas as venti's manual has them.
    ///
    /// # Errors
    /// A disk below 256 MiB.
    pub fn of(device: &impl BlockDevice) -> Result<Plan, MakeError> {
        let (size, sectors) = (device.sector_size(), device.sector_count());
        let is_large = sectors.saturating_mul(size.into()) > LARGE_ARENAS_FROM_LEN;
        Plan::new(size, sectors, if is_large { 2 << 30 } else { 512 << 20 })
    }

    /// The plan that a disk was begun with.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn resumed(&self, begun: &Unfinished) -> Result<Plan, MakeError> {
        Plan::new(self.sector_size, begun.sectors, begun.arena_len)
    }

    /// Bytes of the disk.
    pub fn len_bytes(&self) -> u64 {
        self.sectors * u64::from(self.sector_size)
    }

    /// The names by which the disk and its partitions differ from all others. `random` gives random numbers.
    pub fn begin(&self, mut random: impl FnMut() -> u32) -> Unfinished {
        let mut guid = || {
            let numbers: [u32; 4] = core::array::from_fn(|_| random());
            Guid::random(zerocopy::transmute!(numbers))
        };
        let disk = guid();
        let partitions = core::array::from_fn(|_| guid());
        Unfinished { sectors: self.sectors, arena_len: self.arena_len, disk, partitions }
    }

    /// The sectors of 1 MiB.
    fn alignment(&self) -> u64 {
        ALIGNMENT / u64::from(self.sector_size)
    }

    /// First sector of the partition for BIOS loaders: the one behind the table.
    fn bios_start(&self) -> u64 {
        gpt::PRIMARY_AT + gpt::table_sectors(self.sector_size)
    }

    fn has_bloom(&self) -> bool {
        self.parts.iter().any(|part| part.name == "bloom")
    }

    fn tables(&self, begun: &Unfinished) -> gpt::Encoded {
        let entries = entries(self.sector_size, self.plan9.1, begun.partitions);
        gpt::encode(begun.disk, self.sectors, self.sector_size, &entries)
    }

    /// First sector of the table's copy.
    fn backup_at(&self) -> u64 {
        self.sectors - gpt::table_sectors(self.sector_size)
    }

    /// The first sector, once everything stands.
    fn protection(&self, boot_sector: &[u8]) -> Vec<u8> {
        padded(&mbr::protective(self.sectors, boot_sector), self.sector_size)
    }
}

/// One past the last sector of the Plan 9 partition of a disk of so many sectors.
fn plan9_end(sector_size: u32, sectors: u64) -> u64 {
    let usable_end = sectors.saturating_sub(gpt::table_sectors(sector_size));
    usable_end - usable_end % (ALIGNMENT / u64::from(sector_size))
}

/// The partitions of every disk that is laid out here; only the end of the last one differs, and their names.
fn entries(sector_size: u32, plan9_last: u64, unique: [Guid; PARTITIONS]) -> Vec<gpt::Entry> {
    let alignment = ALIGNMENT / u64::from(sector_size);
    let plan9_first = alignment + EFI_LEN / u64::from(sector_size);
    let bios_first = gpt::PRIMARY_AT + gpt::table_sectors(sector_size);
    let ranges = [
        (Guid::BIOS_BOOT, bios_first, alignment - 1, "BIOS boot"),
        (Guid::EFI_SYSTEM, alignment, plan9_first - 1, "EFI system"),
        (Guid::PLAN9, plan9_first, plan9_last, "Plan 9"),
    ];
    let entry = |((kind, first, last, label), unique): ((Guid, u64, u64, &str), Guid)| gpt::Entry {
        kind,
        unique,
        first,
        last,
        label: label.into(),
    };
    ranges.into_iter().zip(unique).map(entry).collect()
}

/// The parts of a Plan 9 partition of so many sectors. The index takes a twentieth, as venti's manual advises.
fn parts(sector_size: u32, sectors: u64) -> Vec<prep::Part> {
    let of = |len: u64| len / u64::from(sector_size);
    let mut parts = Vec::new();
    let mut at = 0;
    let mut add = |name: &str, count: u64, next: u64| {
        parts.push(prep::Part { name: name.into(), start: at, end: at + count });
        at += next;
    };
    let bloom = if sectors >= of(BLOOM_FROM_LEN) { of(BLOOM_LEN) } else { 0 };
    let rest = sectors - of(FAT_LEN) - of(ALIGNMENT) - bloom;
    let index = (rest / 20).next_multiple_of(of(ALIGNMENT));
    add("9fat", of(FAT_LEN), of(FAT_LEN));
    add("nvram", 1, of(ALIGNMENT));
    add("isect", index, index);
    if bloom > 0 {
        add("bloom", bloom, bloom);
    }
    add("arenas", rest - index, rest - index);
    parts
}

/// Fills up to whole sectors.
fn padded(bytes: &[u8], sector_size: u32) -> Vec<u8> {
    let mut sectors = bytes.to_vec();
    sectors.resize(bytes.len().next_multiple_of(sector_size as usize), 0);
    sectors
}

#[cfg(test)]
mod grow_tests;
#[cfg(test)]
mod tests;
