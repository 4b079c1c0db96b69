//! `granary fat`: the 9fat of a disk or image, as files.

use crate::host;
use crate::host::device::{Access, FileDevice};
use crate::host::{clock::HostClock, parts};
use crate::outcome::{DAMAGE, OutputArgs};
use anyhow::{Context, anyhow, bail};
use net::clock::Clock;
use serde::Serialize;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::device::BlockDevice;
use storage::fat::directory::DirectoryEntry;
use storage::fat::{FatError, Volume};
use storage::partition::Partition;
use storage::settings::{FILE, Settings};
use storage::slots::{self, Image, Slot, record};

/// Largest file that is read or written.
const FILE_MAX: u64 = 256 << 20;

/// Arguments of `granary fat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "FILE is a disk, an image of one, or a FAT file system itself.\n\nExamples:\n  \
    granary fat ls disk.img\n  granary fat get disk.img scorenames >scorenames\n  \
    granary fat put disk.img granary.ini settings.txt\n  granary fat check disk.img")]
pub struct Args {
    #[command(subcommand)]
    command: FatCommand,
}

#[derive(Debug, clap::Subcommand)]
enum FatCommand {
    /// List a directory: bytes, time, name.
    Ls {
        /// The disk.
        file: PathBuf,
        /// The directory; default: the top.
        #[arg(default_value = "")]
        path: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Copy a file to standard output, or to a file of this host.
    Get {
        /// The disk.
        file: PathBuf,
        /// The file in 9fat.
        path: String,
        /// Where to put it.
        to: Option<PathBuf>,
    },
    /// Make or replace a file, from standard input or a file of this host. At no time is there half a file.
    Put {
        /// The disk.
        file: PathBuf,
        /// The file in 9fat.
        path: String,
        /// What to put there.
        from: Option<PathBuf>,
    },
    /// Add standard input, or a file of this host, to the end of a file.
    Append {
        /// The disk.
        file: PathBuf,
        /// The file in 9fat.
        path: String,
        /// What to add.
        from: Option<PathBuf>,
    },
    /// Remove a file or an empty directory.
    Rm {
        /// The disk.
        file: PathBuf,
        /// What to remove.
        path: String,
    },
    /// Give a file another name or directory.
    Mv {
        /// The disk.
        file: PathBuf,
        /// What it is called.
        from: String,
        /// What it shall be called.
        to: String,
    },
    /// Make a directory.
    Mkdir {
        /// The disk.
        file: PathBuf,
        /// The directory.
        path: String,
    },
    /// Follow every chain of clusters; ends with 20 where something is damaged. Changes nothing.
    Check {
        /// The disk.
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

pub(super) type FatVolume = Volume<Partition<FileDevice>>;

/// Runs `granary fat`.
///
/// # Errors
/// If there is no FAT file system, it is damaged, in use or full, or a file is not there.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(fat(args.command))
}

async fn fat(command: FatCommand) -> anyhow::Result<ExitCode> {
    let now = HostClock.wall();
    match command {
        FatCommand::Ls { file, path, output } => list(&file, &path, output).await?,
        FatCommand::Check { file, output } => return check(&file, output).await,
        FatCommand::Get { file, path, to } => {
            let content = open(&file, Access::Read).await?.read(&path, FILE_MAX).await?;
            match to {
                Some(to) => {
                    std::fs::write(&to, content).with_context(|| format!("writing {}", to.display()))?;
                }
                None => std::io::stdout().write_all(&content)?,
            }
        }
        FatCommand::Put { file, path, from } => {
            let content = input(from.as_deref())?;
            check_settings(&path, &content)?;
            let mut volume = open(&file, Access::Write).await?;
            volume.replace(&path, &content, now).await?;
            remember_kernel(&mut volume, &path, &content).await?;
        }
        FatCommand::Append { file, path, from } => {
            let content = input(from.as_deref())?;
            open(&file, Access::Write).await?.append(&path, &content, FILE_MAX, now).await?;
        }
        FatCommand::Rm { file, path } => open(&file, Access::Write).await?.remove(&path).await?,
        FatCommand::Mv { file, from, to } => open(&file, Access::Write).await?.rename(&from, &to).await?,
        FatCommand::Mkdir { file, path } => {
            open(&file, Access::Write).await?.make_directory(&path, now).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The 9fat of a disk, or the FAT file system that `path` is. For writing it must be sound, as for a node.
pub(super) async fn open(path: &Path, access: Access) -> anyhow::Result<FatVolume> {
    let found = parts::of_disks(&[path.to_owned()], access).await?;
    let part = match found.nine_fat {
        Some(part) => part,
        None => {
            let device = FileDevice::open(path, access)?;
            let sectors = device.sector_count();
            Partition::new("9fat", device, 0, sectors)?
        }
    };
    let no_fat = |error: FatError| match error {
        FatError::BootSector(error) => anyhow!("{}: no 9fat: {error}", path.display()),
        error => error.into(),
    };
    let mut volume = Volume::open(part).await.map_err(no_fat)?;
    if access == Access::Write {
        volume.reclaim().await.context("nothing is written to it")?;
        volume.mirror().await?;
    }
    Ok(volume)
}

/// A kernel that somebody put into a slot by hand is the one that its record knows from now on.
async fn remember_kernel(volume: &mut FatVolume, path: &str, content: &[u8]) -> anyhow::Result<()> {
    let (Some(slot), Some(image)) = (Slot::of_file(path), Image::of(content)) else { return Ok(()) };
    let file = match volume.read(slots::FILE, record::FILE_LEN as u64).await {
        Err(FatError::NotFound(_)) => return Ok(()),
        file => file?,
    };
    let Some(slots) = record::parse(&file) else { return Ok(()) };
    let (at, sector) = record::next_write(&slots.filled(slot, image), volume.geometry().sector_size);
    Ok(volume.rewrite(slots::FILE, at, &sector).await?)
}

fn input(from: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let (mut source, name): (Box<dyn Read>, _) = match from {
        Some(from) => {
            let file = std::fs::File::open(from).with_context(|| format!("opening {}", from.display()))?;
            (Box::new(file), from.display().to_string())
        }
        None => (Box::new(std::io::stdin()), "standard input".to_owned()),
    };
    source
        .by_ref()
        .take(FILE_MAX + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("reading {name}"))?;
    if content.len() as u64 > FILE_MAX {
        bail!("{name} has more than {FILE_MAX} bytes");
    }
    Ok(content)
}

/// Settings that the node would refuse are refused here, where somebody looks.
fn check_settings(path: &str, content: &[u8]) -> anyhow::Result<()> {
    if !path.trim_matches('/').eq_ignore_ascii_case(FILE) {
        return Ok(());
    }
    let lines = |errors: Vec<storage::settings::SettingError>| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!(lines.join("\n"))
    };
    Settings::parse(FILE, content).map(drop).map_err(lines)
}

#[derive(Serialize)]
struct Listed {
    name: String,
    short: String,
    directory: bool,
    bytes: u32,
    written: u32,
}

#[derive(Serialize)]
struct Listing {
    files: Vec<Listed>,
    free_bytes: u64,
}

async fn list(file: &Path, path: &str, output: OutputArgs) -> anyhow::Result<()> {
    let volume = open(file, Access::Read).await?;
    let entries = match volume.list(path).await {
        Err(FatError::WrongKind(_)) => vec![volume.entry(path).await?],
        entries => entries?,
    };
    let line = |entry: &DirectoryEntry| {
        let time = chrono::DateTime::from_timestamp(entry.written.0.into(), 0).unwrap_or_default();
        let slash = if entry.is_directory { "/" } else { "" };
        format!("{:>10} {} {}{slash}", entry.len, time.format("%Y-%m-%d %H:%M:%S"), entry.name)
    };
    let mut lines: Vec<String> = entries.iter().map(line).collect();
    let free_bytes = volume.free_bytes();
    lines.push(format!("{free_bytes:>10} bytes are free"));
    let listed = entries.into_iter().map(|entry| Listed {
        short: storage::fat::name::show_short(&entry.short, 0),
        name: entry.name,
        directory: entry.is_directory,
        bytes: entry.len,
        written: entry.written.0,
    });
    output.print(&Listing { files: listed.collect(), free_bytes }, lines.join("\n"))
}

#[derive(Serialize)]
struct Checked {
    files: u64,
    directories: u64,
    faults: Vec<String>,
    lost_clusters: usize,
    unlike_sectors: u32,
}

async fn check(file: &Path, output: OutputArgs) -> anyhow::Result<ExitCode> {
    let volume = open(file, Access::Read).await?;
    let found = volume.survey().await?;
    let checked = Checked {
        files: found.files,
        directories: found.directories,
        faults: found.faults.iter().map(ToString::to_string).collect(),
        lost_clusters: found.lost.len(),
        unlike_sectors: found.unlike_sectors,
    };
    let mut lines = checked.faults.clone();
    if checked.lost_clusters > 0 || checked.unlike_sectors > 0 {
        lines.push(format!(
            "a change was cut off: {} clusters belong to no file, {} sectors of the tables differ; the next change \
             puts this in order",
            checked.lost_clusters, checked.unlike_sectors
        ));
    }
    lines.push(format!(
        "{} files, {} directories, {} bytes free, {}",
        checked.files,
        checked.directories,
        volume.free_bytes(),
        if checked.faults.is_empty() { "good" } else { "DAMAGED: it is only read" }
    ));
    output.print(&checked, lines.join("\n"))?;
    Ok(if checked.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGE) })
}
