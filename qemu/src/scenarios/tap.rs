//! A card that cuts and merges segments, as hosts of virtual machines have it: on a tap of Linux, in a network that
//! this program makes for itself. Needs no rights but those that a user has in a namespace of his own.

use super::{BOOT_LIMIT, Bench};
use crate::machine::Network;
use crate::tree;
use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

const TAP: &str = "granary";
const HERE: &str = "10.9.0.1/24";
const MACHINE: &str = "10.9.0.2/24";
const VENTI: &str = "tcp!10.9.0.2!17034";
/// The longest frame that holds one packet.
const FRAME_MAX: u64 = 1514;

/// A program that is alone with its network.
fn apart(program: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net"]).arg(program).args(arguments).stdin(Stdio::null());
    command
}

/// Whether users may make taps on this machine.
pub fn can_be_made() -> bool {
    let mut command = apart("ip".as_ref(), &["tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs [`inside`] in a network of its own.
pub fn segments(bench: &Bench) -> Result<()> {
    let this = std::env::current_exe()?;
    let root = bench.programs.root.to_str().context("the project's folder is not UTF-8")?;
    let output =
        apart(&this, &["--root", root, "test", "--inside"]).output().context("cannot start unshare")?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "in its own network: {told}");
    Ok(())
}

/// Archives, loses power, restores; and frames of more than a packet went both ways.
pub fn inside(bench: &Bench) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    ip(&["tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"])?;
    ip(&["address", "add", HERE, "dev", TAP])?;
    ip(&["link", "set", TAP, "up"])?;
    let disk = bench.image("1G", &[&format!("ip={MACHINE}")])?;
    let mut node = bench.node(&disk)?;
    node.spec.network = Network::Tap(TAP);
    let (sample, restored) = (bench.path("sample"), bench.path("restored"));
    tree::make_sample(&sample)?;
    let mut machine = node.start()?;
    machine.wait_for_console("serving venti on port 17034", BOOT_LIMIT)?;
    let score = bench.programs.vac(VENTI, &sample)?;
    let sent = figures("tx")?;
    ensure!(
        sent.bytes > sent.packets * FRAME_MAX,
        "no frame of several segments was sent to the node: {sent:?}"
    );
    machine.cut_power()?;
    let mut machine = node.start()?;
    machine.wait_for_console("serving venti on port 17034", BOOT_LIMIT)?;
    let before = figures("rx")?;
    bench.programs.unvac(VENTI, &score, &restored)?;
    let after = figures("rx")?;
    let (bytes, packets) = (after.bytes - before.bytes, after.packets - before.packets);
    ensure!(bytes > packets * FRAME_MAX, "the node cut all frames itself: {bytes} bytes in {packets}");
    tree::compare(&sample, &restored)?;
    node.stop(machine)
}

/// What went through the tap in one direction, seen from here.
#[derive(Debug, serde::Deserialize)]
struct Figures {
    bytes: u64,
    packets: u64,
}

fn figures(direction: &str) -> Result<Figures> {
    let told: serde_json::Value = serde_json::from_str(&ip(&["-s", "-j", "link", "show", TAP])?)?;
    Ok(serde_json::from_value(told[0]["stats64"][direction].clone())?)
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).output().context("cannot start ip (package iproute2)")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {errors}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
