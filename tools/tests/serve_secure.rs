//! `granary serve` behind Plan 9's authentication: users do what their roles say, and nobody else does anything.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

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
    let arguments = [
        "key",
        "nvram",
        disk.to_str().unwrap(),
        "--user",
        "venti",
        "--domain",
        "lab",
        "--password-file",
        "-",
    ];
    let written = granary(&arguments, PASSWORD.as_bytes());
    assert!(written.status.success(), "{written:?}");
    // Nobody becomes somebody else by mistake.
    let again = granary(&arguments, PASSWORD.as_bytes());
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"), "{again:?}");
    assert!(granary(&[&arguments[..], &["--force"]].concat(), PASSWORD.as_bytes()).status.success());
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

fn said(arguments: &[&str]) -> String {
    let output = granary(arguments, b"");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Two nodes of this host, of which the first one replicates to the second by this way; the file of the peer follows from
/// where that is, and what its certificate is.
fn replicates(users: &str, info: impl Fn(&Process, &str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let disks =
        ["east.img", "west.img"].map(|name| support::make_disk(folder.path(), name, &["--size", "256M"]));
    let [east, west] = disks.each_ref().map(|disk| disk.to_str().unwrap());
    disks.iter().for_each(|disk| write_nvram(disk));
    let lines = [east, west].map(|disk| said(&["key", "new", disk]));
    said(&["key", "trust", west, &lines[0], "--roles", "replicate"]);
    let common = ["serve", "--listen", ANY, "--p9", ANY, "--json", "--disk"];
    let behind = ["--tls", ANY, "--secure", ANY, "--secure-p9", ANY, "--users", users];
    let second = Process::start(&[&common[..], &[west], &behind].concat());
    let file = folder.path().join("west.info");
    std::fs::write(&file, info(&second, &lines[1])).unwrap();
    said(&["fat", "put", east, "west.info", file.to_str().unwrap()]);
    let first = Process::start(&[&common[..], &[east, "--peers"]].concat());
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), vec![7; 100_000]).unwrap();
    let root = said(&["vac", "--host", &first.says("address"), tree.to_str().unwrap()]);
    let (near, far) = (first.says("p9"), second.says("p9"));
    said(&["names", "--host", &near, "--add", "barn.1009", &root, "iris"]);
    let shown = || granary(&["names", "--host", &far, "barn.1009"], b"");
    let deadline = Instant::now() + Duration::from_secs(120);
    while !String::from_utf8_lossy(&shown().stdout).contains("published") {
        let peers = said(&["peers", "--host", &near, "west"]);
        assert!(Instant::now() < deadline, "{peers}");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(first);
    let restored = folder.path().join("restored");
    said(&["unvac", "--host", &second.says("address"), "--into", restored.to_str().unwrap(), &root]);
    assert_eq!(std::fs::read(restored.join("tree/file")).unwrap(), vec![7; 100_000]);
}

#[test]
fn nodes_replicate_behind_authentication_and_names_go_by_9p() {
    replicates("venti replicate@127.0.0.0/8", |west, _| {
        let (venti, names) = (west.says("secure"), west.says("secure_p9"));
        format!("venti={venti}\n# granary names={names}\n# granary way=auth\n")
    });
}

#[test]
fn nodes_replicate_by_tls_and_names_go_the_same_way() {
    replicates("* read", |west, line| {
        let pin = line.split_ascii_whitespace().find(|word| word.starts_with("sha256=")).unwrap();
        format!(
            "venti={}\n# granary names=direct\n# granary way=tls\n# granary pin={pin}\n",
            west.says("tls")
        )
    });
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
