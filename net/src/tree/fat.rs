//! 9fat as a client changes it: who may, and what else happens when a file of a certain name changes.
//!
//! Knows which files mean something to the node. Must not know how a volume is written.

use super::places::Place;
use super::serve::{NodeFiles, NodeOpen, NodePlace, Open, fat_error, join};
use crate::clock::Clock;
use crate::p9::Error;
use alloc::string::String;
use storage::device::BlockDevice;
use storage::fat::FatError;
use storage::names;
use storage::settings::{self, Settings};

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> NodeFiles<D, F, C> {
    /// Whether this client may change a file of 9fat.
    pub(super) fn may_write(&self, path: &str) -> bool {
        if is(path, names::FILE) {
            return self.rights.may_name();
        }
        self.rights.admin && !self.is_kept(path)
    }

    /// The new content of a file of 9fat takes effect.
    pub(super) async fn keep(&self, path: &str, content: &[u8]) -> Result<(), Error> {
        let now = self.tree.clock.wall();
        if is(path, names::FILE) {
            let new = self.tree.names.merge(content, now).await.map_err(Error::new)?;
            log::info!("audit: {}: wrote scorenames, {} new names", self.client, new.len());
            return Ok(());
        }
        if is(path, settings::FILE) {
            check_settings(content)?;
        }
        self.tree.fat()?.replace(path, content, now).await.map_err(fat_error)?;
        log::info!("audit: {}: wrote 9fat/{path}, {} bytes", self.client, content.len());
        if is(path, settings::FILE) {
            log::info!("{}: takes effect at the next start", settings::FILE);
        }
        Ok(())
    }

    /// A new file, which is there at once and empty; or a new directory.
    pub(super) async fn create_in_fat(
        &self,
        parent: &Place,
        name: &str,
        is_directory: bool,
    ) -> Result<(NodePlace, NodeOpen), Error> {
        let Place::Fat { path, alone, .. } = parent else { return Err(Error::Permission) };
        let path = join(path, name);
        if !self.may_write(&path) {
            return Err(Error::Permission);
        }
        let (fat, now) = (self.tree.fat()?, self.tree.clock.wall());
        match fat.entry(&path).await {
            Err(FatError::NotFound(_)) => {}
            Ok(_) => return Err(Error::Exists),
            Err(error) => return Err(fat_error(error)),
        }
        let open = if is_directory {
            fat.make_directory(&path, now).await.map_err(fat_error)?;
            log::info!("audit: {}: made the directory 9fat/{path}", self.client);
            Open::Entries(alloc::vec::Vec::new())
        } else {
            fat.replace(&path, b"", now).await.map_err(fat_error)?;
            Open::Fat { content: alloc::vec::Vec::new(), is_changed: false }
        };
        Ok((NodePlace(Place::Fat { path, is_directory, alone: *alone }), NodeOpen(open)))
    }

    /// Takes a file or an empty directory away.
    pub(super) async fn remove_from_fat(&self, path: &str) -> Result<(), Error> {
        if !self.rights.admin || path.is_empty() || self.is_kept(path) {
            return Err(Error::Permission);
        }
        self.tree.fat()?.remove(path).await.map_err(fat_error)?;
        log::info!("audit: {}: removed 9fat/{path}", self.client);
        Ok(())
    }

    /// Gives a file or directory another name where it is.
    pub(super) async fn rename_in_fat(&self, place: &mut Place, name: &str) -> Result<(), Error> {
        let Place::Fat { path, .. } = place else { return Err(Error::Wstat) };
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let to = join(above, name);
        if path.is_empty() || !self.rights.admin || self.is_kept(path) || self.is_kept(&to) {
            return Err(Error::Permission);
        }
        let fat = self.tree.fat()?;
        if is(&to, settings::FILE) {
            check_settings(&fat.read(path, settings::FILE_LEN_MAX as u64).await.map_err(fat_error)?)?;
        }
        fat.rename(path, &to).await.map_err(fat_error)?;
        log::info!("audit: {}: renamed 9fat/{path} to {to}", self.client);
        *path = to;
        Ok(())
    }

    /// Files in which the node keeps names: they change with the names alone.
    fn is_kept(&self, path: &str) -> bool {
        names::FILES.into_iter().any(|file| is(path, file))
    }
}

/// FAT does not tell capitals from small letters.
fn is(path: &str, file: &str) -> bool {
    path.eq_ignore_ascii_case(file)
}

/// Refuses what the node would complain about at its next start.
fn check_settings(content: &[u8]) -> Result<(), Error> {
    let refused = |errors: alloc::vec::Vec<settings::SettingError>| {
        let lines: alloc::vec::Vec<String> =
            errors.iter().take(4).map(|error| alloc::format!("{error}")).collect();
        Error::new(lines.join("; "))
    };
    Settings::parse(settings::FILE, content).map(drop).map_err(refused)
}
