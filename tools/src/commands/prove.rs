//! `granary prove`: has a node read and hash everything beneath a name.

use super::names::wait;
use crate::host;
use crate::node::{NodeArgs, json, records};
use crate::outcome::{CodedError, OutputArgs};
use anyhow::Context;
use std::process::ExitCode;
use storage::score::Score;

/// Arguments of `granary prove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary prove --host storage orchard.1209\n\n\
    Waits for the result, which the node also keeps; code 21 if a block is missing or damaged.")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    /// The name.
    name: String,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary prove`.
///
/// # Errors
/// If the node does not answer, there is no such name, or not everything beneath it is there.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let mut node = args.node.connect().await?;
        let before = records(&mut node, &args.name).await?;
        let first = before.first().with_context(|| format!("there is no name {}", args.name))?;
        let root: Score = first.value("rootscore").context("the node names no root")?.parse()?;
        let before = first.value("proofs").map(String::from);
        node.command("ctl", &format!("prove {}", args.name)).await?;
        let is_new = |new: &str| Some(new) != before.as_deref();
        let done = wait(&mut node, &args.name, root, |item| item.value("proofs").is_some_and(is_new)).await?;
        let value = |attribute| done.value(attribute).unwrap_or("0");
        let text = format!(
            "{}: {} blocks, {} bytes read and hashed, {} faults",
            args.name,
            value("blocks"),
            value("bytes"),
            value("faults")
        );
        args.output.print(&json(&done), text)?;
        match done.value("first").filter(|_| value("faults") != "0") {
            Some(first) => Err(CodedError::incomplete(format!("{}: {first}", args.name)).into()),
            None => Ok(ExitCode::SUCCESS),
        }
    })
}
