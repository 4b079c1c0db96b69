//! Bugs planted into copies of the storage engine, one at a time: the trials must find each of them.
//!
//! `storage` has no switches for this. A bug is a text that is replaced in a copy of its sources; the copy is built by
//! itself and its trials are run until one fails. A text that does not stand there exactly once fails the test.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// Seeds of the trials; every bug must be found by one of them.
const SEEDS: [&str; 2] = ["1", "600"];
/// What `trials` answers when a promise was broken.
const BROKEN: i32 = 3;

/// One copy serves all tests, one after the other: what they have in common is built once.
static COPY: Mutex<()> = Mutex::new(());

/// A bug.
struct Bug {
    file: &'static str,
    find: &'static str,
    replace: &'static str,
}

const LOG_FIRST: &str = "        self.write_log(plan.groups).await?;\n        let logs";

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

/// Builds the copy and runs its trials.
fn trials(copy: &Path) -> Output {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--offline", "-p", "storage", "--example", "trials"]).current_dir(copy);
    let target = copy.join("target");
    build.env("CARGO_TARGET_DIR", &target).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let built = build.output().unwrap();
    assert!(built.status.success(), "the copy does not build: {}", String::from_utf8_lossy(&built.stderr));
    Command::new(target.join("debug/examples/trials")).args(SEEDS).output().unwrap()
}

fn found(bugs: &[Bug]) {
    let _turn = COPY.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let copy = copy();
    for bug in bugs {
        let path = copy.join("storage/src").join(bug.file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(bug.find).count(), 1, "in {}: {}", bug.file, bug.find);
        fs::write(&path, text.replace(bug.find, bug.replace)).unwrap();
    }
    let output = trials(&copy);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(BROKEN), "the bug was not found: {said}");
    println!("found: {said}");
}

fn finds(file: &'static str, find: &'static str, replace: &'static str) {
    found(&[Bug { file, find, replace }]);
}

#[test]
fn finds_a_skipped_flush_of_the_log() {
    finds("store/commit.rs", "        self.flush(&logs).await?;\n", "        let _ = logs;\n");
}

#[test]
fn finds_a_skipped_flush_of_the_tails() {
    finds(
        "store/commit.rs",
        "        self.flush(&tails).await\n",
        "        let _ = tails;\n        Ok(())\n",
    );
}

#[test]
fn finds_a_tail_that_is_written_before_its_clumps() {
    let early = "        for arena in &plan.arenas {
            self.write_at(arena.partition, arena.tail_offset, arena.tail.clone()).await?;
            self.flush(&BTreeSet::from([arena.partition])).await?;
        }
        self.write_log(plan.groups).await?;
        let logs";
    finds("store/commit.rs", LOG_FIRST, early);
}

#[test]
fn finds_a_directory_that_is_written_before_its_clumps() {
    let early = "        for arena in &plan.arenas {
            if let Some(run) = &arena.directory {
                self.write_at(arena.partition, run.offset, run.bytes.clone()).await?;
                self.flush(&BTreeSet::from([arena.partition])).await?;
            }
        }
        self.write_log(plan.groups).await?;
        let logs";
    finds("store/commit.rs", LOG_FIRST, early);
}

#[test]
fn finds_an_index_that_is_ahead_of_the_log() {
    let early = "    for planned in &plan.arenas {
        core.state_mut().arenas[planned.arena].durable = planned.counters;
    }
    let result = core.carry_out(&plan).await;";
    finds("store/commit.rs", "    let result = core.carry_out(&plan).await;", early);
}

#[test]
fn finds_a_duplicate_that_is_not_compared() {
    finds("store/write.rs", "        if !same {", "        if !same && self.settings.read_only {");
}

#[test]
fn finds_a_sync_that_succeeds_after_a_failed_write() {
    finds(
        "store/commit.rs",
        "                return ended.result.clone();",
        "                return Ok(());",
    );
}

#[test]
fn finds_a_failed_commit_that_is_not_written_again() {
    let find = "        self.groups = Group::merged(core::mem::take(&mut self.groups));\n";
    finds("store/commit.rs", find, "        let _ = Group::merged;\n");
}

#[test]
fn finds_a_block_that_is_served_unverified() {
    finds(
        "arena/clump_io.rs",
        "    if got != header.score {",
        "    if got != header.score && lump.is_empty() {",
    );
}

#[test]
fn finds_two_writers_of_one_block_that_do_not_wait_for_each_other() {
    let find = "        if let Some(event) = state.writing.get(&key) {";
    finds("store/write.rs", find, "        if let Some(event) = state.writing.get(&key).filter(|_| false) {");
}

#[test]
fn finds_nothing_where_nothing_was_planted() {
    let _turn = COPY.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let output = trials(&copy());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
