//! What several tests share: a small disk image.

mod elf;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes an image called `name` in `folder`. Its kernel and loaders are stand-ins: nobody boots it.
pub fn make_disk(folder: &Path, name: &str, more: &[&str]) -> PathBuf {
    let (disk, kernel) = (folder.join(name), folder.join("granary-kernel"));
    // An ELF header with one program header that loads nothing.
    let mut elf = vec![0_u8; 256];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[32], elf[54], elf[56]) = (64, 56, 1);
    std::fs::write(&kernel, elf).unwrap();
    std::fs::write(folder.join("granary-bios"), vec![0; 2048]).unwrap();
    std::fs::write(folder.join("granary-uefi"), elf::elf().build()).unwrap();
    let [file, kernel] = [&disk, &kernel].map(|path| path.to_str().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    let made = command.args(["image", "create", file, "--kernel", kernel]).args(more).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    disk
}
