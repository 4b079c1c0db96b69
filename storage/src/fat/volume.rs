//! A file system on a device: the order of reads and writes.
//!
//! **Replacing a file** keeps the old content until the new one is whole: a fresh chain, its data, flush; the table,
//! flush; the directory entry, which is one write of one sector, flush; then the old chain is freed. A power cut leaves
//! the old file or the new one, and at worst clusters that belong to nothing, which [`Volume::reclaim`] gives back.

use super::boot_sector::{BootSectorError, Geometry};
use super::directory::{self, DirectoryEntry, ENTRY_LEN, FileState};
use super::name::{self, BadName, Short};
use super::table::{BrokenChain, FatTable, Full};
use crate::Timestamp;
use crate::device::{BlockDevice, DeviceError};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// Sectors moved by one request.
const REQUEST_SECTORS_MAX: u32 = 2048;
/// Bytes in the largest directory that is read: FAT's own limit.
const DIRECTORY_LEN_MAX: usize = 65_536 * ENTRY_LEN;
/// Sectors in front of the first table of what we make: boot sector, and the Plan 9 table.
const RESERVED: u32 = 2;

/// Why a file could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no file system that we can use.
    #[error(transparent)]
    BootSector(#[from] BootSectorError),
    /// A file system of this size cannot be FAT16.
    #[error("a FAT16 file system cannot have {0} sectors: use 5 MiB to 2 GiB")]
    Size(u64),
    /// No such file.
    #[error("there is no file {0}")]
    NotFound(String),
    /// A directory where a file should be, or the other way round.
    #[error("{0} is not of the right kind: a directory where a file was expected, or the other way round")]
    WrongKind(String),
    /// A name that no file can have.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// There is such a file already.
    #[error("there is a file {0} already")]
    Exists(String),
    /// A directory with files cannot be removed.
    #[error("the directory {0} is not empty")]
    NotEmpty(String),
    /// A directory that would have to move to other sectors, which no single write can do.
    #[error("the directory {0} cannot be renamed in one step: make a new one and move its files")]
    NotInOneStep(String),
    /// Larger than the caller or FAT allows.
    #[error("{name} has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// The file.
        name: String,
        /// Its bytes.
        len: u64,
        /// The most allowed.
        max: u64,
    },
    /// A file or directory is damaged.
    #[error("{name} is damaged: {problem}")]
    Damaged {
        /// The file or directory.
        name: String,
        /// Its chain.
        problem: BrokenChain,
    },
    /// A file is longer than its chain.
    #[error("{0} is damaged: it is longer than its chain of clusters")]
    ShortChain(String),
    /// Two files share a cluster, or a file and the directory that it is in.
    #[error("two files share cluster {0}; run a file system check")]
    CrossLinked(u32),
    /// Directories nested deeper than anyone does.
    #[error("{0} is too deep in directories")]
    TooDeep(String),
    /// A change in place that is no whole sectors of the file.
    #[error("{0} cannot be changed in place there")]
    NotInPlace(String),
    /// Nothing is written to it.
    #[error("9fat is only read: {0}")]
    ReadOnly(String),
    /// No room for the content, or for one more name.
    #[error(transparent)]
    Full(#[from] Full),
}

/// A mounted file system.
#[derive(Debug)]
pub struct Volume<D> {
    pub(super) device: D,
    pub(super) geometry: Geometry,
    pub(super) table: FatTable,
    /// A write failed half way: what stands on the disk must be read again before the next one.
    pub(super) stale: bool,
    /// The count of free clusters that a FAT32 keeps is gone, and with it the need to keep it right.
    pub(super) count_forgotten: bool,
}

/// A directory as it was read.
pub(super) struct Directory {
    pub(super) bytes: Vec<u8>,
    /// Its sectors, in order.
    pub(super) sectors: Vec<u64>,
    /// What `..` of a directory in it says: its first cluster, 0 for the root.
    pub(super) cluster: u32,
    /// Its last cluster; `None` for a FAT16 root, which cannot grow.
    last_cluster: Option<u32>,
    /// The clusters of this directory and of all above it.
    clusters: Vec<u32>,
}

impl<D: BlockDevice> Volume<D> {
    /// Mounts what stands on `device`. Reads only.
    ///
    /// # Errors
    /// [`FatError::BootSector`] where there is no FAT16 or FAT32 that fits the device.
    pub async fn open(device: D) -> Result<Volume<D>, FatError> {
        let geometry = Geometry::parse(&device.read(0, 1).await?, device.sector_count())?;
        let table =
            FatTable::new(geometry, read_run(&device, geometry.table_at(0), geometry.table_sectors).await?);
        Ok(Volume { device, geometry, table, stale: false, count_forgotten: false })
    }

    /// Makes an empty FAT16 over all of `device`, except for its second sector, which is left alone.
    ///
    /// `hidden`: sectors in front of it on the disk. `serial`: any number, best a random one.
    ///
    /// # Errors
    /// [`FatError::Size`] if the device is too small or too large.
    pub async fn format(
        device: D,
        label: &Short,
        hidden: u32,
        serial: u32,
        now: Timestamp,
    ) -> Result<Volume<D>, FatError> {
        let size = FatError::Size(device.sector_count());
        let sectors = u32::try_from(device.sector_count()).map_err(|_| size.clone())?;
        let geometry = Geometry::new_fat16(sectors, device.sector_size(), RESERVED).ok_or(size)?;
        let table = FatTable::empty(geometry);
        let mut root = directory::encode_label(label, now).to_vec();
        root.resize(geometry.root_sectors() as usize * geometry.sector_size as usize, 0);
        device.write(geometry.root_at(), root.into()).await?;
        for copy in 0..geometry.tables {
            device.write(geometry.table_at(copy), Bytes::copy_from_slice(table.bytes())).await?;
        }
        device.flush().await?;
        // Last, so that a file system which was not finished is none.
        device.write(0, geometry.encode_fat16(hidden, serial, label).into()).await?;
        device.flush().await?;
        Ok(Volume { device, geometry, table, stale: false, count_forgotten: false })
    }

    /// Where things stand.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Bytes that new files can take.
    pub fn free_bytes(&self) -> u64 {
        u64::from(self.table.free_clusters()) * u64::from(self.geometry.cluster_len())
    }

    /// The files and directories in a directory. Names are separated by `/`; the empty path is the root.
    pub async fn list(&self, path: &str) -> Result<Vec<DirectoryEntry>, FatError> {
        Ok(directory::parse(&self.directory(path).await?.bytes))
    }

    /// What is said of a file or directory.
    pub async fn entry(&self, path: &str) -> Result<DirectoryEntry, FatError> {
        let (parent, name) = split(path);
        find(&self.directory(parent).await?, name).ok_or_else(|| FatError::NotFound(path.to_string()))
    }

    /// The content of a file, which must not have more than `len_max` bytes.
    pub async fn read(&self, path: &str, len_max: u64) -> Result<Vec<u8>, FatError> {
        let entry = self.entry(path).await?;
        if entry.is_directory {
            return Err(FatError::WrongKind(path.to_string()));
        }
        if u64::from(entry.len) > len_max {
            return Err(FatError::TooLarge { name: path.to_string(), len: entry.len.into(), max: len_max });
        }
        let mut chain = self.chain(path, entry.cluster)?;
        let needed = entry.len.div_ceil(self.geometry.cluster_len()) as usize;
        if chain.len() < needed {
            return Err(FatError::ShortChain(path.to_string()));
        }
        chain.truncate(needed);
        let mut content = self.read_chain(&chain).await?;
        content.truncate(entry.len as usize);
        Ok(content)
    }

    /// Makes `content` the content of a file, which is created if need be. See the module for what a power cut leaves.
    ///
    /// # Errors
    /// After an error before the switch the file is as it was. After one during the switch it has its old or its new
    /// content.
    pub async fn replace(&mut self, path: &str, content: &[u8], now: Timestamp) -> Result<(), FatError> {
        let (parent, name) = split(path);
        name::check(name)?;
        let max = u64::from(u32::MAX);
        let len = u32::try_from(content.len());
        let len =
            len.map_err(|_| FatError::TooLarge { name: path.to_string(), len: content.len() as u64, max })?;
        self.refresh().await?;
        let mut directory = self.directory(parent).await?;
        let old = find(&directory, name);
        if old.as_ref().is_some_and(|old| old.is_directory) {
            return Err(FatError::WrongKind(path.to_string()));
        }
        // Before anything is allocated: what a damaged file has lost may be given to its successor.
        let old_chain = match &old {
            Some(old) => self.chain_to_free(path, old.cluster, &directory)?,
            None => Vec::new(),
        };
        let chain = self.table.allocate(len.div_ceil(self.geometry.cluster_len()))?;
        // From here to the end, an error leaves the table in memory unlike the one on the disk.
        self.stale = true;
        self.write_chain(&chain, content).await?;
        self.device.flush().await?;
        self.write_table().await?;
        let state = FileState {
            len,
            cluster: chain.first().copied().unwrap_or(0),
            written: now,
            is_directory: false,
        };
        match &old {
            Some(old) => {
                let slot = old.slots.end - 1;
                directory::switch(&mut directory.bytes[slot * ENTRY_LEN..(slot + 1) * ENTRY_LEN], &state);
                self.write_entries(&directory, slot, 1).await?;
            }
            None => self.add_entries(&mut directory, name, &state).await?,
        }
        if !old_chain.is_empty() {
            self.table.free(&old_chain);
            self.write_table().await?;
        }
        self.stale = false;
        Ok(())
    }

    /// Removes a file or an empty directory. A power cut leaves it or not.
    pub async fn remove(&mut self, path: &str) -> Result<(), FatError> {
        let (parent, name) = split(path);
        self.refresh().await?;
        let mut directory = self.directory(parent).await?;
        let old = find(&directory, name).ok_or_else(|| FatError::NotFound(path.to_string()))?;
        if old.is_directory && !directory::parse(&self.directory(path).await?.bytes).is_empty() {
            return Err(FatError::NotEmpty(path.to_string()));
        }
        let chain = self.chain_to_free(path, old.cluster, &directory)?;
        self.stale = true;
        // The short entry last: while it stands, the file is there.
        directory::delete(&mut directory.bytes[old.slots.start * ENTRY_LEN..old.slots.end * ENTRY_LEN]);
        self.write_entries(&directory, old.slots.start, old.slots.len()).await?;
        self.table.free(&chain);
        self.write_table().await?;
        self.stale = false;
        Ok(())
    }

    /// Reads the table again if a write has failed.
    pub(super) async fn refresh(&mut self) -> Result<(), FatError> {
        if self.stale {
            let bytes =
                read_run(&self.device, self.geometry.table_at(0), self.geometry.table_sectors).await?;
            self.table = FatTable::new(self.geometry, bytes);
            self.stale = false;
        }
        Ok(())
    }

    pub(super) fn chain(&self, name: &str, first: u32) -> Result<Vec<u32>, FatError> {
        self.table.chain(first).map_err(|problem| FatError::Damaged { name: name.to_string(), problem })
    }

    /// A chain that is to be freed, and must not be part of the path that leads to it.
    fn chain_to_free(&self, name: &str, first: u32, directory: &Directory) -> Result<Vec<u32>, FatError> {
        let chain = self.chain(name, first)?;
        match chain.iter().find(|cluster| directory.clusters.contains(cluster)) {
            Some(shared) => Err(FatError::CrossLinked(*shared)),
            None => Ok(chain),
        }
    }

    pub(super) async fn directory(&self, path: &str) -> Result<Directory, FatError> {
        let mut directory = self.directory_at("/", self.geometry.root_cluster).await?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let entry = find(&directory, name).ok_or_else(|| FatError::NotFound(path.to_string()))?;
            if !entry.is_directory {
                return Err(FatError::WrongKind(path.to_string()));
            }
            let above = directory.clusters;
            directory = self.directory_at(path, entry.cluster).await?;
            directory.clusters.extend(above);
        }
        Ok(directory)
    }

    /// The directory that begins with this cluster; with 0, the root of a FAT16.
    async fn directory_at(&self, name: &str, cluster: u32) -> Result<Directory, FatError> {
        let geometry = &self.geometry;
        if cluster == 0 {
            let sectors = geometry.root_at()..geometry.root_at() + u64::from(geometry.root_sectors());
            let bytes = read_run(&self.device, geometry.root_at(), geometry.root_sectors()).await?;
            let (sectors, clusters) = (sectors.collect(), Vec::new());
            return Ok(Directory { bytes, sectors, cluster: 0, last_cluster: None, clusters });
        }
        let chain = self.chain(name, cluster)?;
        let len = chain.len() as u64 * u64::from(geometry.cluster_len());
        if len > DIRECTORY_LEN_MAX as u64 {
            return Err(FatError::TooLarge { name: name.to_string(), len, max: DIRECTORY_LEN_MAX as u64 });
        }
        let sectors = chain.iter().flat_map(|cluster| {
            let first = geometry.cluster_at(*cluster);
            first..first + u64::from(geometry.cluster_sectors)
        });
        let sectors = sectors.collect();
        let bytes = self.read_chain(&chain).await?;
        let above = if cluster == geometry.root_cluster { 0 } else { cluster };
        let last_cluster = chain.last().copied();
        Ok(Directory { bytes, sectors, cluster: above, last_cluster, clusters: chain })
    }

    async fn read_chain(&self, chain: &[u32]) -> Result<Vec<u8>, FatError> {
        let mut content = Vec::with_capacity(chain.len() * self.geometry.cluster_len() as usize);
        for run in runs(chain) {
            let sectors = run.len() as u32 * self.geometry.cluster_sectors;
            read_into(&mut content, &self.device, self.geometry.cluster_at(run[0]), sectors).await?;
        }
        Ok(content)
    }

    pub(super) async fn write_chain(&self, chain: &[u32], content: &[u8]) -> Result<(), FatError> {
        let cluster_len = self.geometry.cluster_len() as usize;
        let mut rest = content;
        for run in runs(chain) {
            let (now, later) = rest.split_at(rest.len().min(run.len() * cluster_len));
            let mut data = now.to_vec();
            data.resize(run.len() * cluster_len, 0);
            write_run(&self.device, self.geometry.cluster_at(run[0]), data.into()).await?;
            rest = later;
        }
        Ok(())
    }

    /// Writes what has changed in the table, every copy of it, and flushes.
    pub(super) async fn write_table(&mut self) -> Result<(), FatError> {
        self.forget_free_count().await?;
        let sector_size = self.geometry.sector_size as usize;
        let dirty = self.table.take_dirty();
        for copy in 0..self.geometry.tables {
            for run in &dirty {
                let bytes =
                    &self.table.bytes()[run.start as usize * sector_size..run.end as usize * sector_size];
                let first = self.geometry.table_at(copy) + u64::from(run.start);
                write_run(&self.device, first, Bytes::copy_from_slice(bytes)).await?;
            }
        }
        Ok(self.device.flush().await?)
    }

    /// Writes the sectors that hold these entries, in order, and flushes.
    pub(super) async fn write_entries(
        &self,
        directory: &Directory,
        first: usize,
        count: usize,
    ) -> Result<(), FatError> {
        let sector_size = self.geometry.sector_size as usize;
        let sectors = first * ENTRY_LEN / sector_size..((first + count) * ENTRY_LEN).div_ceil(sector_size);
        for sector in sectors {
            let bytes = &directory.bytes[sector * sector_size..(sector + 1) * sector_size];
            let at = directory.sectors[sector];
            self.device.write(at, Bytes::copy_from_slice(bytes)).await?;
            // Entries that reach into the next sector name nothing without their last one, so the order matters.
            self.device.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn add_entries(
        &mut self,
        directory: &mut Directory,
        name: &str,
        state: &FileState,
    ) -> Result<(), FatError> {
        let shorts: Vec<Short> = directory::parse(&directory.bytes).iter().map(|entry| entry.short).collect();
        let entries = directory::encode(name, state, |short| shorts.contains(short)).ok_or(Full)?;
        let count = entries.len() / ENTRY_LEN;
        let sector_size = self.geometry.sector_size as usize;
        let mut room = directory::find_room(&directory.bytes, count, sector_size);
        while room.is_none() {
            self.grow(directory).await?;
            room = directory::find_room(&directory.bytes, count, sector_size);
        }
        let first = room.unwrap_or(0);
        directory.bytes[first * ENTRY_LEN..][..entries.len()].copy_from_slice(&entries);
        self.write_entries(directory, first, count).await
    }

    /// Gives a directory one cluster more.
    async fn grow(&mut self, directory: &mut Directory) -> Result<(), FatError> {
        let last =
            directory.last_cluster.filter(|_| directory.bytes.len() < DIRECTORY_LEN_MAX).ok_or(Full)?;
        let added = self.table.allocate(1)?;
        let [cluster] = added[..] else { return Err(Full.into()) };
        self.write_chain(&added, &[]).await?;
        self.device.flush().await?;
        self.table.append(last, cluster);
        self.write_table().await?;
        let first = self.geometry.cluster_at(cluster);
        directory.sectors.extend(first..first + u64::from(self.geometry.cluster_sectors));
        directory.bytes.resize(directory.bytes.len() + self.geometry.cluster_len() as usize, 0);
        directory.last_cluster = Some(cluster);
        Ok(())
    }
}

/// The path of the directory and the name in it.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.trim_matches('/').rsplit_once('/').unwrap_or(("", path.trim_matches('/')))
}

/// FAT does not tell capitals from small letters.
pub(super) fn find(directory: &Directory, name: &str) -> Option<DirectoryEntry> {
    let same = |other: &str| other.to_lowercase() == name.to_lowercase();
    directory::parse(&directory.bytes)
        .into_iter()
        .find(|entry| same(&entry.name) || same(&name::show_short(&entry.short, 0)))
}

/// The stretches of a chain that stand in one piece.
fn runs(chain: &[u32]) -> impl Iterator<Item = &[u32]> {
    chain.chunk_by(|one, next| one + 1 == *next)
}

pub(super) async fn read_run<D: BlockDevice>(
    device: &D,
    first: u64,
    sectors: u32,
) -> Result<Vec<u8>, DeviceError> {
    let mut bytes = Vec::with_capacity(sectors as usize * device.sector_size() as usize);
    read_into(&mut bytes, device, first, sectors).await?;
    Ok(bytes)
}

async fn read_into<D: BlockDevice>(
    bytes: &mut Vec<u8>,
    device: &D,
    first: u64,
    sectors: u32,
) -> Result<(), DeviceError> {
    let mut done = 0;
    while done < sectors {
        let count = (sectors - done).min(REQUEST_SECTORS_MAX);
        bytes.extend_from_slice(&device.read(first + u64::from(done), count).await?);
        done += count;
    }
    Ok(())
}

async fn write_run<D: BlockDevice>(device: &D, first: u64, mut data: Bytes) -> Result<(), DeviceError> {
    let request = REQUEST_SECTORS_MAX as usize * device.sector_size() as usize;
    let mut at = first;
    while !data.is_empty() {
        device.write(at, data.split_to(data.len().min(request))).await?;
        at += u64::from(REQUEST_SECTORS_MAX);
    }
    Ok(())
}

#[cfg(test)]
#[path = "volume_tests.rs"]
pub(super) mod tests;
