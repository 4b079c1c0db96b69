//! `granary disk show` on images that `granary image create` made, whole and damaged.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn granary(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_granary")).args(arguments).output().unwrap()
}

fn image(folder: &Path) -> PathBuf {
    support::make_disk(folder, "disk.img", &["--size", "512m", "--arena-size", "64m"])
}

#[test]
fn a_fresh_image_has_its_parts_and_nothing_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = image(folder.path());
    let shown = granary(&["disk", "show", file.to_str().unwrap(), "--json"]);
    assert_eq!(shown.status.code(), Some(0));
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let parts = shown["disks"][0]["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    for name in ["esp", "plan9", "9fat", "nvram", "isect", "arenas"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(shown["arenas"][0]["arenas"].as_array().unwrap().len() > 4);
    assert_eq!(shown["index"][0]["index"], "main");
    assert_eq!(shown["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn a_zeroed_tail_is_named_and_ends_with_20() {
    let folder = tempfile::tempdir().unwrap();
    let file = image(folder.path());
    let shown = granary(&["disk", "show", file.to_str().unwrap(), "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let part = |part: &&serde_json::Value| part["name"] == "arenas";
    let part = shown["disks"][0]["parts"].as_array().unwrap().iter().find(part).unwrap()["start"].as_u64();
    let second = shown["arenas"][0]["arenas"][1]["start"].as_u64().unwrap();
    let disk = OpenOptions::new().write(true).open(&file).unwrap();
    disk.write_all_at(&[0; 8192], part.unwrap() + second - 8192).unwrap();
    let shown = granary(&["disk", "show", file.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(20));
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("DAMAGE") && line.contains("arenas0")), "{text}");
}
