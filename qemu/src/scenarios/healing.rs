//! Three nodes that replicate, and what goes wrong: a peer that refuses, a cable pulled, power cut in the middle, a block
//! that rots, a peer that is full. After each the nodes agree again.

use super::disks::sector_of;
use super::{BOOT_LIMIT, Bench, Node};
use crate::client::Client;
use crate::machine::{Forward, Machine};
use crate::random::Random;
use crate::{ports, tree};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The host, as a guest sees it on QEMU's own network.
const HOST: &str = "10.0.2.2";
/// Time for nodes to agree again, with what they wait after failures.
const HEAL_LIMIT: Duration = Duration::from_secs(90);
/// The longest block.
const BLOCK_LEN: usize = 56 << 10;

/// A node of the colony.
struct Member<'a> {
    name: &'static str,
    disk: PathBuf,
    node: Node<'a>,
    /// Where its tree is.
    tree: u16,
}

impl<'a> Member<'a> {
    fn new(bench: &'a Bench, name: &'static str, size: &str, settings: &[&str]) -> Result<Member<'a>> {
        let disk = bench.path(&format!("{name}.img"));
        let settings: Vec<String> = settings.iter().map(|line| (*line).to_owned()).collect();
        bench.programs.create_image(&disk, size, &settings, &["--arena-size", "64M"])?;
        let mut node = bench.node(&disk)?;
        let tree = ports::choose(0)?;
        node.spec.forwards.push(Forward { host: tree, guest: 564 });
        Ok(Member { name, disk, node, tree })
    }

    /// A command of the host's about this node's tree.
    fn granary(&self, arguments: &[&str]) -> Result<String> {
        let host = format!("tcp!127.0.0.1!{}", self.tree);
        let all: Vec<&str> =
            arguments[..1].iter().chain(&["--host", &host]).chain(&arguments[1..]).copied().collect();
        self.node.bench.programs.granary(&all, self.node.bench.folder.path())
    }

    /// Makes another one its peer.
    fn tell_of(&self, other: &Member) -> Result<()> {
        let (venti, tree) = (format!("tcp!{HOST}!{}", other.node.port), format!("tcp!{HOST}!{}", other.tree));
        self.granary(&["ctl", "peer", other.name, &venti, &tree, "rate=4M"]).map(drop)
    }

    /// Archives a folder here and names it. Nobody else need have it yet.
    fn archive(&self, name: &str, folder: &Path) -> Result<String> {
        let root = self.node.bench.programs.vac(&self.node.host(), folder)?;
        self.granary(&["names", "--add", name, &root, "iris"])?;
        Ok(root)
    }

    fn shows(&self, name: &str) -> bool {
        self.granary(&["names", name]).is_ok_and(|shown| shown.contains("published"))
    }

    /// Waits until the name is shown here, and restores what is beneath it.
    fn restores(&self, name: &str, root: &str, original: &Path) -> Result<()> {
        until(|| Ok(self.shows(name))).with_context(|| format!("{} does not show {name}", self.name))?;
        let restored = self.node.bench.path(&format!("{}-{name}", self.name));
        self.node.bench.programs.unvac(&self.node.host(), root, &restored)?;
        tree::compare(original, &restored).map(drop)
    }

    /// What it knows of a peer.
    fn knows(&self, peer: &str, is_so: impl Fn(&str) -> bool) -> bool {
        // A node serves before it has read who its peers are.
        self.granary(&["peers", peer]).is_ok_and(|told| is_so(&told))
    }

    /// The records of its database, in order, once it is off.
    fn database(&self) -> Result<Vec<String>> {
        let disk = self.disk.to_str().context("a path that is no text")?;
        let bench = self.node.bench;
        let text = bench.programs.granary(&["fat", "get", disk, "scorenames"], bench.folder.path())?;
        let mut lines: Vec<String> =
            text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

pub fn colony(bench: &Bench) -> Result<()> {
    let open = "venti=0.0.0.0/0,::/0";
    let all = "admin=0.0.0.0/0,::/0";
    let east = Member::new(bench, "east", "1G", &[open, all])?;
    let west = Member::new(bench, "west", "1G", &[all])?;
    let north = Member::new(bench, "north", "256M", &[open, all, "grow=disks"])?;
    let mut random = Random::new(bench.seed);
    let [sample, large] = ["sample", "large"].map(|name| bench.path(name));
    tree::make_sample(&sample)?;
    std::fs::create_dir_all(&large)?;
    std::fs::write(large.join("noise"), random.bytes(8 << 20))?;

    let first = east.node.boot()?;
    let mut second = west.node.start()?;
    second.wait_for_console("serving the node's tree by 9P", BOOT_LIMIT)?;
    refused(&east, &west, &sample).context("a peer that refuses")?;
    parted(&east, &west, &second, &sample).context("a cable pulled")?;
    let (second, root) = cut(&east, &west, second, &large).context("power cut in the middle")?;
    let first = rotten(&east, first, &large, &root).context("a block that rots")?;
    let (third, north) = full(&east, &west, north, &mut random).context("a peer that is full")?;

    for (one, other) in [(&east, &west), (&west, &east), (&east, &north)] {
        until(|| Ok(one.knows(other.name, |told| told.contains("lag-bytes 0\n"))))
            .with_context(|| format!("{} does not have all that {} has", other.name, one.name))?;
    }
    for (member, machine) in [(&east, first), (&west, second), (&north, third)] {
        member.node.stop(machine)?;
    }
    // What rotted on east's stays in its log, in front of the copy that is whole.
    for member in [&west, &north] {
        let disks: Vec<&str> = member.node.spec.disks.iter().filter_map(|disk| disk.to_str()).collect();
        bench.programs.granary(&[&["disk", "check"], &disks[..]].concat(), bench.folder.path())?;
    }
    let names = east.database()?;
    ensure!(names.len() == 5, "{names:?}");
    ensure!(names == west.database()? && names == north.database()?, "their names differ");
    Ok(())
}

/// West lets nobody write, so nothing is confirmed and no name told; then it does.
fn refused(east: &Member, west: &Member, sample: &Path) -> Result<()> {
    east.tell_of(west)?;
    let root = east.archive("refused.1", sample)?;
    until(|| Ok(east.knows("west", |told| told.contains("\nlast-error "))))?;
    ensure!(east.knows("west", |told| !told.contains("cursor ")), "a cursor covers what the peer refused");
    ensure!(!west.granary(&["status"])?.contains("names 1\n"), "a name was told before its blocks");
    west.granary(&["ctl", "set", "venti=0.0.0.0/0,::/0"])?;
    west.restores("refused.1", &root, sample)
}

/// Each is given something while they cannot see one another.
fn parted(east: &Member, west: &Member, machine: &Machine, sample: &Path) -> Result<()> {
    west.tell_of(east)?;
    let more = |name: &str| -> Result<PathBuf> {
        let folder = sample.with_file_name(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("file"), name)?;
        Ok(folder)
    };
    let [of_east, of_west] = [more("of-east")?, more("of-west")?];
    let from_west = west.archive("west.1", &of_west)?;
    machine.set_link(false)?;
    let from_east = east.archive("east.1", &of_east)?;
    std::thread::sleep(Duration::from_secs(2));
    machine.set_link(true)?;
    west.restores("east.1", &from_east, &of_east)?;
    east.restores("west.1", &from_west, &of_west)
}

/// West loses power while an archive is on its way, and has it all the same.
fn cut(east: &Member, west: &Member, mut machine: Machine, large: &Path) -> Result<(Machine, String)> {
    let used = || -> Result<String> {
        let status = west.granary(&["status"])?;
        Ok(status.lines().find(|line| line.starts_with("used ")).unwrap_or_default().to_owned())
    };
    let before = used()?;
    let root = east.archive("large.1", large)?;
    until(|| Ok(used()? != before))?;
    machine.cut_power()?;
    let machine = west.node.boot()?;
    west.restores("large.1", &root, large)?;
    Ok((machine, root))
}

/// A block of east's rots while it is off; proving its archive finds that, and west has it.
fn rotten(east: &Member, mut machine: Machine, large: &Path, root: &str) -> Result<Machine> {
    machine.cut_power()?;
    let noise = std::fs::read(large.join("noise"))?;
    let sector = sector_of(&east.disk, &noise[3 << 20..][..8192])?;
    let mut image = std::fs::OpenOptions::new().read(true).write(true).open(&east.disk)?;
    overwrite(&mut image, sector * 512)?;
    let machine = east.node.boot()?;
    // Proving finds what is wrong, and fails as long as that is not healed.
    let healed = until(|| {
        let _ = east.granary(&["prove", "large.1"]);
        Ok(east.knows("west", |told| !told.contains("healed-blocks 0\n")))
    });
    healed.with_context(|| {
        format!("nothing was healed; prove says {:?}", east.granary(&["prove", "large.1"]))
    })?;
    east.granary(&["prove", "large.1"])?;
    east.restores("large.1", root, large)?;
    Ok(machine)
}

/// North has no room left, which holds up nobody else; then it gets some.
fn full<'a>(
    east: &Member,
    west: &Member,
    mut north: Member<'a>,
    random: &mut Random,
) -> Result<(Machine, Member<'a>)> {
    let mut machine = north.node.boot()?;
    fill(&mut north.node.client()?, random)?;
    east.tell_of(&north)?;
    until(|| Ok(east.knows("north", |told| told.contains("\nlast-error "))))
        .context("north took everything")?;
    let folder = north.node.bench.path("more");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("noise"), random.bytes(100_000))?;
    let root = east.archive("more.1", &folder)?;
    west.restores("more.1", &root, &folder)?;
    ensure!(!north.shows("more.1"), "north shows what it has no room for");
    machine.press_power_button(crate::run::STOP_LIMIT)?;
    let blank = north.node.bench.path("blank");
    std::fs::File::create(&blank)?.set_len(300 << 20)?;
    north.node.spec.disks.push(blank);
    let machine = north.node.boot()?;
    north.restores("more.1", &root, &folder)?;
    Ok((machine, north))
}

/// Writes until there is no room.
fn fill(client: &mut Client, random: &mut Random) -> Result<()> {
    for _ in 0..(256 << 20) / BLOCK_LEN {
        if client.write(&random.bytes(BLOCK_LEN)).is_err() {
            return Ok(());
        }
    }
    bail!("a disk of 256 MiB took as much")
}

fn overwrite(image: &mut std::fs::File, at: u64) -> Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    image.seek(SeekFrom::Start(at))?;
    Ok(image.write_all(b"rotten")?)
}

fn until(is_true: impl Fn() -> Result<bool>) -> Result<()> {
    super::colony::until(HEAL_LIMIT, is_true)
}
