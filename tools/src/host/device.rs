//! A file or disk of the host as a [`BlockDevice`]. Requests run on threads of their own, so nothing waits
//! for a disk.

use bytes::Bytes;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::device::{BlockDevice, DeviceError};

/// Bytes in a sector of any file here.
const SECTOR_SIZE: u32 = 512;

/// An open disk. Clones share the file and its lock, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct FileDevice {
    file: Arc<File>,
    sectors: u64,
    failed_flushes: Arc<AtomicU64>,
}

/// What a device is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading; others may read it, too.
    Read,
    /// Reading and writing, alone.
    Write,
}

/// Why a disk could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The host refuses.
    #[error("cannot open {}: {error}", .path.display())]
    Host {
        /// The file.
        path: PathBuf,
        /// What the host says.
        error: io::Error,
    },
    /// Another server or tool has it.
    #[error("{} is in use: another `granary` has it open; stop that one first", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl FileDevice {
    /// Opens a file or disk. For writing it must be free, for reading nobody may be writing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, access: Access) -> Result<FileDevice, OpenError> {
        let host = |error| OpenError::Host { path: path.to_owned(), error };
        let writing = access == Access::Write;
        let mut file = OpenOptions::new().read(true).write(writing).open(path).map_err(host)?;
        let locked = if writing { file.try_lock() } else { file.try_lock_shared() };
        locked.map_err(|refusal| match refusal {
            TryLockError::WouldBlock => OpenError::InUse { path: path.to_owned() },
            TryLockError::Error(error) => host(error),
        })?;
        // A disk's metadata knows no size; its end does.
        let bytes = file.seek(SeekFrom::End(0)).map_err(host)?;
        let sectors = bytes / u64::from(SECTOR_SIZE);
        Ok(FileDevice { file: Arc::new(file), sectors, failed_flushes: Arc::default() })
    }

    fn place(&self, first: u64, count: u64) -> Result<u64, DeviceError> {
        let inside = first.checked_add(count).is_some_and(|end| end <= self.sectors);
        if inside {
            Ok(first * u64::from(SECTOR_SIZE))
        } else {
            Err(DeviceError::OutOfBounds { first, count })
        }
    }

    /// Does `work` on a thread where it may block. It is finished even if the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || work(&file)).await.unwrap_or_else(|gone| Err(gone.into()))
    }
}

impl BlockDevice for FileDevice {
    fn sector_size(&self) -> u32 {
        SECTOR_SIZE
    }

    fn sector_count(&self) -> u64 {
        self.sectors
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let count = u64::from(count);
        let offset = self.place(first, count)?;
        let length = usize::try_from(count * u64::from(SECTOR_SIZE));
        let length = length.map_err(|_| DeviceError::OutOfBounds { first, count })?;
        let read = self.blocking(move |file| {
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(Bytes::from(buffer))
        });
        read.await.map_err(|error| {
            log::error!("reading sectors {first}+{count}: {error}");
            DeviceError::Read { first, count }
        })
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let count = data.len() as u64 / u64::from(SECTOR_SIZE);
        if data.len() as u64 != count * u64::from(SECTOR_SIZE) {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        let offset = self.place(first, count)?;
        let written = self.blocking(move |file| file.write_all_at(&data, offset));
        written.await.map_err(|error| {
            log::error!("writing sectors {first}+{count}: {error}");
            DeviceError::Write { first, count }
        })
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.blocking(File::sync_data).await.map_err(|error| {
            log::error!("flushing: {error}");
            self.failed_flushes.fetch_add(1, Ordering::Relaxed);
            DeviceError::Flush
        })
    }

    fn failed_flushes(&self) -> u64 {
        self.failed_flushes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::run;

    fn disk(bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        file
    }

    #[test]
    fn keeps_what_is_written_and_refuses_what_is_outside() {
        let file = disk(10 * 512 + 100);
        run(async {
            let device = FileDevice::open(file.path(), Access::Write)?;
            assert_eq!(device.sector_count(), 10);
            let data = Bytes::from(vec![7; 1024]);
            device.write(8, data.clone()).await?;
            device.flush().await?;
            assert_eq!(device.read(8, 2).await?, data);
            assert_eq!(device.read(9, 2).await, Err(DeviceError::OutOfBounds { first: 9, count: 2 }));
            let odd = device.write(0, Bytes::from_static(b"not a sector")).await;
            assert!(matches!(odd, Err(DeviceError::OutOfBounds { .. })));
            let far = device.read(u64::MAX, 1).await;
            assert!(matches!(far, Err(DeviceError::OutOfBounds { .. })));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn two_servers_never_open_one_disk() {
        let file = disk(4096);
        let first = FileDevice::open(file.path(), Access::Write).unwrap();
        for access in [Access::Write, Access::Read] {
            let second = FileDevice::open(file.path(), access);
            assert!(matches!(second, Err(OpenError::InUse { .. })), "{access:?}");
        }
        drop(first);
        let reader = FileDevice::open(file.path(), Access::Read).unwrap();
        assert!(FileDevice::open(file.path(), Access::Read).is_ok());
        assert!(FileDevice::open(file.path(), Access::Write).is_err());
        drop(reader);
    }
}
