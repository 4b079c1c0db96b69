//! Archives: the trees that vac and fossil keep in venti. Bytes ↔ values and arithmetic, and the ways through a tree
//! whose blocks come from a [`tree::Source`]; no files of a host, no policy about names.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`zero`] | which end of a block is left out when it is stored | what blocks hold |
//! | [`root`] | the 300 bytes that name an archive | what lies below |
//! | [`entry`] | the 40 bytes that describe a stream | where entries stand |
//! | [`shape`] | how many leaves a pointer covers, how deep a stream is | bytes |
//! | [`stream_writer`], [`stream_reader`] | a stream's leaves ↔ its tree of blocks | what is in the leaves |
//! | [`file_entry`] | name, owner, times and mode of one file | blocks |
//! | [`meta_block`], [`meta_writer`] | blocks full of file entries, as vac packs them | trees |
//! | [`listing`] | a directory from the blocks of its two streams | how blocks are fetched |
//! | [`tree`] | an archive file by file | where blocks are kept |
//! | [`walk`], [`path`] | every block beneath a root, and what is missing where | names, until one must be told |
//! | [`writer`] | a whole archive, from files in the order in which they come | where blocks go |
//!
//! Two ideas carry it: a *stream* is any number of bytes as a tree of blocks, described by an
//! [`entry::Entry`]; a directory is two streams, one of entries and one of metadata, whose slots belong
//! together. Sources: venti(6), vac(1), and what plan9port's vac does.

pub mod entry;
pub mod file_entry;
pub mod listing;
pub mod meta_block;
pub mod meta_writer;
pub mod path;
pub mod root;
pub mod shape;
pub mod stream_reader;
pub mod stream_writer;
pub mod tree;
pub mod walk;
pub mod writer;
pub mod zero;

use crate::block_type::BlockType;
use crate::score::Score;
use bytes::Bytes;

/// Bytes in the largest block that a venti server stores.
pub const BLOCK_LEN_MAX: u32 = 57344;

/// A block that has to reach a venti server, zero-truncated and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// Its type on disk and wire.
    pub block_type: BlockType,
    /// The score of `data`.
    pub score: Score,
    /// What to store.
    pub data: Bytes,
}

/// Names a block: truncates it, appends it to `out` unless nothing is left, and returns its score.
pub(crate) fn put_block(block_type: BlockType, block: &[u8], out: &mut alloc::vec::Vec<NewBlock>) -> Score {
    let data = zero::truncate(block_type, block);
    if data.is_empty() {
        return Score::ZERO;
    }
    let score = Score::of(data);
    out.push(NewBlock { block_type, score, data: Bytes::copy_from_slice(data) });
    score
}
