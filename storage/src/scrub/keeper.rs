//! The records of a store as a file in 9fat, so that the schedule goes on after a restart.
//!
//! Knows when to write: after the first arena, then at most once an hour, and when asked; never what has not changed.
//! Where there is no 9fat the records last as long as the store is open, and that is said.

use super::record::ScrubRecords;
use crate::Timestamp;
use crate::device::BlockDevice;
use crate::fat::{FatError, NineFat};
use crate::settings::Scrub;
use crate::store::Store;
use alloc::rc::Rc;
use async_lock::Mutex;
use core::cell::Cell;
use core::time::Duration;
use futures_util::future::join;

/// The name of the file.
pub const FILE: &str = "scrub";

/// A longer file is not ours: more than the largest store's records take.
const FILE_LEN_MAX: u64 = 8 << 20;

/// How often to look for new records, and how often to write them at most.
const LOOK: Duration = Duration::from_secs(60);
const SAVE_AFTER: Duration = Duration::from_secs(3600);

/// Keeps the records of one store.
#[derive(Debug)]
pub struct Keeper<F> {
    nine_fat: Option<Rc<NineFat<F>>>,
    /// The change of the records that was saved last. Whoever saves holds it: one at a time.
    saved: Mutex<u64>,
    told: Cell<bool>,
}

impl<F: BlockDevice> Keeper<F> {
    /// Keeps records in this 9fat, or not at all.
    pub fn new(nine_fat: Option<Rc<NineFat<F>>>) -> Keeper<F> {
        Keeper { nine_fat, saved: Mutex::new(0), told: Cell::new(false) }
    }

    /// Verifies the store as `setting` wants it, for as long as it is polled, from where an earlier run was. `pause`
    /// returns after the time it is given.
    pub async fn run<D: BlockDevice + 'static>(
        &self,
        store: &Store<D>,
        setting: Scrub,
        now: impl Fn() -> Timestamp,
        pause: impl AsyncFn(Duration),
    ) {
        if setting == Scrub::Off {
            log::info!("scrub=off: blocks are verified only when they are read");
            return;
        }
        self.load(store).await;
        join(store.scrub(setting, &now, &pause), self.save_now_and_then(store, &now, &pause)).await;
    }

    /// Gives the store what earlier runs found out.
    pub async fn load<D: BlockDevice + 'static>(&self, store: &Store<D>) {
        let Some(nine_fat) = &self.nine_fat else {
            log::info!("no 9fat: what scrubbing finds is forgotten at the next start");
            return;
        };
        let text = match nine_fat.read(FILE, FILE_LEN_MAX).await {
            Ok(text) => text,
            Err(FatError::NotFound(_)) => return,
            Err(error) => {
                log::warn!("9fat: {FILE}: {error}: every arena is verified anew");
                return;
            }
        };
        let (records, bad) = ScrubRecords::parse(&text);
        for line in bad {
            log::warn!("9fat: {FILE}: {line}");
        }
        store.remember_scrubs(&records);
    }

    /// Writes the records, if they have changed since they were written last.
    pub async fn save<D: BlockDevice + 'static>(&self, store: &Store<D>, now: Timestamp) {
        let Some(nine_fat) = self.nine_fat.as_ref().filter(|_| !store.is_read_only()) else { return };
        let mut saved = self.saved.lock().await;
        let (records, change) = store.scrub_records();
        if change == *saved {
            return;
        }
        match nine_fat.replace(FILE, records.print().as_bytes(), now).await {
            Ok(()) => {
                *saved = change;
                self.told.set(false);
            }
            // Once is enough until it works again.
            Err(error) if !self.told.replace(true) => {
                log::error!("9fat: {FILE}: {error}: cannot keep what scrubbing found, will try again");
            }
            Err(_) => {}
        }
    }

    async fn save_now_and_then<D: BlockDevice + 'static>(
        &self,
        store: &Store<D>,
        now: &impl Fn() -> Timestamp,
        pause: &impl AsyncFn(Duration),
    ) {
        let mut since_saved = SAVE_AFTER;
        loop {
            pause(LOOK).await;
            since_saved = since_saved.saturating_add(LOOK);
            let (_, change) = store.scrub_records();
            if since_saved >= SAVE_AFTER && change != *self.saved.lock().await {
                self.save(store, now()).await;
                since_saved = Duration::ZERO;
            }
        }
    }
}
