//! `granary fat` beside other people's tools: what mkfs.fat and mtools make is read and changed, fsck.fat finds nothing
//! wrong with it after every change, and mtools reads it back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

mod support;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Two kinds of file system: mkfs.fat's options, and bytes.
const KINDS: [(&[&str], u64); 3] = [
    (&["-F", "16", "-R", "2"], 12 << 20),
    (&["-F", "16", "-f", "1", "-s", "8"], 40 << 20),
    (&["-F", "32", "-s", "1"], 40 << 20),
];

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let path = format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("MTOOLS_SKIP_CHECK", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}: install Debian's mtools and dosfstools"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn granary(arguments: &[&str], input: &[u8]) -> Output {
    run(env!("CARGO_BIN_EXE_granary"), arguments, input)
}

/// A file system in a file.
struct Disk(PathBuf);

impl Disk {
    fn made(folder: &Path, options: &[&str], bytes: u64) -> Disk {
        let file = folder.join("9fat.img");
        std::fs::File::create(&file).unwrap().set_len(bytes).unwrap();
        let made = run("mkfs.fat", &[options, &[file.to_str().unwrap()]].concat(), b"");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Disk(file)
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// `granary fat`, which must succeed; then nothing is wrong with the file system.
    fn fat(&self, verb: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = granary(&[&["fat", verb, self.name()], arguments].concat(), input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{verb} {arguments:?}: {said}");
        let judged = run("fsck.fat", &["-n", self.name()], b"");
        let said = String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success(), "after {verb} {arguments:?}: {said}");
        output.stdout
    }

    fn mtools(&self, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = run(program, &[&["-i", self.name()], arguments].concat(), input);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        output.stdout
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 / 3) as u8).collect()
}

#[test]
fn what_mtools_wrote_is_read_and_what_is_written_mtools_reads() {
    for (options, bytes) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::made(folder.path(), options, bytes);
        disk.mtools("mmd", &["::keys"], b"");
        disk.mtools("mcopy", &["-", "::keys/A Long Name of Theirs.txt"], &content(70_000));
        assert_eq!(disk.fat("get", &["keys/a long name of theirs.TXT"], b""), content(70_000));
        disk.fat("put", &["scorenames"], b"scorename=a\n");
        disk.fat("append", &["scorenames"], b"scorename=b\n");
        disk.fat("mkdir", &["keys/of old friends"], b"");
        for number in 0..40 {
            let name = format!("keys/of old friends/key number {number}");
            disk.fat("put", &[&name], &content(300 * number));
        }
        disk.fat("mv", &["keys/A Long Name of Theirs.txt", "theirs"], b"");
        disk.fat("mv", &["scorenames", "names of scores"], b"");
        assert_eq!(disk.mtools("mtype", &["::names of scores"], b""), b"scorename=a\nscorename=b\n");
        assert_eq!(disk.mtools("mtype", &["::theirs"], b""), content(70_000));
        let key = "::keys/of old friends/key number 39";
        assert_eq!(disk.mtools("mtype", &[key], b""), content(300 * 39));
        let listed = String::from_utf8(disk.mtools("mdir", &["-b", "::keys/of old friends"], b"")).unwrap();
        assert_eq!(listed.lines().filter(|line| line.contains("key number")).count(), 40, "{listed}");
        disk.fat("rm", &["theirs"], b"");
        let listed: serde_json::Value = serde_json::from_slice(&disk.fat("ls", &["--json"], b"")).unwrap();
        let names: Vec<&str> =
            listed["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["keys", "names of scores"]);
        disk.fat("check", &[], b"");
    }
}

/// Fatfs, as lamfat publishes it: an engine of its own, which was not told of ours.
#[test]
fn another_engine_reads_what_is_written_and_what_it_writes_is_read() {
    for (options, bytes) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::made(folder.path(), options, bytes);
        disk.fat("put", &["scorenames"], &content(5000));
        disk.fat("put", &["scorenames"], &content(70_000));
        disk.fat("mkdir", &["keys"], b"");
        disk.fat("put", &["keys/of old friends, with a long name"], &content(300));
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&disk.0).unwrap();
        let volume = lamfat::FileSystem::new(file, lamfat::FsOptions::new()).unwrap();
        let root = volume.root_dir();
        for (name, len) in [("SCORENAMES", 70_000), ("keys/of old friends, with a long name", 300)] {
            let mut read = Vec::new();
            root.open_file(name).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content(len), "{name}");
        }
        let listed: Vec<String> = root.iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(listed, ["scorenames", "keys"]);
        root.create_file("keys/Made by another.txt").unwrap().write_all(&content(9000)).unwrap();
        root.remove("scorenames").unwrap();
        drop(root);
        volume.unmount().unwrap();
        assert_eq!(disk.fat("get", &["keys/made by ANOTHER.txt"], b""), content(9000));
        assert_eq!(disk.fat("get", &["keys/of old friends, with a long name"], b""), content(300));
        disk.fat("put", &["scorenames"], b"again");
        disk.fat("check", &[], b"");
    }
}

#[test]
fn what_cannot_be_done_says_why_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (options, bytes) = KINDS[0];
    let disk = Disk::made(folder.path(), options, bytes);
    disk.fat("put", &["a"], b"one");
    disk.fat("mkdir", &["d"], b"");
    disk.fat("put", &["d/b"], b"two");
    let before = std::fs::read(&disk.0).unwrap();
    for (verb, arguments, expected) in [
        ("get", &["b"][..], "there is no file b"),
        ("get", &["d"], "not of the right kind"),
        ("rm", &["d"], "not empty"),
        ("mv", &["a", "d/B"], "already"),
        ("mkdir", &["a"], "already"),
        ("put", &["a:b"], "cannot be the name"),
        ("put", &["granary.ini"], "granary.ini:1: \"nonsense\" is not of the form key=value"),
    ] {
        let output = granary(&[&["fat", verb, disk.name()], arguments].concat(), b"nonsense");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{verb} {arguments:?}: {said}");
        assert!(said.contains(expected), "{verb} {arguments:?}: {said}");
    }
    assert!(std::fs::read(&disk.0).unwrap() == before);
}

#[test]
fn a_damaged_file_system_is_named_ends_with_20_and_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let (options, bytes) = KINDS[0];
    let disk = Disk::made(folder.path(), options, bytes);
    disk.fat("put", &["good"], &content(3000));
    disk.fat("put", &["bad"], &content(3000));
    let mut image = std::fs::read(&disk.0).unwrap();
    // The entry of `bad` shall begin where `good` does.
    let at = |name: &[u8]| image.windows(11).position(|window| window == name).unwrap();
    let (good, bad) = (at(b"GOOD       "), at(b"BAD        "));
    image.copy_within(good + 26..good + 28, bad + 26);
    std::fs::write(&disk.0, &image).unwrap();
    let checked = granary(&["fat", "check", disk.name()], b"");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(20), "{said}");
    assert!(said.contains("two files share cluster"), "{said}");
    assert_eq!(granary(&["fat", "put", disk.name(), "new"], b"x").status.code(), Some(1));
    assert!(std::fs::read(&disk.0).unwrap() == image);
    assert_eq!(granary(&["fat", "get", disk.name(), "good"], b"").stdout, content(3000));
}

#[test]
fn the_9fat_of_a_disk_is_found_and_its_settings_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--size", "256m", "--arena-size", "64m", "--set", "sysname=barn"];
    let disk = Disk(support::make_disk(folder.path(), "disk.img", &more));
    let settings = granary(&["fat", "get", disk.name(), "granary.ini"], b"");
    assert!(String::from_utf8(settings.stdout).unwrap().contains("\nsysname=barn\n"));
    assert!(granary(&["fat", "put", disk.name(), "granary.ini"], b"sysname=mill\n").status.success());
    let settings = granary(&["fat", "get", disk.name(), "granary.ini"], b"");
    assert_eq!(settings.stdout, b"sysname=mill\n");
}
