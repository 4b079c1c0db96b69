//! `granary image`: `create`, a bootable disk image with an empty store on it; the other commands in modules of their own.

mod convert;
mod flash;
mod kernel;

use crate::boot_files::BootFiles;
use crate::image::{self, SECTOR};
use crate::outcome::{CodedError, OutputArgs};
use crate::progress::Progress;
use anyhow::{Context, bail};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use storage::make::disk::Plan;
use storage::settings::{FILE, Settings, parse_size};

/// Bytes of an arena unless the command line says otherwise: venti's own.
const ARENA_SIZE: u64 = 512 << 20;

/// Arguments of `granary image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ImageCommand {
    /// Make an image: partitions, an empty store, settings, the kernel.
    Create(CreateArgs),
    /// Write an image in the format of a cloud or hypervisor.
    Convert(convert::Args),
    /// Write an image to a disk of this host, and read it back.
    Flash(flash::Args),
    /// Write the kernel by itself, as 9front's loader starts it.
    Kernel(kernel::Args),
}

/// Arguments of `granary image create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary image create disk.img --size 8G --set venti=192.168.1.0/24\n  \
    granary image create disk.img --size 1T --arena-size 2G --set ip=10.0.0.5/24 --set gateway=10.0.0.1")]
pub struct CreateArgs {
    /// The file to make; it takes only as much room as is written to it.
    file: PathBuf,

    /// Its size, with k, m, g or t.
    #[arg(long, value_parser = size, value_name = "N")]
    size: u64,

    /// A line for granary.ini; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Size of an arena.
    #[arg(long, value_parser = size, value_name = "N", default_value_t = ARENA_SIZE)]
    arena_size: u64,

    /// The kernel; default: granary-kernel beside this program. The loaders, granary-bios and granary-uefi, are looked for beside it.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,

    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    output: OutputArgs,
}

fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, factor) = lower.strip_suffix('t').map_or((lower.as_str(), 1), |digits| (digits, 1 << 40));
    let bytes = parse_size(digits).map_err(|expected| expected.to_string())?;
    bytes.checked_mul(factor).ok_or_else(|| format!("{text} is too large"))
}

/// What was made.
#[derive(Serialize)]
struct Summary {
    /// Arenas.
    arenas: usize,
    /// Bytes of their logs and directories.
    arena_bytes: u64,
    /// Buckets of the index.
    buckets: u64,
}

/// Runs `granary image`.
///
/// # Errors
/// If a setting is wrong, the size too small, the kernel not there, or the file cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        ImageCommand::Create(args) => create(args),
        ImageCommand::Convert(args) => convert::run(args),
        ImageCommand::Flash(args) => flash::run(&args),
        ImageCommand::Kernel(args) => kernel::run(args),
    }
}

fn create(args: CreateArgs) -> anyhow::Result<ExitCode> {
    let settings = settings_text(&args.set)?;
    let boot = BootFiles::read(args.kernel.as_deref())?;
    if args.file.exists() && !args.force {
        bail!("{} exists: choose another name, or --force to replace it", args.file.display());
    }
    let plan = Plan::new(SECTOR, args.size / u64::from(SECTOR), args.arena_size)?;
    let progress =
        if args.output.json { Progress::hidden() } else { Progress::items("formatting arenas", None) };
    let made = image::create(&args.file, &plan, &settings, &boot, || progress.advance(1));
    progress.finish();
    let made = made.with_context(|| format!("making {}", args.file.display()))?;
    let text =
        format!("{}: {} arenas, {} bytes for blocks", args.file.display(), made.arenas, made.arena_bytes);
    let made = Summary { arenas: made.arenas, arena_bytes: made.arena_bytes, buckets: made.buckets };
    args.output.print(&made, text)?;
    Ok(ExitCode::SUCCESS)
}

/// The text of granary.ini, checked as the node will check it.
fn settings_text(lines: &[String]) -> anyhow::Result<String> {
    let mut text = String::from("# Settings of this node: key=value, one a line.\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    match Settings::parse(FILE, text.as_bytes()) {
        Ok(_) => Ok(text),
        Err(errors) => {
            let errors: Vec<String> =
                errors.iter().map(|error| format!("--set: {}", error.problem)).collect();
            Err(CodedError::usage(errors.join("\n")).into())
        }
    }
}
