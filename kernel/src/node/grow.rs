//! What a node adds to its store by itself: what its own disks have grown by, and, where the settings say so, arenas that
//! the index does not know, and blank disks.
//!
//! Knows which disks count. Must not know how arenas are made, nor in which order a disk is written.

use super::Part;
use crate::disk::Disk;
use crate::{entropy, time};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use net::rng::Rng;
use storage::device::BlockDevice;
use storage::disk::survey::{FindingKind, NamedDisk, Survey, survey};
use storage::make::disk::own::own;
use storage::make::disk::{Grown, State, grow, is_addition, state};
use storage::make::{self, MoreArenas};
use storage::partition::Partition;
use storage::settings::Grow;
use storage::store::{Store, StorePart, StoreSettings};

/// What there is to add once the store is open.
pub(super) struct Growth {
    setting: Grow,
    /// Names of the disks that were laid out here.
    own: Vec<String>,
    /// Those on which nothing was found.
    blank: Vec<NamedDisk<Rc<Disk>>>,
}

/// Uses the disks that were laid out here to their ends, and looks at all of them again if that changed any.
pub(super) async fn prepare(
    disks: Vec<NamedDisk<Rc<Disk>>>,
    mut found: Survey<Rc<Disk>>,
    setting: Grow,
    settings: StoreSettings,
) -> (Survey<Rc<Disk>>, Growth) {
    let (mut own_names, mut changed) = (Vec::new(), false);
    for disk in disks.iter().filter(|disk| setting != Grow::No && !disk.device.is_read_only()) {
        // What cannot be read was told before.
        if let Ok(Some(_)) = own(&disk.device).await {
            changed |= use_up(disk, &disks, settings).await;
            own_names.push(disk.name.clone());
        }
    }
    if changed {
        found = survey(&disks).await;
    }
    let is_blank = |disk: &NamedDisk<Rc<Disk>>| {
        found.findings.iter().any(|finding| finding.disk == disk.name && finding.what == FindingKind::Blank)
    };
    let blank = disks.into_iter().filter(is_blank).collect();
    (found, Growth { setting, own: own_names, blank })
}

/// Whether anything was written.
async fn use_up(disk: &NamedDisk<Rc<Disk>>, disks: &[NamedDisk<Rc<Disk>>], settings: StoreSettings) -> bool {
    let name = &disk.name;
    let rng = match entropy::rng() {
        Ok(rng) => rng,
        Err(why) => {
            log::error!("{name}: whether it has grown is not looked at: {why}");
            return false;
        }
    };
    match grow(disk, disks, settings, time::wall(), || rng.next_u64() as u32).await {
        Ok(None) => false,
        Ok(Some(Grown { part: None, .. })) => {
            log::info!("{name}: its partition tables cover the whole disk now");
            true
        }
        Ok(Some(Grown { part: Some(part), arenas, bytes, index })) => {
            let index = index.map_or(String::new(), |len| format!(", and an index of {} MiB", len >> 20));
            log::info!("{name}: it has grown: {arenas} arenas in {part}, {} MiB{index}", bytes >> 20);
            true
        }
        Err(why) => {
            log::error!("{name}: what it has grown by is not used: {why}");
            // The tables may have changed before.
            true
        }
    }
}

impl Growth {
    /// Adds what there is to add.
    pub(super) async fn add_to(&self, store: &Store<Part>) {
        let is_own = |part: &str| {
            let disk = part.rsplit_once('/').map_or("", |(disk, _)| disk);
            is_addition(part) && self.own.iter().any(|own| own == disk)
        };
        let adopted = match self.setting {
            Grow::No => return,
            Grow::Own => store.adopt_unmapped_of(is_own).await,
            Grow::Arenas | Grow::Disks => store.adopt_unmapped().await,
        };
        match adopted {
            Ok(names) if names.is_empty() => {}
            Ok(names) => log::info!("store: {} arenas added to the index", names.len()),
            Err(error) => log::error!("store: arenas cannot be added: {error}"),
        }
        for disk in self.blank.iter().filter(|_| self.setting == Grow::Disks) {
            match add(store, disk).await {
                Ok(added) => {
                    log::info!("{}: it was blank; {added} arenas on it belong to the store now", disk.name)
                }
                Err(why) => log::error!("{}: not added to the store: {why}", disk.name),
            }
        }
    }
}

/// Makes arenas of a disk; returns how many.
async fn add(store: &Store<Part>, disk: &NamedDisk<Rc<Disk>>) -> Result<usize, String> {
    let device = Partition::new(disk.name.clone(), disk.device.clone(), 0, disk.device.sector_count());
    let device = device.map_err(|error| error.to_string())?;
    if state(&device).await.map_err(|error| error.to_string())? != State::Blank {
        return Err("something stands on it".into());
    }
    let rng = entropy::rng().map_err(|error| error.to_string())?;
    let more = MoreArenas::like(&store.status().arenas).ok_or("the store has no arenas")?;
    let made = make::arenas(&device, more.options(), || rng.next_u64() as u32, |_, _| ()).await;
    made.map_err(|error| error.to_string())?;
    let names = store.add_arenas(StorePart { name: disk.name.clone(), device }).await;
    names.map(|names| names.len()).map_err(|error| error.to_string())
}
