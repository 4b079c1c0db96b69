//! Reads archives file by file: a directory's list, a piece of a file.
//!
//! Knows how a tree hangs together. Must not know where blocks are kept, nor who asks.

use crate::archive::BLOCK_LEN_MAX;
use crate::archive::entry::{Entry, is_nothing};
use crate::archive::file_entry::FileEntry;
use crate::archive::listing::{BadTree, Directory, Listing, Top};
use crate::archive::root::{ROOT_LEN, Root};
use crate::archive::stream_reader::{Piece, StreamReader};
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// Where the blocks of archives come from.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Source {
    /// The block of this name, verified, of at most `len_max` bytes.
    async fn block(&self, score: Score, block_type: BlockType, len_max: u32) -> Result<Bytes, NoBlock>;
}

/// Why a block cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBlock {
    /// It is not stored here.
    #[error("it is missing")]
    Missing,
    /// What is stored is damaged, or is not what it should be.
    #[error("{0}")]
    Damaged(String),
    /// Nobody can tell now: there is no use in asking for others.
    #[error("blocks cannot be read now: {0}")]
    Stopped(String),
}

/// Why a tree, or a part of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A block of it.
    #[error("block {score}: {cause}")]
    Block {
        /// Its score.
        score: Score,
        /// Why not.
        cause: NoBlock,
    },
    /// It makes no sense.
    #[error(transparent)]
    Bad(#[from] BadTree),
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
    /// The top hangs in a stream of its own, as fossil's does.
    pub is_two_layers: bool,
}

async fn fetch<S: Source>(
    source: &S,
    score: Score,
    block_type: BlockType,
    len_max: u32,
) -> Result<Bytes, TreeError> {
    let block = source.block(score, block_type, len_max.min(BLOCK_LEN_MAX)).await;
    block.map_err(|cause| TreeError::Block { score, cause })
}

/// Opens the archive with this root score.
pub async fn open<S: Source>(source: &S, score: Score) -> Result<Archive, TreeError> {
    let root = fetch(source, score, BlockType::ROOT, ROOT_LEN as u32).await?;
    let root = Root::parse(&root).map_err(BadTree::from)?;
    if root.kind != b"vac" {
        return Err(BadTree::Kind.into());
    }
    let block = fetch(source, root.directory, BlockType::DIRECTORY, BLOCK_LEN_MAX).await?;
    let (mut top, mut is_two_layers) = (Top::parse(&block)?, false);
    if let Top::Within(within) = top {
        let block = read_at(source, &within, 0, within.shape.leaf_size as usize).await?;
        (top, is_two_layers) = (Top::parse(&block)?, true);
    }
    let Top::Here(top, about) = top else { return Err(BadTree::NoTop.into()) };
    let block = read_at(source, &about, 0, about.shape.leaf_size as usize).await?;
    let mut described = Listing::default();
    described.add_meta_block(&about.shape, &block)?;
    let about = described.files.into_iter().next().ok_or(BadTree::NotDescribed)?;
    Ok(Archive { root, top, about, is_two_layers })
}

/// Reads what is in a directory. What cannot be read of it is in [`Listing::damage`], and the rest is there.
///
/// # Errors
/// If blocks cannot be read at all now, or there are too many files.
pub async fn list<S: Source>(source: &S, directory: &Directory) -> Result<Listing, TreeError> {
    let mut listing = Listing::default();
    let mut damage = Vec::new();
    let shape = directory.meta.shape;
    let add_files = |_, bytes: &[u8]| listing.add_meta_block(&shape, bytes);
    each_leaf(source, &directory.meta, &mut damage, add_files).await?;
    let shape = directory.entries.shape;
    let add_entries = |leaf, bytes: &[u8]| listing.add_entry_block(&shape, leaf, bytes);
    each_leaf(source, &directory.entries, &mut damage, add_entries).await?;
    listing.damage.append(&mut damage);
    Ok(listing)
}

/// Gives every stored leaf of a stream to `each`, with its number. Blocks that cannot be had are noted and passed by.
async fn each_leaf<S: Source>(
    source: &S,
    entry: &Entry,
    damage: &mut Vec<String>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), BadTree>,
) -> Result<(), TreeError> {
    let mut reader = StreamReader::new(entry);
    let mut leaf = 0;
    while !reader.is_finished() {
        while let Some(piece) = reader.next_piece() {
            let len = match piece {
                Piece::Data { bytes, len } => {
                    if !bytes.is_empty() {
                        each(leaf, &bytes)?;
                    }
                    len
                }
                Piece::Hole { len } => len,
            };
            leaf += len.div_ceil(u64::from(entry.shape.leaf_size));
        }
        let Some(want) = reader.want(1) else { continue };
        let block = match fetch(source, want.score, want.block_type, want.len_max).await {
            Ok(block) => block,
            Err(error @ TreeError::Block { cause: NoBlock::Stopped(_), .. }) => return Err(error),
            Err(error) => {
                damage.push(error.to_string());
                Bytes::new()
            }
        };
        reader.supply(want.id, block);
    }
    Ok(())
}

/// Bytes of a stream from `offset` on: at most `len`, less only at its end or at the end of a block.
pub async fn read_at<S: Source>(
    source: &S,
    entry: &Entry,
    offset: u64,
    len: usize,
) -> Result<Bytes, TreeError> {
    let leaf_size = u64::from(entry.shape.leaf_size);
    let within = offset % leaf_size;
    let left = entry.size.saturating_sub(offset);
    let len = (len as u64).min(left).min(leaf_size - within) as usize;
    if len == 0 {
        return Ok(Bytes::new());
    }
    let leaf = read_leaf(source, entry, offset / leaf_size).await?;
    let within = within as usize;
    if let Some(whole) = leaf.get(within..within + len) {
        return Ok(leaf.slice_ref(whole));
    }
    let mut bytes = leaf.get(within..).unwrap_or_default().to_vec();
    bytes.truncate(len);
    bytes.resize(len, 0);
    Ok(bytes.into())
}

/// What is stored of leaf number `leaf`; nothing of a hole.
async fn read_leaf<S: Source>(source: &S, entry: &Entry, leaf: u64) -> Result<Bytes, TreeError> {
    let shape = entry.shape;
    let (mut score, mut depth) = (entry.score, shape.depth);
    loop {
        if is_nothing(score) {
            return Ok(Bytes::new());
        }
        let len_max = if depth == 0 { shape.leaf_size } else { shape.pointer_size };
        let block = fetch(source, score, shape.type_at(depth), len_max).await?;
        let Some(below) = depth.checked_sub(1) else { return Ok(block) };
        let leaves = shape.pointers_per_block().saturating_pow(u32::from(below));
        let pointer = (leaf / leaves) % shape.pointers_per_block();
        let (scores, _slop) = block.as_chunks::<SCORE_LEN>();
        let found = usize::try_from(pointer).ok().and_then(|pointer| scores.get(pointer));
        score = found.map_or(Score::ZERO, |score| Score(*score));
        depth = below;
    }
}
