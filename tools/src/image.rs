//! Bootable disk images as files of this machine. What is on them, [`storage::make::disk`] says.

pub mod convert;
pub mod flash;
mod gce;
mod qcow2;
pub mod source;
mod vhd;
mod vmdk;

use crate::boot_files::BootFiles;
use crate::host::device::{Access, FileDevice};
use anyhow::Context;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use storage::Timestamp;
use storage::make::disk::{Content, Made, Plan, lay_out};

/// Bytes in a sector of every image.
pub const SECTOR: u32 = 512;

/// Makes the image. `arena_done` is told of each arena that is formatted.
///
/// # Errors
/// If the file cannot be written, or something does not fit.
pub fn create(
    path: &Path,
    plan: &Plan,
    settings: &str,
    boot: &BootFiles,
    arena_done: impl Fn(),
) -> anyhow::Result<Made> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.set_len(plan.len_bytes())?;
    drop(file);
    let device = FileDevice::open(path, Access::Write)?;
    let numbers = Random::open()?.magics()?;
    let mut numbers = numbers.into_iter().cycle();
    let mut random = || numbers.next().unwrap_or(1);
    let begun = plan.begin(&mut random);
    let content = Content {
        boot_sector: &boot.boot_sector,
        second_stage: &boot.second_stage,
        efi_loader: &boot.efi_loader,
        kernel: &boot.kernel,
        settings,
    };
    crate::host::run(async {
        let made = lay_out(&device, plan, &begun, &content, now(), random, |_, _| arena_done()).await;
        Ok(made?)
    })
}

fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// The host's random numbers.
pub(crate) struct Random(File);

impl Random {
    pub(crate) fn open() -> anyhow::Result<Random> {
        Ok(Random(File::open("/dev/urandom").context("the host has no source of randomness")?))
    }

    fn bytes<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).context("reading randomness")?;
        Ok(bytes)
    }

    fn number(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_be_bytes(self.bytes()?))
    }

    /// Enough numbers for the arenas of any disk; they need not all differ.
    pub(crate) fn magics(&mut self) -> anyhow::Result<Vec<u32>> {
        (0..1024).map(|_| self.number()).collect()
    }
}
