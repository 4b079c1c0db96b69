//! Blocks for a client who may not do everything.

use super::blocks::Blocks;
use super::message::{Presence, Text};
use alloc::vec::Vec;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::score::Score;

/// Some blocks, and what may be done with them.
pub struct Allowed<'a, B> {
    /// The blocks.
    pub blocks: &'a B,
    /// Whether they may be read.
    pub read: bool,
    /// Whether they may be written.
    pub write: bool,
}

impl<B: Blocks> Blocks for Allowed<'_, B> {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        match self.read {
            true => self.blocks.read(score, block_type, limit).await,
            false => Err(Text::new("permission denied: you may not read here")),
        }
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        match self.write {
            true => self.blocks.write(block_type, lump).await,
            false => Err(Text::new("permission denied: you may not write here")),
        }
    }

    async fn sync(&self) -> Result<(), Text> {
        self.blocks.sync().await
    }

    async fn have(&self, names: &[(Score, BlockType)], asker: u64) -> Result<Vec<Presence>, Text> {
        match self.write {
            true => self.blocks.have(names, asker).await,
            false => Err(Text::new("permission denied: you may not write here")),
        }
    }
}
