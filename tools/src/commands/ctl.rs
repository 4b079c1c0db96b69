//! `granary ctl`: commands to a node.

use crate::host;
use crate::node::{NodeArgs, TEXT_MAX};
use std::process::ExitCode;

/// Arguments of `granary ctl`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary ctl --host storage\n  granary ctl --host storage sync\n\n\
    Without a command it prints those that there are.")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    /// The command.
    command: Vec<String>,
}

/// Runs `granary ctl`.
///
/// # Errors
/// If the node does not answer, or refuses.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let mut node = args.node.connect().await?;
        if args.command.is_empty() {
            print!("{}", String::from_utf8_lossy(&node.read("ctl", TEXT_MAX).await?));
        } else {
            node.command("ctl", &args.command.join(" ")).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
