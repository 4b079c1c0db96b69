//! `granary score`: what a venti server would call these bytes.

use crate::outcome::{CodedError, OutputArgs};
use anyhow::Context;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use storage::score::Score;

/// Bytes in the largest lump that a venti server stores.
const LUMP_LEN_MAX: u64 = 57344;

/// Arguments of `granary score`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo hello | granary score")]
pub struct Args {
    /// The lump; standard input if not given.
    file: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary score`.
///
/// # Errors
/// If the bytes cannot be read, or are too many for one lump.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut input: Box<dyn Read> = match &args.file {
        Some(path) => Box::new(File::open(path).with_context(|| format!("opening {}", path.display()))?),
        None => Box::new(stdin()),
    };
    let mut lump = Vec::new();
    input.by_ref().take(LUMP_LEN_MAX + 1).read_to_end(&mut lump).context("reading the lump")?;
    if lump.len() as u64 > LUMP_LEN_MAX {
        return Err(
            CodedError::usage("a lump has at most 57344 bytes; larger files are for `granary vac`").into()
        );
    }
    let score = Score::of(&lump);
    args.output.print(&serde_json::json!({ "score": score.to_string(), "len": lump.len() }), score)?;
    Ok(ExitCode::SUCCESS)
}
