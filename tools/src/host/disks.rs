//! From what a person names to the parts of a store, whole or damaged: disks, images, `file:part`, a `venti.conf`.
//!
//! Knows which part is for what even where its header is lost, by its name; and how long a disk should be that was cut
//! off. Must not know what is in the parts.

use super::device::{Access, FileDevice};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::check::claimed_len;
use storage::device::stretched::Stretched;
use storage::device::{BlockDevice, size_bytes};
use storage::disk::{self, Complaint, Contents, Layout};
use storage::format::config::{PartitionPart, PartitionSpec, VentiConfig};
use storage::partition::Partition;
use storage::store::{StorePart, StoreParts};

/// A part of a disk, perhaps one that was cut off.
pub type Part = Partition<Stretched<FileDevice>>;

/// A longer text is no `venti.conf` for venti, either.
const CONFIG_LEN_MAX: u64 = 8192;

/// What was found on the disks that were named.
pub struct Disks {
    /// The parts of the store.
    pub parts: StoreParts<Part>,
    /// What is wrong with the disks themselves.
    pub problems: Vec<String>,
    /// The files, and the bytes that each should have.
    pub files: BTreeMap<PathBuf, u64>,
}

/// Opens everything that `names` name; together it is one store.
///
/// # Errors
/// If a file cannot be opened or is in use, a configuration is wrong, or no part of a store is among it.
pub async fn open(names: &[PathBuf], access: Access) -> anyhow::Result<Disks> {
    let parts = StoreParts { arenas: Vec::new(), index_sections: Vec::new(), bloom: None };
    let disks = Disks { parts, problems: Vec::new(), files: BTreeMap::new() };
    let mut opener = Opener { access, open: BTreeMap::new(), disks };
    for name in names {
        opener.take(name).await?;
    }
    let Disks { parts, problems, .. } = &opener.disks;
    if parts.arenas.is_empty() && parts.index_sections.is_empty() && parts.bloom.is_none() {
        bail!(
            "no arenas, index section or bloom filter is there{}",
            problems.iter().fold(String::new(), |text, problem| format!("{text}; {problem}"))
        );
    }
    Ok(opener.disks)
}

/// The `venti.conf` that a file is, if it is one.
pub fn config_of(path: &Path) -> Option<VentiConfig> {
    let len = std::fs::metadata(path).ok()?.len();
    let text = (len <= CONFIG_LEN_MAX).then(|| std::fs::read(path).ok())??;
    VentiConfig::parse(&text).ok()
}

struct Opener {
    access: Access,
    /// Each file is opened once, since it is locked.
    open: BTreeMap<PathBuf, FileDevice>,
    disks: Disks,
}

impl Opener {
    async fn take(&mut self, name: &Path) -> anyhow::Result<()> {
        if let Some(config) = config_of(name) {
            return self.take_config(name, &config).await;
        }
        let text = name.to_string_lossy();
        match PartitionSpec::parse(&text) {
            Some(spec) if spec.part != PartitionPart::Whole && !name.exists() => {
                let part = self.part(Path::new(""), &text).await?;
                let layout = disk::find(&part.device).await?;
                let contents = match layout.parts.as_slice() {
                    [whole] => whole.contents,
                    _ => Contents::Unknown,
                };
                let hint = text.rsplit(':').next().unwrap_or_default();
                self.put(contents, hint, part);
                Ok(())
            }
            _ => self.take_disk(name).await,
        }
    }

    async fn take_config(&mut self, path: &Path, config: &VentiConfig) -> anyhow::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        for name in &config.arenas {
            let part = self.part(&folder, name).await?;
            self.disks.parts.arenas.push(part);
        }
        for name in &config.sections {
            let part = self.part(&folder, name).await?;
            self.disks.parts.index_sections.push(part);
        }
        if let Some(name) = &config.bloom {
            self.disks.parts.bloom = Some(self.part(&folder, name).await?);
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> anyhow::Result<FileDevice> {
        let device = match self.open.get(path) {
            Some(device) => device.clone(),
            None => FileDevice::open(path, self.access)?,
        };
        self.open.insert(path.to_owned(), device.clone());
        self.disks.files.entry(path.to_owned()).or_insert(size_bytes(&device));
        Ok(device)
    }

    /// The file with the bytes that it should have.
    fn stretch(&mut self, path: &Path, device: FileDevice, bytes: u64) -> Stretched<FileDevice> {
        let have = size_bytes(&device);
        if bytes > have {
            let name = path.display();
            self.disks
                .problems
                .push(format!("{name}: has {have} bytes, and should have {bytes}: it was cut off"));
        }
        let expected = self.disks.files.entry(path.to_owned()).or_insert(have);
        *expected = bytes.max(*expected);
        let sector = u64::from(device.sector_size());
        Stretched::new(device, bytes.div_ceil(sector))
    }

    /// What `FILE`, `FILE:START-STOP` or `FILE:PART` names.
    async fn part(&mut self, folder: &Path, name: &str) -> anyhow::Result<StorePart<Part>> {
        let spec = PartitionSpec::parse(name)
            .with_context(|| format!("{name}: not FILE, FILE:PART or FILE:START-STOP"))?;
        let path = folder.join(spec.file);
        let file = self.file(&path)?;
        let sector = u64::from(file.sector_size());
        let bytes = size_bytes(&file);
        let (start, stop) = match spec.part {
            PartitionPart::Named(part) => {
                let (device, layout) = self.layout(&path, file).await?;
                let found = layout.part(part).with_context(|| format!("{name}: no such partition"))?;
                let device = Partition::new(name, device, found.first, found.count)?;
                return Ok(StorePart { name: name.to_owned(), device });
            }
            PartitionPart::Whole => (0, None),
            PartitionPart::Bytes { start, stop } => (start, stop),
        };
        if start % sector != 0 || start > bytes {
            bail!("{name}: the range must begin at a multiple of {sector}, inside the file");
        }
        let there = Partition::new(name, file.clone(), start / sector, (bytes - start) / sector)?;
        let stop = match stop {
            Some(stop) => stop,
            None => (start + claimed_len(&there).await).max(bytes),
        };
        let device = self.stretch(&path, file, stop);
        let device = Partition::new(name, device, start / sector, (stop - start) / sector)?;
        Ok(StorePart { name: name.to_owned(), device })
    }

    /// The tables of a disk, and the disk as long as they say that it is.
    async fn layout(
        &mut self,
        path: &Path,
        file: FileDevice,
    ) -> anyhow::Result<(Stretched<FileDevice>, Layout)> {
        let have = file.sector_count();
        let layout = disk::find(&file).await?;
        let mut sectors = have;
        for complaint in &layout.complaints {
            match complaint {
                Complaint::Shrunk { expected, .. } => sectors = sectors.max(*expected),
                Complaint::OutOfRange { end, room, .. } if *room == have => sectors = sectors.max(*end),
                _ => {}
            }
        }
        let bytes = sectors * u64::from(file.sector_size());
        let device = self.stretch(path, file, bytes);
        let layout = if sectors > have { disk::find(&device).await? } else { layout };
        Ok((device, layout))
    }

    async fn take_disk(&mut self, path: &Path) -> anyhow::Result<()> {
        let file = self.file(path)?;
        let (device, layout) = self.layout(path, file.clone()).await?;
        for complaint in &layout.complaints {
            if !matches!(complaint, Complaint::Grown { .. } | Complaint::Shrunk { .. }) {
                self.disks.problems.push(format!("{}: {complaint}", path.display()));
            }
        }
        let overlaps = |name: &str| {
            layout.complaints.iter().any(|complaint| {
                matches!(complaint, Complaint::Overlap(one, other) if one == name || other == name)
            })
        };
        for part in layout.parts.iter().filter(|part| !overlaps(&part.name)) {
            let mut device = device.clone();
            let mut count = part.count;
            let bare = layout.parts.len() == 1 && part.first == 0;
            if bare {
                let bytes = claimed_len(&file).await;
                device = self.stretch(path, file.clone(), bytes);
                count = device.sector_count();
            }
            let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
            let hint = if bare { stem.as_ref() } else { part.name.as_str() };
            let name =
                if bare { path.display().to_string() } else { format!("{}/{}", path.display(), part.name) };
            let device = Partition::new(name.clone(), device, part.first, count)?;
            self.put(part.contents, hint, StorePart { name, device });
        }
        Ok(())
    }

    /// Takes a part for what it holds, or, where nothing is known there, for what it is called.
    fn put(&mut self, contents: Contents, hint: &str, part: StorePart<Part>) {
        let names =
            [("arenas", Contents::Arenas), ("isect", Contents::IndexSection), ("bloom", Contents::Bloom)];
        let by_name = names.iter().find(|(name, _)| hint.starts_with(name)).map(|(_, contents)| *contents);
        let contents = match contents {
            Contents::Unknown => by_name.unwrap_or(contents),
            known => known,
        };
        match contents {
            Contents::Arenas => self.disks.parts.arenas.push(part),
            Contents::IndexSection => self.disks.parts.index_sections.push(part),
            Contents::Bloom if self.disks.parts.bloom.is_none() => self.disks.parts.bloom = Some(part),
            Contents::Bloom => {
                self.disks.problems.push(format!("{}: a second bloom filter is ignored", part.name));
            }
            Contents::Fat | Contents::Parts | Contents::Unknown => {}
        }
    }
}
