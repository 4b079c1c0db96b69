//! Damage that a peer can mend: blocks whose stored copy here is damaged, and clumps that could not be sent to it.
//!
//! Must not know when it is done.

use super::blocks::Push;
use super::info::Place;
use super::outgoing::{Hole, fetch};
use super::worker::RoundError;
use crate::clock::Clock;
use alloc::string::ToString;
use alloc::vec::Vec;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::score::Score;

/// Blocks that are fetched in one round.
const FETCHED_MAX: usize = 256;

impl<D: BlockDevice + 'static, C: Clock> Push<'_, D, C> {
    /// Fetches what is damaged here, as far as the peer has it, and makes it durable. Returns how many blocks it was.
    pub(super) async fn heal(&self) -> Result<u64, RoundError> {
        let mut healed = 0;
        for block in self.store.damaged_blocks().into_iter().take(FETCHED_MAX) {
            let (score, block_type) = (block.score, block.block_type);
            healed += u64::from(fetch(self.store, self.clock, self.client, score, block_type).await?);
        }
        if healed > 0 {
            self.store.sync().await.map_err(RoundError::disk)?;
            self.peer.change(|progress| progress.healed_blocks += healed);
        }
        Ok(healed)
    }

    /// Sends what could not be read before and can be now, or finds that the peer has it. Returns how many holes are
    /// closed.
    pub(super) async fn fill_holes(&self) -> Result<u64, RoundError> {
        let holes: Vec<Hole> =
            self.peer.info().holes.iter().map(|(place, name)| (place.clone(), *name)).collect();
        let mut filled = Vec::new();
        for (place, name) in holes {
            if self.fill(&place, name).await? {
                filled.push(place);
            }
        }
        if !filled.is_empty() {
            self.client.sync().await?;
            self.peer.change_info(|info| info.holes.retain(|place, _| !filled.contains(place)));
        }
        Ok(filled.len() as u64)
    }

    async fn fill(
        &self,
        (arena, offset): &Place,
        name: Option<(Score, BlockType)>,
    ) -> Result<bool, RoundError> {
        let number = self.store.log_ends().position(|end| end.arena.to_string() == *arena);
        let Some(number) = number else { return Ok(false) };
        let entry = self.store.log_entry(number, *offset).await.map_err(RoundError::disk)?;
        let Some(entry) = entry else { return Ok(false) };
        match (entry.name.or(name), entry.lump) {
            (Some((score, block_type)), Ok(lump)) => {
                self.client.write_known(score, block_type, lump).await?;
                Ok(true)
            }
            (Some((score, block_type)), Err(_)) => {
                fetch(self.store, self.clock, self.client, score, block_type).await
            }
            (None, _) => Ok(false),
        }
    }
}
