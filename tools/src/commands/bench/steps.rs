//! `granary bench steps`: what each step of a write and of a read costs on this machine, in one process and without
//! a network.
//!
//! Steps that are calls of their own are measured alone; what a write does besides hash, look-up and compression is the
//! difference to a whole write.

use super::content::{self, Content, Lumps, Numbers};
use crate::host;
use crate::host::device::{Access, FileDevice};
use crate::outcome::{CodedError, OutputArgs};
use anyhow::Context;
use bytes::Bytes;
use net::venti::frame::FrameCutter;
use net::venti::message::{Message, Tagged};
use net::venti::{MAX_LUMP, Version};
use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::device::ram::RamDisk;
use storage::make;
use storage::memory_index::MemoryIndex;
use storage::score::Score;
use storage::store::{Store, StorePart, StoreParts, StoreSettings};
use storage::whack::{Encoder, decode_into};
use storage::{Timestamp, format::prelude::BLOCK_SIZE_DEFAULT};

const SECTOR_SIZE: u32 = 512;
/// Bytes of an arena; the log also holds headers and directory, and the partition its map.
const ARENA_LEN: u64 = 64 << 20;
/// Entries in the index in front of which blocks are looked up.
const INDEX_ENTRIES: u64 = 1 << 20;

/// Arguments of `granary bench steps`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary bench steps\n  \
    granary bench steps --content text --size 57344 --json\n  \
    granary bench steps --file /mnt/disk/scratch\n\nA file is made for the measurement and removed afterwards.")]
pub struct Args {
    /// Blocks in each measurement.
    #[arg(long, default_value_t = 4096, value_name = "N")]
    blocks: usize,

    /// Bytes in a block.
    #[arg(long, default_value_t = 8192, value_name = "BYTES")]
    size: usize,

    /// What the blocks hold.
    #[arg(long, value_enum, default_value_t = Content::Text)]
    content: Content,

    /// The same seed makes the same blocks.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Store the blocks in this new file instead of in memory.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// One step.
#[derive(Debug, serde::Serialize)]
struct Step {
    name: &'static str,
    ns_per_block: f64,
    mib_per_s: f64,
    /// Of a write that is durable in the end, in percent; none for what is no part of it.
    write_percent: Option<f64>,
}

/// What is printed.
#[derive(Debug, serde::Serialize)]
struct Report {
    blocks: usize,
    size: usize,
    content: Content,
    seed: u64,
    /// `memory` or the file.
    disk: String,
    /// Bytes that the blocks take once they are compressed, in percent of what they have.
    stored_percent: f64,
    steps: Vec<Step>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { blocks, size, disk, stored_percent, .. } = self;
        writeln!(f, "{blocks} blocks of {size} bytes on {disk}; compressed to {stored_percent:.1} %")?;
        write!(f, "step                     ns/block     MiB/s  of a write")?;
        for Step { name, ns_per_block, mib_per_s, write_percent } in &self.steps {
            write!(f, "\n{name:<22} {ns_per_block:>10.0} {mib_per_s:>9.0}")?;
            if let Some(percent) = write_percent {
                write!(f, "  {percent:>8.1} %")?;
            }
        }
        Ok(())
    }
}

/// Runs `granary bench steps`.
///
/// # Errors
/// If the file cannot be made, or a disk fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !(16..=MAX_LUMP).contains(&args.size) || !(1..=1 << 20).contains(&args.blocks) {
        let text = format!("--size must be from 16 to {MAX_LUMP}, --blocks from 1 to {}", 1 << 20);
        return Err(CodedError::usage(text).into());
    }
    let report = host::run(measure(args))?;
    args.output.print(&report, &report)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let seed = args.seed.unwrap_or_else(content::seed_of_now);
    let lumps = Lumps::make(args.content, seed, 1, args.blocks, args.size).lumps;
    let mut clock = Steps { lumps: &lumps, steps: Vec::new() };
    let stored = clock.arithmetic();
    clock.messages()?;
    let sectors = (2 * ARENA_LEN
        + lumps.iter().map(|(_, lump)| lump.len() as u64 + 128).sum::<u64>() * 5 / 4)
        / u64::from(SECTOR_SIZE);
    let disk = match &args.file {
        None => {
            clock.store(|| Ok(RamDisk::new(SECTOR_SIZE, sectors))).await?;
            "memory".to_owned()
        }
        Some(path) => {
            let scratch = Scratch::make(path, sectors * u64::from(SECTOR_SIZE))?;
            clock.store(|| Ok(FileDevice::open(&scratch.0, Access::Write)?)).await?;
            path.display().to_string()
        }
    };
    let plain: usize = lumps.iter().map(|(_, lump)| lump.len()).sum();
    Ok(Report {
        blocks: args.blocks,
        size: args.size,
        content: args.content,
        seed,
        disk,
        stored_percent: 100.0 * stored as f64 / plain as f64,
        steps: shares(clock.steps),
    })
}

/// A file that goes away with the measurement.
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: &std::path::Path, len: u64) -> anyhow::Result<Scratch> {
        let file = std::fs::File::create_new(path);
        let file = file.with_context(|| format!("making {}", path.display()))?;
        let scratch = Scratch(path.to_owned());
        file.set_len(len)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind, it wastes room and no more.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Steps as they are measured.
struct Steps<'a> {
    lumps: &'a [(Score, Bytes)],
    steps: Vec<Step>,
}

impl Steps<'_> {
    fn add(&mut self, name: &'static str, ns_per_block: f64) {
        let bytes = self.lumps.first().map_or(0, |(_, lump)| lump.len());
        let mib_per_s = bytes as f64 / ns_per_block * 1e9 / f64::from(1 << 20);
        self.steps.push(Step { name, ns_per_block, mib_per_s, write_percent: None });
    }

    /// Measures one call for each block.
    fn each(&mut self, name: &'static str, mut call: impl FnMut(usize, &Score, &Bytes)) {
        let begun = Instant::now();
        for (number, (score, lump)) in self.lumps.iter().enumerate() {
            call(number, score, lump);
        }
        self.add(name, begun.elapsed().as_nanos() as f64 / self.lumps.len() as f64);
    }

    /// What is done to the bytes of a block. Returns how many they are, compressed.
    fn arithmetic(&mut self) -> usize {
        self.each("hash", |_, _, lump| {
            black_box(Score::of(lump));
        });
        let copies: Vec<Bytes> = self.lumps.iter().map(|(_, lump)| Bytes::from(lump.to_vec())).collect();
        self.each("compare", |number, _, lump| {
            black_box(*lump == copies[number]);
        });
        let (mut encoder, mut packed) = (Encoder::new(), vec![Vec::new(); self.lumps.len()]);
        self.each("compress", |number, _, lump| {
            encoder.encode(lump, &mut packed[number]);
        });
        let mut plain = vec![0; MAX_LUMP];
        self.each("decompress", |number, _, lump| {
            if !packed[number].is_empty() {
                let _ = black_box(decode_into(&packed[number], &mut plain[..lump.len()]));
            }
        });
        let mut index = MemoryIndex::new(INDEX_ENTRIES * 8192, INDEX_ENTRIES);
        let mut numbers = Numbers(7);
        for number in 0..INDEX_ENTRIES {
            index.insert(&Score::of(&numbers.next().to_be_bytes()), BlockType::DATA, number * 8192);
        }
        index.finish_filling();
        self.each("index look-up", |_, score, _| {
            black_box(index.candidates(score, BlockType::DATA).count());
        });
        let stored = packed.iter().zip(self.lumps).map(|(packed, (_, lump))| match packed.len() {
            0 => lump.len(),
            len => len,
        });
        stored.sum()
    }

    /// What the wire asks of a processor: a request is written by a client and read by the server.
    fn messages(&mut self) -> anyhow::Result<()> {
        let mut frames = vec![Vec::new(); self.lumps.len()];
        self.each("encode a message", |number, _, lump| {
            let message = Message::Twrite { block_type: BlockType::DATA.to_disk(), lump: lump.clone() };
            let tail = Tagged { tag: 1, message }.encode(Version::V04, &mut frames[number]);
            frames[number].extend_from_slice(&tail.unwrap_or_default());
        });
        let mut cutter = FrameCutter::new(Version::V04);
        let mut good = 0;
        self.each("decode a message", |number, _, _| {
            let frame = cutter.cut(&mut frames[number].as_slice()).ok().flatten();
            good += usize::from(frame.is_some_and(|frame| Tagged::parse(frame).is_ok()));
        });
        anyhow::ensure!(good == self.lumps.len(), "a message of ours could not be read");
        Ok(())
    }

    /// Whole writes and reads.
    async fn store<D: BlockDevice + 'static>(
        &mut self,
        disk: impl Fn() -> anyhow::Result<D>,
    ) -> anyhow::Result<()> {
        let (plain, commit) = {
            let store = fresh(disk()?, false).await?;
            let plain = self.write_all(&store).await?;
            let begun = Instant::now();
            store.sync().await.map_err(told)?;
            (plain, begun.elapsed().as_nanos() as f64 / self.lumps.len() as f64)
        };
        let before =
            |name| self.steps.iter().find(|step| step.name == name).map_or(0.0, |step| step.ns_per_block);
        let rest = (plain - before("hash") - before("index look-up")).max(0.0);
        self.add("append", rest);
        self.add("commit and flush", commit);
        self.add("write, not compressed", plain);
        let store = fresh(disk()?, true).await?;
        let whole = self.write_all(&store).await?;
        self.add("write, compressed", whole);
        let again = self.write_all(&store).await?;
        self.add("write a duplicate", again);
        store.sync().await.map_err(told)?;
        let begun = Instant::now();
        for (score, lump) in self.lumps {
            anyhow::ensure!(
                store.read(*score, BlockType::DATA).await.map_err(told)? == *lump,
                "a wrong block"
            );
        }
        self.add("read", begun.elapsed().as_nanos() as f64 / self.lumps.len() as f64);
        Ok(())
    }

    /// Nanoseconds for each block. What memory may hold of dirty blocks is more than there are: nothing waits for
    /// the disk.
    async fn write_all<D: BlockDevice + 'static>(&self, store: &Store<D>) -> anyhow::Result<f64> {
        let begun = Instant::now();
        for (_, lump) in self.lumps {
            store.write(BlockType::DATA, lump.clone(), now()).await.map_err(told)?;
        }
        Ok(begun.elapsed().as_nanos() as f64 / self.lumps.len() as f64)
    }
}

/// The store's errors stay on one thread; their words need not.
fn told(error: impl fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn now() -> Timestamp {
    let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// A store on a disk that is formatted for it.
async fn fresh<D: BlockDevice + 'static>(disk: D, compress: bool) -> anyhow::Result<Store<D>> {
    let options = make::ArenaOptions {
        arena_len: ARENA_LEN,
        block_size: BLOCK_SIZE_DEFAULT,
        ..make::ArenaOptions::default()
    };
    let mut numbers = Numbers(content::seed_of_now());
    make::arenas(&disk, options, || numbers.next() as u32, |_, _| ()).await?;
    let arenas = vec![StorePart { name: "arenas".to_owned(), device: disk }];
    let parts = StoreParts { arenas, index_sections: Vec::new(), bloom: None };
    let settings = StoreSettings { compress, dirty_bytes_max: usize::MAX, ..StoreSettings::default() };
    Ok(Store::open(parts, settings, now()).await.map_err(told)?.0)
}

/// Says of each step how much of a write it is that is compressed and made durable.
fn shares(mut steps: Vec<Step>) -> Vec<Step> {
    const PARTS: [&str; 5] = ["hash", "index look-up", "compress", "append", "commit and flush"];
    let is_part = |step: &Step| PARTS.contains(&step.name);
    let whole: f64 = steps.iter().filter(|step| is_part(step)).map(|step| step.ns_per_block).sum();
    for step in &mut steps {
        step.write_percent = is_part(step).then_some(100.0 * step.ns_per_block / whole);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(file: Option<PathBuf>) -> Args {
        let output = OutputArgs { json: false };
        Args { blocks: 20, size: 1000, content: Content::Text, seed: Some(1), file, output }
    }

    #[test]
    fn every_step_is_measured_and_the_shares_are_those_of_a_whole_write() {
        let report = host::run(measure(&args(None))).unwrap();
        assert_eq!(report.steps.len(), 13);
        assert!((20.0..80.0).contains(&report.stored_percent), "{report}");
        let shares: Vec<f64> = report.steps.iter().filter_map(|step| step.write_percent).collect();
        assert_eq!(shares.len(), 5);
        assert!((shares.iter().sum::<f64>() - 100.0).abs() < 0.01);
    }

    #[test]
    fn a_file_is_made_and_removed_and_one_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scratch");
        host::run(measure(&args(Some(path.clone())))).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        assert!(host::run(measure(&args(Some(path.clone())))).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
