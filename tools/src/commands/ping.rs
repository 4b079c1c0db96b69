//! `granary ping`: is the server there, and how fast does it answer?

use crate::dial::HostArgs;
use crate::host;
use crate::outcome::{CodedError, OutputArgs};
use net::venti::client::Pong;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Arguments of `granary ping`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary ping --host tcp!127.0.0.1!17034\n  \
    venti=storage granary ping --count 10")]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// Ask so many times.
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: u32,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary ping`.
///
/// # Errors
/// If the server does not answer.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dial = args.host.dial()?;
    if args.count == 0 {
        return Err(CodedError::usage("--count must be at least 1").into());
    }
    host::run(async {
        let begun = Instant::now();
        let client = host::connect(&dial).await?;
        let connected = millis(begun.elapsed());
        let (mut round_trips, mut served) = (Vec::new(), true);
        for _ in 0..args.count {
            let asked = Instant::now();
            served &= client.ping().await? == Pong::Rping;
            round_trips.push(millis(asked.elapsed()));
        }
        let version = client.version().name();
        client.goodbye().await;
        let best = round_trips.iter().copied().fold(f64::INFINITY, f64::min);
        let json = serde_json::json!({
            "host": dial.to_string(), "version": version, "serves_ping": served,
            "connect_ms": connected, "round_trips_ms": round_trips,
        });
        let remark = if served { "" } else { ", does not serve pings but is there" };
        args.output.print(
            &json,
            format_args!(
                "{dial}: version {version}, connected in {connected:.2} ms, answers in {best:.2} ms{remark}"
            ),
        )?;
        Ok(ExitCode::SUCCESS)
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
