//! `granary disk check`: a store read through offline, every fault named.

use crate::host::device::Access;
use crate::host::disks::{self, Disks};
use crate::outcome::{DAMAGE, OutputArgs};
use crate::progress::Progress;
use anyhow::anyhow;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use storage::check::{Finding, Grade, Report, Watch, check};

/// Arguments of `granary disk check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary disk check disk.img\n  granary disk check venti.conf\n  \
    granary disk check arenas.img isect.img bloom.img --json\n  granary disk check disk.img:arenas\n\n\
    Reads heads, tails and maps, every clump (unpacked and hashed), directories, counters and seals, every bucket\n\
    of the index, the bloom filter. What a server completes at its next start is told, and is no damage.\n\
    Takes some 40 bytes of memory for each block.\n\n\
    Exit code 20: something is damaged.")]
pub struct Args {
    /// What makes up one store: disks, images, partitions (FILE, FILE:PART or FILE:START-STOP), or a venti.conf.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary disk check`.
///
/// # Errors
/// If a file cannot be opened, a server is writing to it, or nothing of a store is on it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::host::run(async {
        let disks = disks::open(&args.files, Access::Read).await?;
        let report = checked(&disks, args.output.json).await?;
        args.output.print(&as_json(&disks, &report), text(&disks, &report).trim_end())?;
        Ok(code(&disks, &report))
    })
}

/// Shows a bar.
pub(super) struct Bar(Progress);

impl Bar {
    pub(super) fn new(what: &'static str, hidden: bool) -> Bar {
        Bar(if hidden { Progress::hidden() } else { Progress::bytes(what, Some(0)) })
    }

    pub(super) fn finish(&self) {
        self.0.finish();
    }
}

impl Watch for Bar {
    fn expect(&mut self, bytes: u64) {
        self.0.expect(bytes);
    }

    fn advance(&mut self, bytes: u64) {
        self.0.advance(bytes);
    }
}

/// Checks, with a bar.
pub(super) async fn checked(disks: &Disks, hidden: bool) -> anyhow::Result<Report> {
    let mut bar = Bar::new("checking", hidden);
    let report = check(&disks.parts, &mut bar).await.map_err(|error| anyhow!("{error}"))?;
    bar.finish();
    Ok(report)
}

/// How a command ends that found this.
pub(super) fn code(disks: &Disks, report: &Report) -> ExitCode {
    let damaged = report.is_damaged() || !disks.problems.is_empty();
    if damaged { ExitCode::from(DAMAGE) } else { ExitCode::SUCCESS }
}

fn finding(finding: &Finding) -> Value {
    json!({
        "partition": &*finding.partition,
        "arena": finding.arena.map(|arena| arena.to_string()),
        "offset": finding.offset,
        "len": finding.len,
        "kind": finding.fault.kind(),
        "text": finding.to_string(),
    })
}

/// What a program reads.
pub(super) fn as_json(disks: &Disks, report: &Report) -> Value {
    let of = |grade| report.of(grade).map(finding).collect::<Vec<_>>();
    let arenas = report.arenas.iter().map(|arena| {
        json!({
            "partition": &*arena.partition, "arena": arena.arena.to_string(),
            "whole": arena.whole, "lost": arena.lost, "hole_bytes": arena.hole_bytes,
            "sealed": arena.sealed, "seal_good": arena.seal_good,
        })
    });
    let index = report.index.map(|index| {
        json!({
            "buckets": index.buckets, "entries": index.entries, "full": index.full,
            "fullest": index.fullest, "capacity": index.capacity,
        })
    });
    json!({
        "damaged": report.is_damaged() || !disks.problems.is_empty(),
        "disks": disks.problems,
        "damage": of(Grade::Damage),
        "lag": of(Grade::Lag),
        "arenas": arenas.collect::<Vec<_>>(),
        "index": index,
    })
}

/// What a person reads: totals, then what a server will complete, then damage.
pub(super) fn text(disks: &Disks, report: &Report) -> String {
    let mut out = String::new();
    let sum = |of: fn(&storage::check::ArenaSummary) -> u64| report.arenas.iter().map(of).sum::<u64>();
    let (whole, lost) = (sum(|arena| u64::from(arena.whole)), sum(|arena| u64::from(arena.lost)));
    let sealed = report.arenas.iter().filter(|arena| arena.sealed).count();
    let good = report.arenas.iter().filter(|arena| arena.seal_good).count();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} arenas: {whole} blocks whole, {lost} lost", report.arenas.len());
    let _ = writeln!(out, "{sealed} arenas full, {good} seals verified");
    if let Some(index) = &report.index {
        let (entries, buckets, fullest) = (index.entries, index.buckets, index.fullest);
        let share = entries * 100 / (buckets * u64::from(index.capacity)).max(1);
        let _ = write!(out, "index: {entries} entries in {buckets} buckets, {share} % full, ");
        let _ = writeln!(out, "fullest {fullest} of {}, {} without room", index.capacity, index.full);
    }
    for finding in report.of(Grade::Lag) {
        let _ = writeln!(out, "note   {finding}");
    }
    for problem in &disks.problems {
        let _ = writeln!(out, "DAMAGE {problem}");
    }
    for finding in report.of(Grade::Damage) {
        let _ = writeln!(out, "DAMAGE {finding}");
    }
    let damage = report.of(Grade::Damage).count() + disks.problems.len();
    let _ = match damage {
        0 => writeln!(out, "nothing is damaged"),
        1 => writeln!(out, "1 place is damaged"),
        more => writeln!(out, "{more} places are damaged"),
    };
    out
}
