//! `granary connect` as a process: both its ends, a store between them, and who does not get through.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../net/tests/secure_support/auth_server.rs"]
mod auth_server;
#[path = "support/server.rs"]
mod server;
mod support;

use auth_server::AuthServer;
use server::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tools::host::rng::HostRng;

const ANY: &str = "tcp!127.0.0.1!0";
const USERS: [(&str, &str); 2] = [("venti", "kept safe"), ("ada", "lovelace1843")];

/// One end, and where it listens. Killed when dropped.
struct Connect {
    child: Child,
    dial: String,
}

impl Connect {
    fn start(password: &str, arguments: &[&str]) -> Connect {
        let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
        command.args(["connect", "--json"]).args(arguments).env("GRANARY_PASSWORD", password);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Connect { child, dial: said["address"].as_str().unwrap().to_owned() }
    }

    /// The server's end in front of `remote`.
    fn accepting(remote: &str) -> Connect {
        let (user, password) = USERS[0];
        Connect::start(password, &["--accept", "--user", user, "--domain", "lab", ANY, remote])
    }

    /// A connection through it that ends without a byte; and why.
    fn refuses(mut self) -> String {
        let address = self.dial.strip_prefix("tcp!").unwrap().replace('!', ":");
        let mut stream = TcpStream::connect(address).unwrap();
        let mut heard = Vec::new();
        // Closed with what was not read, it may be reset.
        let _ = stream.read_to_end(&mut heard);
        assert!(heard.is_empty());
        let mut line = String::new();
        BufReader::new(self.child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

/// An authentication server on a free port, for as long as the test runs. Returns where.
fn authentication_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let server = AuthServer::new(&USERS, HostRng);
            while let Ok((stream, _)) = listener.accept().await {
                server.serve(stream).await;
            }
        });
    });
    format!("tcp!127.0.0.1!{port}")
}

/// A port on which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp!127.0.0.1!{}", listener.local_addr().unwrap().port())
}

fn granary(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_granary"));
    command.args(arguments).env_remove("venti").env_remove("GRANARY_LOG");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn store(folder: &Path) -> Server {
    Server::start(&support::make_disk(folder, "disk.img", &["--size", "256M"]))
}

/// Stores a block through `dial`, and reads it again.
fn use_store(dial: &str) {
    let block: Vec<u8> = (0..=250).cycle().take(50_000).collect();
    let written = granary(&["write", "--host", dial], &block);
    assert!(written.status.success(), "{written:?}");
    let score = String::from_utf8(written.stdout).unwrap().trim().to_owned();
    let read = granary(&["read", "--host", dial, &score], b"");
    assert!(read.status.success() && read.stdout == block, "{}", String::from_utf8_lossy(&read.stderr));
    let pinged = granary(&["ping", "--host", dial, "--count", "3"], b"");
    assert!(pinged.status.success(), "{pinged:?}");
}

#[test]
fn a_store_is_reached_through_both_ends_with_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let far = Connect::accepting(&store.dial);
    let (user, password) = USERS[1];
    let (auth, nobody) = (authentication_server(), nobody());
    let near = Connect::start(
        password,
        &["--auth", &nobody, "--auth", &auth, "--user", user, "--server", "venti", ANY, &far.dial],
    );
    use_store(&near.dial);
}

#[test]
fn the_servers_own_account_gets_through_without_an_authentication_server() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let far = Connect::accepting(&store.dial);
    let (user, password) = USERS[0];
    let near =
        Connect::start(password, &["--auth", &nobody(), "--user", user, "--domain", "lab", ANY, &far.dial]);
    use_store(&near.dial);
}

#[test]
fn who_proves_nothing_gets_nothing_and_is_told_why() {
    let (far, auth) = (Connect::accepting(&nobody()), authentication_server());
    let through = |user: &str, password: &str, auth: &str, more: &[&str]| {
        let arguments = [&["--auth", auth, "--user", user][..], more, &[ANY, &far.dial]].concat();
        Connect::start(password, &arguments).refuses()
    };
    let said = through("ada", "guess", &auth, &[]);
    assert!(said.contains("wrong key or password"), "{said}");
    let said = through("venti", "guess", &nobody(), &[]);
    assert!(said.contains("closed instead of proving itself"), "{said}");
    let said = through("ada", USERS[1].1, &nobody(), &[]);
    assert!(said.contains("no authentication server"), "{said}");
    let said = through("ada", USERS[1].1, &auth, &["--domain", "elsewhere"]);
    assert!(said.contains("no dp9ik for the domain"), "{said}");
    let said = through("ada", USERS[1].1, &auth, &["--server", "archive"]);
    assert!(said.contains("\"archive\" was wanted"), "{said}");
}

#[test]
fn a_password_may_come_from_a_file_and_a_key_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (password, bad) = (file("password", "kept safe\n"), file("bad", "no key"));
    let started = Connect::start(
        "not this one",
        &["--password-file", &password, "--user", "venti", "--domain", "lab", "--accept", ANY, &nobody()],
    );
    drop(started);
    let refused = granary(&["connect", "--key-file", &bad, "--user", "venti", ANY, ANY], b"");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("32 hexadecimal digits"));
    let refused = granary(&["connect", "--password-file", "-", "--user", "venti", ANY, ANY], b"\n");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the password is empty"));
    let refused = granary(&["connect", "--accept", "--user", "venti", ANY, ANY], b"");
    assert_eq!(refused.status.code(), Some(2));
}
