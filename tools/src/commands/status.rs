//! `granary status`: a node's figures.

use crate::host;
use crate::node::{NodeArgs, TEXT_MAX};
use crate::outcome::OutputArgs;
use std::process::ExitCode;

/// Arguments of `granary status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary status --host storage\n  granary=storage granary status --json")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary status`.
///
/// # Errors
/// If the node does not answer.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let text = args.node.connect().await?.read("status", TEXT_MAX).await?;
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().filter_map(|line| line.split_once(' ')).map(|(key, value)| {
            let number = value.parse::<u64>().map(serde_json::Value::from);
            (key.to_owned(), number.unwrap_or_else(|_| value.into()))
        });
        args.output.print(&serde_json::Value::Object(pairs.collect()), text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    })
}
