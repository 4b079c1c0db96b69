//! A [`Store`] as a venti server sees it.
//!
//! Knows which text each of the store's errors is to a client. Must not know sessions or streams.

use super::blocks::Blocks;
use super::message::Text;
use crate::clock::Clock;
use alloc::format;
use alloc::rc::Rc;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::score::Score;
use storage::store::Store;

/// A store, and the clock that dates what is written to it.
pub struct StoreBlocks<D: BlockDevice + 'static, C> {
    store: Rc<Store<D>>,
    clock: C,
}

impl<D: BlockDevice + 'static, C: Clock> StoreBlocks<D, C> {
    /// Serves `store`.
    pub fn new(store: Rc<Store<D>>, clock: C) -> StoreBlocks<D, C> {
        StoreBlocks { store, clock }
    }
}

impl<D: BlockDevice + 'static, C: Clock> Blocks for StoreBlocks<D, C> {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        let lump = self.store.read(score, block_type).await.map_err(Text::new)?;
        if lump.len() > limit {
            let needed = lump.len();
            return Err(Text::new(format!("read too small: asked for {limit} need at least {needed}")));
        }
        Ok(lump)
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        self.store.write(block_type, lump, self.clock.wall()).await.map_err(Text::new)
    }

    async fn sync(&self) -> Result<(), Text> {
        self.store.sync().await.map_err(Text::new)
    }
}
