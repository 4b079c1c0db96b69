//! One mounted file system for all its users: they take turns, and one that is damaged is only read.
//!
//! Knows who may write, and when. Must not know how a volume is written.

use super::directory::DirectoryEntry;
use super::volume::{FatError, Volume};
use crate::Timestamp;
use crate::device::BlockDevice;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use async_lock::Mutex;
use event_listener::Event;

/// A 9fat that several tasks use. A call that was begun must be polled to its end: given up half way, it may still reach
/// the disk after the next one.
#[derive(Debug)]
pub struct NineFat<D> {
    volume: Mutex<Volume<D>>,
    read_only: Option<String>,
    total_bytes: u64,
    changed: Event,
}

impl<D: BlockDevice> NineFat<D> {
    /// Mounts what stands on `device`. What a power cut left behind is put in order: clusters that belong to no file are
    /// given back, and all copies of the table are made alike. A file system that is damaged in any other way, or that is
    /// not `writable`, is only read from then on.
    ///
    /// # Errors
    /// If there is no FAT16 or FAT32.
    pub async fn open(device: D, writable: bool) -> Result<NineFat<D>, FatError> {
        let mut volume = Volume::open(device).await?;
        let mut read_only = (!writable).then(|| "it was opened for reading".to_string());
        if writable {
            match tidy(&mut volume).await {
                Ok((0, 0)) => {}
                Ok((clusters, sectors)) => log::info!(
                    "9fat: after a power cut {clusters} clusters are free again, {sectors} sectors of the table mirrored"
                ),
                Err(error) => read_only = Some(error.to_string()),
            }
        }
        let geometry = volume.geometry();
        let total_bytes = u64::from(geometry.clusters) * u64::from(geometry.cluster_len());
        Ok(NineFat { volume: Mutex::new(volume), read_only, total_bytes, changed: Event::new() })
    }

    /// Why nothing can be written, if so.
    pub fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// Bytes that files can take together.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes that new files can take.
    pub async fn free_bytes(&self) -> u64 {
        self.volume.lock().await.free_bytes()
    }

    /// As [`Volume::list`].
    pub async fn list(&self, path: &str) -> Result<Vec<DirectoryEntry>, FatError> {
        self.volume.lock().await.list(path).await
    }

    /// As [`Volume::entry`].
    pub async fn entry(&self, path: &str) -> Result<DirectoryEntry, FatError> {
        self.volume.lock().await.entry(path).await
    }

    /// As [`Volume::read`].
    pub async fn read(&self, path: &str, len_max: u64) -> Result<Vec<u8>, FatError> {
        self.volume.lock().await.read(path, len_max).await
    }

    /// The content of a file that need not be there.
    pub async fn read_if_there(&self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, FatError> {
        match self.read(path, len_max).await {
            Err(FatError::NotFound(_)) => Ok(None),
            result => result.map(Some),
        }
    }

    /// As [`Volume::replace`].
    pub async fn replace(&self, path: &str, content: &[u8], now: Timestamp) -> Result<(), FatError> {
        self.check_writable()?;
        self.volume.lock().await.replace(path, content, now).await?;
        self.tell();
        Ok(())
    }

    /// As [`Volume::rewrite`]. `write` is told how large a sector is.
    pub async fn rewrite(
        &self,
        path: &str,
        write: impl FnOnce(u32) -> (u32, Vec<u8>),
    ) -> Result<(), FatError> {
        self.check_writable()?;
        let mut volume = self.volume.lock().await;
        let (at, sectors) = write(volume.geometry().sector_size);
        volume.rewrite(path, at, &sectors).await
    }

    /// As [`Volume::replace`], if the file still has the content that the caller knows. `false`: it has another.
    pub async fn replace_unchanged(
        &self,
        path: &str,
        known: &[u8],
        content: &[u8],
        now: Timestamp,
    ) -> Result<bool, FatError> {
        self.check_writable()?;
        let mut volume = self.volume.lock().await;
        match volume.read(path, known.len() as u64).await {
            Ok(there) if there == known => {}
            Ok(_) | Err(FatError::TooLarge { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        volume.replace(path, content, now).await?;
        self.tell();
        Ok(true)
    }

    /// Returns once something has changed after the call.
    pub fn changed(&self) -> impl Future<Output = ()> + use<D> {
        self.changed.listen()
    }

    fn tell(&self) {
        self.changed.notify(usize::MAX);
    }

    /// As [`Volume::remove`].
    pub async fn remove(&self, path: &str) -> Result<(), FatError> {
        self.check_writable()?;
        self.volume.lock().await.remove(path).await?;
        self.tell();
        Ok(())
    }

    /// As [`Volume::make_directory`].
    pub async fn make_directory(&self, path: &str, now: Timestamp) -> Result<(), FatError> {
        self.check_writable()?;
        self.volume.lock().await.make_directory(path, now).await
    }

    /// As [`Volume::rename`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), FatError> {
        self.check_writable()?;
        self.volume.lock().await.rename(from, to).await?;
        self.tell();
        Ok(())
    }

    fn check_writable(&self) -> Result<(), FatError> {
        match &self.read_only {
            Some(reason) => Err(FatError::ReadOnly(reason.clone())),
            None => Ok(()),
        }
    }
}

/// Puts in order what a power cut left behind; returns clusters given back, and sectors of the table that differed.
async fn tidy<D: BlockDevice>(volume: &mut Volume<D>) -> Result<(u32, u32), FatError> {
    let clusters = volume.reclaim().await?;
    Ok((clusters, volume.mirror().await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ram::RamDisk;
    use crate::simulation::block_on;
    use alloc::rc::Rc;
    use std::vec;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn made() -> Rc<RamDisk> {
        let disk = Rc::new(RamDisk::new(512, 9000));
        block_on(Volume::format(disk.clone(), b"9FAT       ", 0, 7, NOW)).unwrap();
        disk
    }

    #[test]
    fn what_one_user_writes_all_others_read() {
        block_on(async {
            let fat = NineFat::open(made(), true).await.unwrap();
            assert_eq!(fat.read_if_there("scorenames", 99).await, Ok(None));
            fat.replace("scorenames", b"a=1\n", NOW).await.unwrap();
            assert_eq!(fat.read_if_there("scorenames", 99).await, Ok(Some(b"a=1\n".to_vec())));
            assert_eq!(fat.entry("scorenames").await.unwrap().written, NOW);
            assert!(fat.free_bytes().await < fat.total_bytes());
            fat.remove("scorenames").await.unwrap();
            assert_eq!(fat.list("").await, Ok(vec![]));
        });
    }

    #[test]
    fn a_damaged_file_system_is_read_and_never_written() {
        block_on(async {
            let disk = made();
            let fat = NineFat::open(disk.clone(), true).await.unwrap();
            fat.replace("good", &[1; 2000], NOW).await.unwrap();
            fat.replace("bad", &[2; 2000], NOW).await.unwrap();
            // The second file's chain: both copies say that its second cluster is free.
            let mut volume = Volume::open(disk.clone()).await.unwrap();
            let geometry = *volume.geometry();
            let cluster = volume.entry("bad").await.unwrap().cluster;
            for copy in 0..geometry.tables {
                let at = geometry.table_at(copy) * 512 + (u64::from(cluster) + 1) * 2;
                disk.put(at, &[0, 0]);
            }
            volume = Volume::open(disk.clone()).await.unwrap();
            assert!(volume.reclaim().await.is_err());
            let before = disk.image().to_vec();
            let fat = NineFat::open(disk.clone(), true).await.unwrap();
            assert!(fat.read_only().unwrap().contains("damaged"), "{:?}", fat.read_only());
            assert_eq!(fat.read("good", 9999).await.unwrap(), [1; 2000]);
            assert!(matches!(fat.replace("new", b"x", NOW).await, Err(FatError::ReadOnly(_))));
            assert!(matches!(fat.remove("good").await, Err(FatError::ReadOnly(_))));
            assert!(disk.image().to_vec() == before);
        });
    }
}
