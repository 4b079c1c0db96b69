//! What the venti tests share: a store in memory, streams and time of the host, fixtures.
#![allow(dead_code, reason = "each test uses its part of this")]

use bytes::Bytes;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use flate2::read::GzDecoder;
use net::clock::{Clock, Instant};
use net::venti::connections::Connections;
use net::venti::serve::{Ending, Limits, serve_connection};
use net::venti::{Blocks, Presence, Text};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Read as _;
use std::rc::Rc;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::score::Score;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

/// A store in memory with the error texts of the real server. Counts what a sync may promise.
#[derive(Default)]
pub struct MemoryBlocks {
    lumps: RefCell<HashMap<(Score, BlockType), Bytes>>,
    pub writes: Cell<usize>,
    pub synced: Cell<usize>,
    /// How often a write yields before it is done: writes overtake one another.
    pub slowness: Cell<usize>,
}

impl Blocks for MemoryBlocks {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        let Some(lump) = self.lumps.borrow().get(&(score, block_type)).cloned() else {
            let shown = block_type.decoded();
            // A pointer block shows as one above a directory.
            return Err(Text::new(format!("no block with score {score}/{shown} exists")));
        };
        let need = lump.len();
        if need > limit {
            return Err(Text::new(format!("read too small: asked for {limit} need at least {need}")));
        }
        Ok(lump)
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        for _ in 0..self.slowness.get() * (lump.len() % 5) {
            tokio::task::yield_now().await;
        }
        let score = Score::of(&lump);
        self.lumps.borrow_mut().insert((score, block_type), lump);
        self.writes.set(self.writes.get() + 1);
        Ok(score)
    }

    async fn have(&self, names: &[(Score, BlockType)], _asker: u64) -> Result<Vec<Presence>, Text> {
        let lumps = self.lumps.borrow();
        let presence = |name| if lumps.contains_key(name) { Presence::Here } else { Presence::Missing };
        Ok(names.iter().map(presence).collect())
    }

    async fn sync(&self) -> Result<(), Text> {
        self.synced.set(self.writes.get());
        Ok(())
    }
}

#[derive(Clone)]
pub struct TestClock(tokio::time::Instant);

impl TestClock {
    pub fn new() -> TestClock {
        TestClock(tokio::time::Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant { micros: self.0.elapsed().as_micros() as u64 }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(1_700_000_000)
    }

    async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(self.0 + std::time::Duration::from_micros(deadline.micros)).await;
    }
}

pub struct Reader(pub ReadHalf<DuplexStream>);
pub struct Writer(pub WriteHalf<DuplexStream>);

impl ErrorType for Reader {
    type Error = ErrorKind;
}

impl ErrorType for Writer {
    type Error = ErrorKind;
}

impl Read for Reader {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).await.map_err(|_| ErrorKind::ConnectionReset)
    }
}

impl Write for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).await.map_err(|_| ErrorKind::BrokenPipe)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().await.map_err(|_| ErrorKind::BrokenPipe)
    }
}

pub fn halves(stream: DuplexStream) -> (Reader, Writer) {
    let (reader, writer) = tokio::io::split(stream);
    (Reader(reader), Writer(writer))
}

/// Starts serving `blocks` on one end of a pipe that holds `room` bytes; returns the other end.
pub fn serve(
    blocks: &Rc<MemoryBlocks>,
    limits: Limits,
    room: usize,
) -> (DuplexStream, tokio::task::JoinHandle<Ending>) {
    let (near, far) = tokio::io::duplex(room);
    let blocks = Rc::clone(blocks);
    let server = tokio::task::spawn_local(async move {
        let (reader, writer) = halves(far);
        let clock = TestClock::new();
        let ticket = Connections::new(1).admit(clock.now()).unwrap();
        serve_connection(reader, writer, &*blocks, &limits, &clock, &ticket).await
    });
    (near, server)
}

/// Runs a test on one thread, as everything of ours runs.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(std::time::Duration::from_secs(30), test).await.expect("the test hangs");
    });
}

fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/venti-wire").join(name)
}

pub fn unzipped(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(std::fs::File::open(path(name)).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

pub fn hex(digits: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    digits.as_bytes().chunks(2).map(|pair| (digit(pair[0]) << 4) | digit(pair[1])).collect()
}

/// Sends `bytes`, then reads as many as `expected` has.
pub async fn exchange(stream: &mut DuplexStream, bytes: &[u8], expected: usize) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    let mut got = vec![0; expected];
    stream.read_exact(&mut got).await.unwrap();
    got
}
