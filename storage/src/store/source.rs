//! The store as the place where archives' blocks come from: for those who browse, and for those who verify.

use super::{Store, StoreError};
use crate::archive::tree::{NoBlock, Source};
use crate::block_type::BlockType;
use crate::device::BlockDevice;
use crate::score::Score;
use alloc::format;
use alloc::string::ToString;
use bytes::Bytes;
use core::time::Duration;

impl<D: BlockDevice + 'static> Source for Store<D> {
    async fn block(&self, score: Score, block_type: BlockType, len_max: u32) -> Result<Bytes, NoBlock> {
        checked(self.read(score, block_type).await, len_max)
    }
}

/// The store for those who verify: every block is read from where it is stored, behind clients.
pub struct Verified<'a, D: BlockDevice + 'static, P> {
    /// The store.
    pub store: &'a Store<D>,
    /// Returns after the time it is given.
    pub pause: &'a P,
}

impl<D: BlockDevice + 'static, P: AsyncFn(Duration)> Source for Verified<'_, D, P> {
    async fn block(&self, score: Score, block_type: BlockType, len_max: u32) -> Result<Bytes, NoBlock> {
        checked(self.store.verify(score, block_type, self.pause).await, len_max)
    }
}

fn checked(read: Result<Bytes, StoreError>, len_max: u32) -> Result<Bytes, NoBlock> {
    match read {
        Ok(block) if block.len() > len_max as usize => {
            Err(NoBlock::Damaged(format!("it has {} bytes, {len_max} are allowed here", block.len())))
        }
        Ok(block) => Ok(block),
        Err(StoreError::NoSuchBlock { .. }) => Err(NoBlock::Missing),
        Err(error @ StoreError::Damaged(_)) => Err(NoBlock::Damaged(error.to_string())),
        Err(error) => Err(NoBlock::Stopped(error.to_string())),
    }
}
