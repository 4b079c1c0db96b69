//! `granary rollback`: a node's other kernel.

use crate::host;
use crate::node::{NodeArgs, TEXT_MAX, restart};
use std::process::ExitCode;

/// Arguments of `granary rollback`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary rollback --host storage --restart\n\n\
    After `granary upgrade` without a restart it takes the upgrade back.")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    /// Have the node start again at once, with the other kernel.
    #[arg(long)]
    restart: bool,
}

/// Runs `granary rollback`.
///
/// # Errors
/// If the node does not answer, or has no other kernel that is whole.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(async {
        let mut node = args.node.connect().await?;
        node.command("ctl", "rollback").await?;
        let status = node.read("status", TEXT_MAX).await?;
        if args.restart {
            restart(&mut node).await?;
        }
        let status = String::from_utf8_lossy(&status);
        let slot = status.lines().find_map(|line| line.strip_prefix("kernel-next ")).unwrap_or("?");
        let when = if args.restart { "now" } else { "next time" };
        println!("granary.{slot} is started {when}");
        Ok(ExitCode::SUCCESS)
    })
}
