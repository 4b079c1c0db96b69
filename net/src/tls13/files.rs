//! A node's key, and the certificates of its peers, in 9fat.

use super::identity::{self, BadIdentity, Identity};
use super::{KEY_FILE, THUMBPRINTS_FILE};
use crate::auth::thumbprint::{BadThumbprints, Thumbprints};
use crate::rng::Rng;
use alloc::string::String;
use storage::Timestamp;
use storage::device::BlockDevice;
use storage::fat::{FatError, NineFat};

/// A longer list of peers is refused.
pub const THUMBPRINTS_LEN_MAX: usize = 1 << 20;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It cannot be read or written.
    #[error("{file}: {error}")]
    Fat {
        /// The file.
        file: &'static str,
        /// What went wrong.
        error: FatError,
    },
    /// No text.
    #[error("{0}: it is no text")]
    NotText(&'static str),
    /// The key.
    #[error("{KEY_FILE}: {0}")]
    Key(#[from] BadIdentity),
    /// The list.
    #[error("{THUMBPRINTS_FILE}: {0}")]
    Thumbprints(#[from] BadThumbprints),
}

/// The node's key; a new one, which is kept, if it has none. The name is for people who look at the certificate.
///
/// # Errors
/// If there is a key that is none, or a new one cannot be kept.
pub async fn own<D: BlockDevice>(
    fat: &NineFat<D>,
    rng: &impl Rng,
    name: &str,
    now: Timestamp,
) -> Result<Identity, BadFile> {
    let in_fat = |error| BadFile::Fat { file: KEY_FILE, error };
    if let Some(text) = fat.read_if_there(KEY_FILE, identity::FILE_LEN_MAX as u64).await.map_err(in_fat)? {
        let text = core::str::from_utf8(&text).map_err(|_| BadFile::NotText(KEY_FILE))?;
        return Ok(Identity::from_pem(text)?);
    }
    let made = Identity::generate(rng, name)?;
    fat.replace(KEY_FILE, made.to_pem()?.as_bytes(), now).await.map_err(in_fat)?;
    Ok(made)
}

/// The peers; nobody, where there is no list.
///
/// # Errors
/// If the list is spoiled.
pub async fn peers<D: BlockDevice>(fat: &NineFat<D>) -> Result<Thumbprints, BadFile> {
    let in_fat = |error| BadFile::Fat { file: THUMBPRINTS_FILE, error };
    let text = fat.read_if_there(THUMBPRINTS_FILE, THUMBPRINTS_LEN_MAX as u64).await.map_err(in_fat)?;
    let text = String::from_utf8(text.unwrap_or_default()).map_err(|_| BadFile::NotText(THUMBPRINTS_FILE))?;
    let mut peers = Thumbprints::default();
    for other in peers.add(&text)? {
        log::warn!("{THUMBPRINTS_FILE}: {other} is not read: a node has this one file");
    }
    Ok(peers)
}
