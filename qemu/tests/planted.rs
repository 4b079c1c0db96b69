//! Bugs planted into a copy of the storage engine: the trials must find each of them.
//!
//! `storage` has no switches for this. A bug is a text that is put in the place of another in a copy of the sources; the
//! variable `PLANTED` says which bug lives, so that the copy is built only once. A text that does not stand in the sources
//! exactly once fails the test.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// Seeds of the trials; every bug must be found by one of them.
const SEEDS: [&str; 2] = ["1", "600"];
/// Seeds of the trials in which no bug lives, and nothing must be found.
const SEEDS_OF_NONE: [&str; 2] = ["1", "60"];
/// What `trials` answers when a promise was broken.
const BROKEN: i32 = 3;

/// The bugs, by what is wrong. `lives(N)` in [`EDITS`] is whether the one with this number is to live.
const BUGS: [(u32, &str); 10] = [
    (1, "the flush of the log is skipped"),
    (2, "the flush of the tails is skipped"),
    (3, "tails are written before clumps"),
    (4, "directories are written before clumps"),
    (5, "index sections are flushed, the log that they point into is not"),
    (6, "a duplicate is not compared"),
    (7, "a sync succeeds although a write has failed"),
    (8, "what a failed commit wrote is not written again as a whole"),
    (9, "a block is served unverified"),
    (10, "two writers of one block do not wait for each other"),
];

/// A file of the engine, a text in it, and what stands there in the copy.
const EDITS: [(&str, &str, &str); 9] = [
    (
        "lib.rs",
        "#[cfg(test)]\nextern crate std;\n",
        "extern crate std;
/// Whether this bug is to live.
pub(crate) fn lives(bug: u32) -> bool {
    static PLANTED: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    *PLANTED.get_or_init(|| std::env::var(\"PLANTED\").ok()?.parse().ok()) == Some(bug)
}
",
    ),
    (
        "store/commit.rs",
        "        self.flush(&logs).await?;\n",
        "        if !crate::lives(1) { self.flush(&logs).await?; }\n",
    ),
    (
        "store/commit.rs",
        "        self.flush(&tails).await\n",
        "        if crate::lives(2) { return Ok(()); }\n        self.flush(&tails).await\n",
    ),
    (
        "store/commit.rs",
        "        self.write_log(plan.groups).await?;\n",
        "        for arena in plan.arenas.iter().filter(|_| crate::lives(3)) {
            self.write_at(arena.partition, arena.tail_offset, arena.tail.clone()).await?;
            self.flush(&BTreeSet::from([arena.partition])).await?;
        }
        for arena in plan.arenas.iter().filter(|_| crate::lives(4)) {
            if let Some(run) = &arena.directory {
                self.write_at(arena.partition, run.offset, run.bytes.clone()).await?;
                self.flush(&BTreeSet::from([arena.partition])).await?;
            }
        }
        let written = self.write_log(plan.groups).await;
        if !crate::lives(7) {
            written?;
        }
",
    ),
    (
        "store/commit.rs",
        "    async fn flush(&self, partitions: &BTreeSet<usize>) -> Result<(), StoreError> {\n",
        "    async fn flush(&self, partitions: &BTreeSet<usize>) -> Result<(), StoreError> {
        if crate::lives(5) {
            return Ok(());
        }
",
    ),
    ("store/write.rs", "        if !same {\n", "        if !same && !crate::lives(6) {\n"),
    (
        "store/commit.rs",
        "        self.groups = Group::merged(core::mem::take(&mut self.groups));\n",
        "        if !crate::lives(8) { self.groups = Group::merged(core::mem::take(&mut self.groups)); }\n",
    ),
    (
        "arena/clump_io.rs",
        "    if got != header.score {\n",
        "    if got != header.score && !crate::lives(9) {\n",
    ),
    (
        "store/write.rs",
        "        if let Some(event) = state.writing.get(&key) {\n",
        "        if let Some(event) = state.writing.get(&key).filter(|_| !crate::lives(10)) {\n",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Copies the crate alone: without its tests, and what only they need.
fn copy() -> PathBuf {
    let (root, copy) = (root(), Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted"));
    for folder in ["storage/src", "storage/examples"] {
        if copy.join(folder).exists() {
            fs::remove_dir_all(copy.join(folder)).unwrap();
        }
        copy_folder(&root.join(folder), &copy.join(folder));
    }
    let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = |line: &str| line.starts_with("members") || line.starts_with("default-members");
    let alone = workspace.lines().map(|line| if members(line) { "" } else { line });
    let workspace = alone
        .collect::<Vec<&str>>()
        .join("\n")
        .replace("[workspace]\n", "[workspace]\nmembers = [\"storage\"]\n");
    fs::write(copy.join("Cargo.toml"), workspace).unwrap();
    let manifest = fs::read_to_string(root.join("storage/Cargo.toml")).unwrap();
    let (manifest, _) = manifest.split_once("[dev-dependencies]").unwrap();
    fs::write(copy.join("storage/Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            // Written anew, so that cargo sees that it may have changed.
            fs::write(target, fs::read(&path).unwrap()).unwrap();
        }
    }
}

/// The program that runs the trials of the copy.
fn build(copy: &Path) -> PathBuf {
    for (file, find, replace) in EDITS {
        let path = copy.join("storage/src").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(find).count(), 1, "in {file}: {find}");
        fs::write(&path, text.replace(find, replace)).unwrap();
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--offline", "-p", "storage", "--example", "trials"]).current_dir(copy);
    let target = copy.join("target");
    build.env("CARGO_TARGET_DIR", &target).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let built = build.output().unwrap();
    assert!(built.status.success(), "the copy does not build: {}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/examples/trials")
}

#[test]
fn every_planted_bug_is_found_and_nothing_is_found_without_one() {
    let trials = build(&copy());
    let none = Command::new(&trials).args(SEEDS_OF_NONE).output().unwrap();
    assert!(none.status.success(), "{}", String::from_utf8_lossy(&none.stdout));
    // Side by side: each is one thread.
    let missed: Vec<&str> = thread::scope(|scope| {
        let trials = &trials;
        let runs = BUGS.map(|bug| (bug, scope.spawn(move || is_found(trials, bug))));
        let missed = runs.into_iter().filter_map(|((_, name), run)| (!run.join().unwrap()).then_some(name));
        missed.collect()
    });
    assert!(missed.is_empty(), "not found: {missed:?}");
}

fn is_found(trials: &Path, (number, name): (u32, &str)) -> bool {
    let output = Command::new(trials).args(SEEDS).env("PLANTED", number.to_string()).output().unwrap();
    println!("{name}: {}", String::from_utf8_lossy(&output.stdout).trim());
    output.status.code() == Some(BROKEN)
}
