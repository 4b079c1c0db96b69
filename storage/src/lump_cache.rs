//! Recent lumps by score and type, within a bound of bytes. Every lump here was verified or written since the start.
//!
//! Must not know addresses.

use crate::block_type::BlockType;
use crate::score::Score;
use bytes::Bytes;
use lru::LruCache;

/// What an entry costs beside its bytes, about: key, links, hash slot, buffer bookkeeping.
const ENTRY_OVERHEAD: usize = 160;

/// The least recently used lumps go first.
#[derive(Debug)]
pub struct LumpCache {
    lumps: LruCache<(Score, BlockType), Bytes>,
    bytes: usize,
    bytes_max: usize,
    hits: u64,
    misses: u64,
}

impl LumpCache {
    /// A cache of at most `bytes_max` bytes, its own bookkeeping included.
    pub fn new(bytes_max: usize) -> LumpCache {
        LumpCache { lumps: LruCache::unbounded(), bytes: 0, bytes_max, hits: 0, misses: 0 }
    }

    /// The lump, if it is here.
    pub fn get(&mut self, score: &Score, block_type: BlockType) -> Option<Bytes> {
        let lump = self.lumps.get(&(*score, block_type)).cloned();
        if lump.is_some() {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
        lump
    }

    /// The lump, if it is here; this is no use of it.
    pub fn peek(&self, score: &Score, block_type: BlockType) -> Option<Bytes> {
        self.lumps.peek(&(*score, block_type)).cloned()
    }

    /// Keeps a lump that was verified or has just been written.
    pub fn put(&mut self, score: Score, block_type: BlockType, lump: Bytes) {
        let cost = lump.len() + ENTRY_OVERHEAD;
        if cost > self.bytes_max {
            return;
        }
        if let Some(old) = self.lumps.put((score, block_type), lump) {
            self.bytes -= old.len() + ENTRY_OVERHEAD;
        }
        self.bytes += cost;
        while self.bytes > self.bytes_max {
            let Some((_, old)) = self.lumps.pop_lru() else { return };
            self.bytes -= old.len() + ENTRY_OVERHEAD;
        }
    }

    /// Bytes held, bookkeeping included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lumps held.
    pub fn len(&self) -> usize {
        self.lumps.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.lumps.is_empty()
    }

    /// Lookups that found their lump, and those that did not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_oldest_lumps_go_when_the_bytes_are_used_up() {
        let mut cache = LumpCache::new(10 * (1000 + ENTRY_OVERHEAD));
        let lump = |number: u8| Bytes::from(vec![number; 1000]);
        for number in 0..20 {
            cache.put(Score::of(&[number]), BlockType::DATA, lump(number));
            cache.get(&Score::of(&[0]), BlockType::DATA);
        }
        assert_eq!((cache.len(), cache.bytes()), (10, 10 * (1000 + ENTRY_OVERHEAD)));
        assert_eq!(cache.get(&Score::of(&[0]), BlockType::DATA), Some(lump(0)));
        assert_eq!(cache.get(&Score::of(&[19]), BlockType::DATA), Some(lump(19)));
        assert_eq!(cache.get(&Score::of(&[5]), BlockType::DATA), None);
        assert_eq!(cache.get(&Score::of(&[19]), BlockType::DIRECTORY), None);
    }

    #[test]
    fn a_cache_of_no_bytes_holds_nothing() {
        let mut cache = LumpCache::new(0);
        cache.put(Score::of(b"x"), BlockType::DATA, Bytes::from_static(b"x"));
        assert!(cache.is_empty() && cache.bytes() == 0);
    }
}
