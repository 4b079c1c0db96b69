//! A store as a client sees it that may not do everything.

use super::blocks::Blocks;
use super::message::Text;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::score::Score;

/// A store that takes blocks only from those who may write.
pub struct Guarded<'a, B> {
    /// The store.
    pub blocks: &'a B,
    /// Whether this client may write. Else it hears what a venti says that is read only.
    pub may_write: bool,
}

impl<B: Blocks> Blocks for Guarded<'_, B> {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        self.blocks.read(score, block_type, limit).await
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        if !self.may_write {
            return Err(Text::new("read only"));
        }
        self.blocks.write(block_type, lump).await
    }

    async fn sync(&self) -> Result<(), Text> {
        self.blocks.sync().await
    }
}
