//! `granary image convert`: an image in the format of a cloud or hypervisor.

use crate::image::convert::{self, Format};
use crate::outcome::OutputArgs;
use crate::progress::Progress;
use anyhow::{Context, bail};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `granary image convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary image convert disk.img --to vhd\n  \
    granary image convert disk.img --to gce --out granary.tar.gz")]
pub struct Args {
    /// The image, as `granary image create` makes it.
    file: PathBuf,

    /// The format.
    #[arg(long, value_name = "FORMAT")]
    to: Format,

    /// The file to make; default: FILE with the format's ending.
    #[arg(long, value_name = "OUT")]
    out: Option<PathBuf>,

    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// What was made.
#[derive(Serialize)]
struct Summary {
    /// The new file.
    file: String,
    /// Bytes of the disk in it.
    disk_bytes: u64,
    /// Bytes of the file.
    file_bytes: u64,
}

/// Runs `granary image convert`.
///
/// # Errors
/// If the image cannot be read, or the new file exists or cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let out = args.out.unwrap_or_else(|| args.file.with_extension(args.to.ending()));
    if out.exists() && !args.force {
        bail!("{} exists: choose another name with --out, or --force to replace it", out.display());
    }
    let source = convert::open(&args.file, args.to)?;
    let progress =
        if args.output.json { Progress::hidden() } else { Progress::bytes("converting", Some(source.len())) };
    let done = convert::convert(&source, &out, args.to, args.force, |bytes| progress.advance(bytes));
    progress.finish();
    done.with_context(|| format!("making {}", out.display()))?;
    let file_bytes = std::fs::metadata(&out)?.len();
    let text = format!("{}: a disk of {} bytes in {file_bytes}", out.display(), source.len());
    let made = Summary { file: out.display().to_string(), disk_bytes: source.len(), file_bytes };
    args.output.print(&made, text)?;
    Ok(ExitCode::SUCCESS)
}
