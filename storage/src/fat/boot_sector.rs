//! The first sector of a FAT file system.
//!
//! Knows its fields and the arithmetic that follows from them (Microsoft, "FAT: General Overview of On-Disk Format",
//! 1.03; what Plan 9's dossrv, 9boot and readnvram insist on). Must not know tables, directories or I/O.

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in a directory entry.
const ENTRY_LEN: u32 = 32;
/// Fewer data clusters than this make it FAT12, as dossrv counts (clusters + 2 < 4087).
const FAT16_CLUSTERS_MIN: u32 = 4085;
/// Fewer than this make it FAT16.
const FAT32_CLUSTERS_MIN: u32 = 65_525;
/// Largest table that is taken into memory: a million clusters of FAT32. A 9fat has far fewer.
const TABLE_LEN_MAX: u64 = 4 << 20;
/// 9boot and dossrv take these jumps; readnvram wants exactly this one.
const JUMP: [u8; 3] = [0xeb, 0x3c, 0x90];
const MEDIA_FIXED: u8 = 0xf8;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBootSector {
    jump: [u8; 3],
    maker: [u8; 8],
    sector_size: U16,
    cluster_sectors: u8,
    reserved: U16,
    tables: u8,
    root_entries: U16,
    sectors_16: U16,
    media: u8,
    table_sectors_16: U16,
    track_sectors: U16,
    heads: U16,
    hidden: U32,
    sectors_32: U32,
    // From here on FAT16 and FAT32 differ; this is FAT16.
    drive: u8,
    unused: u8,
    extended: u8,
    serial: U32,
    label: [u8; 11],
    kind: [u8; 8],
}
const _: () = assert!(size_of::<RawBootSector>() == 62);

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawFat32 {
    table_sectors: U32,
    flags: U16,
    version: U16,
    root_cluster: U32,
    info_sector: U16,
}
/// In a FAT32's flags: only one table is in use.
const NOT_MIRRORED: u16 = 0x80;
const FAT32_AT: usize = 36;

/// The width of an entry of the table, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 16 bits; the root directory has a place of its own.
    Fat16,
    /// 32 bits, of which 28 count; the root directory is a chain like any other.
    Fat32,
}

/// Where things stand in a file system. All sectors are counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// FAT16 or FAT32.
    pub kind: Kind,
    /// Bytes in a sector.
    pub sector_size: u32,
    /// Sectors in a cluster: a power of two.
    pub cluster_sectors: u32,
    /// Sectors in front of the first table; at least 1.
    pub reserved: u32,
    /// Copies of the table: 1 or 2.
    pub tables: u32,
    /// Sectors in one copy of the table.
    pub table_sectors: u32,
    /// Entries of a FAT16 root directory; 0 for FAT32.
    pub root_entries: u32,
    /// First cluster of a FAT32 root directory; 0 for FAT16.
    pub root_cluster: u32,
    /// The sector that says how many clusters of a FAT32 are free; 0 if none does.
    pub info_sector: u32,
    /// Sectors of the whole file system.
    pub sectors: u32,
    /// Data clusters; they are numbered from 2.
    pub clusters: u32,
}

/// Why a sector is not the start of a FAT file system that we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootSectorError {
    /// No FAT file system at all.
    #[error("this is not a FAT file system")]
    NotFat,
    /// A field with a value that no tool writes.
    #[error("the FAT boot sector is damaged: {0} is impossible")]
    Impossible(&'static str),
    /// FAT12.
    #[error("the file system is FAT12; only FAT16 and FAT32 are supported: format it anew, larger")]
    Fat12,
    /// A FAT32 of which one table is out of use.
    #[error("only one of the file system's tables is in use; run a file system check")]
    NotMirrored,
    /// A table of more than 4 MiB.
    #[error("the file system has too many clusters; format it anew with larger ones")]
    TooLarge,
    /// Its sectors have another size than the disk's.
    #[error("the file system was made for sectors of {made_for} bytes, the disk has {found}")]
    SectorSize {
        /// Bytes in its sectors.
        made_for: u32,
        /// Bytes in the disk's.
        found: u32,
    },
    /// It says that it is larger than its partition.
    #[error("the file system needs {needed} sectors, its partition has {found}")]
    Truncated {
        /// Sectors it says it has.
        needed: u64,
        /// Sectors there are.
        found: u64,
    },
}

impl Geometry {
    /// Reads the first sector of a partition of `sectors` sectors.
    pub fn parse(sector: &[u8], sectors: u64) -> Result<Geometry, BootSectorError> {
        use BootSectorError::Impossible;
        let (raw, _) = RawBootSector::ref_from_prefix(sector).map_err(|_| BootSectorError::NotFat)?;
        let good_jump = raw.jump[0] == 0xe9 || (raw.jump[0] == 0xeb && raw.jump[2] == 0x90);
        let sector_size = u32::from(raw.sector_size.get());
        if !good_jump || sector.get(510..512) != Some(&[0x55, 0xaa]) || sector_size == 0 {
            return Err(BootSectorError::NotFat);
        }
        if sector_size as usize != sector.len() {
            let found = u32::try_from(sector.len()).unwrap_or(u32::MAX);
            return Err(BootSectorError::SectorSize { made_for: sector_size, found });
        }
        let fat32 = sector.get(FAT32_AT..).and_then(|bytes| RawFat32::ref_from_prefix(bytes).ok());
        let fat32 = fat32.map(|(raw, _)| raw).filter(|_| raw.table_sectors_16.get() == 0);
        let either = |short: U16, long: u32| if short.get() != 0 { u32::from(short.get()) } else { long };
        let mut geometry = Geometry {
            kind: if fat32.is_some() { Kind::Fat32 } else { Kind::Fat16 },
            sector_size,
            cluster_sectors: u32::from(raw.cluster_sectors),
            reserved: u32::from(raw.reserved.get()),
            tables: u32::from(raw.tables),
            table_sectors: either(raw.table_sectors_16, fat32.map_or(0, |raw| raw.table_sectors.get())),
            root_entries: u32::from(raw.root_entries.get()),
            root_cluster: fat32.map_or(0, |raw| raw.root_cluster.get()),
            info_sector: fat32.map_or(0, |raw| raw.info_sector.get().into()),
            sectors: either(raw.sectors_16, raw.sectors_32.get()),
            clusters: 0,
        };
        if fat32.is_some_and(|raw| raw.flags.get() & NOT_MIRRORED != 0) {
            return Err(BootSectorError::NotMirrored);
        }
        if !sector_size.is_power_of_two() || sector_size < 512 {
            return Err(Impossible("the sector size"));
        }
        if !geometry.cluster_sectors.is_power_of_two() {
            return Err(Impossible("the cluster size"));
        }
        if geometry.reserved == 0 {
            return Err(Impossible("the number of reserved sectors"));
        }
        if !matches!(geometry.tables, 1 | 2) {
            return Err(Impossible("the number of tables"));
        }
        if u64::from(geometry.sectors) > sectors {
            return Err(BootSectorError::Truncated { needed: geometry.sectors.into(), found: sectors });
        }
        if geometry.info_sector >= geometry.reserved {
            geometry.info_sector = 0;
        }
        geometry.count_clusters()?;
        Ok(geometry)
    }

    fn count_clusters(&mut self) -> Result<(), BootSectorError> {
        use BootSectorError::Impossible;
        let table_len = u64::from(self.table_sectors) * u64::from(self.sector_size);
        let before_data = u64::from(self.reserved)
            + u64::from(self.tables) * u64::from(self.table_sectors)
            + u64::from(self.root_sectors());
        let data = u64::from(self.sectors).checked_sub(before_data).ok_or(Impossible("the size"))?;
        self.clusters = u32::try_from(data).unwrap_or(u32::MAX) / self.cluster_sectors;
        match self.kind {
            Kind::Fat16 if self.clusters < FAT16_CLUSTERS_MIN => return Err(BootSectorError::Fat12),
            Kind::Fat16 if self.clusters >= FAT32_CLUSTERS_MIN => {
                return Err(Impossible("the number of clusters"));
            }
            Kind::Fat16 if self.root_entries == 0 => {
                return Err(Impossible("the size of the root directory"));
            }
            Kind::Fat32 if self.root_entries != 0 => {
                return Err(Impossible("the size of the root directory"));
            }
            Kind::Fat32 if !self.has_cluster(self.root_cluster) => {
                return Err(Impossible("the root directory's place"));
            }
            _ => {}
        }
        if table_len > TABLE_LEN_MAX {
            return Err(BootSectorError::TooLarge);
        }
        let entry_len = if self.kind == Kind::Fat16 { 2 } else { 4 };
        if table_len < (u64::from(self.clusters) + 2) * entry_len {
            return Err(Impossible("the size of the table"));
        }
        Ok(())
    }

    /// First sector of a copy of the table.
    pub const fn table_at(&self, copy: u32) -> u64 {
        self.reserved as u64 + copy as u64 * self.table_sectors as u64
    }

    /// First sector of a FAT16 root directory.
    pub const fn root_at(&self) -> u64 {
        self.table_at(self.tables)
    }

    /// Sectors of a FAT16 root directory.
    pub const fn root_sectors(&self) -> u32 {
        (self.root_entries * ENTRY_LEN).div_ceil(self.sector_size)
    }

    /// Whether there is a data cluster of this number.
    pub const fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= 2 && cluster - 2 < self.clusters
    }

    /// First sector of a data cluster that [`Geometry::has_cluster`] knows.
    pub const fn cluster_at(&self, cluster: u32) -> u64 {
        self.root_at() + self.root_sectors() as u64 + (cluster as u64 - 2) * self.cluster_sectors as u64
    }

    /// Bytes in a cluster.
    pub const fn cluster_len(&self) -> u32 {
        self.cluster_sectors * self.sector_size
    }

    /// The geometry of a new FAT16 of this many sectors; `None` if it is too small or too large for FAT16.
    pub fn new_fat16(sectors: u32, sector_size: u32, reserved: u32) -> Option<Geometry> {
        const ROOT_ENTRIES: u32 = 512;
        (0..=7).find_map(|shift| {
            let mut geometry = Geometry {
                kind: Kind::Fat16,
                sector_size,
                cluster_sectors: 1 << shift,
                reserved,
                tables: 2,
                table_sectors: 0,
                root_entries: ROOT_ENTRIES,
                root_cluster: 0,
                info_sector: 0,
                sectors,
                clusters: 0,
            };
            // As many as if there were no tables: a few entries more than are needed do no harm.
            let clusters = sectors.checked_sub(reserved + geometry.root_sectors())? >> shift;
            geometry.table_sectors =
                ((u64::from(clusters) + 2) * 2).div_ceil(sector_size.into()).try_into().ok()?;
            geometry.count_clusters().ok()?;
            // Close to the limits, readers disagree on what it is.
            let clear = FAT16_CLUSTERS_MIN + 16..FAT32_CLUSTERS_MIN - 16;
            clear.contains(&geometry.clusters).then_some(geometry)
        })
    }

    /// The boot sector of a FAT16 with this geometry: `hidden` sectors are in front of it on the disk.
    ///
    /// # Panics
    /// If this is the geometry of a FAT32: we do not make those.
    pub fn encode_fat16(&self, hidden: u32, serial: u32, label: &[u8; 11]) -> alloc::vec::Vec<u8> {
        assert!(self.kind == Kind::Fat16, "only FAT16 is made");
        let mut raw = RawBootSector::new_zeroed();
        raw.jump = JUMP;
        raw.maker = *b"GRANARY ";
        raw.sector_size = U16::new(self.sector_size as u16);
        raw.cluster_sectors = self.cluster_sectors as u8;
        raw.reserved = U16::new(self.reserved as u16);
        raw.tables = self.tables as u8;
        raw.root_entries = U16::new(self.root_entries as u16);
        match u16::try_from(self.sectors) {
            Ok(sectors) => raw.sectors_16 = U16::new(sectors),
            Err(_) => raw.sectors_32 = U32::new(self.sectors),
        }
        raw.media = MEDIA_FIXED;
        raw.table_sectors_16 = U16::new(self.table_sectors as u16);
        raw.track_sectors = U16::new(63);
        raw.heads = U16::new(255);
        raw.hidden = U32::new(hidden);
        raw.drive = 0x80;
        raw.extended = 0x29;
        raw.serial = U32::new(serial);
        raw.label = *label;
        raw.kind = *b"FAT16   ";
        let mut sector = alloc::vec![0; self.sector_size as usize];
        sector[..size_of::<RawBootSector>()].copy_from_slice(raw.as_bytes());
        // What a BIOS would run if someone made this the start of a disk: nothing, over and over.
        sector[62..64].copy_from_slice(&[0xeb, 0xfe]);
        sector[510..512].copy_from_slice(&[0x55, 0xaa]);
        sector
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_writes_at_every_size_that_fits() {
        for sectors in [8400, 9000, 33_000, 70_000, 131_072, 1 << 20, 4_000_000] {
            let geometry = Geometry::new_fat16(sectors, 512, 2).unwrap();
            let sector = geometry.encode_fat16(2048, 7, b"9FAT       ");
            assert_eq!(Geometry::parse(&sector, sectors.into()), Ok(geometry), "{sectors}");
            let end = geometry.cluster_at(geometry.clusters + 1) + u64::from(geometry.cluster_sectors);
            assert!(end <= sectors.into());
        }
        for sectors in [0, 100, 4000, 9_000_000] {
            assert_eq!(Geometry::new_fat16(sectors, 512, 2), None, "{sectors}");
        }
    }

    #[test]
    fn a_file_system_larger_than_its_partition_is_refused() {
        let sector = Geometry::new_fat16(9000, 512, 2).unwrap().encode_fat16(0, 7, b"9FAT       ");
        let truncated = BootSectorError::Truncated { needed: 9000, found: 8999 };
        assert_eq!(Geometry::parse(&sector, 8999), Err(truncated));
    }

    proptest! {
        #[test]
        fn a_mutated_boot_sector_never_leads_outside(
            changes in proptest::collection::vec((0..64_usize, any::<u8>()), 1..4),
        ) {
            let mut sector = Geometry::new_fat16(9000, 512, 2).unwrap().encode_fat16(0, 7, b"9FAT       ");
            for (at, byte) in changes {
                sector[at] = byte;
            }
            if let Ok(geometry) = Geometry::parse(&sector, 9000) {
                let end = geometry.cluster_at(geometry.clusters + 1) + u64::from(geometry.cluster_sectors);
                prop_assert!(end <= 9000);
                prop_assert!(geometry.root_at() + u64::from(geometry.root_sectors()) <= 9000);
            }
        }
    }
}
