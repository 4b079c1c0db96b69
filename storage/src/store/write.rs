//! A lump's score: hash, look it up, compare with what is stored, or append it to the open arena, in memory.

use super::core::Core;
use super::read::Candidate;
use super::search::Search;
use super::{State, StoreError};
use crate::Timestamp;
use crate::arithmetic::Kind;
use crate::block_type::BlockType;
use crate::device::BlockDevice;
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpHeader, Encoding, LUMP_LEN_MAX};
use crate::score::Score;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use event_listener::Event;

/// What a lump becomes in the log.
struct Stored<'a> {
    header: ClumpHeader,
    bytes: &'a [u8],
}

impl<D: BlockDevice> Core<D> {
    pub(crate) async fn write(
        &self,
        block_type: BlockType,
        lump: Bytes,
        now: Timestamp,
    ) -> Result<Score, StoreError> {
        if lump.len() > LUMP_LEN_MAX {
            return Err(StoreError::TooLarge);
        }
        if self.settings.read_only {
            return Err(StoreError::ReadOnly);
        }
        self.state_mut().counts.writes += 1;
        if lump.is_empty() {
            return Ok(Score::ZERO);
        }
        let hashed = lump.clone();
        let score = self.arithmetic().run_on(Kind::Hash, lump.len(), move || Score::of(&hashed)).await;
        let _claim = loop {
            let cached = self.state_mut().cache.get(&score, block_type);
            // What is in memory says nothing of a copy that is known to have rotted.
            if let Some(stored) = cached
                && (stored != lump || !self.state().damaged.has(&score, block_type))
            {
                return self.duplicate(score, stored == lump);
            }
            match self.claim(score, block_type) {
                Ok(claim) => break claim,
                Err(other) => other.await,
            }
        };
        let mut damaged = Vec::new();
        let mut search = Search::new(score, block_type);
        loop {
            let place = match self.next_place(&mut search).await {
                Ok(Some(place)) => place,
                // Where the index is damaged, storing the block once more is better than not at all.
                Ok(None) | Err(StoreError::IndexDamaged { .. }) => break,
                Err(error) => return Err(error),
            };
            if self.state().damaged.is_at(place.address) {
                damaged.push(place.address);
                continue;
            }
            match self.load(place, score, block_type).await? {
                Candidate::Lump(stored) => {
                    let result = self.duplicate(score, stored == lump);
                    self.state_mut().cache.put(score, block_type, stored);
                    return result;
                }
                Candidate::Damaged(_) => damaged.push(place.address),
                Candidate::Other => {}
            }
        }
        let address = self.append(block_type, score, &lump, now).await?;
        let mut state = self.state_mut();
        for damaged in &damaged {
            state.index.remove(&score, block_type, *damaged);
            state.damaged.replaced(*damaged);
            state.superseded.insert(*damaged);
        }
        state.counts.repairs += u64::from(!damaged.is_empty());
        state.index.insert(&score, block_type, address);
        state.cache.put(score, block_type, lump);
        Ok(score)
    }

    /// A block with this score is stored: it is the same, or the two cannot both be.
    fn duplicate(&self, score: Score, same: bool) -> Result<Score, StoreError> {
        if !same {
            log::error!("two different blocks have the score {score}; the second is refused");
            return Err(StoreError::Collision(score));
        }
        self.state_mut().counts.duplicates += 1;
        Ok(score)
    }

    /// The right to look up and append a block, or the end of someone else's to wait for.
    fn claim(
        &self,
        score: Score,
        block_type: BlockType,
    ) -> Result<Claim<'_, D>, event_listener::EventListener> {
        let key = (score, block_type);
        let mut state = self.state_mut();
        if let Some(event) = state.writing.get(&key) {
            return Err(event.listen());
        }
        state.writing.insert(key, Rc::new(Event::new()));
        Ok(Claim { core: self, key })
    }

    /// Puts a lump that is nowhere yet into the log, in memory. Returns its address.
    async fn append(
        &self,
        block_type: BlockType,
        score: Score,
        lump: &Bytes,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let packed = match self.settings.compress {
            true => self.packing.pack(lump, &self.arithmetic()).await,
            false => None,
        };
        let (encoding, bytes) = match &packed {
            Some(packed) => (Encoding::Whack, packed.as_slice()),
            None => (Encoding::Plain, lump.as_ref()),
        };
        // Lumps have at most 56 KiB.
        let (stored_len, lump_len) = (bytes.len() as u16, lump.len() as u16);
        let header =
            ClumpHeader { block_type, stored_len, lump_len, score, encoding, creator: 0, written_at: now };
        loop {
            if self.state().index_is_full(&self.settings) {
                return Err(StoreError::IndexFull);
            }
            let arena = match self.state_mut().arena_for(stored_len) {
                Some(arena) => arena,
                None => return Err(StoreError::NoSpace),
            };
            if self.state().arenas[arena].appender.is_some() {
                let stored = Stored { header, bytes };
                return Ok(self.state_mut().append(arena, &stored, self.settings.group_bytes));
            }
            self.activate(arena).await?;
        }
    }

    /// Brings what an arena needs in memory to grow.
    async fn activate(&self, arena: usize) -> Result<(), StoreError> {
        let (partition, geometry, counters) = {
            let state = self.state();
            let arena = &state.arenas[arena];
            (arena.partition, arena.geometry, arena.durable)
        };
        let place = self.partition(partition);
        let device = &place.device;
        let appender =
            crate::recovery::read_appender(device, &geometry, counters.used, counters.clumps).await;
        let appender = appender.map_err(|error| self.device_error(partition, error))?;
        let mut state = self.state_mut();
        let arena = &mut state.arenas[arena];
        // Somebody else may have been quicker, and may have appended since.
        if arena.appender.is_none() {
            arena.appender = Some(appender);
        }
        Ok(())
    }

    /// Whether anything is not durable.
    pub(crate) fn is_dirty(&self) -> bool {
        let state = self.state();
        state.changes_durable < state.changes
    }

    /// Whether so much waits to become durable that writers must wait, too.
    pub(crate) fn must_wait_for_commit(&self) -> bool {
        self.state().dirty_bytes >= self.settings.dirty_bytes_max
    }
}

impl State {
    /// The arena that takes the next clump of this size. When the log moves on from arenas that are nearly full, they
    /// are sealed; an arena that is merely too small for a large lump stays open for smaller ones, and when there is
    /// nowhere to move on to, nothing is sealed.
    fn arena_for(&mut self, stored_len: u16) -> Option<usize> {
        while self.arenas.get(self.first_open).is_some_and(|arena| arena.current.sealed) {
            self.first_open += 1;
        }
        let first = self.first_open;
        let chosen = first + self.arenas.get(first..)?.iter().position(|arena| arena.takes(stored_len))?;
        for number in first..chosen {
            let arena = &mut self.arenas[number];
            // A frozen arena has clumps behind its end that the next start finds again, unless it is sealed.
            if !arena.current.sealed && !arena.frozen && arena.is_nearly_full() {
                arena.current.sealed = true;
                self.dirty_arenas.insert(number);
                self.changes += 1;
            }
        }
        Some(chosen)
    }

    fn append(&mut self, number: usize, stored: &Stored<'_>, group_bytes: usize) -> u64 {
        let arena = &mut self.arenas[number];
        let offset = arena.append(&stored.header, stored.bytes);
        let address = arena.address + offset;
        self.dirty_bytes += CLUMP_HEADER_LEN + stored.bytes.len();
        self.dirty_arenas.insert(number);
        self.changes += 1;
        self.clumps += 1;
        if arena.appender.as_ref().is_some_and(|appender| appender.log.fresh_len() >= group_bytes) {
            self.close_group(number);
        }
        address
    }

    /// What was appended to an arena since the last time becomes a group that can be written.
    pub(crate) fn close_group(&mut self, number: usize) {
        let appender = self.arenas[number].appender.as_mut();
        if let Some(group) = appender.and_then(|appender| appender.log.close(number)) {
            self.groups.push_back(group);
            self.group_closed.notify(usize::MAX);
        }
    }
}

/// While it lives, nobody else looks up or appends the block.
struct Claim<'a, D: BlockDevice> {
    core: &'a Core<D>,
    key: (Score, BlockType),
}

impl<D: BlockDevice> Drop for Claim<'_, D> {
    fn drop(&mut self) {
        if let Some(event) = self.core.state_mut().writing.remove(&self.key) {
            event.notify(usize::MAX);
        }
    }
}
