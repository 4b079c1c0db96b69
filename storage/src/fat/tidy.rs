//! After a power cut: what it may leave in a file system, put in order.
//!
//! Knows which clusters belong to files, and that all copies of the table must be alike. Must not know how files are
//! written.

use super::volume::{FatError, Volume, read_run};
use crate::device::BlockDevice;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Directories below directories that are followed.
const DEPTH_MAX: u32 = 32;

impl<D: BlockDevice> Volume<D> {
    /// Gives back clusters that belong to no file: what a power cut during [`Volume::replace`] may leave. Returns how
    /// many.
    ///
    /// # Errors
    /// If any file or directory is damaged: then nothing is changed, since what seems lost may belong to it.
    pub async fn reclaim(&mut self) -> Result<u32, FatError> {
        self.refresh().await?;
        let mut owned = alloc::vec![false; self.geometry.clusters as usize + 2];
        let mut own = |chain: Vec<u32>| {
            chain.iter().try_for_each(|cluster| match owned.get_mut(*cluster as usize) {
                Some(mark) if !*mark => {
                    *mark = true;
                    Ok(())
                }
                _ => Err(FatError::CrossLinked(*cluster)),
            })
        };
        own(self.chain("/", self.geometry.root_cluster)?)?;
        let mut waiting = alloc::vec![(String::new(), 0)];
        while let Some((path, depth)) = waiting.pop() {
            for entry in self.list(&path).await? {
                let path = alloc::format!("{path}/{}", entry.name);
                own(self.chain(&path, entry.cluster)?)?;
                if entry.is_directory && depth < DEPTH_MAX {
                    waiting.push((path, depth + 1));
                } else if entry.is_directory {
                    return Err(FatError::TooDeep(path));
                }
            }
        }
        let lost: Vec<u32> = (2..self.geometry.clusters + 2)
            .filter(|cluster| !owned[*cluster as usize] && self.table.is_in_use(*cluster))
            .collect();
        self.stale = true;
        self.table.free(&lost);
        self.write_table().await?;
        self.stale = false;
        Ok(lost.len() as u32)
    }

    /// Makes all copies of the table like the first one, which is what we read. A power cut between the writes of two
    /// copies leaves them unlike. Returns how many sectors differed.
    pub async fn mirror(&mut self) -> Result<u32, FatError> {
        self.refresh().await?;
        let size = self.geometry.sector_size as usize;
        let mut differed = 0;
        for copy in 1..self.geometry.tables {
            let first = self.geometry.table_at(copy);
            let there = read_run(&self.device, first, self.geometry.table_sectors).await?;
            let pairs = self.table.bytes().chunks(size).zip(there.chunks(size)).enumerate();
            let unlike: Vec<(u64, Bytes)> = pairs
                .filter(|(_, (ours, theirs))| ours != theirs)
                .map(|(sector, (ours, _))| (first + sector as u64, Bytes::copy_from_slice(ours)))
                .collect();
            differed += unlike.len() as u32;
            for (at, sector) in unlike {
                self.device.write(at, sector).await?;
            }
        }
        if differed > 0 {
            self.device.flush().await?;
        }
        Ok(differed)
    }
}
