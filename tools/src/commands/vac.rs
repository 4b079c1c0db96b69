//! `granary vac`: saves a tree of files on a venti server, and prints the score that names it.

use crate::archive::pattern::Patterns;
use crate::archive::remote;
use crate::archive::save::{LEAF_SIZE_MAX, Report, Settings, save};
use crate::commands::unvac::score_of;
use crate::dial::HostArgs;
use crate::outcome::{CodedError, FAILED, OutputArgs};
use crate::progress::Progress;
use anyhow::Context;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `granary vac`: letters and meanings are those of vac(1).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  granary vac -h tcp!127.0.0.1!17034 -f home.vac /home
  granary vac -q -d home.vac -f home2.vac /home     (again, sending only what changed)
The score goes to standard output, or into the file given with -f. With the same files, times and moment of archiving
it is the score that Plan 9's vac prints.")]
pub struct Args {
    /// Files and directories to save.
    #[arg(required_unless_present = "input", value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Bytes in a block, from 512 on; k and m multiply.
    #[arg(short, long, default_value = "8k", value_name = "SIZE", value_parser = parse_size)]
    block_size: u32,

    /// An older archive of the same tree (vac:SCORE or a .vac file): what did not change is not sent.
    #[arg(short = 'd', long, value_name = "OLD")]
    diff: Option<String>,

    /// With -d: take files of the same time and size for unchanged, without reading them.
    #[arg(short, long)]
    quick: bool,

    /// Leave out files that match this pattern, e.g. `....o`.
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Take rules from a file: lines `exclude PATTERN` and `include PATTERN`; the first that matches decides.
    #[arg(short = 'x', long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// Write the score into this file.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Save standard input, too, under this name.
    #[arg(short, long, value_name = "NAME")]
    input: Option<String>,

    /// Print counts on standard error.
    #[arg(short, long)]
    stats: bool,

    /// Print each file's name on standard error.
    #[arg(short, long)]
    verbose: bool,

    /// Keep the whole target of a symbolic link; Plan 9's vac keeps eight bytes, and scores would differ.
    #[arg(long)]
    links: bool,

    /// Put this moment into the archive instead of now, in seconds since 1970: makes scores repeatable.
    #[arg(long, value_name = "SECONDS")]
    now: Option<u32>,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary vac`.
///
/// # Errors
/// If no server can be reached, or blocks cannot be stored there durably: then no score is given out.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut patterns = Patterns::default();
    for pattern in &args.exclude {
        patterns.exclude(pattern).map_err(|error| CodedError::usage(format!("{error:#}")))?;
    }
    for path in &args.exclude_file {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        patterns.add_rules(&text).with_context(|| format!("{}", path.display()))?;
    }
    let settings = Settings {
        block_size: args.block_size,
        old: args.diff.as_deref().map(score_of).transpose()?,
        quick: args.quick,
        verbose: args.verbose,
        whole_links: args.links,
        patterns,
        now: args.now,
    };
    // Better to learn now than after hours that the score cannot be kept.
    let kept = args.file.as_ref().map(|path| ScoreFile::create(path.clone())).transpose()?;
    let paths: Vec<Vec<u8>> = args.paths.into_iter().map(|path| path.into_os_string().into_vec()).collect();
    let progress = Progress::bytes("saving", None);
    let shown = progress.clone();
    let input = args.input.map(String::into_bytes);
    let saved = remote::with_server(&args.host.dial()?, move |blocks| {
        let mut stdin = io::stdin();
        let input = input.as_deref().map(|name| (name, &mut stdin as &mut dyn io::Read));
        save(blocks, &settings, &paths, input, &shown)
    });
    progress.finish();
    let report = saved?;
    match kept {
        Some(file) => {
            file.keep(&report.score)?;
            if args.output.json {
                args.output.print(&report, "")?;
            }
        }
        None => args.output.print(&report, &report.score)?,
    }
    tell(&report, args.stats);
    Ok(if report.problems == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn tell(report: &Report, stats: bool) {
    if stats {
        eprintln!(
            "{} files, {} files skipped, {} directories\n{} data bytes written, {} data bytes skipped",
            report.files, report.files_skipped, report.directories, report.bytes, report.bytes_skipped
        );
    }
    if report.links_cut > 0 {
        eprintln!(
            "granary vac: of {} symbolic links only the first eight bytes were kept, as Plan 9's vac does: see --links",
            report.links_cut
        );
    }
    if report.problems > 0 {
        eprintln!("granary vac: {} files are not in the archive, or not whole", report.problems);
    }
}

/// The file that will hold the score; removed again if there is none.
struct ScoreFile {
    path: PathBuf,
    kept: bool,
}

impl ScoreFile {
    fn create(path: PathBuf) -> anyhow::Result<ScoreFile> {
        fs::write(&path, "").with_context(|| format!("creating {}", path.display()))?;
        Ok(ScoreFile { path, kept: false })
    }

    fn keep(mut self, score: &str) -> anyhow::Result<()> {
        fs::write(&self.path, format!("{score}\n"))
            .with_context(|| format!("writing {score} to {}", self.path.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for ScoreFile {
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// A block size with `k` or `m`; below 512 is 512, as with vac.
fn parse_size(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let size = digits.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    let size = size.ok_or_else(|| "not a number of bytes".to_owned())?;
    if size > LEAF_SIZE_MAX { Err(format!("more than {LEAF_SIZE_MAX}")) } else { Ok(size.max(512)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_have_units_and_bounds() {
        assert_eq!(parse_size("8k"), Ok(8192));
        assert_eq!(parse_size("57344"), Ok(57344));
        assert_eq!(parse_size("1"), Ok(512));
        assert!(parse_size("2m").is_err() && parse_size("x").is_err() && parse_size("9999999k").is_err());
    }

    #[test]
    fn a_score_file_goes_away_unless_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.vac");
        drop(ScoreFile::create(path.clone()).unwrap());
        assert!(!path.exists());
        ScoreFile::create(path.clone()).unwrap().keep("vac:x").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "vac:x\n");
    }
}
