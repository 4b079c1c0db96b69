//! What the settings let a node add to its store by itself: arenas that the index does not know, and blank disks.
//!
//! Knows which disks count as blank. Must not know how arenas are made.

use super::Part;
use crate::disk::Disk;
use crate::entropy;
use alloc::format;
use alloc::rc::Rc;
use net::rng::Rng;
use storage::device::BlockDevice;
use storage::disk::survey::NamedDisk;
use storage::make::disk::{State, state};
use storage::make::{self, MoreArenas};
use storage::partition::Partition;
use storage::settings::Grow;
use storage::store::{Store, StorePart};

/// Adds what there is to add. `blank`: disks on which nothing was found.
pub(super) async fn grow(store: &Store<Part>, setting: Grow, blank: &[NamedDisk<Rc<Disk>>]) {
    if setting == Grow::No {
        return;
    }
    match store.adopt_unmapped().await {
        Ok(names) if names.is_empty() => {}
        Ok(names) => log::info!("store: {} arenas added to the index", names.len()),
        Err(error) => log::error!("store: arenas cannot be added: {error}"),
    }
    for disk in blank.iter().filter(|_| setting == Grow::Disks) {
        match add(store, disk).await {
            Ok(added) => {
                log::info!("{}: it was blank; {added} arenas on it belong to the store now", disk.name)
            }
            Err(why) => log::error!("{}: not added to the store: {why}", disk.name),
        }
    }
}

/// Makes arenas of a disk; returns how many.
async fn add(store: &Store<Part>, disk: &NamedDisk<Rc<Disk>>) -> Result<usize, alloc::string::String> {
    let device = Partition::new(disk.name.clone(), disk.device.clone(), 0, disk.device.sector_count());
    let device = device.map_err(|error| format!("{error}"))?;
    if state(&device).await.map_err(|error| format!("{error}"))? != State::Blank {
        return Err("something stands on it".into());
    }
    let rng = entropy::rng().map_err(|error| format!("{error}"))?;
    let more = MoreArenas::like(&store.status().arenas).ok_or("the store has no arenas")?;
    let made = make::arenas(&device, more.options(), || rng.next_u64() as u32, |_, _| ()).await;
    made.map_err(|error| format!("{error}"))?;
    let names = store.add_arenas(StorePart { name: disk.name.clone(), device }).await;
    names.map(|names| names.len()).map_err(|error| format!("{error}"))
}
