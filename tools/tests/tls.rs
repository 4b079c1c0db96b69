//! TLS 1.3 by which nodes know each other, against OpenSSL at either end, and node to node.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use embedded_io_async::{Read as _, Write as _};
use net::auth::thumbprint::Thumbprints;
use net::tls13::{Failure, Identity, Ours, Reader, Secured, Source, Writer, dial};
use net::venti::client::{self, Settings};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use storage::block_type::BlockType;
use tokio::net::TcpStream;
use tools::host::clock::HostClock;
use tools::host::rng::HostRng;
use tools::host::{self, stream};

static SOURCE: Source<HostRng> = Source::new(HostRng);
const PATIENCE: Duration = Duration::from_secs(60);

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn text(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn granary(arguments: &[&str]) -> String {
    text(env!("CARGO_BIN_EXE_granary"), arguments)
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(program: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Process(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().unwrap();
    }
}

/// A node that is served, and the key that it trusts.
struct Node {
    /// The line by which others trust it.
    own: String,
    trusted: PathBuf,
    port: u16,
    _process: Process,
}

/// Makes a disk, trusts a key that is made for it, and serves it.
fn node(folder: &Path, roles: &str) -> Node {
    let disk = support::make_disk(folder, "disk.img", &["--size", "256M"]);
    let trusted = folder.join("trusted.key");
    let line = granary(&["key", "new", "--out", trusted.to_str().unwrap(), "--name", "barn"]);
    let path = disk.to_str().unwrap();
    let own = granary(&["key", "new", path, "--name", "node"]);
    granary(&["key", "trust", path, &line, "--roles", roles]);
    let any = "tcp!127.0.0.1!0";
    let arguments = ["serve", "--disk", path, "--listen", any, "--tls", any, "--json"];
    let mut process = Process::start(env!("CARGO_BIN_EXE_granary"), &arguments);
    let said: serde_json::Value = serde_json::from_str(&process.lines().next().unwrap()).unwrap();
    let port = said["tls"].as_str().unwrap().rsplit_once('!').unwrap().1.parse().unwrap();
    Node { own, trusted, port, _process: process }
}

impl Node {
    /// What OpenSSL's client hears first, if it is let in.
    fn greets(&self, options: &[&str]) -> Option<String> {
        let address = format!("127.0.0.1:{}", self.port);
        let fixed = ["s_client", "-connect", &address, "-quiet"];
        let mut process = Process::start("openssl", &[&fixed[..], options].concat());
        let mut greeting = [0; 6];
        process.0.stdout.as_mut().unwrap().read_exact(&mut greeting).ok()?;
        Some(String::from_utf8_lossy(&greeting).into_owned())
    }
}

type Halves = (Reader<stream::Reader>, Writer<stream::Writer>);

/// Dials a port of the loopback with a key, trusting what one line says.
async fn call(port: u16, key: &Path, line: &str) -> Result<Halves, Failure> {
    let identity = Identity::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let mut trusted = Thumbprints::default();
    trusted.add(line).unwrap();
    let (reader, writer) = stream::split(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).unwrap();
    let ours = Ours { identity: &identity, trusted: Arc::new(trusted), source: &SOURCE };
    let Secured { reader, writer, .. } = dial(reader, writer, ours, &HostClock, PATIENCE).await?;
    Ok((reader, writer))
}

#[test]
fn openssl_is_let_in_with_a_key_that_is_listed_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), "read");
    let key = node.trusted.to_str().unwrap();
    let greeting = Some("venti-".to_owned());
    assert_eq!(node.greets(&["-cert", key, "-key", key]), greeting);
    // A group that we do not have comes first: the server asks for another.
    assert_eq!(node.greets(&["-cert", key, "-key", key, "-groups", "X25519:P-256"]), greeting);
    assert_eq!(node.greets(&["-cert", key, "-key", key, "-groups", "P-256"]), greeting);
    assert_eq!(node.greets(&["-cert", key, "-key", key, "-groups", "X25519"]), None);
    assert_eq!(node.greets(&["-cert", key, "-key", key, "-tls1_2"]), None);
    assert_eq!(node.greets(&[]), None);
    let other = folder.path().join("other.key");
    let other = other.to_str().unwrap();
    granary(&["key", "new", "--out", other]);
    assert_eq!(node.greets(&["-cert", other, "-key", other]), None);
}

#[test]
fn connect_carries_a_client_in_clear_to_a_node_that_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path(), "read,write");
    let key = node.trusted.to_str().unwrap();
    let to = format!("tcp!127.0.0.1!{}", node.port);
    let through = |trusted: &str| {
        let arguments = ["connect", "--json", "--key", key, "--trust", trusted, "tcp!127.0.0.1!0", &to];
        let mut process = Process::start(env!("CARGO_BIN_EXE_granary"), &arguments);
        let said: serde_json::Value = serde_json::from_str(&process.lines().next().unwrap()).unwrap();
        let host = said["address"].as_str().unwrap().to_owned();
        (process, host)
    };
    let (_process, host) = through(&node.own);
    assert!(granary(&["ping", "--host", &host]).contains("version 04"));
    let (_process, host) = through(&granary(&["key", "show", key]));
    assert!(!run(env!("CARGO_BIN_EXE_granary"), &["ping", "--host", &host]).status.success());
    let both = ["connect", "--key", key, "--trust", &node.own, "--user", "ada", "tcp!127.0.0.1!0", &to];
    assert_eq!(run(env!("CARGO_BIN_EXE_granary"), &both).status.code(), Some(2));
}

#[test]
fn openssl_reads_the_key_and_agrees_on_its_thumbprint() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("node.key");
    let key = key.to_str().unwrap();
    let line = granary(&["key", "new", "--out", key, "--name", "barn"]);
    text("openssl", &["verify", "-check_ss_sig", "-CAfile", key, key]);
    text("openssl", &["pkey", "-in", key, "-check", "-noout"]);
    let fingerprint = text("openssl", &["x509", "-in", key, "-noout", "-fingerprint", "-sha256"]);
    let digits = fingerprint.rsplit_once('=').unwrap().1.replace(':', "").to_lowercase();
    assert_eq!(line, format!("x509 sha256={digits} name=barn"));
    assert_eq!(granary(&["key", "show", key, "--name", "barn"]), line);
    let again = run(env!("CARGO_BIN_EXE_granary"), &["key", "new", "--out", key]);
    assert_eq!(again.status.code(), Some(1), "a key was overwritten");
}

#[test]
fn we_dial_openssl_and_talk_past_its_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let [server, ours] = ["server.key", "our.key"].map(|name| folder.path().join(name));
    let path = server.to_str().unwrap();
    text(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=x",
            "-keyout",
            path,
            "-out",
            path,
        ],
    );
    let line = granary(&["key", "show", path]);
    granary(&["key", "new", "--out", ours.to_str().unwrap()]);
    let arguments = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        path,
        "-key",
        path,
        "-rev",
        "-Verify",
        "1",
        "-naccept",
        "2",
    ];
    let mut process = Process::start("openssl", &arguments);
    let accepts = process.lines().find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    let port = accepts.rsplit_once(':').unwrap().1.parse().unwrap();
    host::run(async {
        let stranger = format!("x509 sha256={}", "00".repeat(32));
        let refused = call(port, &ours, &stranger).await.map(drop);
        assert!(matches!(refused, Err(Failure::Stranger(_))), "{refused:?}");
        let (mut reader, mut writer) = call(port, &ours, &line).await.unwrap();
        let mut answer = [0; 8];
        for round in 0..20 {
            writer.write_all(format!("grain{round:02}\n").as_bytes()).await.unwrap();
            reader.read_exact(&mut answer).await.unwrap();
            let reversed: String = format!("grain{round:02}").chars().rev().collect();
            assert_eq!(answer, format!("{reversed}\n").as_bytes());
        }
        writer.close().await.unwrap();
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_node_serves_blocks_to_another_as_far_as_its_roles_go() {
    for (roles, may_write) in [("read,write", true), ("read", false)] {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), roles);
        let line = node.own.clone();
        host::run(async {
            let (reader, writer) = call(node.port, &node.trusted, &line).await.unwrap();
            let (client, carrier) =
                client::connect(reader, writer, HostClock, Settings::default()).await.unwrap();
            tokio::task::spawn_local(carrier);
            let lump: Vec<u8> = (0..50_000_u32).map(|number| (number / 7) as u8).collect();
            let written = client.write(BlockType::DATA, lump.clone().into()).await;
            assert_eq!(written.is_ok(), may_write, "{written:?}");
            if let Ok(score) = written {
                client.sync().await.unwrap();
                assert_eq!(client.read(score, BlockType::DATA, 57_000).await.unwrap(), lump);
            }
            client.goodbye().await;
            let refused =
                call(node.port, &node.trusted, "x509 sha1=0000000000000000000000000000000000000000").await;
            assert!(matches!(refused.map(drop), Err(Failure::Stranger(_))));
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn lines_that_trust_nobody_are_refused_and_one_is_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = support::make_disk(folder.path(), "disk.img", &["--size", "256M"]);
    let disk = disk.to_str().unwrap();
    let first = granary(&["key", "new", disk, "--name", "barn"]);
    assert_eq!(granary(&["key", "show", disk, "--name", "barn"]), first);
    let again = run(env!("CARGO_BIN_EXE_granary"), &["key", "new", disk]);
    assert_eq!(again.status.code(), Some(1));
    assert_ne!(granary(&["key", "new", disk, "--force"]), first);
    for bad in
        ["", "# x", "x509", "x509 sha256=00", "x509 md5=00", "ssh sha256=00", &format!("{first}\n{first}")]
    {
        let refused = run(env!("CARGO_BIN_EXE_granary"), &["key", "trust", disk, bad]);
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
    }
    let refused = run(env!("CARGO_BIN_EXE_granary"), &["key", "trust", disk, &first, "--roles", "king"]);
    assert_eq!(refused.status.code(), Some(2));
    let bare = first.split(' ').nth(1).unwrap();
    granary(&["key", "trust", disk, &first, "--roles", "read"]);
    granary(&["key", "trust", disk, bare]);
    granary(&["key", "trust", disk, bare]);
    let kept = granary(&["fat", "get", disk, "thumbprints"]);
    assert_eq!(kept.lines().collect::<Vec<_>>(), [format!("{first} roles=read"), format!("x509 {bare}")]);
}
