//! From files of the host to the parts of a store.

use super::device::{Access, FileDevice};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::device::BlockDevice;
use storage::disk;
use storage::disk::survey::{NamedDisk, Survey, survey};
use storage::format::config::{PartitionPart, PartitionSpec, VentiConfig};
use storage::partition::Partition;
use storage::store::{StorePart, StoreParts};

/// Parts of a store on files.
pub type FileParts = StoreParts<Partition<FileDevice>>;

/// Looks for the parts of a store on whole disks, disk images, and files that are one part each.
///
/// # Errors
/// If a file cannot be opened or is in use.
pub async fn of_disks(paths: &[PathBuf], access: Access) -> anyhow::Result<Survey<FileDevice>> {
    let mut disks = Vec::new();
    for path in paths {
        disks.push(NamedDisk { name: path.display().to_string(), device: FileDevice::open(path, access)? });
    }
    Ok(survey(&disks).await)
}

/// Takes the parts that a `venti.conf` names; paths in it are relative to its folder.
///
/// # Errors
/// If the configuration is wrong, or names what is not there.
pub async fn of_config(path: &Path, access: Access) -> anyhow::Result<FileParts> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let config = VentiConfig::parse(&text).with_context(|| path.display().to_string())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = Files { folder, access, open: BTreeMap::new() };
    let mut parts = StoreParts { arenas: Vec::new(), index_sections: Vec::new(), bloom: None };
    for spec in &config.arenas {
        parts.arenas.push(files.part(spec).await?);
    }
    for spec in &config.sections {
        parts.index_sections.push(files.part(spec).await?);
    }
    if let Some(spec) = &config.bloom {
        parts.bloom = Some(files.part(spec).await?);
    }
    Ok(parts)
}

/// Files that are open; each is opened once, since it is locked.
struct Files<'a> {
    folder: &'a Path,
    access: Access,
    open: BTreeMap<PathBuf, FileDevice>,
}

impl Files<'_> {
    fn file(&mut self, name: &str) -> anyhow::Result<FileDevice> {
        let path = self.folder.join(name);
        if let Some(device) = self.open.get(&path) {
            return Ok(device.clone());
        }
        let device = FileDevice::open(&path, self.access)?;
        self.open.insert(path, device.clone());
        Ok(device)
    }

    async fn part(&mut self, name: &str) -> anyhow::Result<StorePart<Partition<FileDevice>>> {
        let spec = PartitionSpec::parse(name)
            .with_context(|| format!("{name}: not FILE, FILE:PART or FILE:START-STOP"))?;
        let device = self.file(spec.file)?;
        let sector = u64::from(device.sector_size());
        let (first, count) = match spec.part {
            PartitionPart::Whole => (0, device.sector_count()),
            PartitionPart::Bytes { start, stop } => {
                let stop = stop.unwrap_or(device.sector_count() * sector);
                if start % sector != 0 || stop < start {
                    bail!("{name}: the range must begin at a multiple of {sector} and not end before it");
                }
                (start / sector, (stop - start) / sector)
            }
            PartitionPart::Named(part) => {
                let layout = disk::find(&device).await?;
                let found = layout.part(part).with_context(|| format!("{name}: no such partition"))?;
                (found.first, found.count)
            }
        };
        let device = Partition::new(name, device, first, count)?;
        Ok(StorePart { name: name.to_owned(), device })
    }
}
