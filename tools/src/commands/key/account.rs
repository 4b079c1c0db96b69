//! The partition `nvram` of a disk: who its node is for Plan 9, as `auth/wrkey` writes it there.

use crate::commands::connect::secret::SecretArgs;
use crate::commands::connect::{domain_name, user_name};
use crate::host::device::Access;
use crate::host::parts;
use anyhow::Context;
use bytes::Bytes;
use net::auth::Secret;
use net::auth::nvram::{Nvram, RECORD_LEN};
use std::path::{Path, PathBuf};
use storage::device::BlockDevice;

/// Writes the account. What else Plan 9 keeps there stays, but for a DES key: it would be that of another password.
///
/// # Errors
/// If a name is none, there is no key or no such partition, or the disk fails.
pub(super) async fn write(disk: &Path, user: &str, domain: &str, secret: &SecretArgs) -> anyhow::Result<()> {
    let (authid, authdom) = (user_name(user)?, domain_name(domain)?);
    let key = secret.key(&authid)?;
    let disks: [PathBuf; 1] = [disk.to_owned()];
    let parts = parts::of_disks(&disks, Access::Write).await?;
    let nvram = parts.nvram(None).with_context(|| format!("{}: there is no partition nvram", disk.display()))?;
    let mut sector = nvram.read(0, 1).await?.to_vec();
    let record = sector.first_chunk_mut::<RECORD_LEN>().context("a sector is too short for nvram")?;
    let config = Nvram::parse(record).map_or_else(|_| Secret::filled(|_| ()), |before| before.config);
    Nvram { authid, authdom, aes_key: Some(key), des_key: None, config }.encode(record);
    nvram.write(0, Bytes::from(sector)).await?;
    Ok(nvram.flush().await?)
}
