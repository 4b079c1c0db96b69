//! The node's tree by 9P, and names: what was acknowledged is there after any power cut, and 9fat is sound.

use super::{Bench, Node};
use crate::machine::Forward;
use crate::random::Random;
use crate::{ports, tree};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// Clients that give names at once.
const CLIENTS: u32 = 2;

/// A node whose port 564 is open to all, and what tools call it.
fn node<'a>(bench: &'a Bench, disk: &Path) -> Result<(Node<'a>, String)> {
    let mut node = bench.node(disk)?;
    let port = ports::choose(0)?;
    node.spec.forwards.push(Forward { host: port, guest: 564 });
    Ok((node, format!("tcp!127.0.0.1!{port}")))
}

/// Archives a tree, names it, proves it, reads it through the node's tools; a name without its blocks waits.
pub fn given_proved_and_shown(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &["admin=0.0.0.0/0,::/0", "sysname=barn"])?;
    let (node, host) = node(bench, &disk)?;
    let machine = node.boot()?;
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let root = bench.programs.vac(&node.host(), &sample)?;
    let granary = |arguments: &[&str]| {
        let all: Vec<&str> =
            arguments[..1].iter().chain(&["--host", &host]).chain(&arguments[1..]).copied().collect();
        bench.programs.granary(&all, bench.folder.path())
    };
    let added = granary(&["names", "--add", "barn.1009", &root, "iris", "--json"])?;
    ensure!(added.contains("\"state\":\"published\""), "{added}");
    let proved = granary(&["prove", "barn.1009", "--json"])?;
    ensure!(proved.contains("\"faults\":0"), "{proved}");
    let missing = "vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc";
    let refused = granary(&["names", "--add", "lost.1009", missing]);
    let error = refused.err().context("a name without its blocks was published")?.to_string();
    ensure!(error.contains("lost.1009 waits"), "{error}");
    let again = granary(&["ctl", "name", "barn.1009", missing]);
    ensure!(again.is_err(), "a name was bound to another root");
    let status = granary(&["status", "--json"])?;
    ensure!(status.contains("\"names\":1,") && status.contains("\"sysname\":\"barn\""), "{status}");
    node.stop(machine)?;
    fsck(bench, &disk)
}

/// Kills the machine again and again while two clients give names.
pub fn outlive_power_cuts(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &["admin=0.0.0.0/0,::/0"])?;
    let (node, host) = node(bench, &disk)?;
    let mut random = Random::new(bench.seed);
    let sample = bench.path("sample");
    tree::make_sample(&sample)?;
    let machine = node.boot()?;
    let root = bench.programs.vac(&node.host(), &sample)?;
    node.stop(machine)?;
    let mut given = BTreeSet::new();
    for round in 0..bench.rounds {
        let mut machine = node.boot()?;
        check(bench, &host, &given, &root)
            .with_context(|| format!("round {round} of --seed {}", bench.seed))?;
        let running_for = Duration::from_millis(300 + random.next() % 1500);
        let taken: Mutex<Vec<String>> = Mutex::default();
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (taken, host, root) = (&taken, &host, &root);
                scope.spawn(move || {
                    for number in 0.. {
                        let name = format!("n{round}-{client}.{number}");
                        let arguments = ["ctl", "--host", host, "name", &name, root, "iris"];
                        // A client goes on until the machine is gone.
                        if bench.programs.granary(&arguments, bench.folder.path()).is_err() {
                            break;
                        }
                        taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(name);
                    }
                });
            }
            std::thread::sleep(running_for);
            machine.cut_power()
        })?;
        given.extend(taken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
        let machine = node.boot()?;
        node.stop(machine)?;
        fsck(bench, &disk).with_context(|| format!("round {round} of --seed {}", bench.seed))?;
    }
    ensure!(!given.is_empty(), "no name was taken in {} rounds", bench.rounds);
    let machine = node.boot()?;
    check(bench, &host, &given, &root)?;
    node.stop(machine)?;
    println!("  {} power cuts, {} names given, 0 lost", bench.rounds, given.len());
    Ok(())
}

/// Every name is there, whole, with its root.
fn check(bench: &Bench, host: &str, given: &BTreeSet<String>, root: &str) -> Result<()> {
    let text = bench.programs.granary(&["names", "--host", host, "--json"], bench.folder.path())?;
    let records: Vec<serde_json::Value> = serde_json::from_str(&text)?;
    let mut found = BTreeSet::new();
    for record in &records {
        let text = |key: &str| record.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        ensure!(text("rootscore") == root && text("user") == "iris", "half a name: {record}");
        ensure!(found.insert(text("scorename").to_owned()), "twice: {record}");
    }
    match given.difference(&found).next() {
        Some(lost) => bail!("{lost} was acknowledged and is lost"),
        None => Ok(()),
    }
}

/// Runs the real `fsck.fat` over a copy of the disk's 9fat.
fn fsck(bench: &Bench, disk: &Path) -> Result<()> {
    let shown = bench.programs.granary(
        &["disk", "show", "--json", disk.to_str().context("the image's path is not UTF-8")?],
        bench.folder.path(),
    )?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let parts = shown["disks"][0]["parts"].as_array().context("no partitions")?;
    let fat = parts.iter().find(|part| part["name"] == "9fat").context("no 9fat")?;
    let place = |key: &str| fat[key].as_u64().with_context(|| format!("9fat has no {key}"));
    let (start, end) = (place("start")?, place("end")?);
    let mut content = vec![0; usize::try_from(end - start)?];
    let mut file = File::open(disk)?;
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut content)?;
    let copy = bench.path("9fat.img");
    File::create(&copy)?.write_all(&content)?;
    let output = Command::new("/usr/sbin/fsck.fat").arg("-n").arg(&copy).stdin(Stdio::null()).output();
    let output = output.context("cannot start fsck.fat (Debian's dosfstools)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "fsck.fat finds:\n{said}");
    Ok(())
}
