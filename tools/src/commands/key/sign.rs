//! `granary key sign` and `granary key public`: signatures of kernels, and the key that verifies them.

use super::in_file;
use crate::boot_files::loadable_file;
use crate::commands::upgrade::SIGNATURE_SUFFIX;
use anyhow::Context;
use net::signature::{self, PublicKey};
use std::path::{Path, PathBuf};

/// Writes the signature of what a node is sent of this kernel.
///
/// # Errors
/// If there is no key, or the file is no kernel.
pub(super) fn sign(key: &Path, kernel: &Path, out: Option<PathBuf>) -> anyhow::Result<()> {
    let signature = signature::sign(&in_file(key)?, &loadable_file(kernel)?);
    let out = out.unwrap_or_else(|| {
        let mut name = kernel.as_os_str().to_owned();
        name.push(SIGNATURE_SUFFIX);
        name.into()
    });
    std::fs::write(&out, signature).with_context(|| format!("writing {}", out.display()))
}

/// Prints the line of granary.ini.
///
/// # Errors
/// If there is no key.
pub(super) fn public(key: &Path) -> anyhow::Result<()> {
    println!("upgradekey={}", PublicKey::of(&in_file(key)?));
    Ok(())
}
