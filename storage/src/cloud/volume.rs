//! Volumes with settings: `cidata`, as cloud-init's NoCloud has them, and `config-2`, OpenStack's ConfigDrive. Each is a CD
//! image or a FAT file system, over a whole disk or in a partition.
//!
//! Knows labels and names of files. Must not know what user data says. Reads only.

use super::iso9660::{self, Iso, IsoError};
use super::yaml;
use super::{Given, Source, USER_DATA_LEN_MAX};
use crate::device::{BlockDevice, DeviceError};
use crate::disk::survey::NINE_FAT;
use crate::disk::{Contents, find};
use crate::fat::{FatError, Volume};
use crate::partition::Partition;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bytes of what the cloud says of the machine.
const META_DATA_LEN_MAX: usize = 64 << 10;
/// Where file systems of each kind have their labels in the first sector, and the name of the kind behind it. A FAT12 is not
/// read, and said.
const FAT_LABELS: [(usize, &[u8]); 3] = [(43, b"FAT16"), (71, b"FAT32"), (43, b"FAT12")];
const FAT_LABEL_LEN: usize = 11;

/// Why a volume is not read.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The disk.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// As a CD image.
    #[error(transparent)]
    Iso(#[from] IsoError),
    /// As a FAT file system.
    #[error("as a FAT file system: {0}")]
    Fat(#[from] FatError),
}

/// What a volume has to be called, and which of its files count: user data, and the machine's name.
struct Form {
    source: Source,
    label: &'static str,
    user_data: &'static str,
    meta_data: &'static str,
    /// The key in `meta_data`.
    instance: &'static str,
}

const FORMS: [Form; 2] = [
    Form {
        source: Source::NoCloud,
        label: "cidata",
        user_data: "user-data",
        meta_data: "meta-data",
        instance: "instance-id",
    },
    Form {
        source: Source::ConfigDrive,
        label: "config-2",
        user_data: "openstack/latest/user_data",
        meta_data: "openstack/latest/meta_data.json",
        instance: "uuid",
    },
];

/// Reads a disk; `None` where it is no such volume, and has none.
///
/// # Errors
/// See [`VolumeError`]. The disk is such a volume then.
pub async fn read<D: BlockDevice>(device: &D) -> Result<Option<Given>, VolumeError> {
    if let Some(iso) = iso9660::open(device).await?
        && let Some(form) = form(&iso.label)
    {
        return of_iso(&iso, form).await.map(Some);
    }
    for part in find(device).await?.parts {
        if part.contents != Contents::Fat || part.name == NINE_FAT {
            continue;
        }
        let first = device.read(part.first, 1).await?;
        let Some(form) = fat_label(&first).as_deref().and_then(form) else { continue };
        // `find` has checked that it lies on the disk.
        let Ok(window) = Partition::new(part.name, device, part.first, part.count) else { continue };
        let volume = Volume::open(window).await?;
        let user_data = fat_file(&volume, form.user_data, USER_DATA_LEN_MAX).await?;
        let meta_data = fat_file(&volume, form.meta_data, META_DATA_LEN_MAX).await?;
        return Ok(Some(given(form, user_data, meta_data.as_deref())));
    }
    Ok(None)
}

fn form(label: &str) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.label.eq_ignore_ascii_case(label))
}

async fn of_iso<D: BlockDevice>(iso: &Iso<'_, D>, form: &Form) -> Result<Given, VolumeError> {
    let user_data = iso.read(form.user_data, USER_DATA_LEN_MAX as u32).await?;
    let meta_data = iso.read(form.meta_data, META_DATA_LEN_MAX as u32).await?;
    Ok(given(form, user_data.map(Vec::from), meta_data.as_deref()))
}

fn fat_label(first: &[u8]) -> Option<String> {
    FAT_LABELS.into_iter().find_map(|(at, kind)| {
        let label = first.get(at..at + FAT_LABEL_LEN)?;
        let is_kind = first.get(at + FAT_LABEL_LEN..)?.starts_with(kind);
        is_kind.then(|| String::from_utf8_lossy(label).trim().to_string())
    })
}

async fn fat_file<D: BlockDevice>(
    volume: &Volume<D>,
    path: &str,
    len_max: usize,
) -> Result<Option<Vec<u8>>, FatError> {
    match volume.read(path, len_max as u64).await {
        Ok(content) => Ok(Some(content)),
        Err(FatError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn given(form: &Form, user_data: Option<Vec<u8>>, meta_data: Option<&[u8]>) -> Given {
    // What is no such text names no machine: the user data itself is then what tells one from another.
    let instance = meta_data.and_then(|text| yaml::text_at(text, form.instance));
    Given { source: form.source, instance, user_data: user_data.unwrap_or_default() }
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
