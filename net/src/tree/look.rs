//! What a client sees of each place: stats, lists, texts.
//!
//! Must not know what may be changed, nor how.

use super::ctl;
use super::fat::is_secret;
use super::places::{Made, Place, TOP, root_qid};
use super::serve::{NodeFiles, NodePlace, fat_error, join};
use super::texts;
use crate::clock::Clock;
use crate::p9::{Error, Files, Stat, mode};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use storage::device::BlockDevice;

/// Owner and group of everything that is the node's.
const OWNER: &str = "granary";

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> NodeFiles<D, F, C> {
    pub(super) fn stat_of(
        &self,
        place: &Place,
        name: &str,
        permissions: u32,
        length: u64,
        mtime: u32,
    ) -> Stat {
        let qid = place.qid();
        let kind = if qid.is_directory() { mode::DIRECTORY } else { 0 };
        let owner = || OWNER.to_string();
        Stat {
            qid,
            mode: kind | permissions,
            atime: mtime,
            mtime,
            length,
            name: name.to_string(),
            uid: owner(),
            gid: owner(),
            muid: owner(),
        }
    }

    pub(super) async fn fat_stat(&self, place: &Place) -> Result<Stat, Error> {
        let Place::Fat { path, is_directory, alone } = place else { return Err(Error::NotFound) };
        if path.is_empty() {
            let name = if *alone { "/" } else { "9fat" };
            return Ok(self.stat_of(place, name, 0o755, 0, self.tree.clock.wall().0));
        }
        let entry = self.tree.fat()?.entry(path).await.map_err(fat_error)?;
        let permissions = fat_permissions(path, *is_directory);
        Ok(self.stat_of(place, &entry.name, permissions, entry.len.into(), entry.written.0))
    }

    pub(super) async fn entries(&self, place: &Place) -> Result<Vec<Stat>, Error> {
        match place {
            Place::Root => {
                let mut stats = Vec::new();
                for place in TOP.into_iter().filter_map(Place::top) {
                    stats.extend(self.stat(&NodePlace(place)).await.ok());
                }
                Ok(stats)
            }
            Place::Fat { path, alone, .. } => {
                let entries = self.tree.fat()?.list(path).await.map_err(fat_error)?;
                let stat = |entry: storage::fat::directory::DirectoryEntry| {
                    let is_directory = entry.is_directory;
                    let path = join(path, &entry.name);
                    let permissions = fat_permissions(&path, is_directory);
                    let place = Place::Fat { path, is_directory, alone: *alone };
                    self.stat_of(&place, &entry.name, permissions, entry.len.into(), entry.written.0)
                };
                Ok(entries.into_iter().map(stat).collect())
            }
            Place::Names => {
                let registry = self.tree.names.registry();
                let lists = [registry.published(), registry.waiting()];
                let mut names: Vec<&str> = lists.into_iter().flat_map(|names| names.names()).collect();
                names.sort_unstable();
                names.dedup();
                let stat = |name: &str| self.stat_of(&Place::Name(name.to_string()), name, 0o444, 0, 0);
                Ok(names.into_iter().map(stat).collect())
            }
            Place::Peers => {
                let stat = |name: String| self.stat_of(&Place::Peer(name.clone()), &name, 0o444, 0, 0);
                Ok(self.tree.around.peers.names().into_iter().map(stat).collect())
            }
            Place::Roots => {
                let registry = self.tree.names.registry();
                let stat = |name: &str| {
                    // What is said of the archive itself is read when somebody walks there.
                    let stat = self.stat_of(&Place::Roots, name, 0o555, 0, 0);
                    Stat { qid: root_qid(name), ..stat }
                };
                Ok(registry.published().names().map(stat).collect())
            }
            _ => Err(Error::NotDirectory),
        }
    }

    pub(super) async fn text(&self, made: Made) -> String {
        let tree = &self.tree;
        match made {
            Made::Ctl => ctl::HELP.to_string(),
            Made::Arenas => texts::arenas(&tree.store),
            Made::Log => String::from_utf8_lossy(&(tree.around.log)()).into_owned(),
            Made::Status => {
                let fat = match &tree.nine_fat {
                    Some(fat) => Some((fat.total_bytes(), fat.free_bytes().await)),
                    None => None,
                };
                let uptime = tree.clock.now().since(Default::default());
                let mut text = texts::status(&tree.name, uptime, &tree.store, &tree.names, fat);
                text += &texts::disks(&(tree.disks)());
                text += &self.kernel_lines().await;
                let waiting: Vec<&str> = tree.waiting_settings.borrow().iter().copied().collect();
                if !waiting.is_empty() {
                    text += &alloc::format!("settings-waiting {}\n", waiting.join(","));
                }
                text
            }
        }
    }
}

fn fat_permissions(path: &str, is_directory: bool) -> u32 {
    match is_directory {
        true => 0o755,
        false if is_secret(path) => 0,
        false => 0o644,
    }
}
