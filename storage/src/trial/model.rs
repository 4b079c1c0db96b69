//! What clients know of a store, and what it therefore owes them: the oracle of a trial.
//!
//! Knows every lump that was ever given, what was acknowledged, and what a successful sync has covered. Must not know
//! disks.

use super::Finding;
use super::lumps::Lumps;
use crate::block_type::BlockType;
use crate::device::BlockDevice;
use crate::score::Score;
use crate::store::{Store, StoreError};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::{Cell, RefCell};

/// What a block is called.
pub(super) type Key = (Score, BlockType);

/// What has become of the blocks.
pub(super) struct Model {
    pub(super) lumps: Lumps,
    /// Every lump that was ever given to the store; more than one under a key where scores collide.
    given: RefCell<BTreeMap<Key, Vec<Bytes>>>,
    /// Acknowledged since the store was opened.
    acknowledged: RefCell<BTreeMap<Key, Bytes>>,
    /// Covered by a successful sync, and on disks that kept their promises since.
    synced: RefCell<BTreeMap<Key, Bytes>>,
    /// Synced blocks whose bytes a disk may have damaged since: reads may fail, but not lie.
    excused: RefCell<BTreeSet<Key>>,
    /// Disks may destroy what they took.
    disks_lie: Cell<bool>,
    /// The first thing that was wrong.
    finding: RefCell<Option<Finding>>,
    digest: Cell<u64>,
}

/// How strictly a store is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    /// No wrong block; anything may be missing.
    NoLies,
    /// Everything synced but what is excused.
    AllButExcused,
    /// Everything synced; other blocks may be damaged.
    Synced,
    /// Everything synced, and nothing damaged.
    All,
}

/// What a check counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Synced blocks that could not be read.
    pub(super) missing: u64,
    /// Those of them that were denied, as if they had never been stored.
    pub(super) denied: u64,
    /// Damage was reported.
    pub(super) reported: bool,
    /// The store refused to open.
    pub(super) refused: bool,
}

impl Model {
    pub(super) fn new(lumps: Lumps) -> Model {
        Model {
            lumps,
            given: RefCell::default(),
            acknowledged: RefCell::default(),
            synced: RefCell::default(),
            excused: RefCell::default(),
            disks_lie: Cell::new(false),
            finding: RefCell::default(),
            digest: Cell::new(0),
        }
    }

    /// Mixes an event into the digest, which two runs of one seed must share.
    pub(super) fn note(&self, event: u64) {
        let mixed = (self.digest.get() ^ event).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.digest.set(mixed.rotate_left(29));
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.get()
    }

    /// Remembers that something was wrong, if it is the first thing.
    pub(super) fn accuse(&self, finding: Finding) {
        self.finding.borrow_mut().get_or_insert(finding);
    }

    /// The first thing that was wrong, as an error.
    pub(super) fn verdict(&self) -> Result<(), Finding> {
        self.finding.borrow().clone().map_or(Ok(()), Err)
    }

    /// The store was closed, killed or cut off: what was not synced is nobody's promise.
    pub(super) fn forget_unsynced(&self) {
        self.acknowledged.borrow_mut().clear();
    }

    /// Whether a client wrote, or tried to write, this block.
    pub(super) fn was_given(&self, key: &Key) -> bool {
        self.given.borrow().contains_key(key)
    }

    /// A lump is about to be given to the store.
    pub(super) fn give(&self, key: Key, lump: &Bytes) {
        let mut given = self.given.borrow_mut();
        let versions = given.entry(key).or_default();
        if !versions.contains(lump) {
            versions.push(lump.clone());
        }
    }

    /// The store took it. Where another lump has the score and is there, that is wrong.
    pub(super) fn acknowledge(&self, key: Key, lump: &Bytes) {
        if let Some(other) = self.pinned(&key)
            && other != *lump
        {
            return self.accuse(format!("a second block with the score {} was accepted", key.0));
        }
        self.acknowledged.borrow_mut().insert(key, lump.clone());
    }

    /// The lump that a read must give, if it gives any.
    fn pinned(&self, key: &Key) -> Option<Bytes> {
        if self.disks_lie.get() {
            return None;
        }
        let acknowledged = self.acknowledged.borrow().get(key).cloned();
        acknowledged.or_else(|| self.synced.borrow().get(key).filter(|_| !self.is_excused(key)).cloned())
    }

    /// Whether the disks may destroy what they have taken: then the other of two lumps with one score may be taken, too.
    pub(super) fn distrust_disks(&self, they_lie: bool) {
        self.disks_lie.set(they_lie);
    }

    fn is_excused(&self, key: &Key) -> bool {
        self.excused.borrow().contains(key)
    }

    /// What a sync that begins now would cover.
    pub(super) fn covered(&self) -> BTreeMap<Key, Bytes> {
        self.acknowledged.borrow().clone()
    }

    /// A sync that covered these has answered success.
    pub(super) fn settle(&self, covered: BTreeMap<Key, Bytes>) {
        self.excused.borrow_mut().retain(|key| !covered.contains_key(key));
        self.synced.borrow_mut().extend(covered);
    }

    /// What the disks held of these blocks may be gone; of all others it is not.
    pub(super) fn excuse_only(&self, keys: impl IntoIterator<Item = Key>) {
        *self.excused.borrow_mut() = keys.into_iter().collect();
    }

    /// Every synced block, with its type.
    pub(super) fn synced_lumps(&self) -> Vec<(BlockType, Bytes)> {
        self.synced.borrow().iter().map(|(key, lump)| (key.1, lump.clone())).collect()
    }

    /// A read has answered: right, or wrong?
    pub(super) fn judge(&self, key: &Key, lump: &Bytes) {
        let given = self.given.borrow();
        let known = given.get(key).is_some_and(|versions| versions.contains(lump));
        let right = self.pinned(key).is_none_or(|pinned| pinned == *lump);
        if !known || !right {
            self.accuse(format!("a wrong block was served for {}", key.0));
        }
    }

    /// Reads every block that was ever given.
    pub(super) async fn check<D: BlockDevice + 'static>(
        &self,
        store: &Store<D>,
        owed: Owed,
    ) -> Result<Seen, Finding> {
        let keys: Vec<Key> = self.given.borrow().keys().copied().collect();
        let mut seen = Seen::default();
        for key in keys {
            let (score, block_type) = key;
            let error = match store.read(score, block_type).await {
                Ok(lump) => {
                    self.judge(&key, &lump);
                    continue;
                }
                Err(error) => error,
            };
            let synced = self.synced.borrow().contains_key(&key);
            seen.missing += u64::from(synced);
            seen.denied += u64::from(synced && matches!(error, StoreError::NoSuchBlock { .. }));
            let excused = match owed {
                Owed::All | Owed::Synced => false,
                Owed::AllButExcused => self.is_excused(&key),
                Owed::NoLies => true,
            };
            if synced && !excused {
                return Err(format!("a synced block is lost: {score}: {error}"));
            }
            match error {
                StoreError::NoSuchBlock { .. } => {}
                StoreError::Damaged(_) | StoreError::IndexDamaged { .. } if owed != Owed::All => {}
                error => return Err(format!("reading {score}: {error}")),
            }
        }
        self.verdict().map(|()| seen)
    }

    /// A block that was given before, if any was; `pick` chooses.
    pub(super) fn any_given(&self, pick: u64) -> Option<(Key, Bytes)> {
        let given = self.given.borrow();
        let count = given.len() as u64;
        let (key, versions) = given.iter().nth(pick.checked_rem(count)? as usize)?;
        Some((*key, versions.first()?.clone()))
    }
}
