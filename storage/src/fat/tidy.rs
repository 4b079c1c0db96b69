//! What belongs to which file, what is wrong with it, and what a power cut may leave, put in order.
//!
//! Knows which clusters belong to files, and that all copies of the table must be alike. Must not know how files are
//! written.

use super::volume::{FatError, Volume, read_run};
use crate::device::BlockDevice;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Directories below directories that are followed.
pub(super) const DEPTH_MAX: u32 = 32;

/// What [`Volume::survey`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FatSurvey {
    /// Files, not directories.
    pub files: u64,
    /// Directories, without the root.
    pub directories: u64,
    /// What is wrong, so that it is not written to; each with the file that it concerns.
    pub faults: Vec<FatError>,
    /// Clusters in chains that belong to no file: what a power cut leaves. Writing takes them back.
    pub lost: Vec<u32>,
    /// Sectors in which a copy of the table is unlike the first one: what a power cut leaves, too.
    pub unlike_sectors: u32,
}

impl FatSurvey {
    /// Nothing is wrong, and nothing is left over.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.lost.is_empty() && self.unlike_sectors == 0
    }
}

impl<D: BlockDevice> Volume<D> {
    /// Follows every chain. Reads only.
    ///
    /// # Errors
    /// If the device fails.
    pub async fn survey(&self) -> Result<FatSurvey, FatError> {
        let mut found = FatSurvey::default();
        let mut owned = alloc::vec![false; self.geometry.clusters as usize + 2];
        let mut own = |name: &str, first: u32| {
            let chain = self.chain(name, first)?;
            for cluster in &chain {
                match owned.get_mut(*cluster as usize) {
                    Some(mark) if !*mark => *mark = true,
                    _ => return Err(FatError::CrossLinked(*cluster)),
                }
            }
            Ok(chain.len() as u64)
        };
        found.faults.extend(own("/", self.geometry.root_cluster).err());
        let mut waiting = alloc::vec![(String::new(), 0)];
        while let Some((path, depth)) = waiting.pop() {
            let entries = match self.list(&path).await {
                Err(FatError::Device(error)) => return Err(error.into()),
                Err(error) => {
                    found.faults.push(error);
                    continue;
                }
                Ok(entries) => entries,
            };
            for entry in entries {
                let path = alloc::format!("{path}/{}", entry.name);
                let room = match own(&path, entry.cluster) {
                    Ok(clusters) => clusters * u64::from(self.geometry.cluster_len()),
                    Err(error) => {
                        found.faults.push(error);
                        continue;
                    }
                };
                match entry.is_directory {
                    true if depth == DEPTH_MAX => found.faults.push(FatError::TooDeep(path)),
                    true if room == 0 => found.faults.push(FatError::ShortChain(path)),
                    true => {
                        found.directories += 1;
                        waiting.push((path, depth + 1));
                    }
                    false => {
                        found.files += 1;
                        if room < u64::from(entry.len) {
                            found.faults.push(FatError::ShortChain(path));
                        }
                    }
                }
            }
        }
        let all = 2..self.geometry.clusters + 2;
        found.lost =
            all.filter(|cluster| !owned[*cluster as usize] && self.table.is_in_use(*cluster)).collect();
        found.unlike_sectors = self.unlike().await?.len() as u32;
        Ok(found)
    }

    /// Gives back clusters that belong to no file: what a power cut during [`Volume::replace`] may leave. Returns how
    /// many.
    ///
    /// # Errors
    /// If any file or directory is damaged: then nothing is changed, since what seems lost may belong to it.
    pub async fn reclaim(&mut self) -> Result<u32, FatError> {
        self.refresh().await?;
        let found = self.survey().await?;
        if let Some(fault) = found.faults.into_iter().next() {
            return Err(fault);
        }
        self.stale = true;
        self.table.free(&found.lost);
        self.write_table().await?;
        self.stale = false;
        Ok(found.lost.len() as u32)
    }

    /// Makes all copies of the table like the first one, which is what we read. A power cut between the writes of two
    /// copies leaves them unlike. Returns how many sectors differed.
    pub async fn mirror(&mut self) -> Result<u32, FatError> {
        self.refresh().await?;
        let unlike = self.unlike().await?;
        let differed = unlike.len() as u32;
        for (at, sector) in unlike {
            self.device.write(at, sector).await?;
        }
        if differed > 0 {
            self.device.flush().await?;
        }
        Ok(differed)
    }

    /// Sectors of the other copies of the table that are unlike the first one's: where they stand, and what belongs
    /// there.
    async fn unlike(&self) -> Result<Vec<(u64, Bytes)>, FatError> {
        let size = self.geometry.sector_size as usize;
        let mut unlike = Vec::new();
        for copy in 1..self.geometry.tables {
            let first = self.geometry.table_at(copy);
            let there = read_run(&self.device, first, self.geometry.table_sectors).await?;
            let pairs = self.table.bytes().chunks(size).zip(there.chunks(size)).enumerate();
            let differ = pairs.filter(|(_, (ours, theirs))| ours != theirs);
            unlike.extend(
                differ.map(|(sector, (ours, _))| (first + sector as u64, Bytes::copy_from_slice(ours))),
            );
        }
        Ok(unlike)
    }
}
