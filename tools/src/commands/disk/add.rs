//! `granary disk add`: room for more blocks, on a disk of its own.

use crate::host::clock::HostClock;
use crate::host::device::{Access, FileDevice};
use crate::host::parts;
use crate::image::Random;
use crate::outcome::{CodedError, OutputArgs};
use crate::progress::Progress;
use anyhow::{Context, anyhow, bail};
use net::clock::Clock;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::device::BlockDevice;
use storage::make::{self, MoreArenas};
use storage::partition::Partition;
use storage::settings::parse_size;
use storage::store::{ArenaStatus, Store, StorePart, StoreParts, StoreSettings};

/// Arguments of `granary disk add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary disk add more.img --size 64G --to disk.img\n  \
    granary disk add /dev/sdb --to arenas.img --to isect.img\n\n\
    The node must be stopped. The new disk must be blank; it becomes one partition of arenas, and belongs to the \
    store from then on: start the node with all of its disks.")]
pub struct Args {
    /// The new disk: a blank one, or a file that does not exist yet.
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// Bytes of the file, if it does not exist.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    size: Option<u64>,

    /// Bytes of an arena; as large as those of the store unless it is said.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    arena_size: Option<u64>,

    /// The disks of the store, all of them; may be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    to: Vec<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|expected| expected.to_string())
}

type Part = Partition<FileDevice>;

/// Runs `granary disk add`.
///
/// # Errors
/// If the new disk is not blank or too small, the store cannot be opened, or a disk fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::host::run(add(args))
}

async fn add(args: &Args) -> anyhow::Result<ExitCode> {
    let survey = parts::of_disks(&args.to, Access::Write).await?;
    for finding in &survey.findings {
        log::warn!("{finding}");
    }
    // Before anything is made, in case this is no store.
    let store = open(survey.parts).await?;
    let device = new_disk(args).await?;
    let more = more(args, &store.status().arenas)?;
    let name = args.new.display().to_string();
    let device = Partition::new(name.clone(), device.clone(), 0, device.sector_count())?;
    format(&device, &more, args).await?;
    let names = store.add_arenas(StorePart { name: name.clone(), device }).await;
    // The store's errors belong to one thread, so they travel as text.
    let names = names.map_err(|error| anyhow!("{error}"))?;
    store.close().await.map_err(|error| anyhow!("{error}"))?;
    let bytes: u64 = store.status().arenas.iter().rev().take(names.len()).map(|arena| arena.size).sum();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let json = serde_json::json!({ "disk": name, "arenas": names, "arena_bytes": bytes });
    let text = format!(
        "{name}: {} arenas, {bytes} bytes for blocks\n\
         plan9port's venti needs one line more in its configuration: arenas {name}",
        names.len()
    );
    args.output.print(&json, text)?;
    Ok(ExitCode::SUCCESS)
}

async fn open(parts: StoreParts<Part>) -> anyhow::Result<Store<Part>> {
    if parts.arenas.is_empty() {
        return Err(CodedError::usage("no arenas on the disks of the store").into());
    }
    let settings = StoreSettings { index_bytes_max: 256 << 20, ..StoreSettings::default() };
    let opened = Store::open(parts, settings, HostClock.wall()).await;
    let (store, report) = opened.map_err(|error| anyhow!("{error}"))?;
    if let Some(arena) = report.unmapped.first() {
        bail!(
            "{arena} is on the disks and not in the index: serve them once with --grow, or leave that disk away"
        );
    }
    Ok(store)
}

/// The new disk, blank.
async fn new_disk(args: &Args) -> anyhow::Result<FileDevice> {
    if let Some(size) = args.size {
        let made = OpenOptions::new().write(true).create_new(true).open(&args.new);
        let file = made.with_context(|| format!("making {}", args.new.display()))?;
        file.set_len(size)?;
    } else if !args.new.exists() {
        let missing = format!("{} does not exist: give its --size to make it", args.new.display());
        return Err(CodedError::usage(missing).into());
    }
    let device = FileDevice::open(&args.new, Access::Write)?;
    if !make::is_blank(&device).await? {
        bail!("{} is not blank: nothing was written to it", args.new.display());
    }
    Ok(device)
}

/// Arenas as the store has them, numbered on.
fn more(args: &Args, arenas: &[ArenaStatus]) -> anyhow::Result<MoreArenas> {
    let mut more = MoreArenas::like(arenas).context("the store has no arenas")?;
    more.arena_len = args.arena_size.unwrap_or(more.arena_len);
    Ok(more)
}

async fn format(device: &Part, more: &MoreArenas, args: &Args) -> anyhow::Result<()> {
    let mut random = Random::open()?;
    let mut magics = random.magics()?.into_iter().cycle();
    let progress =
        if args.output.json { Progress::hidden() } else { Progress::items("formatting arenas", None) };
    let made =
        make::arenas(device, more.options(), || magics.next().unwrap_or(1), |_, _| progress.advance(1)).await;
    progress.finish();
    made.with_context(|| format!("formatting {}", Path::new(&args.new).display()))?;
    Ok(())
}
