//! Lumps made smaller, a few at a time.
//!
//! Knows that an encoder has tables of its own, goes with its lump to whoever packs, and comes back for the next. Must not
//! know clumps.

use crate::arithmetic::{Arithmetic, Kind};
use crate::whack::Encoder;
use alloc::vec::Vec;
use async_lock::Semaphore;
use bytes::Bytes;
use core::cell::{Cell, RefCell};

/// Encoders for each processor that packs: one that works and one whose lump waits.
const ENCODERS_EACH: usize = 2;

/// The encoders of a store.
pub(crate) struct Packing {
    /// Those that nobody uses.
    idle: RefCell<Vec<Encoder>>,
    /// How many more may be in use: tens of KiB each.
    free: Semaphore,
    others: Cell<usize>,
}

impl Default for Packing {
    fn default() -> Packing {
        Packing { idle: RefCell::default(), free: Semaphore::new(1), others: Cell::new(0) }
    }
}

impl Packing {
    /// So many others may pack at the same time. Never fewer than before.
    pub(crate) fn widen(&self, others: usize) {
        let more = others.saturating_sub(self.others.get());
        self.others.set(self.others.get() + more);
        self.free.add_permits(more * ENCODERS_EACH);
    }

    /// The lump packed, if that makes it smaller.
    pub(crate) async fn pack(&self, lump: &Bytes, arithmetic: &Arithmetic) -> Option<Vec<u8>> {
        let _permit = self.free.acquire().await;
        let mut encoder = self.idle.borrow_mut().pop().unwrap_or_default();
        // Memory comes from here and goes with the lump, so that whoever packs need not ask for any.
        let (lump, mut packed) = (lump.clone(), Vec::with_capacity(lump.len()));
        let (encoder, packed) = arithmetic
            .run_on(Kind::Pack, lump.len(), move || {
                let smaller = encoder.encode(&lump, &mut packed).is_some();
                (encoder, smaller.then_some(packed))
            })
            .await;
        self.idle.borrow_mut().push(encoder);
        packed
    }
}
