//! Settings from outside: a hypervisor's item, or a volume that a cloud puts beside the disk. They are written to
//! granary.ini once, before anything reads it.
//!
//! Knows the order in which they are looked for, and when they count. Must not know how a source is read, nor what the
//! settings mean.

use super::Part;
use crate::disk::Disk;
use crate::{fw_cfg, time};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use storage::cloud::user_data::settings_text;
use storage::cloud::{Given, Source, applied, volume};
use storage::device::size_bytes;
use storage::disk::survey::NamedDisk;
use storage::fat::{FatError, NineFat, Volume};
use storage::settings::FILE;

/// Larger disks than this are no volumes with settings: OpenStack's have 64 MiB.
const VOLUME_LEN_MAX: u64 = 256 << 20;

/// Looks for settings: fw_cfg, then `cidata`, then `config-2`. Gives also the disks that are no such volumes; those that
/// are belong to nobody else.
pub(super) async fn find(disks: Vec<NamedDisk<Rc<Disk>>>) -> (Vec<NamedDisk<Rc<Disk>>>, Option<Given>) {
    let mut found: Vec<Given> = Vec::new();
    match fw_cfg::settings() {
        Ok(None) => {}
        Ok(Some(user_data)) => found.push(Given { source: Source::FwCfg, instance: None, user_data }),
        Err(error) => log::error!("settings from outside: {error}"),
    }
    let mut others = Vec::new();
    for disk in disks {
        if size_bytes(&disk.device) > VOLUME_LEN_MAX {
            others.push(disk);
            continue;
        }
        match volume::read(&disk.device).await {
            Ok(None) => others.push(disk),
            Ok(Some(given)) => {
                log::info!("{}: a {}", disk.name, given.source);
                found.push(given);
            }
            Err(error) => {
                log::warn!("{}: looked at for settings: {error}", disk.name);
                others.push(disk);
            }
        }
    }
    found.sort_by_key(|given| given.source as u8);
    (others, found.into_iter().next())
}

/// What became of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// granary.ini has other lines now, and it is noted that it has them.
    Written,
    /// All is as it was.
    Nothing,
}

/// What was noted when settings were applied last; `None` where they never were.
pub(super) async fn last_mark(part: &Part) -> Result<Option<Vec<u8>>, FatError> {
    let volume = Volume::open(part.clone()).await?;
    match volume.read(applied::FILE, applied::FILE_LEN_MAX).await {
        Ok(mark) => Ok(Some(mark)),
        Err(FatError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes what was found to granary.ini, unless that was done before.
pub(super) async fn apply(given: &Given, nine_fat: Option<&Part>) -> Applied {
    let source = given.source;
    let Some(part) = nine_fat else {
        log::warn!("settings from {source}: there is no 9fat to keep them in");
        return Applied::Nothing;
    };
    let fat = match NineFat::open(part.clone(), true).await {
        Ok(fat) => fat,
        Err(error) => {
            log::error!("settings from {source} are not applied: 9fat: {error}");
            return Applied::Nothing;
        }
    };
    let mark = applied::mark(given);
    if fat.read(applied::FILE, applied::FILE_LEN_MAX).await.is_ok_and(|last| last == mark.as_bytes()) {
        log::info!("settings from {source}: applied before");
        return Applied::Nothing;
    }
    match settings_text(&given.user_data) {
        Ok(text) => write(&fat, source, text, &mark).await,
        Err(error) => {
            log::error!("settings from {source} are refused: {error}");
            Applied::Nothing
        }
    }
}

/// Writes settings, then the mark: after a power cut in between they are written again.
async fn write(fat: &NineFat<Part>, source: Source, text: Option<String>, mark: &str) -> Applied {
    if let Some(text) = &text
        && let Err(error) = fat.replace(FILE, text.as_bytes(), time::wall()).await
    {
        log::error!("settings from {source}: {FILE}: {error}");
        return Applied::Nothing;
    }
    let marked = fat.replace(applied::FILE, mark.as_bytes(), time::wall()).await;
    if let Err(error) = &marked {
        log::warn!("settings from {source}: {}: {error}: they will be applied again", applied::FILE);
    }
    match text {
        Some(_) => log::info!("settings from {source}: {FILE} is written"),
        None => log::info!("settings from {source}: none for this node"),
    }
    if text.is_some() && marked.is_ok() { Applied::Written } else { Applied::Nothing }
}
