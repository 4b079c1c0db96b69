//! Trees of host files, saved and restored.

use super::*;
use crate::archive::blocks::MemoryBlocks;
use crate::archive::restore::{self, Action};
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

const LINK_TARGET: &str = "a/b/c/a target that is long";

fn settings() -> Settings {
    Settings {
        block_size: 512,
        old: None,
        quick: false,
        verbose: false,
        whole_links: true,
        patterns: Patterns::default(),
        now: Some(1_700_000_000),
    }
}

fn save_tree(blocks: &MemoryBlocks, settings: &Settings, path: &Path) -> Report {
    let paths = [path.as_os_str().as_bytes().to_vec()];
    save(blocks, settings, &paths, None, &Progress::hidden()).unwrap()
}

fn restore_into(blocks: &MemoryBlocks, score: &str, target: &Path, action: Action) -> restore::Report {
    let settings = restore::Settings {
        action,
        target: target.to_path_buf(),
        set_times: true,
        verbose: false,
        paths: Vec::new(),
        files_max: 1000,
        bytes_max: 1 << 30,
    };
    restore::restore(blocks, &settings, score.parse().unwrap(), &Progress::hidden()).unwrap()
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 | 1).collect()
}

/// A tree with one file of every shape.
fn make_tree(top: &Path) {
    fs::create_dir_all(top.join("a/b/c")).unwrap();
    fs::create_dir(top.join("empty")).unwrap();
    for (name, len) in [("none", 0), ("one", 1), ("leaf", 512), ("more", 513), ("deep", 512 * 700)] {
        fs::write(top.join("a").join(name), noise(len)).unwrap();
    }
    for number in 0..40 {
        fs::write(top.join("a/b").join(format!("file {number}")), format!("{number}")).unwrap();
    }
    fs::write(top.join("a/b/c/ünïcödé"), "x").unwrap();
    let sparse = File::create(top.join("sparse")).unwrap();
    sparse.set_len(100_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 50_000).unwrap();
    std::os::unix::fs::symlink(LINK_TARGET, top.join("link")).unwrap();
    fs::set_permissions(top.join("a/one"), Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(top.join("a/b"), Permissions::from_mode(0o750)).unwrap();
    for (name, seconds) in [("a/one", 1_234_567_890), ("a/b", 1_111_111_111)] {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        File::open(top.join(name)).unwrap().set_modified(time).unwrap();
    }
}

/// Every path below `top` with mode, time and content.
fn contents(top: &Path, below: &Path, found: &mut Vec<(String, u32, i64, Vec<u8>)>) {
    for entry in fs::read_dir(top.join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        let seen = fs::symlink_metadata(top.join(&path)).unwrap();
        let content = if seen.is_symlink() {
            fs::read_link(top.join(&path)).unwrap().into_os_string().as_bytes().to_vec()
        } else if seen.is_dir() {
            Vec::new()
        } else {
            fs::read(top.join(&path)).unwrap()
        };
        let time = if seen.is_symlink() { 0 } else { seen.mtime() };
        found.push((path.display().to_string(), seen.mode(), time, content));
        if seen.is_dir() {
            contents(top, &path, found);
        }
    }
}

fn all_contents(top: &Path) -> Vec<(String, u32, i64, Vec<u8>)> {
    let mut found = Vec::new();
    contents(top, Path::new(""), &mut found);
    found.sort();
    found
}

#[test]
fn a_tree_comes_back_with_contents_modes_times_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    make_tree(&from);
    fs::create_dir(&to).unwrap();
    let blocks = MemoryBlocks::default();
    let report = save_tree(&blocks, &settings(), &from);
    assert_eq!((report.problems, report.directories, report.files), (0, 5, 48));
    let restored = restore_into(&blocks, &report.score, &to, Action::Write);
    assert_eq!((restored.problems, restored.directories, restored.files), (0, 5, 48));
    assert!(all_contents(&from) == all_contents(&to.join("from")));
    assert!(fs::metadata(to.join("from/sparse")).unwrap().blocks() * 512 < 50_000, "holes take no space");
}

#[test]
fn an_unchanged_tree_is_the_same_archive_and_sends_no_data() {
    let folder = tempfile::tempdir().unwrap();
    make_tree(folder.path());
    let blocks = MemoryBlocks::default();
    let first = save_tree(&blocks, &settings(), folder.path());
    let count = blocks.count();
    let old = against(&first);
    let second = save_tree(&blocks, &old, folder.path());
    // Only the link is written again.
    assert_eq!((second.bytes, second.problems), (LINK_TARGET.len() as u64, 0));
    let quick = save_tree(&blocks, &Settings { quick: true, ..against(&first) }, folder.path());
    assert_eq!((quick.files, quick.score == second.score), (1, true));
    assert!(blocks.count() <= count + 8, "a root with a previous one, and access times");
}

fn against(old: &Report) -> Settings {
    Settings { old: Some(old.score.parse().unwrap()), ..settings() }
}

#[test]
fn what_changed_is_found_and_updating_restores_only_that() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    make_tree(&from);
    fs::create_dir(&to).unwrap();
    let blocks = MemoryBlocks::default();
    let first = save_tree(&blocks, &settings(), &from);
    restore_into(&blocks, &first.score, &to, Action::Write);
    let mut deep = noise(512 * 700);
    deep[512 * 300] ^= 0xff;
    fs::write(from.join("a/deep"), &deep).unwrap();
    fs::write(from.join("a/more"), noise(100)).unwrap();
    fs::write(from.join("a/leaf"), noise(5000)).unwrap();
    let second = save_tree(&blocks, &against(&first), &from);
    assert_eq!(second.bytes, 512 + 100 + (5000 - 512) + LINK_TARGET.len() as u64);
    let restored = restore_into(&blocks, &second.score, &to, Action::Update);
    // The file that became shorter has its first bytes already.
    assert_eq!((restored.problems, restored.bytes), (0, 512 + (5000 - 512)));
    assert!(all_contents(&from) == all_contents(&to.join("from")));
}

#[test]
fn what_cannot_be_read_or_is_left_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    make_tree(folder.path());
    let mut patterns = Patterns::default();
    patterns.exclude("...file*").unwrap();
    let blocks = MemoryBlocks::default();
    let paths = [folder.path().join("a"), folder.path().join("missing"), folder.path().join("a")];
    let paths: Vec<_> = paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    let settings = Settings { patterns, ..settings() };
    let report = save(&blocks, &settings, &paths, None, &Progress::hidden()).unwrap();
    assert_eq!((report.problems, report.files, report.directories), (2, 6, 3));
}

#[test]
fn standard_input_is_a_file() {
    let blocks = MemoryBlocks::default();
    let content = noise(3000);
    let mut input = content.as_slice();
    let report = save(&blocks, &settings(), &[], Some((b"piped", &mut input)), &Progress::hidden()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    restore_into(&blocks, &report.score, folder.path(), Action::Write);
    assert!(fs::read(folder.path().join("piped")).unwrap() == content);
}
