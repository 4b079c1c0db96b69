//! The ports behind authentication and TLS: who proves to be known is served, and all others are refused, told in the log,
//! and in nobody's way.

use super::{Bench, Node};
use crate::client::{Client, connect_raw};
use crate::machine::{Forward, Machine};
use crate::ports;
use crate::random::Random;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything may take on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Proofs that a node hears at once from one address.
const AT_ONCE: usize = 4;
const PASSWORD: &str = "kept safe";

/// The ports of loopback that lead to the node's.
struct Doors {
    psk: u16,
    tree: u16,
    tls: u16,
}

impl Doors {
    fn open(node: &mut Node) -> Result<Doors> {
        let doors = Doors { psk: ports::choose(0)?, tree: ports::choose(0)?, tls: ports::choose(0)? };
        let guests = [(doors.psk, 27034), (doors.tree, 17020), (doors.tls, 17035)];
        node.spec.forwards.extend(guests.map(|(host, guest)| Forward { host, guest }));
        Ok(doors)
    }
}

/// `granary connect`: a port of loopback in front of one of the node's. It ends with the test.
struct Connect {
    child: Child,
    port: u16,
}

impl Connect {
    fn start(bench: &Bench, arguments: &[&str], password: &str, to: u16) -> Result<Connect> {
        let mut command = Command::new(&bench.programs.granary);
        command.args(["connect", "--json"]).args(arguments);
        command.args(["tcp!127.0.0.1!0", &format!("tcp!127.0.0.1!{to}")]);
        command.env("GRANARY_PASSWORD", password).current_dir(bench.folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line).context("granary connect says nothing")?;
        let port = said["port"].as_u64().and_then(|port| port.try_into().ok()).context("no port")?;
        Ok(Connect { child, port })
    }

    /// By the account of the node itself, which needs no authentication server: nobody listens on port 1.
    fn by_account(bench: &Bench, password: &str, to: u16) -> Result<Connect> {
        Connect::start(bench, &["--auth", "tcp!127.0.0.1!1", "--user", "venti"], password, to)
    }

    fn by_key(bench: &Bench, key: &str, trusted: &str, to: u16) -> Result<Connect> {
        Connect::start(bench, &["--key", key, "--trust", trusted], "", to)
    }

    fn client(&self) -> Result<Client> {
        Client::connect(self.port, LIMIT)
    }

    /// Closed without a byte.
    fn is_refused(&self) -> Result<()> {
        ensure!(hears(&mut connect_raw(self.port, LIMIT)?)?.is_empty(), "let in");
        Ok(())
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that comes until the peer closes.
fn hears(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error).context("not closed"),
        _ => Ok(heard),
    }
}

/// Stores a block, has it made durable, and reads it again.
fn use_venti(client: &mut Client, random: &mut Random) -> Result<()> {
    let block = random.bytes(8000);
    let score = client.write(&block)?;
    client.sync()?;
    ensure!(client.read(&score)? == block, "another block came back");
    Ok(())
}

/// A node with an account, a user and a key that it trusts: served through `granary connect` by each of the three ports,
/// with an honest client in clear all the while.
pub fn ports(bench: &Bench) -> Result<()> {
    let account = format!("account=venti lab {PASSWORD}");
    let disk = bench.image("1G", &["users=venti admin", "admin=0.0.0.0/0", &account])?;
    let line = set_up(bench, &disk)?;
    let mut node = bench.node(&disk)?;
    let doors = Doors::open(&mut node)?;
    let p9 = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: p9, guest: 564 });
    let machine = node.boot()?;
    let mut random = Random::new(bench.seed);
    let mut honest = node.client()?;
    let psk = Connect::by_account(bench, PASSWORD, doors.psk)?;
    let tls = Connect::by_key(bench, "host.key", &line, doors.tls)?;
    for door in [&psk, &tls] {
        use_venti(&mut door.client()?, &mut random)?;
    }
    let tree = Connect::by_account(bench, PASSWORD, doors.tree)?;
    let host = format!("tcp!127.0.0.1!{}", tree.port);
    let status = bench.programs.granary(&["status", "--host", &host], bench.folder.path())?;
    ensure!(status.contains("blocks 2\n"), "{status}");
    openssl(bench, doors.tls)?;

    replayed(&doors, &mut random, bench)?;
    use_venti(&mut psk.client()?, &mut random)?;
    strangers(bench, &doors, &line, &format!("tcp!127.0.0.1!{p9}"))?;
    use_venti(&mut psk.client()?, &mut random)?;
    half_open(&doors, &mut honest, &mut random)?;
    garbage(&doors, &mut random)?;

    use_venti(&mut honest, &mut random)?;
    use_venti(&mut tls.client()?, &mut random)?;
    told(&machine)?;
    node.stop(machine)?;
    is_kept_safe(bench, &disk)
}

/// The account that came with the settings is in the nvram, and its password nowhere in the file.
fn is_kept_safe(bench: &Bench, disk: &Path) -> Result<()> {
    let disk = disk.to_str().context("the disk's path is not UTF-8")?;
    let granary = |arguments: &[&str]| bench.programs.granary(arguments, bench.folder.path());
    let settings = granary(&["fat", "get", disk, "granary.ini"])?;
    ensure!(settings.contains("users=") && !settings.contains("account="), "{settings}");
    let again = ["key", "nvram", disk, "--user", "venti", "--domain", "lab", "--password-file", "password"];
    let refused = granary(&again).err().context("the nvram is empty")?;
    ensure!(format!("{refused:#}").contains("this is venti in the domain lab already"), "{refused:#}");
    Ok(())
}

/// Gives the node its key, and one that it trusts. Returns the line by which it is trusted.
fn set_up(bench: &Bench, disk: &Path) -> Result<String> {
    let disk = disk.to_str().context("the disk's path is not UTF-8")?;
    let folder = bench.folder.path();
    let granary = |arguments: &[&str]| bench.programs.granary(arguments, folder);
    std::fs::write(folder.join("password"), PASSWORD)?;
    let line = granary(&["key", "new", "--out", "host.key"])?;
    granary(&["key", "trust", disk, line.trim()])?;
    granary(&["key", "new", "--out", "other.key"])?;
    Ok(granary(&["key", "new", disk])?.trim().to_owned())
}

/// Another program's TLS, with the trusted key and without any.
fn openssl(bench: &Bench, port: u16) -> Result<()> {
    let call = |more: &[&str]| -> Result<Vec<u8>> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-tls1_3", "-connect", &format!("127.0.0.1:{port}")]).args(more);
        command.current_dir(bench.folder.path()).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start openssl")?;
        let mut greeting = [0; 12];
        let heard = child.stdout.take().map(|mut output| output.read_exact(&mut greeting));
        child.kill()?;
        child.wait()?;
        Ok(if matches!(heard, Some(Ok(()))) { greeting.to_vec() } else { Vec::new() })
    };
    ensure!(call(&["-cert", "host.key", "-key", "host.key"])? == b"venti-04:02-", "openssl is not greeted");
    ensure!(call(&[])?.is_empty(), "openssl is greeted without a key");
    Ok(())
}

/// What an honest client said, ticket and all, said again: it answers another challenge.
fn replayed(doors: &Doors, random: &mut Random, bench: &Bench) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let between = Connect::by_account(bench, PASSWORD, listener.local_addr()?.port())?;
    let to = doors.psk;
    let listening = std::thread::spawn(move || -> Result<Vec<u8>> {
        let (mut client, _) = listener.accept()?;
        let mut server = connect_raw(to, LIMIT)?;
        let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
        let back = std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to));
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = client.read(&mut piece) {
            said.extend_from_slice(&piece[..count]);
            server.write_all(&piece[..count])?;
        }
        server.shutdown(Shutdown::Both)?;
        // The client is gone.
        let _ = back.join();
        Ok(said)
    });
    use_venti(&mut between.client()?, random)?;
    let said = listening.join().map_err(|_| anyhow::anyhow!("the listener panicked"))??;
    let mut again = connect_raw(to, LIMIT)?;
    again.write_all(&said)?;
    // The offer and the request for a ticket; no answer to the ticket, no TLS.
    let heard = hears(&mut again)?;
    ensure!(heard.len() == b"dp9ik@lab\0".len() + 141 + 56, "a replay was answered: {} bytes", heard.len());
    Ok(())
}

/// A wrong password, a key that is not trusted, a node that is not: nobody gets through. Who is known, but not listed, does
/// not either, until it is.
fn strangers(bench: &Bench, doors: &Doors, line: &str, tree: &str) -> Result<()> {
    let psk = Connect::by_account(bench, PASSWORD, doors.psk)?;
    Connect::by_account(bench, "a guess", doors.psk)?.is_refused()?;
    Connect::by_account(bench, "a guess", doors.tree)?.is_refused()?;
    Connect::by_key(bench, "other.key", line, doors.tls)?.is_refused()?;
    let other = bench.programs.granary(&["key", "show", "other.key"], bench.folder.path())?;
    Connect::by_key(bench, "host.key", other.trim(), doors.tls)?.is_refused()?;
    let set = |users: &str| {
        let setting = format!("users={users}");
        bench.programs.granary(&["ctl", "--host", tree, "set", &setting], bench.folder.path())
    };
    set("ada admin")?;
    psk.is_refused()?;
    set("venti write")?;
    psk.client()?.sync()
}

/// Handshakes that go no further: others are served in clear, and by the same port when they are gone.
fn half_open(doors: &Doors, honest: &mut Client, random: &mut Random) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..AT_ONCE {
        let mut stream = connect_raw(doors.psk, LIMIT)?;
        let mut offer = [0; 10];
        stream.read_exact(&mut offer).context("no offer")?;
        stream.write_all(b"dp9ik lab\0")?;
        held.push(stream);
    }
    ensure!(hears(&mut connect_raw(doors.psk, LIMIT)?)?.is_empty(), "one more is heard");
    for _ in 0..AT_ONCE {
        let mut stream = connect_raw(doors.tls, LIMIT)?;
        stream.write_all(&[22, 3, 1, 2, 0, 1])?;
        held.push(stream);
    }
    use_venti(honest, random)
}

/// Anything at all, on each port.
fn garbage(doors: &Doors, random: &mut Random) -> Result<()> {
    for port in [doors.psk, doors.tree, doors.tls, doors.tls] {
        let mut stream = connect_raw(port, LIMIT)?;
        // The node may close while we still send.
        let _ = stream.write_all(&random.bytes(3000)).and_then(|()| stream.shutdown(Shutdown::Write));
        hears(&mut stream)?;
    }
    Ok(())
}

/// The log tells who did not get in; and no secret.
fn told(machine: &Machine) -> Result<()> {
    let console = machine.console();
    let reasons = [
        "venti logged in",
        "the client's ticket",
        "\"venti\" proved who it is, and has no rights here",
        "is not trusted",
    ];
    for reason in reasons {
        ensure!(console.contains(reason), "no {reason:?} in:\n{console}");
    }
    let failed = console.matches("login failed").count();
    ensure!(failed >= 5, "{failed} logins failed:\n{console}");
    ensure!(!console.contains(PASSWORD) && !console.contains("PRIVATE KEY"), "a secret in:\n{console}");
    Ok(())
}
