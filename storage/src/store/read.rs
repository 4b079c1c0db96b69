//! A score's lump: from the cache, from what is not on disk yet, or with one read of the log.

use super::core::Core;
use super::damaged::DamagedBlock;
use super::search::{Place, Search};
use super::windows::Piece;
use super::{Damage, DamageCause, StoreError};
use crate::arena::clump_io::{kind_of, unpack};
use crate::block_type::BlockType;
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::clump::{CLUMP_HEADER_LEN, CLUMP_LEN_MAX, ClumpHeader, Encoding};
use crate::score::Score;
use alloc::vec::Vec;
use bytes::Bytes;

/// What stands at an address that the index gave for a block.
pub(crate) enum Candidate {
    /// The block, verified.
    Lump(Bytes),
    /// Another block, whose score agrees in the bits that the index keeps.
    Other,
    /// The block, or something unreadable in its place.
    Damaged(Damage),
}

impl<D: BlockDevice> Core<D> {
    pub(crate) async fn read(&self, score: Score, block_type: BlockType) -> Result<Bytes, StoreError> {
        self.state_mut().counts.reads += 1;
        if score == Score::NULL || score == Score::ZERO {
            return Ok(Bytes::new());
        }
        if let Some(lump) = self.state_mut().cache.get(&score, block_type) {
            return Ok(lump);
        }
        let lump = self.find(score, block_type).await?;
        self.state_mut().cache.put(score, block_type, lump.clone());
        Ok(lump)
    }

    /// The lump as it is stored, hashed anew: past the cache, and without a trace there.
    pub(crate) async fn find(&self, score: Score, block_type: BlockType) -> Result<Bytes, StoreError> {
        let mut damage = None;
        let mut damaged_at = Vec::new();
        let mut search = Search::new(score, block_type);
        while let Some(place) = self.next_place(&mut search).await? {
            match self.load(place, score, block_type).await? {
                Candidate::Lump(lump) => {
                    let mut state = self.state_mut();
                    damaged_at.into_iter().for_each(|address| state.damaged.replaced(address));
                    return Ok(lump);
                }
                Candidate::Damaged(found) => {
                    damage = damage.or(Some(found));
                    damaged_at.push(place.address);
                }
                Candidate::Other => {}
            }
        }
        if let Some(damage) = damage {
            return Err(StoreError::Damaged(damage));
        }
        self.state_mut().counts.misses += 1;
        Err(StoreError::NoSuchBlock { score, block_type })
    }

    /// Reads and verifies what stands at an address of the index. Damage is reported to the operator here.
    pub(crate) async fn load(
        &self,
        place: Place,
        score: Score,
        block_type: BlockType,
    ) -> Result<Candidate, StoreError> {
        let Some((arena, offset)) = self.state().arena_of(place.address) else { return Ok(Candidate::Other) };
        // The index of another venti may be ahead of its log (spec 8, Q1).
        if place.from_disk && offset >= self.state().arenas[arena].current.used {
            return Ok(Candidate::Other);
        }
        let cause = match self.read_clump(arena, offset).await {
            Ok((header, clump)) if (header.score, header.block_type) == (score, block_type) => {
                let unpacked = self
                    .arithmetic()
                    .run_on(kind_of(header.encoding), usize::from(header.lump_len), move || {
                        unpack(&clump, &header)
                    })
                    .await;
                match unpacked {
                    Ok(lump) => return Ok(Candidate::Lump(alone(lump, header.encoding))),
                    Err(cause) => cause,
                }
            }
            Ok((header, clump)) => {
                if self.belongs_here(&header, &clump, place) {
                    return Ok(Candidate::Other);
                }
                DamageCause::Score { expected: score, got: header.score }
            }
            Err(Failure::Damage(cause)) => cause,
            Err(Failure::Device(DeviceError::Gone)) => {
                return Err(self.device_error(self.state().arenas[arena].partition, DeviceError::Gone));
            }
            Err(Failure::Device(error)) => DamageCause::Unreadable(error),
        };
        let damage = Damage { arena: self.state().arenas[arena].name, offset, cause };
        self.report_block(place.address, DamagedBlock { score, block_type, damage });
        Ok(Candidate::Damaged(damage))
    }

    /// Whether a clump that was not looked for is what stands there rightly. The memory index keeps only some bits of a
    /// score: if those of this header are not the ones that led here, the header has rotted. Where an entry may come
    /// from the disk, or have gone there, the clump itself must say.
    fn belongs_here(&self, header: &ClumpHeader, clump: &Bytes, place: Place) -> bool {
        let state = self.state();
        let mut places = state.index.candidates(&header.score, header.block_type);
        places.any(|address| address == place.address)
            || (!state.index_whole && unpack(clump, header).is_ok())
    }

    /// A clump's header, and its bytes from the header on (which may go on behind it).
    pub(super) async fn read_clump(
        &self,
        arena: usize,
        offset: u64,
    ) -> Result<(ClumpHeader, Bytes), Failure> {
        let mut clump = self.log_bytes(arena, offset, CLUMP_HEADER_LEN).await?;
        let magic = self.state().arenas[arena].clump_magic;
        let header =
            ClumpHeader::parse(&clump, magic).map_err(|e| Failure::Damage(DamageCause::Header(e)))?;
        if clump.len() < header.clump_len() {
            clump = self.log_bytes(arena, offset, header.clump_len()).await?;
        }
        Ok((header, clump))
    }

    /// At least `need` bytes of an arena's log from `offset` on.
    async fn log_bytes(&self, arena: usize, offset: u64, need: usize) -> Result<Bytes, Failure> {
        let piece = loop {
            let waiting = {
                let mut state = self.state_mut();
                if let Some(bytes) = state.log_in_memory(arena, offset, need) {
                    return Ok(bytes);
                }
                let place = state.arenas[arena].place(offset);
                let partition = state.arenas[arena].partition;
                match state.windows.being_read(partition, place) {
                    Some(event) => event.listen(),
                    None => {
                        let piece = state.piece_to_read(arena, offset, need)?;
                        state.windows.begin(piece);
                        break piece;
                    }
                }
            };
            waiting.await;
        };
        let mut reading = Reading { core: self, piece, bytes: None };
        let place = self.partition(piece.partition);
        let device = &place.device;
        match read_bytes(device, piece.offset, piece.len).await {
            Ok(bytes) => {
                reading.bytes = Some(bytes.clone());
                Ok(bytes)
            }
            // What was to be read ahead must not cost what was asked for.
            Err(DeviceError::Read { .. }) if piece.len > need => {
                read_bytes(device, piece.offset, need).await.map_err(Failure::Device)
            }
            Err(error) => Err(Failure::Device(error)),
        }
    }
}

/// The lump in memory of its own: as a slice of what was read with it, it would keep all of that alive for as long as a
/// cache keeps the lump.
fn alone(lump: Bytes, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Plain => Bytes::copy_from_slice(&lump),
        Encoding::Whack => lump,
    }
}

/// Why a clump could not be read.
pub(super) enum Failure {
    Damage(DamageCause),
    Device(DeviceError),
}

impl super::State {
    /// Log bytes that need no disk: not written yet, or read before.
    fn log_in_memory(&self, arena: usize, offset: u64, need: usize) -> Option<Bytes> {
        let place = self.arenas[arena].place(offset);
        let groups = self.groups.iter().rev().filter(|group| group.arena == arena);
        if let Some(bytes) = groups.filter_map(|group| group.from(place)).find(|bytes| bytes.len() >= need) {
            return Some(bytes);
        }
        let open = self.arenas[arena].appender.as_ref().and_then(|appender| appender.log.from(place));
        if let Some(bytes) = open.filter(|bytes| bytes.len() >= need) {
            let most = bytes.len().min(CLUMP_LEN_MAX);
            return Some(Bytes::copy_from_slice(&bytes[..most]));
        }
        self.windows.from(self.arenas[arena].partition, place).filter(|bytes| bytes.len() >= need)
    }

    /// What to read for `need` bytes at `offset`: about an average clump, more where reads follow the log.
    fn piece_to_read(&self, arena: usize, offset: u64, need: usize) -> Result<Piece, Failure> {
        let arena = &self.arenas[arena];
        let most = arena.on_disk_used.saturating_sub(offset);
        if most < need as u64 {
            return Err(Failure::Damage(DamageCause::BeyondEnd));
        }
        let average = arena.durable.used / u64::from(arena.durable.clumps.max(1));
        let least = (average as usize * 5 / 4).clamp(4096, CLUMP_LEN_MAX).max(need);
        let place = arena.place(offset);
        let len = self.windows.read_len(arena.partition, place, least, most);
        Ok(Piece { partition: arena.partition, offset: place, len })
    }
}

/// A read of the log that is under way. However it ends, those who wait for it go on.
struct Reading<'a, D: BlockDevice> {
    core: &'a Core<D>,
    piece: Piece,
    bytes: Option<Bytes>,
}

impl<D: BlockDevice> Drop for Reading<'_, D> {
    fn drop(&mut self) {
        self.core.state_mut().windows.finish(self.piece, self.bytes.take());
    }
}
