//! `granary read`: one block of a venti server.

use crate::dial::HostArgs;
use crate::host;
use anyhow::Context;
use bytes::Bytes;
use net::venti::MAX_LUMP;
use net::venti::client::{Client, ClientError};
use std::io::Write;
use std::process::ExitCode;
use storage::block_type::BlockType;
use storage::score::Score;

/// Arguments of `granary read`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  granary read -h storage -t 0 SCORE > block\n  granary read vac:SCORE | xxd\n\n\
    Types: 0 data, 1-7 pointer to data, 8 directory, 9-15 pointer to directory, 16 root."
)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// The block's type, 0 to 16. Without it every type is tried, and the one that exists is named on
    /// standard error.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = parse_type)]
    block_type: Option<BlockType>,

    /// 40 hexadecimal digits, perhaps after `vac:`.
    score: Score,
}

/// Reads a type as venti's tools name it.
pub(crate) fn parse_type(text: &str) -> Result<BlockType, String> {
    let number = text.parse().ok().and_then(BlockType::from_decoded);
    number.ok_or_else(|| "a type is a number from 0 to 16".to_owned())
}

/// Runs `granary read`: the block's bytes on standard output.
///
/// # Errors
/// If the server does not have the block, or its bytes are not those that the score names.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let dial = args.host.dial()?;
    host::run(async {
        let client = host::connect(&dial).await?;
        let lump = match args.block_type {
            Some(block_type) => client.read(args.score, block_type, MAX_LUMP).await?,
            None => {
                let (number, lump) = find(&client, args.score).await?;
                eprintln!("granary read -h {dial} -t {number} {}", args.score);
                lump
            }
        };
        client.goodbye().await;
        let mut out = std::io::stdout().lock();
        out.write_all(&lump).and_then(|()| out.flush()).context("writing the block")?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The first type under which the server has this score, by venti's own number, and its lump. A pointer to
/// data and one to a directory look alike; the former is said.
pub(crate) async fn find(client: &Client, score: Score) -> anyhow::Result<(u8, Bytes)> {
    for number in [0, 8, 16].into_iter().chain(1..=7) {
        let Some(block_type) = BlockType::from_decoded(number) else { continue };
        match client.read(score, block_type, MAX_LUMP).await {
            Ok(lump) => return Ok((number, lump)),
            Err(ClientError::Server(text)) if is_miss(text.as_bytes()) => {}
            Err(other) => return Err(other.into()),
        }
    }
    anyhow::bail!("no block with score {score} exists, of any type")
}

/// Whether a server's error says that it does not have a block.
pub(crate) fn is_miss(text: &[u8]) -> bool {
    text.starts_with(b"no block with score")
}
