//! `granary disk recover`: a plan of what is to be written again, and writing it, in place or on copies.

use super::check::{Bar, as_json, checked, code, text};
use crate::host::clock::HostClock;
use crate::host::copy;
use crate::host::device::Access;
use crate::host::disks::{self, Disks};
use crate::outcome::{DAMAGE, OutputArgs};
use anyhow::{Context, anyhow};
use net::clock::Clock;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use storage::device::BlockDevice;
use storage::salvage::{Plan, Settings, plan};

/// Arguments of `granary disk recover`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  granary disk recover disk.img\n  granary disk recover disk.img --yes\n  \
    granary disk recover venti.conf --out /spare --yes\n\n\
    Without --yes the plan is printed, and nothing is written. Heads, tails, directories, index and filter are\n\
    written again from the log; clump headers from the directory; maps from the arenas. Where head, tail and\n\
    directory are lost, clumps are looked for byte by byte. What is whole is not touched; a power cut in between\n\
    does no harm: run it again. A disk that was cut off needs --out: the copies have the size that it had.\n\n\
    Exit code 20: something is, or stays, damaged. Blocks whose data is lost are listed by score; a block that\n\
    is written again by any client comes back."
)]
pub struct Args {
    /// What makes up one store: disks, images, partitions (FILE, FILE:PART or FILE:START-STOP), or a venti.conf.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,

    /// Only print the plan, as without --yes.
    #[arg(long)]
    dry_run: bool,

    /// Copy the disks to this folder first, and write to the copies; the files named are only read.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Cover clumps whose data is lost, so that every venti tool accepts the log. Their scores are gone then.
    #[arg(long)]
    fill: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary disk recover`.
///
/// # Errors
/// If a file cannot be opened or is in use, nothing of a store is on it, or a disk fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut files = args.files.clone();
    if let Some(folder) = args.out.as_ref().filter(|_| args.yes) {
        files = crate::host::run(copy::to_folder(&args.files, folder, args.output.json))?;
    }
    crate::host::run(async {
        let access = if args.yes { Access::Write } else { Access::Read };
        let disks = disks::open(&files, access).await?;
        recover(args, &disks).await
    })
}

async fn recover(args: &Args, disks: &Disks) -> anyhow::Result<ExitCode> {
    let mut random = File::open("/dev/urandom").context("the host has no source of randomness")?;
    let magic = move || {
        let mut bytes = [0; 4];
        // A number that another arena has does no harm; 0 would, and the old version's.
        random.read_exact(&mut bytes).unwrap_or_default();
        u32::from_be_bytes(bytes) | 1
    };
    let settings = Settings { fill: args.fill, now: HostClock.wall() };
    let mut bar = Bar::new("looking", args.output.json);
    let plan = plan(&disks.parts, settings, magic, &mut bar).await.map_err(|error| anyhow!("{error}"))?;
    bar.finish();
    if !args.output.json {
        print!("{}", plan_text(&plan));
    }
    if !args.yes {
        return planned(args, disks, &plan);
    }
    let mut bar = Bar::new("writing", args.output.json);
    let written = plan.apply(&mut bar).await;
    bar.finish();
    written.map_err(|error| anyhow!("writing: {error}; run it again once the disk works"))?;
    let after = checked(disks, args.output.json).await?;
    let mut json = plan_json(&plan);
    json["written"] = true.into();
    json["after"] = as_json(disks, &after);
    let text = format!("\nafterwards:\n{}", text(disks, &after));
    args.output.print(&json, text.trim_end())?;
    Ok(code(disks, &after))
}

/// Ends without having written anything.
fn planned<D: BlockDevice>(args: &Args, disks: &Disks, plan: &Plan<'_, D>) -> anyhow::Result<ExitCode> {
    let mut json = plan_json(plan);
    json["written"] = false.into();
    json["before"] = as_json(disks, &plan.report);
    let text = if plan.steps.is_empty() {
        "there is nothing to write"
    } else {
        "nothing was written; --yes does it"
    };
    args.output.print(&json, text)?;
    if args.out.is_none() && !disks.problems.is_empty() && !args.output.json {
        eprintln!("{}", disks.problems.join("\n"));
    }
    let damaged = plan.report.is_damaged() || !disks.problems.is_empty();
    Ok(if damaged { ExitCode::from(DAMAGE) } else { ExitCode::SUCCESS })
}

fn plan_json<D: BlockDevice>(plan: &Plan<'_, D>) -> Value {
    let steps = plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>();
    let left = plan.left.iter().map(ToString::to_string).collect::<Vec<_>>();
    let lost = plan
        .lost
        .iter()
        .map(|block| json!({ "score": block.score.to_string(), "type": block.block_type.decoded() }));
    json!({ "steps": steps, "left": left, "lost": lost.collect::<Vec<_>>() })
}

fn plan_text<D: BlockDevice>(plan: &Plan<'_, D>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for step in &plan.steps {
        let _ = writeln!(out, "write  {step}");
    }
    for left in &plan.left {
        let _ = writeln!(out, "LEFT   {left}");
    }
    for block in &plan.lost {
        let _ = writeln!(out, "LOST   {} type {}", block.score, block.block_type.decoded());
    }
    out
}
