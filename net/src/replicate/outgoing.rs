//! The log as it leaves: cut into batches, in order; and what becomes of clumps that cannot be read.
//!
//! Knows damage, and that a peer may have what we cannot read. Must not know connections other than a venti client's.

use super::info::Place;
use super::worker::RoundError;
use crate::clock::Clock;
use crate::venti::client::{Client, ClientError};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::format::Name;
use storage::score::Score;
use storage::store::{Damage, LogEnd, LogEntry, Store};

/// Bytes of lumps in a batch, about, and blocks.
pub(super) const BATCH_BYTES: usize = 256 << 10;
const BATCH_BLOCKS: usize = 256;
/// The longest lump there is.
const LUMP_MAX: usize = crate::venti::MAX_LUMP;

/// A block on its way.
pub(super) type Block = (Score, BlockType, Bytes);

/// A clump that could not be read, and which block it should be.
pub(super) type Hole = (Place, Option<(Score, BlockType)>);

/// A stretch of an arena's log.
#[derive(Debug)]
pub(super) struct Batch {
    /// The arena.
    pub(super) arena: String,
    /// Where the stretch ends.
    pub(super) end: u64,
    /// What is in it.
    pub(super) blocks: Vec<Block>,
    /// Bytes of their lumps.
    pub(super) bytes: usize,
    /// What could not be read.
    pub(super) holes: Vec<Hole>,
    /// Damaged blocks that the peer had.
    pub(super) healed: u64,
}

/// Where reading has come to.
pub(super) struct Outgoing<'a, D: BlockDevice + 'static, C> {
    pub(super) store: &'a Rc<Store<D>>,
    pub(super) clock: &'a C,
    pub(super) client: &'a Client,
    /// The arenas' ends when reading began, and their cursors.
    pub(super) arenas: Vec<(LogEnd, u64)>,
    /// The arena that is read.
    pub(super) number: usize,
}

impl<D: BlockDevice + 'static, C: Clock> Outgoing<'_, D, C> {
    /// The next stretch; `None` once everything was read.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>, RoundError> {
        while self.arenas.get(self.number).is_some_and(|(end, at)| *at >= end.durable) {
            self.number += 1;
        }
        let Some((end, mut at)) = self.arenas.get(self.number).copied() else { return Ok(None) };
        let arena = end.arena.to_string();
        let mut batch = Batch { arena, end: at, blocks: Vec::new(), bytes: 0, holes: Vec::new(), healed: 0 };
        while at < end.durable && batch.bytes < BATCH_BYTES && batch.blocks.len() < BATCH_BLOCKS {
            let entry = self.store.log_entry(self.number, at).await.map_err(RoundError::disk)?;
            let Some(entry) = entry else { break };
            at = entry.end;
            self.put(&mut batch, end.arena, entry).await?;
        }
        batch.end = at;
        if let Some((_, cursor)) = self.arenas.get_mut(self.number) {
            *cursor = at;
        }
        Ok(Some(batch))
    }

    async fn put(&self, batch: &mut Batch, arena: Name, entry: LogEntry) -> Result<(), RoundError> {
        match (entry.name, entry.lump) {
            // The empty block is everywhere.
            (Some(_), Ok(lump)) if lump.is_empty() => {}
            (Some((score, block_type)), Ok(lump)) => {
                batch.bytes += lump.len();
                batch.blocks.push((score, block_type, lump));
            }
            (Some((score, block_type)), Err(_))
                if fetch(self.store, self.clock, self.client, score, block_type).await? =>
            {
                batch.healed += 1;
            }
            (name, lump) => {
                let place = (batch.arena.clone(), entry.offset);
                if let Err(cause) = lump {
                    let damage = Damage { arena, offset: entry.offset, cause };
                    log::error!("{damage}: it cannot be sent to a peer, which lacks it, too");
                }
                batch.holes.push((place, name));
            }
        }
        Ok(())
    }
}

/// Fetches a block from the peer and writes it here, which repairs a damaged copy. `false`: it has none.
pub(super) async fn fetch<D: BlockDevice + 'static>(
    store: &Rc<Store<D>>,
    clock: &impl Clock,
    client: &Client,
    score: Score,
    block_type: BlockType,
) -> Result<bool, RoundError> {
    let lump = match client.read(score, block_type, LUMP_MAX).await {
        Ok(lump) => lump,
        Err(ClientError::Server(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    store.write(block_type, lump, clock.wall()).await.map_err(RoundError::disk)?;
    log::info!("a damaged block was fetched from a peer and written anew");
    Ok(true)
}
