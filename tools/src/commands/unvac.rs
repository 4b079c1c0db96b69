//! `granary unvac`: restores a tree of files from a venti server.

use crate::archive::remote;
use crate::archive::restore::{Action, Report, Settings, restore};
use crate::dial::HostArgs;
use crate::outcome::{CodedError, FAILED, OutputArgs};
use crate::progress::Progress;
use anyhow::Context;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::score::Score;

/// Bytes of a .vac file that are looked at.
const SCORE_TEXT_MAX: usize = 4096;

/// Arguments of `granary unvac`: letters and meanings are those of vac(1).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  granary unvac -h tcp!127.0.0.1!17034 -t home.vac
  granary unvac -T --into /tmp/back vac:64daefaecc4df4b5cb48a368b361ef56012a4f46 docs/letter.txt
Owners are not restored; devices and pipes are left out, as with Plan 9's unvac. Symbolic links are restored where the
archive has their whole target (granary vac --links).")]
pub struct Args {
    /// The archive: vac:SCORE, or a file that holds that.
    archive: String,

    /// Only these files, and what is below them.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Write the files' contents to standard output.
    #[arg(short = 'c', long, conflicts_with_all = ["diff", "table"])]
    stdout: bool,

    /// Of files that are there already, write only the blocks that differ.
    #[arg(short, long)]
    diff: bool,

    /// List the files instead of restoring them.
    #[arg(short, long)]
    table: bool,

    /// Set the times of modification.
    #[arg(short = 'T', long)]
    times: bool,

    /// Print each file's name on standard error; with -t, print all that is known of it.
    #[arg(short, long)]
    verbose: bool,

    /// Print counts on standard error.
    #[arg(short, long)]
    stats: bool,

    /// Where to restore; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,

    /// Stop after so many files and directories.
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    max_files: u64,

    /// Stop after so many bytes written, not counting holes.
    #[arg(long, value_name = "N", default_value_t = 1 << 42)]
    max_bytes: u64,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary unvac`.
///
/// # Errors
/// If no server can be reached, or it has no such archive.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let score = score_of(&args.archive)?;
    let action = match args {
        Args { table: true, .. } => Action::List,
        Args { stdout: true, .. } => Action::Print,
        Args { diff: true, .. } => Action::Update,
        _ => Action::Write,
    };
    if args.output.json && matches!(action, Action::List | Action::Print) {
        return Err(CodedError::usage("--json is for restoring, not for -t and -c").into());
    }
    if matches!(action, Action::Write | Action::Update) {
        fs::create_dir_all(&args.into).with_context(|| format!("making {}", args.into.display()))?;
    }
    let settings = Settings {
        action,
        target: args.into,
        set_times: args.times,
        verbose: args.verbose,
        paths: args.paths.into_iter().map(|path| path.into_os_string().into_vec()).collect(),
        files_max: args.max_files,
        bytes_max: args.max_bytes,
    };
    let progress = if action == Action::Write || action == Action::Update {
        Progress::bytes("restoring", None)
    } else {
        Progress::hidden()
    };
    let shown = progress.clone();
    let restored =
        remote::with_server(&args.host.dial()?, move |blocks| restore(blocks, &settings, score, &shown));
    progress.finish();
    let report = restored?;
    if args.output.json {
        args.output.print(&report, "")?;
    }
    tell(&report, args.stats);
    Ok(if report.problems == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn tell(report: &Report, stats: bool) {
    if stats {
        eprintln!("{} bytes read, {} bytes skipped", report.bytes, report.bytes_skipped);
    }
    if report.problems > 0 {
        eprintln!("granary unvac: {} files were not restored, or not whole", report.problems);
    }
}

/// The root score that a person names: `vac:SCORE`, or a file that begins with it.
///
/// # Errors
/// If it is neither.
pub fn score_of(name: &str) -> anyhow::Result<Score> {
    if let Some(score) = vac_score(name) {
        return Ok(score);
    }
    let unusable = || format!("{name} is neither vac:SCORE nor a file with such a line");
    if !Path::new(name).is_file() {
        return Err(CodedError::usage(unusable()).into());
    }
    let mut bytes = fs::read(name).with_context(|| format!("reading {name}"))?;
    bytes.truncate(SCORE_TEXT_MAX);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    vac_score(line.trim()).with_context(unusable)
}

fn vac_score(text: &str) -> Option<Score> {
    text.strip_prefix("vac:").filter(|digits| !digits.contains(':')).and_then(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_named_by_its_score_or_by_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vac");
        let score = Score::of(b"root");
        fs::write(&path, format!("vac:{score}\n")).unwrap();
        assert_eq!(score_of(path.to_str().unwrap()).unwrap(), score);
        assert_eq!(score_of(&format!("vac:{score}")).unwrap(), score);
        fs::write(&path, format!("venti:{score}\n")).unwrap();
        assert!(score_of(path.to_str().unwrap()).is_err());
        assert!(score_of("vac:123").is_err());
    }
}
