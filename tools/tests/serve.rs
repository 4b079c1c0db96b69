//! `granary serve` as a process: a disk is served, stopped, killed, served again, and refused to a second server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use server::Server;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn granary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    command.args(arguments).env_remove("venti").env_remove("GRANARY_LOG");
    command
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = granary(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a command that must succeed; returns its standard output without the last newline.
fn text(arguments: &[&str], input: &[u8]) -> String {
    let output = run(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn make_disk(folder: &Path, name: &str) -> PathBuf {
    support::make_disk(folder, name, &["--size", "256M"])
}

impl Server {
    /// A page's head and body.
    fn page(&self, path: &str) -> (String, String) {
        let address = self.http.strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn what_was_synced_is_served_again_after_a_stop_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let disk = make_disk(folder.path(), "disk.img");
    let mut stored: Vec<(String, String)> = Vec::new();
    for round in 0..3u8 {
        let server = Server::start(&disk);
        for (score, lump) in &stored {
            assert_eq!(&text(&["read", "-h", &server.dial, "-t", "0", score], b""), lump, "round {round}");
        }
        let lump = format!("grain of round {round}");
        let score = text(&["write", "--host", &server.dial], lump.as_bytes());
        text(&["sync", "--host", &server.dial], b"");
        stored.push((score, lump));
        if round == 0 {
            let second = run(&["serve", "--disk", disk.to_str().unwrap()], b"");
            assert_eq!(second.status.code(), Some(1));
            assert!(String::from_utf8_lossy(&second.stderr).contains("is in use"), "{second:?}");
            server.stop();
        }
    }
}

#[test]
fn a_tree_is_measured_and_copied_from_one_server_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let servers = ["from.img", "to.img"].map(|name| Server::start(&make_disk(folder.path(), name)));
    let [from, to] = servers.each_ref().map(|server| server.dial.as_str());
    let report =
        text(&["bench", "-h", from, "--blocks", "64", "--sizes", "600", "--json", "--seed", "1"], b"");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["rows"].as_array().unwrap().len(), 5 * 2 * 2);
    let archive = text(&["vac", "-h", from, env!("CARGO_MANIFEST_DIR")], b"");
    text(&["copy", "-m", from, to, &archive], b"");
    let listing = text(&["unvac", "-h", to, "-t", &archive], b"");
    assert!(listing.lines().any(|line| line.ends_with("tests/serve.rs")), "{listing}");
    let missing = run(&["copy", from, to, &"1".repeat(40)], b"");
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_served_disk_can_be_looked_at_by_http() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&make_disk(folder.path(), "disk.img"));
    text(&["write", "--host", &server.dial], b"one grain");
    let (head, body) = server.page("/");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && body.contains("1 stored"), "{head}\n{body}");
    assert_eq!(server.page("/readyz").1, "ready\n");
    assert!(server.page("/metrics").1.contains("\ngranary_venti_requests_total{op=\"write\"} 1\n"));
    assert!(server.page("/index").1.contains("\twritten: clumps=1 "));
    assert!(server.page("/set?name=devnull&value=1").0.starts_with("HTTP/1.1 404 "));
    server.stop();
}
