//! Changes other than a file's content: longer, elsewhere, a new directory. Each is one step on the disk, as
//! [`Volume::replace`] is, and a power cut leaves what was or what shall be.
//!
//! Knows which single write makes a change. Must not know who asks for it.

use super::boot_sector::Kind;
use super::directory::{self, DirectoryEntry, ENTRY_LEN, FileState};
use super::name::{self, Short};
use super::table::Full;
use super::tidy::DEPTH_MAX;
use super::volume::{Directory, FatError, Volume, find, split};
use crate::Timestamp;
use crate::device::BlockDevice;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

/// A FAT32's information sector: its marks, and where the count of free clusters stands ("FAT: General Overview").
const INFO_MARKS: [(usize, [u8; 4]); 2] = [(0, *b"RRaA"), (484, *b"rrAa")];
const FREE_COUNT_AT: usize = 488;
const COUNT_UNKNOWN: [u8; 4] = [0xff; 4];

/// Bytes of the largest file that goes elsewhere as a copy: it is held in memory meanwhile.
const COPIED_MAX: u64 = 32 << 20;

impl<D: BlockDevice> Volume<D> {
    /// Adds bytes to the end of a file, which is created if need be. It is written anew as a whole, so that it has all of
    /// them or none.
    ///
    /// # Errors
    /// [`FatError::TooLarge`] if there would be more than `len_max` bytes. After any error the file is as it was, or is
    /// as it shall be.
    pub async fn append(
        &mut self,
        path: &str,
        data: &[u8],
        len_max: u64,
        now: Timestamp,
    ) -> Result<(), FatError> {
        let mut content = match self.read(path, len_max).await {
            Err(FatError::NotFound(_)) => Vec::new(),
            content => content?,
        };
        let len = content.len() as u64 + data.len() as u64;
        if len > len_max {
            return Err(FatError::TooLarge { name: path.to_string(), len, max: len_max });
        }
        content.extend_from_slice(data);
        self.replace(path, &content, now).await
    }

    /// Writes whole sectors of a file, from byte `at` on, where they are: neither table nor directory change. A power cut
    /// leaves each of the sectors old or new. Durable when this returns.
    ///
    /// # Errors
    /// [`FatError::NotInPlace`] if they are no sectors of the file.
    pub async fn rewrite(&mut self, path: &str, at: u32, sectors: &[u8]) -> Result<(), FatError> {
        self.refresh().await?;
        let entry = self.entry(path).await?;
        let sector_size = self.geometry.sector_size;
        let not_there = || FatError::NotInPlace(path.to_string());
        let len = u32::try_from(sectors.len()).map_err(|_| not_there())?;
        let is_whole = at.is_multiple_of(sector_size) && len.is_multiple_of(sector_size);
        if entry.is_directory || !is_whole || at.checked_add(len).is_none_or(|end| end > entry.len) {
            return Err(not_there());
        }
        let chain = self.chain(path, entry.cluster)?;
        for (sector, bytes) in (at / sector_size..).zip(sectors.chunks(sector_size as usize)) {
            let index = (sector / self.geometry.cluster_sectors) as usize;
            let cluster = *chain.get(index).ok_or_else(|| FatError::ShortChain(path.to_string()))?;
            let place = self.geometry.cluster_at(cluster) + u64::from(sector % self.geometry.cluster_sectors);
            self.device.write(place, Bytes::copy_from_slice(bytes)).await?;
        }
        Ok(self.device.flush().await?)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`FatError::Exists`] if there is anything of that name.
    pub async fn make_directory(&mut self, path: &str, now: Timestamp) -> Result<(), FatError> {
        let (parent, name) = split(path);
        name::check(name)?;
        if parent.split('/').filter(|name| !name.is_empty()).count() >= DEPTH_MAX as usize {
            return Err(FatError::TooDeep(path.to_string()));
        }
        self.refresh().await?;
        let mut above = self.directory(parent).await?;
        if find(&above, name).is_some() {
            return Err(FatError::Exists(path.to_string()));
        }
        let chain = self.table.allocate(1)?;
        let cluster = *chain.first().ok_or(Full)?;
        self.stale = true;
        self.write_chain(&chain, &directory::encode_dots(cluster, above.cluster, now)).await?;
        self.device.flush().await?;
        self.write_table().await?;
        let state = FileState { len: 0, cluster, written: now, is_directory: true };
        self.add_entries(&mut above, name, &state).await?;
        self.stale = false;
        Ok(())
    }

    /// Gives a file or directory another name, perhaps in another directory.
    ///
    /// Where the new entries have room in the sector of the old ones, one write does it. A file goes elsewhere as a copy
    /// that is whole before the old one is removed: a power cut may leave both.
    ///
    /// # Errors
    /// [`FatError::Exists`] if there is a file of that name; where the new entries have no room in the sector of the old
    /// ones, [`FatError::NotInOneStep`] for a directory, and [`FatError::TooLarge`] for a file of more than 32 MiB.
    pub async fn rename(&mut self, from: &str, to: &str) -> Result<(), FatError> {
        let ((from_parent, from_name), (to_parent, to_name)) = (split(from), split(to));
        name::check(to_name)?;
        self.refresh().await?;
        let mut source = self.directory(from_parent).await?;
        let old = find(&source, from_name).ok_or_else(|| FatError::NotFound(from.to_string()))?;
        let target = self.directory(to_parent).await?;
        let same_directory = source.cluster == target.cluster;
        let is_itself = |there: &DirectoryEntry| same_directory && there.slots == old.slots;
        if find(&target, to_name).is_some_and(|there| !is_itself(&there)) {
            return Err(FatError::Exists(to.to_string()));
        }
        if same_directory && let Some(sector) = self.renamed(&mut source, &old, to_name)? {
            self.device.write(source.sectors[sector], self.sector_of(&source, sector)).await?;
            return Ok(self.device.flush().await?);
        }
        if old.is_directory || find(&target, to_name).is_some() {
            return Err(FatError::NotInOneStep(from.to_string()));
        }
        let content = self.read(from, COPIED_MAX).await?;
        self.replace(to, &content, old.written).await?;
        self.remove(from).await
    }

    /// Renames in memory, if one sector has the old entries and room for the new ones; returns which.
    fn renamed(
        &self,
        directory: &mut Directory,
        old: &DirectoryEntry,
        name: &str,
    ) -> Result<Option<usize>, FatError> {
        let size = self.geometry.sector_size as usize;
        let sector = old.slots.start * ENTRY_LEN / size;
        if (old.slots.end * ENTRY_LEN - 1) / size != sector {
            return Ok(None);
        }
        let others = directory::parse(&directory.bytes).into_iter().filter(|entry| entry.slots != old.slots);
        let shorts: Vec<Short> = others.map(|entry| entry.short).collect();
        let short_at = (old.slots.end - 1) * ENTRY_LEN;
        let entry = &directory.bytes[short_at..short_at + ENTRY_LEN];
        let entries = directory::encode_renamed(entry, name, |short| shorts.contains(short)).ok_or(Full)?;
        let mut bytes = directory.bytes[sector * size..(sector + 1) * size].to_vec();
        let first = old.slots.start * ENTRY_LEN - sector * size;
        directory::delete(&mut bytes[first..first + old.slots.len() * ENTRY_LEN]);
        let Some(room) = directory::find_room(&bytes, entries.len() / ENTRY_LEN, size) else {
            return Ok(None);
        };
        bytes[room * ENTRY_LEN..][..entries.len()].copy_from_slice(&entries);
        directory.bytes[sector * size..(sector + 1) * size].copy_from_slice(&bytes);
        Ok(Some(sector))
    }

    fn sector_of(&self, directory: &Directory, sector: usize) -> Bytes {
        let size = self.geometry.sector_size as usize;
        Bytes::copy_from_slice(&directory.bytes[sector * size..(sector + 1) * size])
    }

    /// Before the table of a FAT32 changes: the count of free clusters beside it is made to say "unknown", which every
    /// reader takes for a reason to count. So there are never two truths.
    pub(super) async fn forget_free_count(&mut self) -> Result<(), FatError> {
        let at = u64::from(self.geometry.info_sector);
        if self.count_forgotten || self.geometry.kind != Kind::Fat32 || at == 0 {
            return Ok(());
        }
        let mut sector = self.device.read(at, 1).await?.to_vec();
        let count = FREE_COUNT_AT..FREE_COUNT_AT + COUNT_UNKNOWN.len();
        let is_info = INFO_MARKS.iter().all(|(at, mark)| sector[*at..].starts_with(mark));
        if is_info && sector[count.clone()] != COUNT_UNKNOWN {
            sector[count].copy_from_slice(&COUNT_UNKNOWN);
            self.device.write(at, sector.into()).await?;
            self.device.flush().await?;
        }
        self.count_forgotten = true;
        Ok(())
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
