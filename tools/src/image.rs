//! Bootable disk images: where things lie, and making them.
//!
//! A plain GPT; in it a partition for BIOS loaders, one for EFI loaders, and one for Plan 9 to the end. The Plan 9
//! partition has a table of its own in its second sector, which gives the names that Plan 9 and venti know: `9fat` with
//! kernel and settings, `nvram`, `isect`, `arenas`, and on large disks `bloom`.
//!
//! A bloom filter is made only where one of 512 MiB costs little: in smaller ones venti's arithmetic sets bits inside the
//! header and loses them, so that a real venti that takes over the disk would not find some blocks. Granary needs none.

use crate::boot_files::BootFiles;
use crate::host::device::{Access, FileDevice};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use storage::Timestamp;
use storage::device::BlockDevice;
use storage::disk::{gpt, mbr, prep};
use storage::fat::Volume;
use storage::format::config::{CONFIG_OFFSET, VentiConfig};
use storage::format::geometry::ArenaGeometry;
use storage::format::prelude::BLOCK_SIZE_DEFAULT;
use storage::format::{Name, range_map::RangeMap};
use storage::make;
use storage::partition::Partition;
use storage::settings::FILE;

/// Bytes in a sector of every image.
const SECTOR: u64 = 512;
/// Partitions begin at multiples of this many sectors (1 MiB).
const ALIGNMENT: u64 = 2048;
/// The first sector behind the GPT.
const BIOS_START: u64 = 34;
/// Sectors of the partition for EFI loaders (33 MiB, so that FAT16 has enough clusters).
const EFI_SECTORS: u64 = 33 * ALIGNMENT;
/// Sectors of 9fat: room for two kernels, settings and names.
const FAT_SECTORS: u64 = 64 * ALIGNMENT;
/// The smallest image: tables, 9fat, and arenas worth having.
const SIZE_MIN: u64 = 256 << 20;
/// The size of a bloom filter without venti's fault, and of the smallest disk that gets one.
const BLOOM_SECTORS: u64 = (512 << 20) / SECTOR;
const BLOOM_FROM_SECTORS: u64 = (128 << 30) / SECTOR;
/// The file in 9fat that the boot loaders start.
const KERNEL_FILE: &str = "granary.a";
/// What UEFI firmware starts from a disk that it was told nothing of (UEFI 2.10, section 3.5.1.1).
const EFI_LOADER: &str = "EFI/BOOT/BOOTX64.EFI";
const EFI_FOLDERS: [&str; 2] = ["EFI", "EFI/BOOT"];

/// Where everything lies, in sectors.
#[derive(Clone, Debug)]
pub struct Plan {
    sectors: u64,
    arena_len: u64,
    /// First and last sector of the Plan 9 partition.
    plan9: (u64, u64),
    /// Inside it.
    parts: Vec<prep::Part>,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// Arenas.
    pub arenas: usize,
    /// Bytes of their logs and directories.
    pub arena_bytes: u64,
    /// Buckets of the index.
    pub buckets: u64,
}

impl Plan {
    /// Lays out an image of `size` bytes with arenas of `arena_len` bytes.
    ///
    /// # Errors
    /// An image below 256 MiB.
    pub fn new(size: u64, arena_len: u64) -> anyhow::Result<Plan> {
        if size < SIZE_MIN {
            bail!("{size} bytes are too few for an image: at least {SIZE_MIN} are needed (256m)");
        }
        let sectors = size / SECTOR;
        let start = ALIGNMENT + EFI_SECTORS;
        let usable_end = sectors - gpt::table_sectors(SECTOR as u32);
        let end = usable_end - usable_end % ALIGNMENT;
        Ok(Plan { sectors, arena_len, plan9: (start, end - 1), parts: parts(end - start) })
    }

    fn part<D: BlockDevice>(&self, device: D, name: &str) -> anyhow::Result<Partition<D>> {
        let part = self.parts.iter().find(|part| part.name == name);
        let part = part.with_context(|| format!("the plan has no part {name}"))?;
        Ok(Partition::new(name, device, self.plan9.0 + part.start, part.end - part.start)?)
    }

    fn has_bloom(&self) -> bool {
        self.parts.iter().any(|part| part.name == "bloom")
    }
}

/// The parts of a Plan 9 partition of so many sectors. The index takes a twentieth, as venti's manual advises.
fn parts(sectors: u64) -> Vec<prep::Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut add = |name: &str, count: u64, next: u64| {
        parts.push(prep::Part { name: name.into(), start: at, end: at + count });
        at += next;
    };
    let bloom = if sectors >= BLOOM_FROM_SECTORS { BLOOM_SECTORS } else { 0 };
    let rest = sectors - FAT_SECTORS - ALIGNMENT - bloom;
    let index = (rest / 20).next_multiple_of(ALIGNMENT);
    add("9fat", FAT_SECTORS, FAT_SECTORS);
    add("nvram", 1, ALIGNMENT);
    add("isect", index, index);
    if bloom > 0 {
        add("bloom", bloom, bloom);
    }
    add("arenas", rest - index, rest - index);
    parts
}

/// Makes the image. `arena_done` is told of each arena that is formatted.
///
/// # Errors
/// If the file cannot be written, or something does not fit.
pub fn create(
    path: &Path,
    plan: &Plan,
    settings: &str,
    boot: &BootFiles,
    arena_done: impl Fn(),
) -> anyhow::Result<Made> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.set_len(plan.sectors * SECTOR)?;
    drop(file);
    let device = FileDevice::open(path, Access::Write)?;
    let mut random = Random::open()?;
    crate::host::run(async {
        write_tables(&device, plan, &boot.boot_sector, &mut random).await?;
        write_second_stage(&device, &boot.second_stage).await?;
        let efi = Partition::new("esp", device.clone(), ALIGNMENT, EFI_SECTORS)?;
        let serial = random.number()?;
        write_efi(efi, serial, &boot.efi_loader).await?;
        write_9fat(plan.part(device.clone(), "9fat")?, plan, settings, &boot.kernel, random.number()?)
            .await?;
        write_store(&device, plan, &mut random, arena_done).await
    })
}

async fn write_tables(
    device: &FileDevice,
    plan: &Plan,
    boot_sector: &[u8],
    random: &mut Random,
) -> anyhow::Result<()> {
    let mut entry = |kind, first, last, label: &str| -> anyhow::Result<gpt::Entry> {
        Ok(gpt::Entry { kind, unique: gpt::Guid::random(random.bytes()?), first, last, label: label.into() })
    };
    let entries = [
        entry(gpt::Guid::BIOS_BOOT, BIOS_START, ALIGNMENT - 1, "BIOS boot")?,
        entry(gpt::Guid::EFI_SYSTEM, ALIGNMENT, ALIGNMENT + EFI_SECTORS - 1, "EFI system")?,
        entry(gpt::Guid::PLAN9, plan.plan9.0, plan.plan9.1, "Plan 9")?,
    ];
    let disk = gpt::Guid::random(random.bytes()?);
    let tables = gpt::encode(disk, plan.sectors, SECTOR as u32, &entries);
    let backup_at = plan.sectors - gpt::table_sectors(SECTOR as u32);
    let table = prep::encode(&plan.parts, SECTOR as usize)?;
    device.write(plan.plan9.0 + prep::TABLE_AT, Bytes::from(table)).await?;
    device.write(backup_at, Bytes::from(tables.backup)).await?;
    device.write(gpt::PRIMARY_AT, Bytes::from(tables.primary)).await?;
    device.write(0, Bytes::copy_from_slice(&mbr::protective(plan.sectors, boot_sector))).await?;
    Ok(device.flush().await?)
}

async fn write_second_stage(device: &FileDevice, code: &[u8]) -> anyhow::Result<()> {
    let mut sectors = code.to_vec();
    sectors.resize(code.len().next_multiple_of(SECTOR as usize), 0);
    let room = (ALIGNMENT - BIOS_START) * SECTOR;
    ensure!(
        sectors.len() as u64 <= room,
        "the BIOS loader has {} bytes, there is room for {room}",
        code.len()
    );
    Ok(device.write(BIOS_START, Bytes::from(sectors)).await?)
}

async fn write_efi(part: Partition<FileDevice>, serial: u32, loader: &[u8]) -> anyhow::Result<()> {
    let mut volume = Volume::format(part, b"EFI        ", ALIGNMENT as u32, serial, now()).await?;
    for folder in EFI_FOLDERS {
        volume.make_directory(folder, now()).await?;
    }
    volume.replace(EFI_LOADER, loader, now()).await.context("the UEFI loader does not fit")?;
    Ok(())
}

async fn write_9fat(
    part: Partition<FileDevice>,
    plan: &Plan,
    settings: &str,
    kernel: &[u8],
    serial: u32,
) -> anyhow::Result<()> {
    let hidden = u32::try_from(plan.plan9.0)?;
    let mut volume = Volume::format(part, b"9FAT       ", hidden, serial, now()).await?;
    volume.replace(KERNEL_FILE, kernel, now()).await.context("the kernel does not fit into 9fat")?;
    volume.replace(FILE, settings.as_bytes(), now()).await?;
    Ok(())
}

async fn write_store(
    device: &FileDevice,
    plan: &Plan,
    random: &mut Random,
    arena_done: impl Fn(),
) -> anyhow::Result<Made> {
    let arenas = plan.part(device.clone(), "arenas")?;
    let options = make::ArenaOptions { arena_len: plan.arena_len, ..make::ArenaOptions::default() };
    let magics: Vec<u32> = random.magics()?;
    let mut magics = magics.into_iter().cycle();
    let map = make::arenas(&arenas, options, || magics.next().unwrap_or(1), |_, _| arena_done()).await?;
    let section = plan.part(device.clone(), "isect")?;
    let magic = random.number()?.max(1);
    let mut sections = [make::section(section, "isect", BLOCK_SIZE_DEFAULT, magic).await?];
    let config = make::index("main", &mut sections, arena_sizes(&map)?).await?;
    if plan.has_bloom() {
        make::bloom_filter(&plan.part(device.clone(), "bloom")?, u32::MAX).await?;
    }
    let block = venti_config(plan)?.encode_block()?;
    arenas.write(CONFIG_OFFSET / SECTOR, Bytes::from(block)).await?;
    arenas.flush().await?;
    let arena_bytes = config.arenas.stop() - config.arenas.ranges().first().map_or(0, |first| first.start);
    Ok(Made { arenas: map.ranges().len(), arena_bytes, buckets: config.sections.stop() })
}

fn arena_sizes(map: &RangeMap) -> anyhow::Result<Vec<(Name, u64)>> {
    let size =
        |start, stop| ArenaGeometry::new(start, stop, BLOCK_SIZE_DEFAULT).map(|geometry| geometry.size());
    map.ranges().iter().map(|range| Ok((range.name, size(range.start, range.stop)?))).collect()
}

/// The configuration as 9front's venti reads it from the arenas partition of a first SATA disk; it is a hint for people,
/// Granary finds partitions by what they hold.
fn venti_config(plan: &Plan) -> anyhow::Result<VentiConfig> {
    let path = |name: &str| format!("/dev/sdC0/{name}");
    Ok(VentiConfig {
        index: Some(Name::new("main")?),
        sections: vec![path("isect")],
        arenas: vec![path("arenas")],
        bloom: plan.has_bloom().then(|| path("bloom")),
        ..VentiConfig::default()
    })
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// The host's random numbers.
pub(crate) struct Random(File);

impl Random {
    pub(crate) fn open() -> anyhow::Result<Random> {
        Ok(Random(File::open("/dev/urandom").context("the host has no source of randomness")?))
    }

    fn bytes<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).context("reading randomness")?;
        Ok(bytes)
    }

    fn number(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    /// Enough numbers for the arenas of any disk; they need not all differ.
    pub(crate) fn magics(&mut self) -> anyhow::Result<Vec<u32>> {
        (0..1024).map(|_| self.number()).collect()
    }
}
