//! Writing an image to a disk of this host, and reading it back.
//!
//! Knows block devices. Must not know who asked, nor what the image holds.

use super::source::{SECTOR, Source};
use crate::progress::Progress;
use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{major, minor};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes that are written or compared at once.
const PIECE: u64 = 1 << 20;

/// A disk that is about to be overwritten; nobody else uses it meanwhile.
#[derive(Debug)]
pub struct Target {
    file: File,
    path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// What its maker calls it, if the host knows.
    pub model: Option<String>,
}

impl Target {
    /// Opens a disk that nothing is mounted from; a regular file only if `regular` says so.
    ///
    /// # Errors
    /// If it is something else, a partition, in use, or the host refuses.
    pub fn open(path: &Path, regular: bool) -> anyhow::Result<Target> {
        let shown = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("looking at {shown}"))?;
        let block = metadata.file_type().is_block_device();
        if !block && !metadata.is_file() {
            bail!("{shown} is no disk");
        }
        if !block && !regular {
            bail!("{shown} is a regular file and no disk: say --file if it is meant");
        }
        let of_host =
            PathBuf::from(format!("/sys/dev/block/{}:{}", major(metadata.rdev()), minor(metadata.rdev())));
        if block && of_host.join("partition").exists() {
            bail!("{shown} is a partition: an image goes to a whole disk");
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if block {
            // The host refuses this while the disk or a partition of it is mounted, swapped to, or part of a volume.
            options.custom_flags(OFlag::O_EXCL.bits());
        }
        let mut file =
            options.open(path).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EBUSY) => anyhow::anyhow!("{shown} is in use: unmount everything on it first"),
                _ => anyhow::Error::from(error).context(format!("opening {shown}")),
            })?;
        if file.try_lock().is_err() {
            bail!("{shown} is in use: another program has it open; stop that one first");
        }
        let bytes = file.seek(SeekFrom::End(0))?;
        let attribute = |name: &str| Some(fs::read_to_string(of_host.join(name)).ok()?.trim().to_owned());
        let model = attribute("device/model").filter(|model| block && !model.is_empty());
        Ok(Target { file, path: path.to_owned(), bytes, model })
    }

    /// Fits the image to this disk: the second copy of its partition table goes to the disk's end.
    ///
    /// # Errors
    /// If the disk is smaller than the image, or the table is damaged.
    pub fn fit(&self, image: &mut Source) -> anyhow::Result<()> {
        if self.bytes < image.len() {
            let (path, bytes) = (self.path.display(), self.bytes);
            bail!("{path} has {bytes} bytes, the image {}: it does not fit", image.len());
        }
        image.lengthen(self.bytes / SECTOR * SECTOR)
    }

    /// Writes the image, and syncs.
    ///
    /// # Errors
    /// If a read or write fails.
    pub fn write(&self, image: &Source, progress: &Progress) -> anyhow::Result<()> {
        let failed = || format!("writing {}", self.path.display());
        each_piece(image, progress, |at, bytes| self.file.write_all_at(bytes, at).with_context(failed))?;
        self.file.sync_all().with_context(failed)
    }

    /// Reads everything back and compares it. The host's cache is dropped before; a disk's own cache may still answer.
    ///
    /// # Errors
    /// If a byte differs or cannot be read.
    pub fn compare(&self, image: &Source, progress: &Progress) -> anyhow::Result<()> {
        let dropped = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        dropped.map_err(io::Error::from).context("dropping what the host keeps of the disk")?;
        let mut found = Vec::new();
        each_piece(image, progress, |at, expected| {
            found.resize(expected.len(), 0);
            let read = self.file.read_exact_at(&mut found, at);
            read.with_context(|| format!("reading {}", self.path.display()))?;
            let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
            if let Some(differs) = differs {
                let (path, at) = (self.path.display(), at + differs as u64);
                bail!("{path} does not keep what was written, first at byte {at}: use another disk");
            }
            Ok(())
        })
    }
}

/// Reads what there is of the image, piece by piece.
fn each_piece(
    image: &Source,
    progress: &Progress,
    mut each: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; PIECE as usize];
    for Range { start, end } in image.written() {
        for at in (start..end).step_by(PIECE as usize) {
            let bytes = &mut buffer[..(end - at).min(PIECE) as usize];
            image.read(at, bytes).with_context(|| format!("reading the image at byte {at}"))?;
            each(at, bytes)?;
            progress.advance(bytes.len() as u64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::disk::gpt::{self, Guid, Header};
    use storage::disk::mbr;

    const MIB: u64 = 1 << 20;

    fn image(folder: &Path) -> PathBuf {
        let (path, len) = (folder.join("disk.img"), 3 * MIB + SECTOR);
        let sectors = len / SECTOR;
        let entry = gpt::Entry {
            kind: Guid::PLAN9,
            unique: Guid::random([7; 16]),
            first: 64,
            last: sectors - 40,
            label: String::from("plan9"),
        };
        let table = gpt::encode(Guid::random([1; 16]), sectors, 512, &[entry]);
        let mut bytes = vec![0x33; len as usize];
        bytes[..512].copy_from_slice(&mbr::protective(sectors, &[0xeb, 0x3c]));
        bytes[512..][..table.primary.len()].copy_from_slice(&table.primary);
        let backup_at = bytes.len() - table.backup.len();
        bytes[backup_at..].copy_from_slice(&table.backup);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn disk(folder: &Path, len: u64) -> PathBuf {
        let path = folder.join("old.disk");
        fs::write(&path, vec![0xa5; len as usize]).unwrap();
        path
    }

    #[test]
    fn a_larger_disk_gets_the_image_and_its_second_table_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (image(folder.path()), disk(folder.path(), 5 * MIB + 300));
        let target = Target::open(&to, true).unwrap();
        let mut source = Source::open(&from).unwrap();
        target.fit(&mut source).unwrap();
        let progress = Progress::hidden();
        target.write(&source, &progress).unwrap();
        target.compare(&source, &progress).unwrap();
        let (from, mut found) = (fs::read(&from).unwrap(), fs::read(&to).unwrap());
        // All but the first table and the size in the first sector is the image's.
        assert!(found[..440] == from[..440] && found[1024..from.len()] == from[1024..]);
        assert!(found[from.len()..5 << 20].starts_with(&[0xa5; 4096]));
        let last = 5 * MIB / SECTOR - 1;
        let backup = Header::parse(&found[(last * SECTOR) as usize..], last).unwrap();
        assert_eq!(Header::parse(&found[512..], 1).unwrap().disk, backup.disk);
        // A disk that forgets is found out.
        found[2 << 20] ^= 1;
        fs::write(&to, found).unwrap();
        let error = target.compare(&source, &progress).unwrap_err().to_string();
        assert!(error.contains("first at byte 2097152"), "{error}");
    }

    #[test]
    fn what_is_no_disk_in_use_or_too_small_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (image(folder.path()), disk(folder.path(), 2 * MIB));
        let why = |path: &Path, regular| Target::open(path, regular).unwrap_err().to_string();
        assert!(why(&to, false).contains("say --file"));
        assert!(why(Path::new("/dev/null"), true).contains("is no disk"));
        let target = Target::open(&to, true).unwrap();
        assert!(why(&to, true).contains("is in use"));
        let too_small = target.fit(&mut Source::open(&from).unwrap()).unwrap_err().to_string();
        assert!(too_small.contains("does not fit"), "{too_small}");
        assert!(fs::read(&to).unwrap().iter().all(|byte| *byte == 0xa5));
    }
}
