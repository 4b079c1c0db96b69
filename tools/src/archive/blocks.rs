//! The seam between archives and whatever keeps their blocks.

use anyhow::Context;
use bytes::Bytes;
use storage::archive::NewBlock;
use storage::block_type::BlockType;
use storage::score::Score;
use tokio::sync::oneshot;

/// Fetches and stores blocks, for code that runs on a thread of its own.
pub trait Blocks {
    /// Asks for a block of at most `len_max` bytes. Returns at once, or as soon as few enough are under way.
    fn ask(&self, score: Score, block_type: BlockType, len_max: u32) -> Pending;

    /// Stores a block, sooner or later. An earlier block may be why it fails.
    ///
    /// # Errors
    /// If blocks can no longer be stored.
    fn put(&self, block: NewBlock) -> anyhow::Result<()>;

    /// Returns once everything put before is durable.
    ///
    /// # Errors
    /// If a block put before could not be stored, or not be made durable.
    fn sync(&self) -> anyhow::Result<()>;
}

/// Nobody will answer any more: there is no use in asking on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the server is gone")]
pub struct ServerGone;

/// A block that was asked for.
#[derive(Debug)]
pub struct Pending {
    /// Answered with the block; dropped if nobody will answer.
    pub reply: oneshot::Receiver<anyhow::Result<Bytes>>,
    /// For the error's text.
    pub score: Score,
}

impl Pending {
    /// Waits for the block.
    ///
    /// # Errors
    /// If it is not there or cannot be fetched.
    pub fn wait(self) -> anyhow::Result<Bytes> {
        let block = self.reply.blocking_recv().map_err(|_| ServerGone)?;
        block.with_context(|| format!("reading block {}", self.score))
    }
}

/// Blocks in memory, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct MemoryBlocks {
    kept: std::cell::RefCell<std::collections::HashMap<(Score, BlockType), Bytes>>,
}

#[cfg(test)]
impl MemoryBlocks {
    /// All of `blocks`.
    pub(crate) fn with(blocks: impl IntoIterator<Item = (Score, BlockType, Bytes)>) -> MemoryBlocks {
        let kept =
            blocks.into_iter().map(|(score, block_type, block)| ((score, block_type), block)).collect();
        MemoryBlocks { kept: std::cell::RefCell::new(kept) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.kept.borrow().len()
    }
}

#[cfg(test)]
impl Blocks for MemoryBlocks {
    fn ask(&self, score: Score, block_type: BlockType, len_max: u32) -> Pending {
        let (answer, reply) = oneshot::channel();
        let found = self.kept.borrow().get(&(score, block_type)).cloned();
        let block = found.filter(|block| block.len() <= len_max as usize);
        answer.send(block.with_context(|| format!("no block with score {score}"))).unwrap();
        Pending { reply, score }
    }

    fn put(&self, block: NewBlock) -> anyhow::Result<()> {
        assert_eq!(Score::of(&block.data), block.score);
        self.kept.borrow_mut().insert((block.score, block.block_type), block.data);
        Ok(())
    }

    fn sync(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
