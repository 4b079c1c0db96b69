//! What a connection needs around it: blocks in memory, streams over slices, a clock that stands still.

use bytes::Bytes;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use net::clock::{Clock, Instant};
use net::venti::{Blocks, Presence, Text};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::score::Score;

/// A store of blocks.
#[derive(Default)]
pub struct MemoryBlocks(RefCell<HashMap<(Score, BlockType), Bytes>>);

impl Blocks for MemoryBlocks {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        let lump = self.0.borrow().get(&(score, block_type)).cloned();
        lump.filter(|lump| lump.len() <= limit).ok_or(Text::new("no such block, or a longer one"))
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        assert!((1..=net::venti::MAX_LUMP).contains(&lump.len()));
        storage::simulation::yield_now().await;
        let score = Score::of(&lump);
        self.0.borrow_mut().insert((score, block_type), lump);
        Ok(score)
    }

    async fn have(&self, names: &[(Score, BlockType)], _asker: u64) -> Result<Vec<Presence>, Text> {
        let lumps = self.0.borrow();
        let presence = |name| if lumps.contains_key(name) { Presence::Here } else { Presence::Missing };
        Ok(names.iter().map(presence).collect())
    }

    async fn sync(&self) -> Result<(), Text> {
        Ok(())
    }
}

/// Gives what a peer sends in pieces of one size, then its end.
pub struct Chunks<'a> {
    /// What is still to come.
    pub rest: &'a [u8],
    /// Bytes in a piece.
    pub size: usize,
}

impl ErrorType for Chunks<'_> {
    type Error = ErrorKind;
}

impl Read for Chunks<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let len = self.size.min(self.rest.len()).min(buffer.len());
        let (piece, rest) = self.rest.split_at(len);
        buffer[..len].copy_from_slice(piece);
        self.rest = rest;
        Ok(len)
    }
}

/// Keeps what is sent to a peer.
#[derive(Clone, Default)]
pub struct Written(pub Rc<RefCell<Vec<u8>>>);

impl ErrorType for Written {
    type Error = ErrorKind;
}

impl Write for Written {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// It is always the beginning, and no deadline comes.
#[derive(Clone)]
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Instant {
        Instant::default()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(1_800_000_000)
    }

    async fn sleep_until(&self, _deadline: Instant) {
        std::future::pending().await
    }
}
