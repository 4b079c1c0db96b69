//! The programs that an image starts with: the kernel and the loaders, as `cargo build --release -p boot` leaves them.
//!
//! Knows where in these files is what. Must not know where it goes on a disk.

use crate::pe;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};

/// The kernel's file, beside this program.
const KERNEL: &str = "granary-kernel";
/// The BIOS loader's, beside the kernel.
const BIOS_LOADER: &str = "granary-bios";
/// The UEFI loader's.
const UEFI_LOADER: &str = "granary-uefi";

/// Bytes of code in a boot sector: the partition table follows.
const BOOT_SECTOR_LEN: usize = 440;
/// Where the second stage begins in the loader's file (memory from 0x7c00 on).
const SECOND_STAGE_AT: usize = 0x400;

/// Fields of an ELF header (System V ABI, chapter 4), as places.
const SECTION_HEADERS: std::ops::Range<usize> = 40..48;
const SECTION_COUNTS: std::ops::Range<usize> = 58..64;
/// The least program header.
const PROGRAM_HEADER_LEN: usize = 56;

/// What makes a disk boot.
#[derive(Clone, Debug)]
pub struct BootFiles {
    /// The kernel, without what only debuggers read.
    pub kernel: Vec<u8>,
    /// Code for the first sector.
    pub boot_sector: Vec<u8>,
    /// Code for the sectors of the BIOS boot partition.
    pub second_stage: Vec<u8>,
    /// The file that UEFI firmware starts.
    pub efi_loader: Vec<u8>,
}

fn kernel_path(path: Option<&Path>) -> anyhow::Result<PathBuf> {
    Ok(match path {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(KERNEL),
    })
}

impl BootFiles {
    /// Reads the kernel at `path`, or else beside this program.
    ///
    /// # Errors
    /// If it is not there, or is none.
    pub fn kernel(path: Option<&Path>) -> anyhow::Result<Vec<u8>> {
        loadable_file(&kernel_path(path)?)
    }

    /// Reads the kernel at `kernel`, or else beside this program, and the loaders beside it.
    ///
    /// # Errors
    /// If one of them is not there, or is not what it should be.
    pub fn read(kernel: Option<&Path>) -> anyhow::Result<BootFiles> {
        let path = kernel_path(kernel)?;
        let kernel = loadable_file(&path)?;
        let path = path.with_file_name(BIOS_LOADER);
        let loader = read(&path)?;
        let boot_sector = loader.get(..BOOT_SECTOR_LEN);
        let second_stage = loader.get(SECOND_STAGE_AT..).filter(|code| !code.is_empty());
        let (Some(boot_sector), Some(second_stage)) = (boot_sector, second_stage) else {
            anyhow::bail!("{} is no boot loader: it has {} bytes", path.display(), loader.len());
        };
        let path = path.with_file_name(UEFI_LOADER);
        let efi_loader =
            pe::from_elf(&read(&path)?).with_context(|| format!("{} is no UEFI loader", path.display()))?;
        let (boot_sector, second_stage) = (boot_sector.to_owned(), second_stage.to_owned());
        Ok(BootFiles { kernel, boot_sector, second_stage, efi_loader })
    }
}

/// A kernel file without what only debuggers read: what a disk gets.
///
/// # Errors
/// If it is not there, or is not what it should be.
pub fn loadable_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    loadable(read(path)?).with_context(|| format!("{} is no kernel", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let hint = || format!("reading {} (`cargo build --release -p boot` makes it)", path.display());
    std::fs::read(path).with_context(hint)
}

/// Cuts an ELF file behind the last byte that a loader reads: symbols and line numbers are most of it.
fn loadable(mut file: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let number = |at: usize, len: usize| -> anyhow::Result<usize> {
        let bytes = file.get(at..at + len).context("it is cut off")?;
        let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        Ok(usize::try_from(value)?)
    };
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "it is not a 64 bit ELF file");
    let (headers, len, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    ensure!(len >= PROGRAM_HEADER_LEN && headers < file.len(), "its headers are damaged");
    let mut end = headers + len * count;
    for index in 0..count {
        let at = headers + index * len;
        end = end.max(number(at + 8, 8)?.saturating_add(number(at + 32, 8)?));
    }
    ensure!(end <= file.len(), "it is cut off");
    file.truncate(end);
    // No table of sections is left.
    file[SECTION_HEADERS].fill(0);
    file[SECTION_COUNTS].fill(0);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one program header that names 10 bytes at 200, and sections behind them.
    fn elf() -> Vec<u8> {
        let mut file = vec![1; 400];
        file[..120].fill(0);
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (file[32], file[54], file[56], file[64 + 9], file[64 + 32]) = (64, 56, 1, 0, 10);
        file[64 + 8] = 200;
        file[SECTION_HEADERS].fill(3);
        file[SECTION_COUNTS].fill(3);
        file
    }

    #[test]
    fn a_kernel_keeps_what_is_loaded_and_loses_the_rest() {
        let kernel = loadable(elf()).unwrap();
        assert_eq!((kernel.len(), &kernel[200..]), (210, &[1; 10][..]));
        assert!(kernel[SECTION_HEADERS].iter().chain(&kernel[SECTION_COUNTS]).all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_no_kernel_or_cut_off_is_refused() {
        assert!(loadable(b"#!/bin/sh\n".to_vec()).is_err());
        for len in [40, 100, 205] {
            assert!(loadable(elf()[..len].to_vec()).is_err(), "{len}");
        }
    }

    #[test]
    fn a_missing_loader_is_named_with_the_way_to_make_it() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("kernel");
        std::fs::write(&kernel, elf()).unwrap();
        let error = format!("{:#}", BootFiles::read(Some(&kernel)).unwrap_err());
        assert!(error.contains("granary-bios") && error.contains("cargo build"), "{error}");
        std::fs::write(folder.path().join("granary-bios"), vec![7; 0x600]).unwrap();
        let error = format!("{:#}", BootFiles::read(Some(&kernel)).unwrap_err());
        assert!(error.contains("granary-uefi") && error.contains("cargo build"), "{error}");
        std::fs::write(folder.path().join("granary-uefi"), pe::sample::elf().build()).unwrap();
        let files = BootFiles::read(Some(&kernel)).unwrap();
        assert_eq!((files.second_stage.len(), &files.efi_loader[..2]), (0x200, &b"MZ"[..]));
    }
}
