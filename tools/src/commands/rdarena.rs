//! `granary rdarena`: one arena of a partition on standard output, byte for byte.

use crate::host::device::Access;
use crate::host::disks::{self, Part};
use crate::progress::Progress;
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::device::read_bytes;
use storage::format::arena_tail::Counters;
use storage::format::directory::RECORD_LEN;
use storage::format::range_map::NamedRange;
use storage::score::Score;
use storage::transfer::{self, ArenaReader};

/// Bytes that are copied at once.
const PIECE: u64 = 1 << 20;
/// Bytes of a clump's header.
const HEADER_LEN: u64 = storage::format::clump::CLUMP_HEADER_LEN as u64;

/// Arguments of `granary rdarena`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  granary rdarena disk.img:arenas arenas0 > arenas0.arena\n\n\
    The disk is read directly, not through a server.")]
pub struct Args {
    /// Say nothing on standard error.
    #[arg(short = 'q')]
    quiet: bool,

    /// Accepted as by venti's rdarena.
    #[arg(short = 'v')]
    verbose: bool,

    /// The arena partition, or a disk that has it.
    #[arg(value_name = "ARENAPART")]
    file: PathBuf,

    /// The arena's name.
    arena: String,
}

/// Runs `granary rdarena`.
///
/// # Errors
/// If there is no such arena, or it cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::host::run(async {
        let source = Source::find(&args.file, &args.arena).await?;
        if !args.quiet {
            eprintln!("copying {} to standard output", args.arena);
            // A damaged arena is copied all the same.
            if let Ok(reader) = ArenaReader::open(&source.device, source.range.start).await {
                eprint!("{}", summary(&reader, args.verbose));
            }
        }
        to_standard_output(&source).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// An arena that was found.
pub(crate) struct Source {
    device: Part,
    range: NamedRange,
}

impl Source {
    /// Looks for an arena on a disk.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) async fn find(file: &Path, arena: &str) -> anyhow::Result<Source> {
        let disks = disks::open(&[file.to_owned()], Access::Read).await?;
        for part in disks.parts.arenas {
            let (map, _) = transfer::map(&part.device).await.with_context(|| part.name.clone())?;
            let found = map.ranges().iter().find(|range| range.name.as_str() == arena);
            if let Some(range) = found {
                return Ok(Source { range: *range, device: part.device });
            }
        }
        bail!("couldn't find arena {arena}")
    }

    /// Bytes from head to tail.
    pub(crate) fn len(&self) -> u64 {
        self.range.len()
    }

    /// Copies them.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub(crate) async fn copy_to(&self, out: &mut impl Write, bar: bool) -> anyhow::Result<()> {
        let progress = if bar { Progress::bytes("copying", Some(self.len())) } else { Progress::hidden() };
        let mut offset = self.range.start;
        while offset < self.range.stop {
            let len = PIECE.min(self.range.stop - offset);
            let piece = read_bytes(&self.device, offset, len as usize).await;
            let piece = piece.with_context(|| format!("{}: reading byte {offset}", self.range.name))?;
            out.write_all(&piece).context("writing the arena")?;
            offset += len;
            progress.advance(len);
        }
        out.flush().context("writing the arena")?;
        progress.finish();
        Ok(())
    }
}

/// Copies an arena to standard output.
///
/// # Errors
/// As [`Source::copy_to`].
pub(crate) async fn to_standard_output(source: &Source) -> anyhow::Result<()> {
    source.copy_to(&mut std::io::stdout().lock(), false).await
}

/// What venti's tools print of an arena; `always` also where it is empty.
pub(crate) fn summary<D: storage::device::BlockDevice>(reader: &ArenaReader<'_, D>, always: bool) -> String {
    let (tail, geometry) = (&reader.tail, &reader.geometry);
    let Counters { clumps, compressed_clumps, used, uncompressed_size, sealed } = tail.written;
    let mut out = String::new();
    if clumps == 0 && !always {
        return out;
    }
    let (base, end) = (geometry.log_base(), geometry.tail_offset() + u64::from(geometry.block_size()));
    let end = end + u64::from(geometry.block_size());
    let records = RECORD_LEN as u64 * u64::from(clumps);
    let (data, storage) = (used - HEADER_LEN * u64::from(clumps), used + records);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "arena='{}' [{base},{end})", tail.name);
    let _ = write!(out, "\tversion={} created={}", tail.version.number(), tail.created_at.0);
    let _ = writeln!(out, " modified={}{}", tail.written_at.0, if sealed { " sealed" } else { "" });
    if reader.seal != Score::NULL {
        let _ = writeln!(out, "\tscore={}", reader.seal);
    }
    let _ = write!(
        out,
        "\tclumps={} compressed clumps={}",
        commas(clumps.into()),
        commas(compressed_clumps.into())
    );
    let _ = write!(out, " data={} compressed data={}", commas(uncompressed_size), commas(data));
    let _ = writeln!(out, " disk storage={}", commas(storage));
    out
}

/// A number as venti prints large ones.
fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (5_013_269, "5,013,269")] {
            assert_eq!(commas(number), text);
        }
    }
}
