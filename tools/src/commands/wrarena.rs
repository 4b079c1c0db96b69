//! `granary wrarena`: the blocks of an arena to a venti server, from an offset on.
//!
//! Unlike venti's, it says how far it got only once the server has made the blocks durable, goes on behind damage,
//! and then says no more than the offset of the first damage: whoever keeps the offset misses nothing.

use crate::commands::rdarena::summary;
use crate::dial::HostArgs;
use crate::host;
use crate::host::device::Access;
use crate::host::disks::{self, Part};
use crate::outcome::DAMAGE;
use crate::progress::Progress;
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use net::venti::client::Client;
use std::path::PathBuf;
use std::process::ExitCode;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::format::config::parse_size;
use storage::partition::Partition;
use storage::score::Score;
use storage::store::Damage;
use storage::transfer::{self, ArenaReader};

/// Writes under way at once.
const UNDER_WAY_MAX: usize = 64;

/// Arguments of `granary wrarena`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary wrarena -h tcp!backup!17034 arenas0.arena\n  \
    granary wrarena -h backup -o 794624 disk.img:arenas 0xf5bf4\n  granary wrarena -h backup disk.img:arenas\n\n\
    With -o, prints `end offset OFFSET` for the next run once the server has made all blocks durable. Of a whole\n\
    partition without -o every arena is sent.\n\n\
    Exit code 20: some clumps are damaged; the others were sent.")]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// Where in the file the arena's head stands, in bytes.
    #[arg(short = 'o', value_name = "FILEOFFSET", value_parser = number)]
    offset: Option<u64>,

    /// Accepted as by venti's wrarena; blocks are always verified.
    #[arg(short = 'f')]
    fast: bool,

    /// Print each score on standard error.
    #[arg(short = 'v')]
    verbose: bool,

    /// Send at most so many clumps.
    #[arg(short = 'M', value_name = "N")]
    most: Option<u64>,

    /// An arena (what rdarena made), or an arena partition.
    file: PathBuf,

    /// Offset in the log of the first clump to send.
    #[arg(value_name = "CLUMPOFFSET", value_parser = number, default_value = "0")]
    clump_offset: u64,
}

/// A number in C's notation.
fn number(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| format!("`{text}` is no number"))
}

/// Runs `granary wrarena`.
///
/// # Errors
/// If the arena cannot be found, or the server does not store a block or make all of them durable.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dial = args.host.dial()?;
    host::run(async {
        let device = open(args).await?;
        let starts = starts(args, &device).await?;
        let client = host::connect(&dial).await?;
        let mut sender = Sender { args, client, left: args.most.unwrap_or(u64::MAX), damaged: 0 };
        let mut ends = Vec::new();
        for start in starts {
            ends.push(sender.send(&device, start).await?);
        }
        sender.client.sync().await.context("making the blocks durable")?;
        if args.offset.is_some() {
            ends.iter().for_each(|end| println!("end offset {}", with_prefix(*end)));
        }
        let damaged = sender.damaged;
        sender.client.goodbye().await;
        Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::from(DAMAGE) })
    })
}

/// As C prints a number with `%#llx`.
fn with_prefix(number: u64) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

/// The file: an arena partition of a disk, or a file that is one arena.
async fn open(args: &Args) -> anyhow::Result<Part> {
    let opened = disks::open(std::slice::from_ref(&args.file), Access::Read).await;
    if let Ok(disks) = opened {
        match <[_; 1]>::try_from(disks.parts.arenas) {
            Ok([part]) => return Ok(part.device),
            Err(parts) if !parts.is_empty() => bail!("name one arena partition of the disk: FILE:PART"),
            Err(_) => {}
        }
    }
    let device = crate::host::device::FileDevice::open(&args.file, Access::Read)?;
    let sectors = device.sector_count();
    let device = storage::device::stretched::Stretched::new(device, sectors);
    Ok(Partition::whole(args.file.display().to_string(), device))
}

/// Where the arenas stand that are to be sent.
async fn starts(args: &Args, device: &Part) -> anyhow::Result<Vec<u64>> {
    match (args.offset, transfer::map(device).await) {
        (None, Ok((map, _))) => Ok(map.ranges().iter().map(|range| range.start).collect()),
        (offset, _) => Ok(vec![offset.unwrap_or(0)]),
    }
}

struct Sender<'a> {
    args: &'a Args,
    client: Client,
    /// Clumps that may still be sent.
    left: u64,
    damaged: u64,
}

impl Sender<'_> {
    /// Sends an arena; returns the offset behind which everything is still to be sent.
    async fn send(&mut self, device: &Part, start: u64) -> anyhow::Result<u64> {
        let reader = ArenaReader::open(device, start).await.map_err(|error| anyhow!("{error}"));
        let mut reader = reader.with_context(|| format!("no arena at byte {start} of {}", device.name()))?;
        eprint!("wrarena: copying {} to venti\n{}", reader.tail.name, summary(&reader, true));
        let (from, size) = (self.args.clump_offset, reader.geometry.size());
        if from >= size {
            bail!("bad offset {} >= {}", with_prefix(from), with_prefix(size));
        }
        let used = reader.tail.written.used;
        let progress = Progress::bytes("sending", Some(used));
        let mut under_way = FuturesUnordered::new();
        let mut first_damage = None;
        let mut reached = 0;
        while self.left > 0
            && let Some(item) = reader.next().await.map_err(|error| anyhow!("{error}"))?
        {
            progress.advance(item.offset - reached);
            reached = item.offset;
            if item.offset < from {
                continue;
            }
            match (item.name, item.lump) {
                (Some((score, block_type)), Ok(lump)) => {
                    self.left -= 1;
                    if self.args.verbose {
                        progress.note(score.to_string());
                    }
                    if under_way.len() >= UNDER_WAY_MAX {
                        under_way.next().await.transpose()?;
                    }
                    under_way.push(store(self.client.clone(), score, block_type, lump));
                }
                (_, lump) => {
                    first_damage.get_or_insert(item.offset);
                    self.damaged += 1;
                    let (arena, offset) = (reader.tail.name, item.offset);
                    if let Err(cause) = lump {
                        progress.note(format!("wrarena: {}", Damage { arena, offset, cause }));
                    }
                }
            }
            reached = reader.offset();
        }
        while under_way.next().await.transpose()?.is_some() {}
        progress.finish();
        let reached = reader.offset().max(from);
        Ok(first_damage.map_or(reached, |damage: u64| damage.max(from)))
    }
}

async fn store(client: Client, score: Score, block_type: BlockType, lump: Bytes) -> anyhow::Result<()> {
    client.write_known(score, block_type, lump).await.with_context(|| format!("writing {score}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_printed_and_read_as_venti_does() {
        assert_eq!((with_prefix(0), with_prefix(0xf5bf4)), ("0".to_owned(), "0xf5bf4".to_owned()));
        assert_eq!((number("0xf5bf4"), number("794624")), (Ok(0xf5bf4), Ok(794_624)));
        assert!(number("ten").is_err());
    }
}
