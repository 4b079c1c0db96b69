//! Settings from where clouds and hypervisors put them: written once, by a fixed order, and refused whole if wrong.

use super::{BOOT_LIMIT, Bench, Node};
use crate::http;
use crate::machine::{Firmware, Forward, Machine};
use crate::ports;
use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use std::path::{Path, PathBuf};

const CIDATA: &str = "cidata.iso.gz";
const CONFIG_2: &str = "config-2.iso.gz";

/// A machine with a CD image for cloud-init; what a person changes later stays; then items of fw_cfg, one of them wrong.
pub fn settings_come_from_outside(bench: &Bench) -> Result<()> {
    let disk = bench.image("300M", &[])?;
    let (mut node, port) = node(bench, &disk)?;
    node.spec.disks.push(volume(bench, CIDATA)?);
    starts(&node, port, "settings from volume cidata: granary.ini is written", "cloudy")?;
    put(bench, &disk, &settings("edited"))?;
    starts(&node, port, "settings from volume cidata: applied before", "edited")?;
    item(bench, &mut node, &settings("hypervised"))?;
    starts(
        &node,
        port,
        "settings from fw_cfg opt/granary/granary.ini: granary.ini is written",
        "hypervised",
    )?;
    item(bench, &mut node, "sysname=wrong\nsysnome=wrong\n")?;
    let told = "settings from fw_cfg opt/granary/granary.ini are refused: granary.ini:2: there is no setting";
    starts(&node, port, told, "hypervised")
}

/// A machine as OpenStack starts it, by a BIOS.
pub fn config_drive(bench: &Bench) -> Result<()> {
    let disk = bench.image("300M", &["http=0.0.0.0/0,::/0"])?;
    let (mut node, _) = node(bench, &disk)?;
    node.spec.firmware = Firmware::Bios;
    node.spec.disks.push(volume(bench, CONFIG_2)?);
    let mut machine = boot(&node, "settings from volume config-2: granary.ini is written")?;
    ensure!(!machine.console().contains("disk1: no partitions"), "the volume is taken for a disk");
    machine.press_power_button(crate::run::STOP_LIMIT)?;
    let text = bench.programs.granary(&["fat", "get", path(&disk)?, "granary.ini"], bench.folder.path())?;
    ensure!(text == "sysname=stacked\nventi=0.0.0.0/0,::/0\n", "granary.ini has {text:?}");
    let mark = bench.programs.granary(&["fat", "get", path(&disk)?, "cloud.id"], bench.folder.path())?;
    ensure!(mark == "instance=83679162-1378-4288-a2d4-70e13ec132aa\n", "cloud.id has {mark:?}");
    Ok(())
}

fn node<'a>(bench: &'a Bench, disk: &Path) -> Result<(Node<'a>, u16)> {
    let mut node = bench.node(disk)?;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 8000 });
    Ok((node, port))
}

fn settings(sysname: &str) -> String {
    format!("sysname={sysname}\nventi=0.0.0.0/0,::/0\nhttp=0.0.0.0/0,::/0\n")
}

/// A CD image, as a disk.
fn volume(bench: &Bench, packed: &str) -> Result<PathBuf> {
    let from = bench.programs.root.join("storage/tests/fixtures/cloud").join(packed);
    let file = bench.path("volume.iso");
    let packed = std::fs::File::open(&from).with_context(|| format!("opening {}", from.display()))?;
    std::io::copy(&mut GzDecoder::new(packed), &mut std::fs::File::create(&file)?)?;
    Ok(file)
}

/// Gives the machine an item of fw_cfg, instead of those that it had.
fn item(bench: &Bench, node: &mut Node<'_>, text: &str) -> Result<()> {
    let file = bench.path("item.ini");
    std::fs::write(&file, text)?;
    let item = format!("name=opt/granary/granary.ini,file={}", path(&file)?);
    node.spec.more = vec!["-fw_cfg".into(), item];
    Ok(())
}

fn put(bench: &Bench, disk: &Path, text: &str) -> Result<()> {
    let file = bench.path("put.ini");
    std::fs::write(&file, text)?;
    bench.programs.granary(&["fat", "put", path(disk)?, "granary.ini", path(&file)?], bench.folder.path())?;
    Ok(())
}

fn boot(node: &Node<'_>, told: &str) -> Result<Machine> {
    let mut machine = node.boot()?;
    machine.wait_for_console(told, BOOT_LIMIT)?;
    Ok(machine)
}

/// Boots the machine, which says `told` and calls itself `sysname`, and stops it.
fn starts(node: &Node<'_>, port: u16, told: &str, sysname: &str) -> Result<()> {
    let machine = boot(node, told)?;
    let page = http::get(port, "/")?.body;
    ensure!(page.contains(&format!("<h1>{sysname}</h1>")), "the node is not called {sysname}:\n{page}");
    node.stop(machine)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("not UTF-8")
}
