//! A [`Store`] as a venti server sees it.
//!
//! Knows which text each of the store's errors is to a client. Must not know sessions or streams.

use super::blocks::Blocks;
use super::claims::Claims;
use super::message::{Presence, Text};
use crate::clock::Clock;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::score::Score;
use storage::store::Store;

/// A store, and the clock that dates what is written to it.
pub struct StoreBlocks<D: BlockDevice + 'static, C> {
    store: Rc<Store<D>>,
    clock: C,
    claims: RefCell<Claims>,
}

impl<D: BlockDevice + 'static, C: Clock> StoreBlocks<D, C> {
    /// Serves `store`.
    pub fn new(store: Rc<Store<D>>, clock: C) -> StoreBlocks<D, C> {
        StoreBlocks { store, clock, claims: RefCell::default() }
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
        let score = self.store.write(block_type, lump, self.clock.wall()).await.map_err(Text::new)?;
        self.claims.borrow_mut().settle(&(score, block_type));
        Ok(score)
    }

    async fn sync(&self) -> Result<(), Text> {
        self.store.sync().await.map_err(Text::new)
    }

    async fn have(&self, names: &[(Score, BlockType)], asker: u64) -> Result<Vec<Presence>, Text> {
        let mut presences = Vec::with_capacity(names.len());
        for (score, block_type) in names {
            let presence = if self.store.has(*score, *block_type).await.map_err(Text::new)? {
                Presence::Here
            } else if self.claims.borrow_mut().claim((*score, *block_type), asker, self.clock.now()) {
                Presence::Missing
            } else {
                Presence::Promised
            };
            presences.push(presence);
        }
        Ok(presences)
    }
}
