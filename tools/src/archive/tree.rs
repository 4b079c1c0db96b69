//! Reads an archive's directories, one or two layers, whoever wrote them.

use super::blocks::{Blocks, Pending};
use anyhow::{Context, bail, ensure};
use std::collections::VecDeque;
use storage::archive::BLOCK_LEN_MAX;
use storage::archive::entry::Entry;
use storage::archive::file_entry::FileEntry;
use storage::archive::listing::{BadTree, Directory, Listing, Top};
use storage::archive::root::{ROOT_LEN, Root};
use storage::archive::stream_reader::{Piece, StreamReader};
use storage::block_type::BlockType;
use storage::score::Score;

/// Blocks asked for ahead of the one that is needed.
pub const AHEAD: usize = 48;

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

/// Opens the archive with this root score.
///
/// # Errors
/// If a block is missing or makes no sense.
pub fn open(blocks: &impl Blocks, score: Score) -> anyhow::Result<Archive> {
    let root = blocks.ask(score, BlockType::ROOT, ROOT_LEN as u32).wait()?;
    let root = Root::parse(&root).context("reading the archive's root")?;
    ensure!(root.kind == b"vac", "the root is not of a vac archive");
    let block = blocks.ask(root.directory, BlockType::DIRECTORY, BLOCK_LEN_MAX).wait()?;
    let mut top = Top::parse(&block)?;
    if let Top::Within(within) = top {
        let mut within = Fetching::new(StreamReader::new(&within));
        let Some(Piece::Data { bytes, .. }) = within.next(blocks, 1)? else {
            return Err(BadTree::NoTop.into());
        };
        top = Top::parse(&bytes)?;
    }
    let Top::Here(top, about) = top else { return Err(BadTree::NoTop.into()) };
    let described = files_of(blocks, Fetching::new(StreamReader::new(&about)), &about)?;
    let about = described.files.into_iter().next().context("the archive does not describe its top")?;
    Ok(Archive { root, top, about })
}

/// Begins to fetch a directory.
pub fn start(directory: &Directory, blocks: &impl Blocks, ahead: usize) -> Starting {
    let mut entries = Fetching::new(StreamReader::new(&directory.entries));
    let mut meta = Fetching::new(StreamReader::new(&directory.meta));
    meta.ask_ahead(blocks, ahead);
    entries.ask_ahead(blocks, ahead);
    Starting { directory: *directory, entries, meta }
}

/// Reads what is in a directory: see [`Starting::list`].
///
/// # Errors
/// If a block cannot be fetched, or there are too many files.
pub fn list(directory: &Directory, blocks: &impl Blocks) -> anyhow::Result<Listing> {
    start(directory, blocks, AHEAD).list(blocks)
}

impl Starting {
    /// Reads what is in the directory.
    ///
    /// # Errors
    /// If a block cannot be fetched, or there are too many files. Damage inside a block is only recorded.
    pub fn list(mut self, blocks: &impl Blocks) -> anyhow::Result<Listing> {
        let mut listing = files_of(blocks, self.meta, &self.directory.meta)?;
        let shape = self.directory.entries.shape;
        let mut leaf = 0_u64;
        while let Some(piece) = self.entries.next(blocks, AHEAD)? {
            let (bytes, len) = match &piece {
                Piece::Data { bytes, len } => (&bytes[..], *len),
                Piece::Hole { len } => (&[][..], *len),
            };
            listing.add_entry_block(&shape, leaf, bytes)?;
            leaf += len.div_ceil(u64::from(shape.leaf_size));
        }
        Ok(listing)
    }
}

/// The file entries in a metadata stream.
fn files_of(blocks: &impl Blocks, mut stream: Fetching, meta: &Entry) -> anyhow::Result<Listing> {
    let mut listing = Listing::default();
    while let Some(piece) = stream.next(blocks, AHEAD)? {
        let Piece::Data { bytes, .. } = piece else { continue };
        listing.add_meta_block(&meta.shape, &bytes)?;
    }
    Ok(listing)
}
