//! `granary serve` behind Plan 9's authentication: users do what their roles say, and nobody else does anything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use net::auth::key::aes_key;
use net::auth::nvram::{Nvram, RECORD_LEN};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use storage::device::BlockDevice;
use tools::host::device::Access;
use tools::host::{self, parts};

const ANY: &str = "tcp!127.0.0.1!0";
const PASSWORD: &str = "kept safe";

/// A process that says in one JSON line where it is. Killed when dropped.
struct Process {
    child: Child,
    said: serde_json::Value,
}

impl Process {
    fn start(arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        command.args(arguments).env("GRANARY_PASSWORD", PASSWORD).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Process { child, said: serde_json::from_str(&line).unwrap() }
    }

    fn says(&self, key: &str) -> String {
        self.said[key].as_str().unwrap().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

fn granary(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    command.args(arguments).env_remove("venti").env_remove("granary").env_remove("GRANARY_LOG");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Makes the disk's node the account `venti` in the domain `lab`; what was kept beside it stays.
fn write_nvram(disk: &Path) {
    let disk = disk.to_str().unwrap();
    let account = ["key", "account", disk, "--user", "venti", "--domain", "lab"];
    let wrote = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        command.args(arguments).env("GRANARY_PASSWORD", PASSWORD).output().unwrap().status.code()
    };
    assert_eq!(wrote(&["key", "account", disk, "--user", "venti", "--domain", "two words"]), Some(2));
    assert_eq!(wrote(&account), Some(0));
    let disks = [PathBuf::from(disk)];
    let record = host::run(async {
        let parts = parts::of_disks(&disks, Access::Read).await?;
        let part = parts.nvram(None).expect("an image has an nvram");
        Ok(*part.read(0, 1).await?.first_chunk::<RECORD_LEN>().expect("a sector holds it"))
    });
    let nvram = Nvram::parse(&record.unwrap()).unwrap();
    assert_eq!((nvram.authid.as_str(), nvram.authdom.as_str()), ("venti", "lab"));
    assert_eq!((nvram.aes_key, nvram.des_key), (Some(aes_key(PASSWORD.as_bytes())), None));
}

fn serve(disk: &Path, users: &str) -> Process {
    let disk = disk.to_str().unwrap();
    Process::start(&[
        "serve",
        "--listen",
        ANY,
        "--secure",
        ANY,
        "--secure-p9",
        ANY,
        "--users",
        users,
        "--json",
        "--disk",
        disk,
    ])
}

fn connect(remote: &str) -> Process {
    Process::start(&["connect", "--json", "--auth", "tcp!127.0.0.1!1", "--user", "venti", ANY, remote])
}

#[test]
fn users_do_what_their_roles_say_and_others_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = support::make_disk(folder.path(), "disk.img", &["--size", "256M"]);
    write_nvram(&disk);
    let block = vec![7; 50_000];
    let writing = serve(&disk, "venti write");
    let near = connect(&writing.says("secure"));
    let written = granary(&["write", "--host", &near.says("address")], &block);
    assert!(written.status.success(), "{written:?}");
    let score = String::from_utf8(written.stdout).unwrap().trim().to_owned();
    assert!(granary(&["sync", "--host", &near.says("address")], b"").status.success());
    let tree = connect(&writing.says("secure_p9"));
    let status = granary(&["status", "--host", &tree.says("address")], b"");
    assert!(status.status.success(), "{status:?}");
    drop((writing, near, tree));

    let reading = serve(&disk, "ada admin, * read");
    let near = connect(&reading.says("secure"));
    let read = granary(&["read", "--host", &near.says("address"), &score], b"");
    assert!(read.status.success() && read.stdout == block, "{}", String::from_utf8_lossy(&read.stderr));
    let refused = granary(&["write", "--host", &near.says("address")], b"something new");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("you may not write here"), "{refused:?}");
    drop((reading, near));

    let closed = serve(&disk, "ada admin");
    let near = connect(&closed.says("secure"));
    assert!(!granary(&["ping", "--host", &near.says("address")], b"").status.success());
}

#[test]
fn a_disk_that_does_not_say_who_it_is_cannot_be_served_so() {
    let folder = tempfile::tempdir().unwrap();
    let disk = support::make_disk(folder.path(), "disk.img", &["--size", "256M"]);
    let disk = disk.to_str().unwrap();
    let refused =
        granary(&["serve", "--listen", ANY, "--secure", ANY, "--users", "* read", "--disk", disk], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nvram"), "{refused:?}");
    let refused = granary(&["serve", "--secure", ANY, "--disk", disk], b"");
    assert_eq!(refused.status.code(), Some(2));
}
