//! A node that is watched and steered from outside: its log goes to a collector, its clock comes from a server, and its
//! settings change while it runs.

use super::{Bench, Node};
use crate::machine::Forward;
use crate::ports;
use anyhow::{Context, Result, ensure};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// How long a change may take to show on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What this host is to the machine.
const HOST: &str = "10.0.2.2";
/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;
/// 2031-06-15 12:00:00 UTC: no clock of a machine says so by itself.
const SERVED: u64 = 1_939_291_200;

/// A socket on this host, and what the machine calls it.
fn socket() -> Result<(UdpSocket, String)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let address = format!("{HOST}:{}", socket.local_addr()?.port());
    Ok((socket, address))
}

/// Answers one request for the time.
fn serve_time(socket: &UdpSocket) -> Result<()> {
    let mut request = [0; 48];
    let (len, peer) = socket.recv_from(&mut request).context("nobody asks for the time")?;
    ensure!(len == 48 && request[0] & 7 == 3, "no SNTP request: {request:?}");
    let mut answer = [0; 48];
    (answer[0], answer[1]) = (0x24, 2);
    answer[24..32].copy_from_slice(&request[40..48]);
    for at in [16, 32, 40] {
        answer[at..at + 8].copy_from_slice(&((SERVED + NTP_EPOCH) << 32).to_be_bytes());
    }
    socket.send_to(&answer, peer)?;
    Ok(())
}

/// Waits for a message that has this text.
fn await_message(socket: &UdpSocket, text: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = String::new();
    while Instant::now() < deadline {
        let mut message = [0; 2048];
        let Ok((len, _)) = socket.recv_from(&mut message) else { break };
        let message = String::from_utf8(message[..len].to_vec())?;
        let form = message.strip_prefix('<').and_then(|rest| rest.split_once(">1 "));
        ensure!(form.is_some_and(|(priority, _)| priority.parse::<u8>().is_ok()), "not RFC 5424: {message}");
        if message.contains(text) {
            return Ok(message);
        }
        all += &message;
        all.push('\n');
    }
    anyhow::bail!("no message says {text:?}:\n{all}")
}

/// Boots a node that knows a collector and a time server, then changes what it obeys.
pub fn steered(bench: &Bench) -> Result<()> {
    let (collector, collected_at) = socket()?;
    let (clock, clock_at) = socket()?;
    let (syslog, ntp) = (format!("syslog={collected_at}"), format!("ntp={clock_at}"));
    let disk = bench.image("1G", &["admin=0.0.0.0/0,::/0", "sysname=barn", &syslog, &ntp])?;
    let (mut node, ports) = (bench.node(&disk)?, [ports::choose(0)?, ports::choose(0)?]);
    node.spec
        .forwards
        .extend([Forward { host: ports[0], guest: 564 }, Forward { host: ports[1], guest: 8000 }]);
    let machine = node.boot()?;
    serve_time(&clock)?;
    let set = await_message(&collector, "set by time server")?;
    ensure!(set.contains(" barn granary - - - "), "{set}");
    let host = format!("tcp!127.0.0.1!{}", ports[0]);
    let granary = |verb: &str, words: &[&str]| {
        let words: Vec<&str> = [verb, "--host", &host].iter().chain(words).copied().collect();
        bench.programs.granary(&words, bench.folder.path())
    };
    let log = granary("log", &[])?;
    ensure!(log.contains("2031-06-15T12:0"), "the log does not have the served time:\n{log}");
    ensure!(crate::http::get(ports[1], "/healthz").is_err(), "HTTP is open before anybody opened it");
    granary("ctl", &["set", "http=0.0.0.0/0,::/0"])?;
    await_message(&collector, "showing the node by HTTP")?;
    let audit = format!("{:?}", granary("ctl", &["set", "cache=4m"])?);
    await_message(&collector, "granary - audit - ").context(audit)?;
    let answer = crate::http::get(ports[1], "/healthz")?;
    ensure!(answer.status == 200, "/healthz is answered with {}", answer.status);
    let status = granary("status", &[])?;
    ensure!(status.contains("settings-waiting cache\n"), "{status}");
    granary("ctl", &["unset", "http"])?;
    await_message(&collector, "no longer showing the node by HTTP")?;
    ensure!(crate::http::get(ports[1], "/healthz").is_err(), "HTTP is open after it was closed");
    let refused = granary("ctl", &["set", "log=loud"]).err().context("a wrong value was taken")?;
    ensure!(format!("{refused:#}").contains("log=loud"), "{refused:#}");
    node.stop(machine)?;
    obeyed_after_a_restart(&node)
}

/// What was set is in the file.
fn obeyed_after_a_restart(node: &Node<'_>) -> Result<()> {
    let disk = node.spec.disks[0].to_str().context("the image's path is not UTF-8")?;
    let bench = node.bench;
    let text = bench.programs.granary(&["fat", "get", disk, "granary.ini"], bench.folder.path())?;
    ensure!(text.contains("cache=4m") && !text.contains("http="), "{text}");
    let machine = node.boot()?;
    node.stop(machine)
}
