//! The bloom filter: bits are set piece by piece in the order of the disk, and looked at in memory where it fits. Bits
//! that fall into the filter's header are left out: there they cannot be kept (spec 3.11 rule 4), and count as set.

use crate::device::{BlockDevice, DeviceError, read_bytes, write_bytes};
use crate::format::bloom::{BloomHeader, set};
use crate::format::bucket::IndexEntry;
use crate::score::Score;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;

/// Bytes of filter that are read and written at once.
const PIECE: u32 = 1 << 20;

/// The bloom filter's partition.
pub(crate) struct Bloom<D> {
    pub(crate) name: Rc<str>,
    device: D,
    header: BloomHeader,
    /// The whole filter, once it was loaded.
    memory: RefCell<Option<Vec<u8>>>,
    /// Pieces that are known to be durable as they are, by offset. What a reader sees need not be.
    durable: RefCell<BTreeSet<u32>>,
}

impl<D: BlockDevice> Bloom<D> {
    pub(crate) fn new(name: Rc<str>, device: D, header: BloomHeader) -> Bloom<D> {
        Bloom { name, device, header, memory: RefCell::new(None), durable: RefCell::default() }
    }

    /// Loads the filter if it has at most `bytes_max` bytes. `false`: it has far fewer bits than `blocks` blocks set,
    /// so it is not theirs, and is not used.
    pub(super) async fn load(&self, bytes_max: u64, blocks: u64) -> Result<bool, DeviceError> {
        if u64::from(self.header.size()) > bytes_max {
            return Ok(true);
        }
        let mut filter = Vec::with_capacity(self.header.size() as usize);
        while filter.len() < self.header.size() as usize {
            let len = (PIECE as usize).min(self.header.size() as usize - filter.len());
            filter.extend_from_slice(&read_bytes(&self.device, filter.len() as u64, len).await?);
        }
        let ones: u64 = filter.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let least = (blocks * u64::from(self.header.hashes())).min(u64::from(self.header.size()) * 8) / 4;
        let complete = ones >= least;
        *self.memory.borrow_mut() = complete.then_some(filter);
        Ok(complete)
    }

    /// Whether the score may be in the index. `false` is certain.
    pub(super) fn may_contain(&self, score: &Score) -> bool {
        self.memory.borrow().as_ref().is_none_or(|filter| self.header.may_contain(filter, score))
    }

    /// Marks the entries' scores, and makes that durable.
    pub(super) async fn mark(&self, entries: &[IndexEntry], buffer_bytes: usize) -> Result<(), DeviceError> {
        let per_pass = (buffer_bytes / (4 * self.header.hashes() as usize)).max(1);
        let mut written = Vec::new();
        for pass in entries.chunks(per_pass) {
            let mut bits: Vec<u32> =
                pass.iter().flat_map(|entry| self.header.positions(&entry.score)).collect();
            bits.sort_unstable();
            self.mark_sorted(&bits, &mut written).await?;
        }
        if !written.is_empty() {
            self.device.flush().await?;
            self.durable.borrow_mut().extend(written);
        }
        Ok(())
    }

    async fn mark_sorted(&self, bits: &[u32], written: &mut Vec<u32>) -> Result<(), DeviceError> {
        let mut rest = bits;
        while let Some(first) = rest.first() {
            let offset = first / 8 / PIECE * PIECE;
            let len = PIECE.min(self.header.size() - offset);
            let end = rest.partition_point(|bit| bit / 8 < offset.saturating_add(len));
            let (here, behind) = rest.split_at(end);
            rest = behind;
            let mut piece = self.piece(offset, len as usize).await?;
            let mut changed = !self.durable.borrow().contains(&offset);
            for bit in here {
                changed |= set(&mut piece, u64::from(offset), *bit);
            }
            if changed {
                self.durable.borrow_mut().remove(&offset);
                written.push(offset);
                self.remember(offset, &piece);
                write_bytes(&self.device, u64::from(offset), Bytes::from(piece)).await?;
            }
        }
        Ok(())
    }

    async fn piece(&self, offset: u32, len: usize) -> Result<Vec<u8>, DeviceError> {
        let at = offset as usize;
        if let Some(filter) = &*self.memory.borrow() {
            return Ok(filter.get(at..at + len).unwrap_or_default().to_vec());
        }
        Ok(Vec::from(read_bytes(&self.device, u64::from(offset), len).await?))
    }

    fn remember(&self, offset: u32, piece: &[u8]) {
        let at = offset as usize;
        let mut memory = self.memory.borrow_mut();
        if let Some(place) = memory.as_mut().and_then(|filter| filter.get_mut(at..at + piece.len())) {
            place.copy_from_slice(piece);
        }
    }
}
