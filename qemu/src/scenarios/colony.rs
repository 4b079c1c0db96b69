//! Two nodes: what is stored and named on one is served by the other, which then does without it.

use super::{BOOT_LIMIT, Bench, Node};
use crate::machine::Forward;
use crate::{ports, tree};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

/// The host, as a guest sees it on QEMU's own network.
const HOST: &str = "10.0.2.2";

/// A node whose tree may be changed by all, and the port of it.
fn node<'a>(bench: &'a Bench, disk: &Path) -> Result<(Node<'a>, u16)> {
    let mut node = bench.node(disk)?;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 564 });
    Ok((node, port))
}

/// Archives and names on one node, waits until the other shows the name, and restores there with the first one gone and
/// after a power cut. While the other is off, the first one says what it lacks.
pub fn replicate(bench: &Bench) -> Result<()> {
    let settings = ["admin=0.0.0.0/0,::/0".to_owned(), "venti=0.0.0.0/0,::/0".to_owned()];
    let disks = ["east.img", "west.img"].map(|name| bench.path(name));
    for disk in &disks {
        bench.programs.create_image(disk, "1G", &settings, &["--arena-size", "64M"])?;
    }
    let (east, east_port) = node(bench, &disks[0])?;
    let (west, west_port) = node(bench, &disks[1])?;
    let granary = |port: u16, arguments: &[&str]| {
        let host = format!("tcp!127.0.0.1!{port}");
        let all: Vec<&str> =
            arguments[..1].iter().chain(&["--host", &host]).chain(&arguments[1..]).copied().collect();
        bench.programs.granary(&all, bench.folder.path())
    };
    let mut first = east.boot()?;
    let [venti, names] = [west.port, west_port].map(|port| format!("tcp!{HOST}!{port}"));
    granary(east_port, &["ctl", "peer", "west", &venti, &names])?;
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let root = bench.programs.vac(&east.host(), &sample)?;
    granary(east_port, &["names", "--add", "barn.1009", &root, "iris"])?;
    // Nobody is there yet.
    until(|| Ok(granary(east_port, &["peers", "west"])?.contains("\nlast-error ")))
        .context("the first node does not say that its peer is gone")?;
    let mut second = west.boot()?;
    until(|| Ok(granary(west_port, &["status"])?.contains("names 1\n")))
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
    // The first one comes back, and knows that nothing is missing.
    let first = east.boot()?;
    until(|| Ok(granary(east_port, &["peers", "west"])?.contains("lag-bytes 0\n")))?;
    east.stop(first)
}

fn until(is_true: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + BOOT_LIMIT;
    while !is_true()? {
        if Instant::now() >= deadline {
            bail!("it did not happen in time");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
