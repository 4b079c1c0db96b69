//! Reads an archive's directories, one or two layers, whoever wrote them.

use super::blocks::{Blocks, Pending};
use anyhow::{Context, bail, ensure};
use std::collections::{HashMap, VecDeque};
use storage::archive::BLOCK_LEN_MAX;
use storage::archive::entry::{Entry, entries_of};
use storage::archive::file_entry::FileEntry;
use storage::archive::meta_block;
use storage::archive::root::{ROOT_LEN, Root};
use storage::archive::stream_reader::{Piece, StreamReader};
use storage::archive::zero;
use storage::block_type::BlockType;
use storage::score::Score;

/// Blocks asked for ahead of the one that is needed.
pub const AHEAD: usize = 48;
/// Files in one directory, at most: what an archive claims has to end somewhere.
const FILES_MAX: usize = 1 << 24;
/// Bytes of a metadata block that its own counts can reach.
const META_LEN_MAX: usize = 1 << 16;

/// A stream whose blocks are being fetched.
pub struct Fetching {
    reader: StreamReader,
    asked: VecDeque<(u64, Pending)>,
}

impl Fetching {
    /// Nothing is fetched before [`Fetching::ask_ahead`] or [`Fetching::next`].
    pub fn new(reader: StreamReader) -> Fetching {
        Fetching { reader, asked: VecDeque::new() }
    }

    /// Asks for blocks until `ahead` are under way.
    pub fn ask_ahead(&mut self, blocks: &impl Blocks, ahead: usize) {
        while self.asked.len() < ahead
            && let Some(want) = self.reader.want(ahead.max(1))
        {
            self.asked.push_back((want.id, blocks.ask(want.score, want.block_type, want.len_max)));
        }
    }

    /// The score and length of the next leaf, of a reader of scores; `None` at the stream's end.
    ///
    /// # Errors
    /// If a pointer block cannot be fetched.
    pub fn next_score(&mut self, blocks: &impl Blocks, ahead: usize) -> anyhow::Result<Option<(Score, u64)>> {
        loop {
            if let Some(score) = self.reader.next_score() {
                return Ok(Some(score));
            }
            if self.reader.is_finished() {
                return Ok(None);
            }
            self.fetch_one(blocks, ahead)?;
        }
    }

    /// The next piece; `None` at the stream's end.
    ///
    /// # Errors
    /// If a block cannot be fetched.
    pub fn next(&mut self, blocks: &impl Blocks, ahead: usize) -> anyhow::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.reader.next_piece() {
                return Ok(Some(piece));
            }
            if self.reader.is_finished() {
                return Ok(None);
            }
            self.fetch_one(blocks, ahead)?;
        }
    }

    fn fetch_one(&mut self, blocks: &impl Blocks, ahead: usize) -> anyhow::Result<()> {
        self.ask_ahead(blocks, ahead.max(1));
        let Some((id, pending)) = self.asked.pop_front() else {
            bail!("a stream's block was never asked for")
        };
        self.reader.supply(id, pending.wait()?);
        Ok(())
    }
}

/// A directory's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Entries of the files' contents.
    pub entries: Entry,
    /// What the files are.
    pub meta: Entry,
}

/// A directory whose blocks are being fetched.
pub struct Starting {
    directory: Directory,
    entries: Fetching,
    meta: Fetching,
}

/// An archive's root and its top directory.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The root block.
    pub root: Root,
    /// The top.
    pub top: Directory,
    /// What the archive says of its top directory.
    pub about: FileEntry,
}

/// A directory's files, and where their contents are.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of the metadata.
    pub files: Vec<FileEntry>,
    /// What could not be read of it: the rest is good.
    pub damage: Vec<String>,
    slots: HashMap<u32, Entry>,
}

/// Opens the archive with this root score.
///
/// # Errors
/// If a block is missing or makes no sense.
pub fn open(blocks: &impl Blocks, score: Score) -> anyhow::Result<Archive> {
    let root = blocks.ask(score, BlockType::ROOT, ROOT_LEN as u32).wait()?;
    let root = Root::parse(&root).context("reading the archive's root")?;
    ensure!(root.kind == b"vac", "the root is not of a vac archive");
    let block = blocks.ask(root.directory, BlockType::DIRECTORY, BLOCK_LEN_MAX).wait()?;
    let mut three = first_entries(&block);
    if let [Some(inner), _, None] = three
        && inner.shape.is_directory
    {
        // fossil puts the three entries into a stream of their own.
        let mut inner = Fetching::new(StreamReader::new(&inner));
        let Some(Piece::Data { bytes, .. }) = inner.next(blocks, 1)? else {
            bail!("the archive has no top directory")
        };
        three = first_entries(&bytes);
    }
    let [Some(entries), Some(meta), Some(about)] = three else { bail!("the archive has no top directory") };
    let top = Directory::new(entries, meta)?;
    let described = files_of(blocks, Fetching::new(StreamReader::new(&about)), &about)?;
    let about = described.files.into_iter().next().context("the archive does not describe its top")?;
    Ok(Archive { root, top, about })
}

fn first_entries(block: &[u8]) -> [Option<Entry>; 3] {
    let mut three = [None; 3];
    for (slot, entry) in entries_of(block).take(3) {
        if let (Some(place), Ok(entry)) = (three.get_mut(slot), entry) {
            *place = Some(entry);
        }
    }
    three
}

impl Directory {
    fn new(entries: Entry, meta: Entry) -> anyhow::Result<Directory> {
        ensure!(
            entries.shape.is_directory && !meta.shape.is_directory,
            "a directory's streams are of the wrong kinds"
        );
        Ok(Directory { entries, meta })
    }

    /// Begins to fetch it.
    pub fn start(&self, blocks: &impl Blocks, ahead: usize) -> Starting {
        let mut entries = Fetching::new(StreamReader::new(&self.entries));
        let mut meta = Fetching::new(StreamReader::new(&self.meta));
        meta.ask_ahead(blocks, ahead);
        entries.ask_ahead(blocks, ahead);
        Starting { directory: *self, entries, meta }
    }

    /// Reads what is in it: see [`Starting::list`].
    ///
    /// # Errors
    /// If a block cannot be fetched, or there are too many files.
    pub fn list(&self, blocks: &impl Blocks) -> anyhow::Result<Listing> {
        self.start(blocks, AHEAD).list(blocks)
    }
}

impl Starting {
    /// Reads what is in the directory.
    ///
    /// # Errors
    /// If a block cannot be fetched, or there are too many files. Damage inside a block is only recorded.
    pub fn list(mut self, blocks: &impl Blocks) -> anyhow::Result<Listing> {
        let mut listing = files_of(blocks, self.meta, &self.directory.meta)?;
        let shape = self.directory.entries.shape;
        let (mut leaf, per_leaf) = (0_u64, u64::from(shape.entries_per_leaf()));
        while let Some(piece) = self.entries.next(blocks, AHEAD)? {
            let (bytes, len) = match &piece {
                Piece::Data { bytes, len } => (&bytes[..], *len),
                Piece::Hole { len } => (&[][..], *len),
            };
            for (slot, entry) in entries_of(bytes) {
                let Ok(slot) = u32::try_from(leaf * per_leaf + slot as u64) else { break };
                match entry {
                    Ok(entry) => drop(listing.slots.insert(slot, entry)),
                    Err(error) => listing.damage.push(format!("slot {slot}: {error}")),
                }
            }
            ensure!(listing.slots.len() <= 2 * FILES_MAX, "the directory has too many entries");
            leaf += len.div_ceil(u64::from(shape.leaf_size));
        }
        Ok(listing)
    }
}

/// The file entries in a metadata stream.
fn files_of(blocks: &impl Blocks, mut stream: Fetching, meta: &Entry) -> anyhow::Result<Listing> {
    let mut listing = Listing::default();
    let whole = usize::try_from(meta.shape.leaf_size).unwrap_or(META_LEN_MAX).min(META_LEN_MAX);
    while let Some(piece) = stream.next(blocks, AHEAD)? {
        let Piece::Data { bytes, .. } = piece else { continue };
        let block = zero::extend(BlockType::DATA, &bytes, whole);
        match meta_block::file_entries(&block) {
            Err(error) => listing.damage.push(error.to_string()),
            Ok(files) => files.for_each(|file| match file {
                Ok(file) => listing.files.push(file),
                Err(error) => listing.damage.push(error.to_string()),
            }),
        }
        ensure!(
            listing.files.len() <= FILES_MAX && listing.damage.len() <= FILES_MAX,
            "the directory has too many files"
        );
    }
    Ok(listing)
}

impl Listing {
    /// The content of a file of this directory.
    ///
    /// # Errors
    /// If there is none.
    pub fn content(&self, file: &FileEntry) -> anyhow::Result<Entry> {
        let entry = self.slots.get(&file.slot).filter(|entry| entry.generation == file.generation);
        let entry = entry.context("its content was removed, or its entry is damaged")?;
        ensure!(!entry.shape.is_directory, "its content is a directory");
        Ok(*entry)
    }

    /// The streams of a directory in this directory.
    ///
    /// # Errors
    /// If it is none.
    pub fn directory(&self, file: &FileEntry) -> anyhow::Result<Directory> {
        let slot = |slot, generation| {
            let entry = self.slots.get(&slot).filter(|entry: &&Entry| entry.generation == generation);
            entry.copied().context("it was removed, or its entry is damaged")
        };
        Directory::new(slot(file.slot, file.generation)?, slot(file.meta_slot, file.meta_generation)?)
    }
}
