//! A small store on which bytes have changed. Whatever they are: nothing panics, a block that is read is the block that
//! was asked for, and what was synced on a store that opened is there when it opens again.

mod disks;

pub use disks::{BLOCKS, Disks, lump};

use crate::Input;
use bytes::Bytes;
use std::rc::Rc;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{Store, StoreError, StoreSettings};

/// The time of what is written.
pub const NOW: Timestamp = Timestamp(1_800_000_000);
/// Operations in one run.
const STEPS_MAX: usize = 48;

thread_local! {
    /// After a clean stop; with a part of the log not in the index; both with an arena that is sealed.
    static STORES: [Disks; 2] = [Disks::made(true), Disks::made(false)];
}

/// Stores to begin with: after a clean stop; with a part of the log not in the index.
pub fn stores() -> [Disks; 2] {
    STORES.with(|stores| stores.each_ref().map(Disks::copy))
}

/// What a block is called here: it can be made again from this.
type Number = u64;

struct Run {
    disks: Disks,
    settings: StoreSettings,
    store: Option<Store<Rc<RamDisk>>>,
    /// Written since the store was opened, and what of it was synced since the disks changed last.
    written: Vec<Number>,
    durable: Vec<Number>,
    /// The disks have changed under a store that was open.
    rotten: bool,
}

/// Which store, then steps: a change of the disk, or something that a client or the node does.
pub fn store(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let disks = stores()[usize::from(kind & 1)].copy();
    let settings = StoreSettings {
        lump_cache_bytes: if kind & 2 == 0 { 0 } else { 4096 },
        dirty_bytes_max: 16 << 10,
        group_bytes: 2 << 10,
        compress: kind & 4 == 0,
        read_ahead_bytes: 64 << 10,
        index_flush_bytes: 64 << 10,
        ..StoreSettings::default()
    };
    let mut run =
        Run { disks, settings, store: None, written: Vec::new(), durable: Vec::new(), rotten: false };
    block_on(run.all(input));
}

impl Run {
    async fn all(&mut self, mut input: Input<'_>) {
        for _ in 0..STEPS_MAX {
            if input.is_empty() {
                break;
            }
            if !self.step(&mut input).await {
                return;
            }
        }
        if !self.reopen().await {
            return;
        }
        for number in 0..BLOCKS {
            self.read(number).await;
        }
        let durable = std::mem::take(&mut self.durable);
        for number in durable {
            let Some(store) = &self.store else { return };
            let (block_type, lump) = lump(number);
            let read = store.read(Score::of(&lump), block_type).await;
            assert_eq!(read.as_deref(), Ok(lump.as_slice()), "block {number} was synced");
        }
    }

    /// One step. `false`: the store cannot be opened, and that is all.
    async fn step(&mut self, input: &mut Input<'_>) -> bool {
        let code = input.byte();
        if code % 8 == 0 {
            self.rotten |= self.store.is_some();
            self.durable.clear();
            self.disks.change(input);
            return true;
        }
        if self.store.is_none() && !self.reopen().await {
            return false;
        }
        match code % 8 {
            1 => self.read(Number::from(code / 8)).await,
            2 => self.write(Number::from(code / 8)).await,
            3 => self.write(Number::from(input.short()) + 100).await,
            4 | 5 => self.sync().await,
            6 => {
                if let Some(store) = &self.store {
                    // Damage may keep the index from following; that is told, and nothing is lost by it.
                    let _ = store.flush_index().await;
                    store.status();
                }
            }
            _ => return self.reopen().await,
        }
        true
    }

    /// Opens the store again, as after a power cut. Must succeed where a store was open and synced, and the disks have
    /// not changed since.
    async fn reopen(&mut self) -> bool {
        let must = self.store.take().is_some() && !self.rotten;
        let opened = Store::open(self.disks.parts(), self.settings, NOW).await;
        self.written.clear();
        self.rotten = false;
        match opened {
            Ok((store, report)) => {
                report.lines().for_each(drop);
                self.store = Some(store);
                true
            }
            Err(error) => {
                assert!(!must, "the store does not open again: {error}");
                false
            }
        }
    }

    async fn read(&self, number: Number) {
        let Some(store) = &self.store else { return };
        let (block_type, lump) = lump(number);
        match store.read(Score::of(&lump), block_type).await {
            Ok(found) => assert_eq!(found, lump, "block {number} is wrong"),
            Err(StoreError::NoSuchBlock { .. } | StoreError::Damaged(_)) => {
                assert!(self.rotten || !self.written.contains(&number), "block {number} was written");
            }
            Err(StoreError::Device { .. }) => {}
            Err(error) => panic!("a read cannot end so: {error}"),
        }
    }

    async fn write(&mut self, number: Number) {
        let Some(store) = &self.store else { return };
        let (block_type, lump) = lump(number);
        match store.write(block_type, Bytes::from(lump.clone()), NOW).await {
            Ok(score) => {
                assert_eq!(score, Score::of(&lump));
                self.written.push(number);
            }
            Err(StoreError::NoSpace | StoreError::Device { .. }) => {}
            Err(error) => panic!("a write cannot end so: {error}"),
        }
    }

    async fn sync(&mut self) {
        let Some(store) = &self.store else { return };
        if store.sync().await.is_ok() && !self.rotten {
            self.durable.extend(&self.written);
            let again = store.write(BlockType::DATA, Bytes::new(), NOW).await;
            assert_eq!(again, Ok(Score::ZERO));
        }
    }
}
