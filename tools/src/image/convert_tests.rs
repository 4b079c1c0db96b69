//! Images in other formats, as qemu-img reads them and as tar unpacks them: the same bytes, at the size that is wanted.

use super::*;
use flate2::read::GzDecoder;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::{Command, Output};
use storage::disk::gpt::{self, Guid, Header};
use storage::disk::mbr;

const MIB: u64 = 1 << 20;

/// An image of `len` bytes: a GPT with one partition, and data in the first, middle and last places it has.
fn image(folder: &Path, len: u64) -> PathBuf {
    let path = folder.join("disk.img");
    let file = File::create(&path).unwrap();
    file.set_len(len).unwrap();
    let sectors = len / 512;
    let last = sectors - 40;
    let (kind, unique) = (Guid::PLAN9, Guid::random([7; 16]));
    let entry = gpt::Entry { kind, unique, first: 64, last, label: String::from("plan9") };
    let table = gpt::encode(Guid::random([1; 16]), sectors, 512, &[entry]);
    file.write_all_at(&mbr::protective(sectors, &[0xeb, 0x3c]), 0).unwrap();
    file.write_all_at(&table.primary, 512).unwrap();
    file.write_all_at(&table.backup, len - table.backup.len() as u64).unwrap();
    // More stretches than fit in the first header of a sparse tar.
    for place in 0..40 {
        let text = format!("stretch {place} ").repeat(400);
        file.write_all_at(text.as_bytes(), 64 * 512 + place * (len / 50)).unwrap();
    }
    file.write_all_at(b"last", last * 512).unwrap();
    path
}

fn converted(from: &Path, format: Format) -> PathBuf {
    let to = from.with_extension(format.ending());
    let source = open(from, format).unwrap();
    let passed = std::cell::Cell::new(0);
    convert(&source, &to, format, false, |bytes| passed.set(passed.get() + bytes)).unwrap();
    assert_eq!(passed.get(), source.len(), "progress ends at the end");
    to
}

fn qemu_img(arguments: &[&str]) -> Output {
    Command::new("qemu-img").args(arguments).output().expect("qemu-img of Debian's qemu-utils")
}

/// The disk in `file` as QEMU reads it, which finds no fault in it.
fn unpacked(file: &Path, format: &str) -> Vec<u8> {
    let name = file.to_str().unwrap();
    if format != "vpc" {
        let checked = qemu_img(&["check", "-f", format, name]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let raw = file.with_extension("raw");
    let done = qemu_img(&["convert", "-f", format, "-O", "raw", name, raw.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(raw).unwrap()
}

/// `disk` holds what `original` does, and a GPT with copies at both its ends.
fn assert_lengthened(disk: &[u8], original: &[u8], len: u64) {
    assert_eq!(disk.len() as u64, len);
    let (inside, end) = (34 * 512, original.len() - 33 * 512);
    assert!(disk[inside..end] == original[inside..end], "the data between the tables differ");
    let last = len / 512 - 1;
    let primary = Header::parse(&disk[512..1024], gpt::PRIMARY_AT).unwrap();
    assert_eq!(primary.other_sector, last);
    let backup = Header::parse(&disk[last as usize * 512..], last).unwrap();
    let entries = primary.entries(&disk[1024..]).unwrap();
    assert_eq!(backup.entries(&disk[backup.entries_at as usize * 512..]).unwrap(), entries);
    assert_eq!(u64::from(mbr::parse(disk.get(..512).unwrap()).unwrap().next().unwrap().count), last);
}

#[test]
fn a_qcow2_is_sparse_and_holds_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    // Two tables of the second level, and a last cluster that is not whole.
    let from = image(folder.path(), 600 * MIB + 512);
    let to = converted(&from, Format::Qcow2);
    assert!(std::fs::metadata(&to).unwrap().len() < 8 * MIB);
    let (name, original) = (to.to_str().unwrap(), from.to_str().unwrap());
    for arguments in [&["check", name][..], &["compare", "-f", "raw", "-F", "qcow2", original, name]] {
        let judged = qemu_img(arguments);
        assert!(judged.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&judged.stdout));
    }
}

#[test]
fn a_vhd_has_whole_mib_and_its_table_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let from = image(folder.path(), 33 * MIB + 512);
    let to = converted(&from, Format::Vhd);
    assert_eq!(std::fs::metadata(&to).unwrap().len(), 34 * MIB + 512);
    assert_lengthened(&unpacked(&to, "vpc"), &std::fs::read(&from).unwrap(), 34 * MIB);
}

#[test]
fn a_vmdk_is_small_and_holds_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let from = image(folder.path(), 100 * MIB);
    let to = converted(&from, Format::Vmdk);
    assert!(std::fs::metadata(&to).unwrap().len() < MIB);
    assert!(unpacked(&to, "vmdk") == std::fs::read(&from).unwrap(), "the bytes differ");
}

#[test]
fn googles_tar_holds_a_disk_of_whole_gib() {
    let folder = tempfile::tempdir().unwrap();
    let from = image(folder.path(), 65 * MIB);
    let to = converted(&from, Format::Gce);
    assert!(std::fs::metadata(&to).unwrap().len() < MIB);
    // Once by tar itself, as a cloud would, and once by the crate, to see the header.
    let tar = Command::new("tar").arg("-xzf").arg(&to).arg("-C").arg(folder.path()).output().unwrap();
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    let disk = std::fs::read(folder.path().join("disk.raw")).unwrap();
    assert_lengthened(&disk, &std::fs::read(&from).unwrap(), 1 << 30);
    let mut start = [0; 512];
    GzDecoder::new(File::open(&to).unwrap()).read_exact(&mut start).unwrap();
    assert_eq!((&start[..9], &start[257..265]), (&b"disk.raw\0"[..], &b"ustar  \0"[..]));
}

#[test]
fn an_existing_file_is_kept_and_nothing_half_made_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let from = image(folder.path(), 33 * MIB);
    let to = folder.path().join("taken");
    std::fs::write(&to, "mine").unwrap();
    let source = open(&from, Format::Qcow2).unwrap();
    assert!(convert(&source, &to, Format::Qcow2, false, |_| ()).is_err());
    assert_eq!(std::fs::read(&to).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    convert(&source, &to, Format::Qcow2, true, |_| ()).unwrap();
    assert_eq!(std::fs::read(&to).unwrap()[..4], *b"QFI\xfb");
}

#[test]
fn what_is_no_raw_image_or_has_a_damaged_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let from = image(folder.path(), 33 * MIB + 512);
    let qcow2 = converted(&from, Format::Qcow2);
    for (bytes, says) in [(std::fs::read(qcow2).unwrap(), "is qcow2"), (vec![1; 700], "whole sectors")] {
        let path = folder.path().join("other");
        std::fs::write(&path, bytes).unwrap();
        let error = open(&path, Format::Vhd).err().unwrap();
        assert!(error.to_string().contains(says), "{error}");
    }
    File::options().write(true).open(&from).unwrap().write_all_at(&[9], 1030).unwrap();
    let error = open(&from, Format::Vhd).err().unwrap();
    assert!(format!("{error:#}").contains("checksum"), "{error:#}");
}
