//! What a venti server needs of whatever keeps the blocks.

use super::message::{Presence, Text};
use alloc::vec::Vec;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::score::Score;

/// A store of blocks, as a venti client sees it. Calls may be under way in any number.
///
/// Errors are the texts that clients see (`no block with score SCORE/TYPE exists`, …).
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Blocks {
    /// The lump with this name, whole and verified. `limit`: the longest that the client takes, in bytes; a
    /// longer lump is an error, never cut short.
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text>;

    /// Keeps `lump` (1..=[`super::MAX_LUMP`] bytes) and returns its score. From here on reads find it; a
    /// power cut may still lose it.
    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text>;

    /// Returns once every write that had returned before the call survives a power cut.
    async fn sync(&self) -> Result<(), Text>;

    /// Which of these blocks there are, in order. `asker` is a number that no other connection has: what is missing is
    /// expected from it from now on, and is [`Presence::Promised`] to others.
    async fn have(&self, names: &[(Score, BlockType)], asker: u64) -> Result<Vec<Presence>, Text>;

    /// Whether questions about names are answered to this client, which the greeting then announces.
    fn has_names(&self) -> bool {
        false
    }

    /// Answers a question about names.
    async fn names(&self, _: Bytes) -> Result<Bytes, Text> {
        Err(Text::new("no names are exchanged here"))
    }
}
