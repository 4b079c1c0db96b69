//! `granary image flash`: an image onto a disk of this host.

use crate::image::flash::Target;
use crate::image::source::Source;
use crate::outcome::OutputArgs;
use crate::progress::Progress;
use anyhow::bail;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `granary image flash`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  granary image flash disk.img /dev/sdb\n\n\
    Everything on the disk is lost. What was written is read back and compared.")]
pub struct Args {
    /// The image, raw.
    file: PathBuf,

    /// The disk to overwrite: a whole one, of which nothing is mounted.
    device: PathBuf,

    /// DEVICE is a regular file, and that is meant.
    #[arg(long = "file")]
    regular: bool,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// What was written.
#[derive(Serialize)]
struct Summary {
    /// The disk.
    device: String,
    /// What its maker calls it.
    model: Option<String>,
    /// Its bytes.
    device_bytes: u64,
    /// Bytes of the image.
    image_bytes: u64,
}

/// Runs `granary image flash`.
///
/// # Errors
/// If the disk is in use, too small or no disk, a person says no, or what is read back differs.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let target = Target::open(&args.device, args.regular)?;
    let mut image = Source::open(&args.file)?;
    let (device, image_bytes) = (args.device.display().to_string(), image.len());
    let model = target.model.as_deref().map_or_else(String::new, |model| format!(" ({model})"));
    eprintln!("{device}{model}: {} bytes; {}: {image_bytes} bytes", target.bytes, args.file.display());
    target.fit(&mut image)?;
    if !args.yes && !confirmed(&device)? {
        bail!("nothing was written");
    }
    let bar =
        |what| if args.output.json { Progress::hidden() } else { Progress::bytes(what, Some(image_bytes)) };
    let progress = bar("writing");
    let written = target.write(&image, &progress);
    progress.finish();
    written?;
    let progress = bar("reading back");
    let compared = target.compare(&image, &progress);
    progress.finish();
    compared?;
    let text = format!("{device}: {image_bytes} bytes written, read back and equal");
    let summary = Summary { device, model: target.model, device_bytes: target.bytes, image_bytes };
    args.output.print(&summary, text)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks on standard error; only the whole word counts.
fn confirmed(device: &str) -> anyhow::Result<bool> {
    eprint!("Everything on {device} will be lost. Type yes to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
