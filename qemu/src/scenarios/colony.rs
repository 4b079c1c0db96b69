//! Two nodes: what is stored and named on one is served by the other, which then does without it.

use super::{BOOT_LIMIT, Bench, Node};
use crate::machine::Forward;
use crate::{ports, tree};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The host, as a guest sees it on QEMU's own network.
const HOST: &str = "10.0.2.2";

/// A node whose tree may be changed by all, the port of it, and that of its venti by TLS.
fn node<'a>(bench: &'a Bench, disk: &Path) -> Result<(Node<'a>, u16, u16)> {
    let mut node = bench.node(disk)?;
    let (port, tls_port) = (ports::choose(0)?, ports::choose(0)?);
    node.spec.forwards.push(Forward { host: port, guest: 564 });
    node.spec.forwards.push(Forward { host: tls_port, guest: 17035 });
    Ok((node, port, tls_port))
}

/// Two nodes, the first of which reaches the second by TLS 1.3 with pinned keys and exchanges names on that way.
///
/// Archives and names on one node, waits until the other shows the name, and restores there with the first one gone and
/// after a power cut. While the other is off, the first one says what it lacks.
pub fn replicate(bench: &Bench) -> Result<()> {
    let settings = ["admin=0.0.0.0/0,::/0".to_owned(), "venti=0.0.0.0/0,::/0".to_owned()];
    let disks = ["east.img", "west.img"].map(|name| bench.path(name));
    for disk in &disks {
        bench.programs.create_image(disk, "1G", &settings, &["--arena-size", "64M"])?;
    }
    let [own, pin] = keys(bench, &disks)?;
    let trust = ["key", "trust", path(&disks[1])?, &own, "--roles", "replicate"];
    bench.programs.granary(&trust, bench.folder.path())?;
    let (east, east_port, _) = node(bench, &disks[0])?;
    let (west, west_port, west_tls) = node(bench, &disks[1])?;
    let granary = |port: u16, arguments: &[&str]| {
        let host = format!("tcp!127.0.0.1!{port}");
        let all: Vec<&str> =
            arguments[..1].iter().chain(&["--host", &host]).chain(&arguments[1..]).copied().collect();
        bench.programs.granary(&all, bench.folder.path())
    };
    let mut first = east.boot()?;
    let venti = format!("tcp!{HOST}!{west_tls}");
    granary(east_port, &["ctl", "peer", "west", &venti, "names=direct", "way=tls", &format!("pin={pin}")])?;
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let root = bench.programs.vac(&east.host(), &sample)?;
    granary(east_port, &["names", "--add", "barn.1009", &root, "iris"])?;
    // Nobody is there yet.
    until(BOOT_LIMIT, || Ok(granary(east_port, &["peers", "west"])?.contains("\nlast-error ")))
        .context("the first node does not say that its peer is gone")?;
    let mut second = west.boot()?;
    until(BOOT_LIMIT, || Ok(granary(west_port, &["status"])?.contains("names 1\n")))
        .with_context(|| granary(east_port, &["peers", "west"]).unwrap_or_default())?;
    first.cut_power()?;
    let restored = bench.path("restored");
    bench.programs.unvac(&west.host(), &root, &restored)?;
    tree::compare(&sample, &restored)?;
    second.cut_power()?;
    let second = west.boot()?;
    let again = bench.path("restored-again");
    bench.programs.unvac(&west.host(), &root, &again)?;
    tree::compare(&sample, &again)?;
    let shown = granary(west_port, &["names", "barn.1009"])?;
    ensure!(shown.contains("published"), "{shown}");
    west.stop(second)?;
    // The first one comes back, and knows that nothing is missing. It serves before it has read who its peers are.
    let first = east.boot()?;
    let lacks_nothing =
        || granary(east_port, &["peers", "west"]).is_ok_and(|told| told.contains("lag-bytes 0\n"));
    until(BOOT_LIMIT, || Ok(lacks_nothing()))
        .with_context(|| granary(east_port, &["peers"]).unwrap_or_default())?;
    east.stop(first)
}

/// Makes the nodes' keys. Returns the line by which the first one is trusted, and the hash of the second one.
fn keys(bench: &Bench, disks: &[PathBuf; 2]) -> Result<[String; 2]> {
    let make = |disk: &Path| bench.programs.granary(&["key", "new", path(disk)?], bench.folder.path());
    let (first, second) = (make(&disks[0])?, make(&disks[1])?);
    let pin = second.split_ascii_whitespace().find(|word| word.starts_with("sha256="));
    Ok([first.trim().to_owned(), pin.context("a key without a hash")?.to_owned()])
}

fn path(disk: &Path) -> Result<&str> {
    disk.to_str().context("a path that is no text")
}

/// Waits until something is so, for as long as `limit`.
pub(super) fn until(limit: Duration, is_true: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !is_true()? {
        if Instant::now() >= deadline {
            bail!("it did not happen in time");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
