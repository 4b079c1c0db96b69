//! `granary disk`: what is on a disk of Granary or of venti, whether it is whole, bringing it back, and more disks.

mod add;
mod check;
mod export_arena;
mod recover;

use crate::disk_show::{Show, show};
use crate::host::device::{Access, FileDevice};
use crate::outcome::{DAMAGE, OutputArgs};
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use storage::disk::survey::{NamedDisk, survey};

/// Arguments of `granary disk`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: DiskCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DiskCommand {
    /// Say what is on disks, images, or files that are one venti partition each. Writes nothing.
    Show(ShowArgs),
    /// Give a store more room: a blank disk becomes arenas of it.
    Add(add::Args),
    /// Read everything through and name what is damaged. Writes nothing.
    Check(check::Args),
    /// Write again what is damaged, from what is whole.
    Recover(recover::Args),
    /// Copy one arena out of its partition.
    ExportArena(export_arena::Args),
}

/// Arguments of `granary disk show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary disk show disk.img\n  \
    granary disk show arenas.img isect.img bloom.img --json\n\n\
    Reads headers only. Exit code 20: something is damaged.")]
pub struct ShowArgs {
    /// The disks; together they are one store.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary disk`.
///
/// # Errors
/// If a file cannot be opened, or a server is writing to it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        DiskCommand::Show(args) => run_show(&args),
        DiskCommand::Add(args) => add::run(&args),
        DiskCommand::Check(args) => check::run(&args),
        DiskCommand::Recover(args) => recover::run(&args),
        DiskCommand::ExportArena(args) => export_arena::run(&args),
    }
}

fn run_show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    crate::host::run(async {
        let mut disks = Vec::new();
        for path in &args.files {
            let device = FileDevice::open(path, Access::Read)?;
            disks.push(NamedDisk { name: path.display().to_string(), device });
        }
        let found = show(&disks, &survey(&disks).await).await;
        args.output.print(&found, Text(&found))?;
        Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGE) })
    })
}

/// What a person reads.
struct Text<'a>(&'a Show);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write_disks(&mut out)?;
        self.write_store(&mut out)?;
        for problem in &self.0.problems {
            writeln!(out, "DAMAGE {problem}")?;
        }
        f.write_str(out.trim_end())
    }
}

impl Text<'_> {
    fn write_disks(&self, out: &mut String) -> fmt::Result {
        for disk in &self.0.disks {
            writeln!(out, "disk {}: {} bytes", disk.name, disk.bytes)?;
            for part in &disk.parts {
                writeln!(out, "  part {} {}..{} {}", part.name, part.start, part.end, part.contents)?;
            }
        }
        Ok(())
    }

    fn write_store(&self, out: &mut String) -> fmt::Result {
        for partition in &self.0.arenas {
            writeln!(out, "arenas {}: blocks of {} bytes", partition.name, partition.block_size)?;
            let mut empty = 0;
            for arena in &partition.arenas {
                if arena.clumps == 0 {
                    empty += 1;
                    continue;
                }
                let state = if arena.sealed { "sealed" } else { "open" };
                let (clumps, indexed, used, size) = (arena.clumps, arena.indexed, arena.used, arena.size);
                write!(out, "  {} at {}: {clumps} clumps ({indexed} indexed), ", arena.name, arena.start)?;
                write!(out, "{used} of {size} bytes, {state}")?;
                writeln!(out, "{}", arena.seal.iter().map(|seal| format!(" {seal}")).collect::<String>())?;
            }
            writeln!(out, "  {empty} empty arenas")?;
        }
        for section in &self.0.index {
            let index = section.index.as_deref().unwrap_or("no index yet");
            let (start, stop, size) = (section.start, section.stop, section.block_size);
            writeln!(out, "isect {}: {index}, buckets {start}..{stop} of {size} bytes", section.name)?;
        }
        if let Some(bloom) = self.0.bloom {
            writeln!(out, "bloom filter of {bloom} bytes")?;
        }
        if let Some(conf) = &self.0.venti_conf {
            write!(out, "\nplan9port's venti serves it with this venti.conf:\n\n{conf}")?;
        }
        Ok(())
    }
}
