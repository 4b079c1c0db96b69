//! Laying out a disk: the writes, in an order that a power cut cannot turn into something else.
//!
//! 1. The first sector says that this disk is begun. Durable before the next step.
//! 2. Loaders, 9fat, index, arenas, configuration. Durable.
//! 3. Both partition tables. Durable.
//! 4. The first sector becomes the one that protects the table.

use super::super::{ArenaOptions, MakeError, arenas, bloom_filter, index, section, write_vec};
use super::{INDEX_NAME, Plan, padded};
use crate::Timestamp;
use crate::device::{BlockDevice, DeviceError};
use crate::disk::unfinished::Unfinished;
use crate::disk::{gpt, prep};
use crate::fat::{FatError, Volume};
use crate::format::config::{CONFIG_OFFSET, ConfigError, VentiConfig};
use crate::format::geometry::{ArenaGeometry, BadGeometry};
use crate::format::prelude::BLOCK_SIZE_DEFAULT;
use crate::format::range_map::RangeMap;
use crate::format::{FormatError, Name, NameError};
use crate::names;
use crate::partition::{Partition, PartitionOutsideDisk};
use crate::settings::FILE;
use crate::slots::{self, Slot, Slots};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What UEFI firmware starts from a disk that it was told nothing of (UEFI 2.10, section 3.5.1.1).
const EFI_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
const EFI_FOLDERS: [&str; 2] = ["EFI", "EFI/BOOT"];

/// What a disk is given. What is empty is left out: a disk without loaders serves a machine that is started otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// Code for the first sector.
    pub boot_sector: &'a [u8],
    /// The loader that it starts.
    pub second_stage: &'a [u8],
    /// The loader that UEFI firmware starts.
    pub efi_loader: &'a [u8],
    /// What both load.
    pub kernel: &'a [u8],
    /// The text of `granary.ini`.
    pub settings: &'a str,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Arenas.
    pub arenas: usize,
    /// Bytes of their logs and directories.
    pub arena_bytes: u64,
    /// Buckets of the index.
    pub buckets: u64,
}

/// Why a disk was not laid out. It says in its first sector that it is begun, unless that was what failed.
#[derive(Debug, thiserror::Error)]
pub enum LayOutError {
    /// The disk.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A part of the store.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A file system or a file in it.
    #[error("{what}: {error}")]
    Fat {
        /// Which.
        what: &'static str,
        /// What is wrong.
        error: FatError,
    },
    /// The plan is for another disk.
    #[error(transparent)]
    Outside(#[from] PartitionOutsideDisk),
    /// The plan has no such part.
    #[error("there is no part {0} in the plan")]
    NoPart(String),
    /// The table inside the Plan 9 partition.
    #[error(transparent)]
    Table(#[from] prep::EncodeError),
    /// An arena that is none.
    #[error(transparent)]
    Arena(#[from] BadGeometry),
    /// Venti's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The loader does not fit in front of the first partition.
    #[error("the BIOS loader has {len} bytes, there is room for {room}")]
    Loader {
        /// Its bytes.
        len: usize,
        /// Those that there are.
        room: u64,
    },
}

impl From<FormatError> for LayOutError {
    fn from(error: FormatError) -> LayOutError {
        LayOutError::Make(error.into())
    }
}

impl From<NameError> for LayOutError {
    fn from(error: NameError) -> LayOutError {
        LayOutError::Make(error.into())
    }
}

/// Lays out `device`, whatever stands on it: callers ask [`state`](fn@super::state) first. `random` gives random numbers;
/// `arena_done` is told of each arena that is made, with how many there will be.
///
/// # Errors
/// See [`LayOutError`].
pub async fn lay_out<D: BlockDevice + Clone>(
    device: &D,
    plan: &Plan,
    begun: &Unfinished,
    content: &Content<'_>,
    now: Timestamp,
    mut random: impl FnMut() -> u32,
    arena_done: impl FnMut(usize, usize),
) -> Result<Made, LayOutError> {
    device.write(0, Bytes::from(padded(&begun.encode(), plan.sector_size))).await?;
    device.flush().await?;
    write_second_stage(device, plan, content.second_stage).await?;
    write_efi(device, plan, random(), content.efi_loader, now).await?;
    write_9fat(device, plan, random(), content, now).await?;
    let made = write_store(device, plan, &mut random, arena_done).await?;
    device.flush().await?;
    let tables = plan.tables(begun);
    device.write(plan.backup_at(), Bytes::from(tables.backup)).await?;
    device.write(gpt::PRIMARY_AT, Bytes::from(tables.primary)).await?;
    device.flush().await?;
    device.write(0, Bytes::from(plan.protection(content.boot_sector))).await?;
    device.flush().await?;
    Ok(made)
}

fn part<D: BlockDevice + Clone>(device: &D, plan: &Plan, name: &str) -> Result<Partition<D>, LayOutError> {
    let part = plan.parts.iter().find(|part| part.name == name);
    let part = part.ok_or_else(|| LayOutError::NoPart(name.to_string()))?;
    Ok(Partition::new(name, device.clone(), plan.plan9.0 + part.start, part.end - part.start)?)
}

async fn write_second_stage<D: BlockDevice>(device: &D, plan: &Plan, code: &[u8]) -> Result<(), LayOutError> {
    let sectors = padded(code, plan.sector_size);
    let room = (plan.alignment() - plan.bios_start()) * u64::from(plan.sector_size);
    if sectors.len() as u64 > room {
        return Err(LayOutError::Loader { len: code.len(), room });
    }
    if !sectors.is_empty() {
        device.write(plan.bios_start(), Bytes::from(sectors)).await?;
    }
    Ok(())
}

async fn write_efi<D: BlockDevice + Clone>(
    device: &D,
    plan: &Plan,
    serial: u32,
    loader: &[u8],
    now: Timestamp,
) -> Result<(), LayOutError> {
    let failed = |error| LayOutError::Fat { what: "the partition for UEFI", error };
    let first = plan.alignment();
    let part = Partition::new("esp", device.clone(), first, plan.plan9.0 - first)?;
    // At most a few thousand sectors of 1 MiB are in front of it.
    let mut volume = Volume::format(part, b"EFI        ", first as u32, serial, now).await.map_err(failed)?;
    if loader.is_empty() {
        return Ok(());
    }
    for folder in EFI_FOLDERS {
        volume.make_directory(folder, now).await.map_err(failed)?;
    }
    let written = volume.replace(EFI_LOADER, loader, now).await;
    written.map_err(|error| LayOutError::Fat { what: "the UEFI loader", error })
}

async fn write_9fat<D: BlockDevice + Clone>(
    device: &D,
    plan: &Plan,
    serial: u32,
    content: &Content<'_>,
    now: Timestamp,
) -> Result<(), LayOutError> {
    let table = prep::encode(&plan.parts, plan.sector_size as usize)?;
    device.write(plan.plan9.0 + prep::TABLE_AT, Bytes::from(table)).await?;
    let failed = |what| move |error| LayOutError::Fat { what, error };
    let part = part(device, plan, "9fat")?;
    // 34 MiB are in front of it.
    let hidden = plan.plan9.0 as u32;
    let mut volume =
        Volume::format(part, b"9FAT       ", hidden, serial, now).await.map_err(failed("9fat"))?;
    if let Some(image) = slots::Image::of(content.kernel) {
        let failed = failed("the kernel in 9fat");
        volume.replace(Slot::A.file(), content.kernel, now).await.map_err(failed)?;
        let record = slots::record::new_file(&Slots::with(Slot::A, image));
        volume.replace(slots::FILE, &record, now).await.map_err(failed)?;
    }
    // ANTS' scorecopy takes a 9fat without this file for none at all.
    volume.replace(names::FILE, b"", now).await.map_err(failed(names::FILE))?;
    volume.replace(FILE, content.settings.as_bytes(), now).await.map_err(failed(FILE))
}

async fn write_store<D: BlockDevice + Clone>(
    device: &D,
    plan: &Plan,
    random: &mut impl FnMut() -> u32,
    arena_done: impl FnMut(usize, usize),
) -> Result<Made, LayOutError> {
    let of_arenas = part(device, plan, "arenas")?;
    let options = ArenaOptions { arena_len: plan.arena_len, ..ArenaOptions::default() };
    let map = arenas(&of_arenas, options, &mut *random, arena_done).await?;
    let magic = random().max(1);
    let mut sections = [section(part(device, plan, "isect")?, "isect", BLOCK_SIZE_DEFAULT, magic).await?];
    let config = index(INDEX_NAME, &mut sections, arena_sizes(&map)?).await?;
    if plan.has_bloom() {
        bloom_filter(&part(device, plan, "bloom")?, u32::MAX).await?;
    }
    write_vec(&of_arenas, CONFIG_OFFSET, venti_config(plan)?.encode_block()?).await?;
    let arena_bytes = config.arenas.stop() - config.arenas.ranges().first().map_or(0, |first| first.start);
    Ok(Made { arenas: map.ranges().len(), arena_bytes, buckets: config.sections.stop() })
}

fn arena_sizes(map: &RangeMap) -> Result<Vec<(Name, u64)>, LayOutError> {
    let size =
        |start, stop| ArenaGeometry::new(start, stop, BLOCK_SIZE_DEFAULT).map(|geometry| geometry.size());
    map.ranges().iter().map(|range| Ok((range.name, size(range.start, range.stop)?))).collect()
}

/// The configuration as 9front's venti reads it from the arenas partition of a first SATA disk.
fn venti_config(plan: &Plan) -> Result<VentiConfig, LayOutError> {
    let path = |name: &str| format!("/dev/sdC0/{name}");
    Ok(VentiConfig {
        index: Some(Name::new(INDEX_NAME)?),
        sections: vec![path("isect")],
        arenas: vec![path("arenas")],
        bloom: plan.has_bloom().then(|| path("bloom")),
        ..VentiConfig::default()
    })
}
