//! `granary log`: the last lines of a node's log.

use crate::host;
use crate::node::{NodeArgs, TEXT_MAX};
use crate::outcome::OutputArgs;
use serde::Serialize;
use std::process::ExitCode;

/// Arguments of `granary log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary log --host storage\n  granary log --host storage --json | jq .")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: &'a str,
    source: &'a str,
    text: &'a str,
}

/// `TIME LEVEL SOURCE: TEXT`.
fn parse(line: &str) -> Option<Line<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let (level, rest) = rest.split_once(' ')?;
    let (source, text) = rest.split_once(": ")?;
    Some(Line { time, level, source, text })
}

/// Runs `granary log`.
///
/// # Errors
/// If the node does not answer.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let text = args.node.connect().await?.read("log", TEXT_MAX).await?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<Line<'_>> = text.lines().filter_map(parse).collect();
        args.output.print(&lines, text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    })
}
