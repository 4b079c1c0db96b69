//! Copies of disks in a folder: sparse, as long as the disks should be, and what cannot be read is zero.

use super::device::{Access, FileDevice};
use super::disks;
use crate::outcome::CodedError;
use crate::progress::Progress;
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use storage::device::{BlockDevice, DeviceError};

/// Sectors that are copied at once.
const PIECE: u32 = 2048;

/// Copies everything that `names` name to `folder`; returns the names of the copies, in the same order.
///
/// # Errors
/// If a file cannot be read or written, is in the way, or two of them have one name.
pub async fn to_folder(names: &[PathBuf], folder: &Path, hidden: bool) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let files = disks::open(names, Access::Read).await?.files;
    let total = files.values().sum();
    let progress = if hidden { Progress::hidden() } else { Progress::bytes("copying", Some(total)) };
    let mut taken = BTreeSet::new();
    for (path, bytes) in &files {
        let to = inside(folder, path)?;
        if !taken.insert(to.clone()) {
            let problem = format!("two of the files are called {}", to.display());
            return Err(CodedError::usage(problem).into());
        }
        copy(path, &to, *bytes, &progress).await.with_context(|| format!("copying {}", path.display()))?;
    }
    progress.finish();
    names.iter().map(|name| copied_name(name, folder)).collect()
}

/// The file of this name in the folder.
fn inside(folder: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    Ok(folder.join(path.file_name().with_context(|| format!("{} is no file", path.display()))?))
}

/// What the copy of something is called: a configuration is written anew, with the names of the copies.
fn copied_name(name: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    if let Some(mut config) = disks::config_of(name) {
        let all = config.arenas.iter_mut().chain(&mut config.sections).chain(&mut config.bloom);
        for part in all {
            if let Some((_, file)) = part.rsplit_once('/') {
                *part = file.to_owned();
            }
        }
        let to = inside(folder, name)?;
        fs::write(&to, config.to_string()).with_context(|| format!("writing {}", to.display()))?;
        return Ok(to);
    }
    inside(folder, name)
}

async fn copy(from: &Path, to: &Path, bytes: u64, progress: &Progress) -> anyhow::Result<()> {
    let source = FileDevice::open(from, Access::Read)?;
    let target = OpenOptions::new().write(true).create_new(true).open(to);
    let target = target.with_context(|| format!("making {}", to.display()))?;
    target.set_len(bytes)?;
    let (sectors, sector) = (source.sector_count(), source.sector_size());
    let mut first = 0;
    while first < sectors {
        let count = u64::from(PIECE).min(sectors - first) as u32;
        let piece = match source.read(first, count).await {
            Ok(piece) => piece.to_vec(),
            Err(_) => one_by_one(&source, first, count).await?,
        };
        if piece.iter().any(|byte| *byte != 0) {
            target.write_all_at(&piece, first * u64::from(sector))?;
        }
        first += u64::from(count);
        progress.advance(u64::from(count) * u64::from(sector));
    }
    Ok(target.sync_all()?)
}

/// The sectors that can be read; the others are zero.
async fn one_by_one(source: &FileDevice, first: u64, count: u32) -> anyhow::Result<Vec<u8>> {
    let sector = source.sector_size() as usize;
    let mut piece = Vec::with_capacity(count as usize * sector);
    for number in first..first + u64::from(count) {
        match source.read(number, 1).await {
            Ok(bytes) => piece.extend_from_slice(&bytes),
            Err(DeviceError::Gone) => anyhow::bail!("the disk does not answer"),
            Err(_) => piece.resize(piece.len() + sector, 0),
        }
    }
    Ok(piece)
}
