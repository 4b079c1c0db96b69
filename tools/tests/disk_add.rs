//! `granary disk add`: a store gets room on a second disk, and never on one that is not blank.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Output};

fn add(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    command.args(["disk", "add"]).args(arguments).output().unwrap()
}

fn show(disks: &[&str]) -> String {
    let shown =
        Command::new(env!("CARGO_BIN_EXE_granary")).args(["disk", "show"]).args(disks).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
fn a_blank_disk_becomes_arenas_of_the_store_and_another_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = support::make_disk(folder.path(), "disk.img", &["--size", "256M", "--arena-size", "64M"]);
    let disk = disk.to_str().unwrap();
    let more = folder.path().join("more.img");
    let more = more.to_str().unwrap();
    let absent = add(&[more, "--to", disk]);
    assert_eq!(absent.status.code(), Some(2), "{absent:?}");
    let added = add(&[more, "--size", "200M", "--to", disk]);
    assert!(added.status.success(), "{added:?}");
    let said = String::from_utf8(added.stdout).unwrap();
    assert!(said.starts_with(&format!("{more}: 4 arenas, ")), "{said}");
    let shown = show(&[disk, more]);
    assert!(shown.contains("more.img") && shown.contains("  4 empty arenas"), "{shown}");
    // Neither a disk that is in use nor one that holds anything is taken.
    std::fs::write(folder.path().join("letters.txt"), vec![b'x'; 8 << 20]).unwrap();
    let letters = folder.path().join("letters.txt");
    let refused = add(&[letters.to_str().unwrap(), "--to", disk, "--to", more]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not blank"), "{refused:?}");
    assert_eq!(std::fs::read(&letters).unwrap(), vec![b'x'; 8 << 20]);
    // A store that has grown does not open without its second disk.
    let third = folder.path().join("third.img");
    let refused = add(&[third.to_str().unwrap(), "--size", "16M", "--to", disk]);
    assert!(!refused.status.success() && !third.exists(), "{refused:?}");
}
