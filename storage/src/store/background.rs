//! What becomes of blocks without anyone asking: large groups go to disk as they fill, and nothing stays in memory for
//! long (fossil never syncs its last blocks, spec 1.12).
//!
//! Must not know how any of it is done.

use super::Store;
use crate::device::BlockDevice;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, join, select};

/// How long a block stays in memory alone when nobody asks for a sync.
pub const SYNC_AFTER: Duration = Duration::from_secs(2);

/// How often to look.
const STEP: Duration = Duration::from_millis(500);

/// How often to bring the index up to the log; sooner when this many clumps wait.
const INDEX_AFTER: Duration = Duration::from_secs(600);
const INDEX_CLUMPS: u64 = 64 * 1024;

pub(super) async fn work<D: BlockDevice + 'static>(store: &Store<D>, pause: impl AsyncFn(Duration)) {
    join(write_log(store, &pause), write_index(store, &pause)).await;
}

async fn write_log<D: BlockDevice + 'static>(store: &Store<D>, pause: &impl AsyncFn(Duration)) {
    let mut dirty_for = Duration::ZERO;
    loop {
        let closed = store.core.state().group_closed.clone();
        let group = closed.listen();
        store.commits.write_groups(&store.core).await;
        let paused = match select(pin!(group), pin!(pause(STEP))).await {
            Either::Left(_) => Duration::ZERO,
            Either::Right(_) => STEP,
        };
        let dirty = store.core.is_dirty();
        dirty_for = if dirty { dirty_for + paused } else { Duration::ZERO };
        if dirty_for >= SYNC_AFTER {
            dirty_for = Duration::ZERO;
            // A failure is in the log and in the status; the next round tries again.
            let _ = store.sync().await;
        }
    }
}

async fn write_index<D: BlockDevice + 'static>(store: &Store<D>, pause: &impl AsyncFn(Duration)) {
    let mut waited = Duration::ZERO;
    loop {
        let missing = store.core.state().clumps_not_indexed();
        if missing >= store.core.index_clumps_max(INDEX_CLUMPS) || (missing > 0 && waited >= INDEX_AFTER) {
            waited = Duration::ZERO;
            if let Err(error) = store.flush_index().await {
                log::error!("cannot bring the index up to the log, will try again: {error}");
            }
        }
        pause(10 * STEP).await;
        waited += 10 * STEP;
    }
}
