//! 9fat as a client changes it: who may, and what else happens when a file of a certain name changes.
//!
//! Knows which files mean something to the node. Must not know how a volume is written.

use super::places::Place;
use super::serve::{NodeFiles, NodeOpen, NodePlace, Open, fat_error, join};
use super::upgrade::{check_key, is_record};
use crate::clock::Clock;
use crate::p9::Error;
use crate::replicate::info;
use crate::tls13;
use alloc::string::String;
use alloc::vec::Vec;
use storage::device::BlockDevice;
use storage::fat::FatError;
use storage::names;
use storage::settings::{self, Key, Settings};

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> NodeFiles<D, F, C> {
    /// Whether this client may change a file of 9fat.
    pub(super) fn may_write(&self, path: &str) -> bool {
        if is(path, names::FILE) {
            return self.rights().may_name();
        }
        self.rights().admin && !self.is_kept(path) && !is_secret(path)
    }

    /// The new content of a file of 9fat takes effect.
    pub(super) async fn keep(&self, path: &str, content: &[u8]) -> Result<(), Error> {
        let now = self.tree.clock.wall();
        if is(path, names::FILE) {
            let new = self.tree.names.merge(content, now).await.map_err(Error::new)?;
            log::info!("audit: {}: wrote scorenames, {} new names", self.client, new.len());
            return Ok(());
        }
        let before = self.settings_if(is(path, settings::FILE)).await?;
        if before.is_some() {
            check_settings(content)?;
        }
        self.spare_kernel(path).await?;
        check_key(before.as_deref().unwrap_or_default(), content)?;
        self.tree.fat()?.replace(path, content, now).await.map_err(fat_error)?;
        log::info!("audit: {}: wrote 9fat/{path}, {} bytes", self.client, content.len());
        self.settings_changed(before, content);
        Ok(())
    }

    /// Changes one line of the settings.
    pub(super) async fn set(&self, key: &str, value: Option<&str>) -> Result<(), Error> {
        let key = settings::key(key).ok_or(Error::NotFound)?;
        let before = self.settings_if(true).await?.unwrap_or_default();
        let before = core::str::from_utf8(&before).map_err(|_| Error::new("granary.ini is no text"))?;
        self.keep(settings::FILE, settings::edit(before, key, value).as_bytes()).await
    }

    /// Begins a peer's file.
    pub(super) async fn set_peer(&self, name: &str, text: &str) -> Result<(), Error> {
        let file = [name, info::SUFFIX].concat();
        match self.tree.fat()?.entry(&file).await {
            Err(FatError::NotFound(_)) => self.keep(&file, text.as_bytes()).await,
            Ok(_) => Err(Error::new(alloc::format!(
                "there is a peer {name}; edit 9fat/{file}, or unpeer it first"
            ))),
            Err(error) => Err(fat_error(error)),
        }
    }

    /// The settings as they stand, if they are about to change.
    async fn settings_if(&self, change: bool) -> Result<Option<Vec<u8>>, Error> {
        if !change {
            return Ok(None);
        }
        let text = self.tree.fat()?.read_if_there(settings::FILE, settings::FILE_LEN_MAX as u64).await;
        Ok(Some(text.map_err(fat_error)?.unwrap_or_default()))
    }

    /// Has new settings obeyed where that can be done at once, and says what waits for the next start.
    fn settings_changed(&self, before: Option<Vec<u8>>, after: &[u8]) {
        let Some(before) = before else { return };
        let obey = self.tree.around.obey.as_ref();
        let (at_once, waiting): (Vec<&Key>, Vec<&Key>) =
            Settings::changed(&before, after).into_iter().partition(|key| key.at_once && obey.is_some());
        if let Some(obey) = obey {
            obey(after);
        }
        let list = |keys: Vec<&Key>| keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
        self.tree.waiting_settings.borrow_mut().extend(waiting.iter().map(|key| key.name));
        for (keys, when) in [(at_once, "obeyed from now on"), (waiting, "obeyed at the next start")] {
            if !keys.is_empty() {
                log::info!("{}: {}: {when}", settings::FILE, list(keys));
            }
        }
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
            Open::Entries(Vec::new())
        } else {
            fat.replace(&path, b"", now).await.map_err(fat_error)?;
            Open::Fat { content: Vec::new(), is_changed: false }
        };
        Ok((NodePlace(Place::Fat { path, is_directory, alone: *alone }), NodeOpen(open)))
    }

    /// Takes a file or an empty directory away.
    pub(super) async fn remove_from_fat(&self, path: &str) -> Result<(), Error> {
        if !self.rights().admin || path.is_empty() || self.is_kept(path) || is_secret(path) {
            return Err(Error::Permission);
        }
        let before = self.settings_if(is(path, settings::FILE)).await?;
        self.spare_kernel(path).await?;
        check_key(before.as_deref().unwrap_or_default(), b"")?;
        self.tree.fat()?.remove(path).await.map_err(fat_error)?;
        log::info!("audit: {}: removed 9fat/{path}", self.client);
        self.settings_changed(before, b"");
        Ok(())
    }

    /// Gives a file or directory another name where it is.
    pub(super) async fn rename_in_fat(&self, place: &mut Place, name: &str) -> Result<(), Error> {
        let Place::Fat { path, .. } = place else { return Err(Error::Wstat) };
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let to = join(above, name);
        let is_ours = |path: &str| self.is_kept(path) || is_secret(path);
        if path.is_empty() || !self.rights().admin || is_ours(path) || is_ours(&to) {
            return Err(Error::Permission);
        }
        let fat = self.tree.fat()?;
        let (from_settings, to_settings) = (is(path, settings::FILE), is(&to, settings::FILE));
        let before = self.settings_if(from_settings || to_settings).await?;
        let mut after = Vec::new();
        if to_settings {
            after = fat.read(path, settings::FILE_LEN_MAX as u64).await.map_err(fat_error)?;
            check_settings(&after)?;
        }
        self.spare_kernel(path).await?;
        self.spare_kernel(&to).await?;
        check_key(before.as_deref().unwrap_or_default(), &after)?;
        fat.rename(path, &to).await.map_err(fat_error)?;
        log::info!("audit: {}: renamed 9fat/{path} to {to}", self.client);
        self.settings_changed(before, &after);
        *path = to;
        Ok(())
    }

    /// Files in which the node keeps names, or which kernel it starts: they change with these alone.
    fn is_kept(&self, path: &str) -> bool {
        is_record(path) || names::FILES.into_iter().any(|file| is(path, file))
    }
}

/// Whether a file of 9fat is for the node alone, whoever asks.
pub(super) fn is_secret(path: &str) -> bool {
    is(path, tls13::KEY_FILE)
}

/// FAT does not tell capitals from small letters.
fn is(path: &str, file: &str) -> bool {
    path.eq_ignore_ascii_case(file)
}

/// Refuses what the node would complain about at its next start.
fn check_settings(content: &[u8]) -> Result<(), Error> {
    let refused = |errors: Vec<settings::SettingError>| {
        let lines: Vec<String> = errors.iter().take(4).map(|error| alloc::format!("{error}")).collect();
        Error::new(lines.join("; "))
    };
    Settings::parse(settings::FILE, content).map(drop).map_err(refused)
}
