//! `granary image kernel`: the kernel by itself, for the loader of a Plan 9 system.

use crate::aout;
use crate::boot_files::BootFiles;
use crate::outcome::OutputArgs;
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `granary image kernel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary image kernel 9granary\n  \
    granary fat put node.img 9granary 9granary\n\n\
    In the 9fat of a 9front machine, with `bootfile=9granary` in its plan9.ini, this starts Granary on its disks; with the\n\
    old line, the old system is back.")]
pub struct Args {
    /// The file to make.
    file: PathBuf,

    /// The kernel; default: granary-kernel beside this program.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,

    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs it.
///
/// # Errors
/// If there is no kernel, or the file is there already or cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shown = args.file.display();
    let kernel = BootFiles::kernel(args.kernel.as_deref())?;
    let made = aout::from_elf(&kernel).context("the kernel")?;
    if args.file.exists() && !args.force {
        bail!("{shown} exists: choose another name, or --force to replace it");
    }
    std::fs::write(&args.file, &made).with_context(|| format!("writing {shown}"))?;
    let text = format!("{shown}: a kernel of {} bytes for 9front's loader", made.len());
    args.output.print(&serde_json::json!({ "bytes": made.len() }), text)?;
    Ok(ExitCode::SUCCESS)
}
