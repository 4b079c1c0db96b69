//! `granary write`: one block to a venti server.

use super::read::parse_type;
use crate::dial::HostArgs;
use crate::host;
use crate::outcome::{CodedError, OutputArgs};
use anyhow::Context;
use bytes::Bytes;
use net::venti::MAX_LUMP;
use std::io::{Read, stdin};
use std::process::ExitCode;
use storage::archive::zero;
use storage::block_type::BlockType;

/// Arguments of `granary write`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo hello | granary write -h tcp!127.0.0.1!17034\n\n\
    The block is durable after `granary sync`.")]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// The block's type, 0 to 16.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_type, default_value = "0")]
    block_type: BlockType,

    /// Leave out the zeros at the end (of a pointer block: the zero scores), as archives do.
    #[arg(short = 'z', long)]
    truncate: bool,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary write`: at most 56 KiB from standard input; prints the score.
///
/// # Errors
/// If there is too much input, or the server does not store it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dial = args.host.dial()?;
    let mut lump = Vec::new();
    let input = stdin().lock();
    input.take(MAX_LUMP as u64 + 1).read_to_end(&mut lump).context("reading standard input")?;
    if args.truncate {
        lump.truncate(zero::truncate(args.block_type, &lump).len());
    }
    if lump.len() > MAX_LUMP {
        return Err(
            CodedError::usage("a block has at most 57344 bytes; larger files are for `granary vac`").into()
        );
    }
    host::run(async {
        let client = host::connect(&dial).await?;
        let length = lump.len();
        let score = client.write(args.block_type, Bytes::from(lump)).await?;
        client.goodbye().await;
        let json = serde_json::json!({
            "score": score.to_string(), "type": args.block_type.decoded(), "len": length,
        });
        args.output.print(&json, score)?;
        Ok(ExitCode::SUCCESS)
    })
}
