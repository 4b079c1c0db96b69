//! From disks to a store: which parts of all disks together make one.
//!
//! Knows names and contents of parts. Must not know how a store is opened. Reads only.

use super::venti_conf::{self, IgnoredLine};
use super::{Complaint, Contents, DiskPart, Layout, Table, find};
use crate::device::{BlockDevice, DeviceError};
use crate::format::config::{ConfigError, VentiConfig};
use crate::partition::Partition;
use crate::store::{StorePart, StoreParts};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The name of the part that holds settings and names.
pub const NINE_FAT: &str = "9fat";

/// Parts that hold nothing with a magic number, on disks as we make them.
const PLAIN: [&str; 2] = ["bios", NVRAM];
/// The name of the part that holds who a machine is.
const NVRAM: &str = "nvram";

/// A disk and what messages call it.
#[derive(Clone, Debug)]
pub struct NamedDisk<D> {
    /// Such as `disk0`, or a file's name.
    pub name: String,
    /// The disk.
    pub device: D,
}

/// What all disks hold together.
#[derive(Clone, Debug)]
pub struct Survey<D> {
    /// Each disk's layout, in the order of the disks; a disk that cannot be read has none.
    pub layouts: Vec<Option<Layout>>,
    /// The first part called `9fat`.
    pub nine_fat: Option<Partition<D>>,
    /// The parts that hold nothing with a magic number; one of them may be where a Plan 9 system keeps who it is.
    plain: Vec<Partition<D>>,
    /// The parts of the store, as they were found; empty where there are none.
    pub parts: StoreParts<Partition<D>>,
    /// Bloom filters beyond the first.
    pub(super) more_blooms: Vec<StorePart<Partition<D>>>,
    /// Venti's own configuration, if a partition holds one.
    pub config: Option<VentiConfig>,
    /// What a person should know of.
    pub findings: Vec<Finding>,
}

/// Something to tell of a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{disk}: {what}")]
pub struct Finding {
    /// The disk.
    pub disk: String,
    /// What is to be told.
    pub what: FindingKind,
}

/// What there is to tell of a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindingKind {
    /// The disk cannot be read; nothing on it is served.
    #[error("{0}; nothing on it is served")]
    Unreadable(DeviceError),
    /// Something about its tables.
    #[error(transparent)]
    Complaint(Complaint),
    /// A part that is none of ours, or that has lost what it held.
    #[error("partition {0} holds nothing that is known here: it is neither read nor written")]
    Unknown(String),
    /// A disk without a table, and without anything else that is known.
    #[error("no partitions, and nothing else that is known here: the disk is neither read nor written")]
    Blank,
    /// A disk that is being laid out.
    #[error("laying this disk out was begun and not finished; nothing is on it yet")]
    Unfinished,
    /// A store has one bloom filter.
    #[error("the bloom filter {0} is ignored: there is one already")]
    SecondBloom(String),
    /// A part that belongs to another store on this disk.
    #[error("partition {name} is left out: venti's configuration in {part} does not name it")]
    LeftOut {
        /// The part.
        name: String,
        /// The part with the configuration.
        part: String,
    },
    /// A configuration that is for other disks, or for another system's view of them.
    #[error(
        "venti's configuration in {part} names {path}, which is on no disk here: whatever was found is served"
    )]
    ConfiguredElsewhere {
        /// The part with the configuration.
        part: String,
        /// What it names.
        path: String,
    },
    /// A configuration with a wrong line.
    #[error("venti's configuration in {part} is ignored: {error}")]
    BadConfig {
        /// The part with the configuration.
        part: String,
        /// What is wrong with it.
        error: ConfigError,
    },
    /// A line of a configuration that does nothing here.
    #[error(transparent)]
    Ignored(IgnoredLine),
}

impl FindingKind {
    /// Whether something is wrong with the disk, and not only strange to us.
    pub fn is_damage(&self) -> bool {
        matches!(self, FindingKind::Unreadable(_) | FindingKind::Complaint(_))
    }
}

/// Looks at all disks. Parts that overlap others are left out, so that neither can be written.
pub async fn survey<D: BlockDevice + Clone>(disks: &[NamedDisk<D>]) -> Survey<D> {
    let parts = StoreParts { arenas: Vec::new(), index_sections: Vec::new(), bloom: None };
    let mut survey = Survey {
        layouts: Vec::new(),
        nine_fat: None,
        plain: Vec::new(),
        parts,
        more_blooms: Vec::new(),
        config: None,
        findings: Vec::new(),
    };
    for disk in disks {
        match find(&disk.device).await {
            Ok(layout) => {
                survey.take(disk, &layout);
                survey.layouts.push(Some(layout));
            }
            Err(error) => {
                survey.tell(disk, FindingKind::Unreadable(error));
                survey.layouts.push(None);
            }
        }
    }
    venti_conf::obey(&mut survey).await;
    for StorePart { name, .. } in core::mem::take(&mut survey.more_blooms) {
        if survey.parts.bloom.as_ref().is_none_or(|bloom| bloom.name != name) && !survey.is_left_out(&name) {
            let (disk, part) = name.rsplit_once('/').unwrap_or(("", &name));
            let what = FindingKind::SecondBloom(part.to_string());
            survey.findings.push(Finding { disk: disk.to_string(), what });
        }
    }
    survey
}

impl<D: BlockDevice + Clone> Survey<D> {
    /// Where a Plan 9 system keeps who it is: the first part called `nvram`, or the one of this name or path, such as
    /// `keys`, `disk1/nvram` or `#S/sdE0/nvram`.
    pub fn nvram(&self, path: Option<&str>) -> Option<&Partition<D>> {
        let of_disk = self.plain.iter().find(|part| path.is_some_and(|path| part.name() == path));
        let name = path.unwrap_or(NVRAM);
        of_disk.or_else(|| self.plain.iter().find(|part| venti_conf::is_named(name, part.name())))
    }

    fn is_left_out(&self, part: &str) -> bool {
        let is_it = |finding: &Finding| match &finding.what {
            FindingKind::LeftOut { name, .. } => {
                part.strip_prefix(&*finding.disk) == Some(&*format!("/{name}"))
            }
            _ => false,
        };
        self.findings.iter().any(is_it)
    }

    fn tell(&mut self, disk: &NamedDisk<D>, what: FindingKind) {
        self.findings.push(Finding { disk: disk.name.clone(), what });
    }

    fn take(&mut self, disk: &NamedDisk<D>, layout: &Layout) {
        for complaint in &layout.complaints {
            self.tell(disk, FindingKind::Complaint(complaint.clone()));
        }
        if layout.table == Table::None && layout.parts.iter().all(|part| part.contents == Contents::Unknown) {
            self.tell(disk, FindingKind::Blank);
            return;
        }
        if layout.table == Table::Unfinished {
            self.tell(disk, FindingKind::Unfinished);
        }
        for part in layout.parts.iter().filter(|part| !overlaps(layout, &part.name)) {
            self.take_part(disk, part);
        }
    }

    fn take_part(&mut self, disk: &NamedDisk<D>, part: &DiskPart) {
        let name = format!("{}/{}", disk.name, part.name);
        // `find` has checked that the part lies on the disk.
        let window = Partition::new(name.clone(), disk.device.clone(), part.first, part.count);
        let Ok(device) = window else { return };
        match part.contents {
            Contents::Arenas => self.parts.arenas.push(StorePart { name, device }),
            Contents::IndexSection => self.parts.index_sections.push(StorePart { name, device }),
            Contents::Bloom if self.parts.bloom.is_none() => {
                self.parts.bloom = Some(StorePart { name, device })
            }
            Contents::Bloom => self.more_blooms.push(StorePart { name, device }),
            Contents::Fat if part.name == NINE_FAT && self.nine_fat.is_none() => self.nine_fat = Some(device),
            Contents::Unknown => {
                if !PLAIN.contains(&part.name.as_str()) {
                    self.tell(disk, FindingKind::Unknown(part.name.clone()));
                }
                self.plain.push(device);
            }
            Contents::Fat | Contents::Parts => {}
        }
    }
}

fn overlaps(layout: &Layout, name: &str) -> bool {
    layout.complaints.iter().any(|complaint| match complaint {
        Complaint::Overlap(one, other) => one == name || other == name,
        _ => false,
    })
}
