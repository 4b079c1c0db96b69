//! `granary sync`: what was written to the server becomes durable.

use crate::dial::HostArgs;
use crate::host;
use crate::outcome::OutputArgs;
use std::process::ExitCode;

/// Arguments of `granary sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  granary sync --host tcp!127.0.0.1!17034")]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary sync`. Without `--json` it prints nothing, as Plan 9's.
///
/// # Errors
/// If the server cannot make everything durable.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dial = args.host.dial()?;
    host::run(async {
        let client = host::connect(&dial).await?;
        client.sync().await?;
        client.goodbye().await;
        if args.output.json {
            args.output.print(&serde_json::json!({ "host": dial.to_string(), "synced": true }), "")?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
