//! An image in the formats that clouds and other hypervisors take.
//!
//! The new file is written under another name, made durable, and only then gets its own.

use super::source::Source;
use super::{Random, gce, now, qcow2, vhd, vmdk};
use anyhow::Context;
use std::fs::{File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use storage::Timestamp;

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// QEMU, Proxmox, OpenStack: only what is used.
    Qcow2,
    /// Azure: fixed size, whole MiB.
    Vhd,
    /// VMware: stream-optimised, compressed.
    Vmdk,
    /// Google: a compressed tar with disk.raw, whole GiB.
    Gce,
}

impl Format {
    /// What names of such files end in.
    pub const fn ending(self) -> &'static str {
        match self {
            Format::Qcow2 => "qcow2",
            Format::Vhd => "vhd",
            Format::Vmdk => "vmdk",
            Format::Gce => "tar.gz",
        }
    }

    /// Disks in this format are a multiple of so many bytes.
    const fn alignment(self) -> u64 {
        match self {
            Format::Qcow2 => 512,
            Format::Vhd => vhd::ALIGNMENT,
            Format::Vmdk => vmdk::ALIGNMENT,
            Format::Gce => gce::ALIGNMENT,
        }
    }
}

/// A source with the size that the format wants.
///
/// # Errors
/// See [`Source::open`] and [`Source::lengthen`].
pub fn open(from: &Path, format: Format) -> anyhow::Result<Source> {
    let mut source = Source::open(from)?;
    let len = source.len().checked_next_multiple_of(format.alignment());
    source.lengthen(len.context("the image is too large")?)?;
    Ok(source)
}

/// Writes `source` to `to`, which exists afterwards whole or not at all. `passed` is told of bytes that are done.
///
/// # Errors
/// If reading or writing fails, or `to` exists and is not to be replaced.
pub fn convert(
    source: &Source,
    to: &Path,
    format: Format,
    replace: bool,
    passed: impl Fn(u64),
) -> anyhow::Result<()> {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let name = to.file_name().context("the name of the new file is missing")?.to_string_lossy();
    let mut beside = tempfile::Builder::new();
    // What the umask leaves of this, as with any new file.
    beside.prefix(".granary-").permissions(Permissions::from_mode(0o666));
    let new = beside.tempfile_in(&folder).with_context(|| format!("in {}", folder.display()))?;
    let file = new.as_file();
    let Timestamp(seconds) = now();
    let mut random = Random::open()?;
    match format {
        Format::Qcow2 => qcow2::write(source, file, passed)?,
        Format::Vhd => vhd::write(source, file, seconds.into(), random.bytes()?, passed)?,
        Format::Vmdk => vmdk::write(source, BufWriter::new(file), &name, random.number()?, passed)?,
        Format::Gce => gce::write(source, BufWriter::new(file), seconds.into(), passed)?,
    }
    file.sync_all().context("making the new file durable")?;
    let named = if replace { new.persist(to) } else { new.persist_noclobber(to) };
    named?;
    File::open(&folder)?.sync_all().context("making the new file's name durable")
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
