//! `granary copy`: everything below a score, from one venti server to another.

#[cfg(test)]
mod tests;
mod tree;

use crate::commands::read;
use crate::dial::Dial;
use crate::host;
use crate::outcome::{INCOMPLETE, OutputArgs};
use crate::progress::Progress;
use anyhow::Context;
use std::process::ExitCode;
use storage::score::Score;
use tree::{Copy, Kind, Manner};

/// Arguments of `granary copy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary copy -m tcp!old!17034 tcp!new!17034 vac:SCORE\n  \
    granary copy -f -m storage backup vac:SCORE\n\n\
    Blocks arrive before the blocks that point at them, and everything is durable at the end.\n\
    Exits with 21 if blocks were left out (-i) or replaced (-r).")]
pub struct Args {
    /// Skip what the destination has, with everything below it. Only for a destination that never lost a
    /// block.
    #[arg(short = 'f')]
    fast: bool,

    /// Leave out blocks that cannot be read. What points at them is copied, so do not use -f on that
    /// destination again.
    #[arg(short = 'i', conflicts_with = "rewrite")]
    ignore: bool,

    /// Remember what was copied, so that nothing is copied twice: about 50 bytes of memory a block.
    #[arg(short = 'm')]
    memory: bool,

    /// Replace pointers to blocks that cannot be read by pointers to nothing; prints the new score.
    #[arg(short = 'r')]
    rewrite: bool,

    /// Tell of each block that points at others, and of the totals.
    #[arg(short = 'v')]
    verbose: bool,

    /// The type of the block to begin with, 0 to 16; without it every type is tried.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=16))]
    kind: Option<u8>,

    /// The server that has the blocks.
    source: Dial,

    /// The server that is to have them.
    destination: Dial,

    /// Where to begin: mostly the root of an archive, `vac:` and 40 hexadecimal digits.
    score: Score,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary copy`.
///
/// # Errors
/// If a block cannot be read (without `-i` and `-r`) or written, or the destination cannot make them durable.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let source = host::connect(&args.source).await?;
        let destination = host::connect(&args.destination).await?;
        let kind = match args.kind {
            Some(kind) => kind,
            None => read::find(&source, args.score).await?.0,
        };
        let manner = Manner {
            fast: args.fast,
            ignore: args.ignore,
            memory: args.memory,
            rewrite: args.rewrite,
            verbose: args.verbose,
        };
        let hidden = args.output.json;
        let progress = if hidden { Progress::hidden() } else { Progress::bytes("copy", None) };
        let copy = Copy::new(source, destination, manner, progress.clone());
        let score = copy.everything(args.score, Kind(kind)).await?;
        copy.destination().sync().await.context("making the copies durable")?;
        progress.finish();
        tell(&args, score, &copy)
    })
}

fn tell(args: &Args, score: Score, copy: &Copy) -> anyhow::Result<ExitCode> {
    let totals = copy.totals();
    if args.verbose {
        let tree::Totals { blocks, bytes, skipped, unreadable } = totals;
        eprintln!("{blocks} blocks ({bytes} bytes) copied, {skipped} skipped, {unreadable} not readable");
    }
    if args.output.json {
        args.output.print(&serde_json::json!({ "score": score.to_string(), "totals": totals }), "")?;
    } else if args.rewrite {
        args.output.print(&(), score)?;
    }
    Ok(if totals.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}
