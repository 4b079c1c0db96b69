//! The names of a node: kept in 9fat, taken from whoever gives them, and published once their trees are complete.
//!
//! Knows the order: a name is durable before it is acknowledged, and its blocks are before it is published. One walk at
//! a time, behind clients; what it finished is kept now and then, so that a restart does not begin from nothing. Must
//! not know who asks, nor where time comes from.

use super::binding::Binding;
use super::database::TEXT_LEN_MAX;
use super::proof::Proof;
use super::registry::{File, Offered, Refused, Registry, Stage};
use crate::Timestamp;
use crate::archive::path::path_of;
use crate::archive::tree::NoBlock;
use crate::archive::walk::{Finished, Walked, walk};
use crate::device::BlockDevice;
use crate::fat::{FatError, NineFat};
use crate::score::Score;
use crate::store::{Store, Verified};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use async_lock::Mutex;
use core::cell::{Cell, Ref, RefCell};
use core::time::Duration;
use event_listener::Event;
use futures_util::future::{Either, select};

/// Where finished subtrees are kept while a walk is under way.
pub(super) const WALK_FILE: &str = "names.walk";
const WALK_FILE_MAX: u64 = 2 << 20;
/// Subtrees that are remembered.
const FINISHED_MAX: usize = 32_768;
/// Blocks between two times that they are kept.
const KEEP_AFTER: u64 = 50_000;
/// Blocks of a walk that ended too early, for the sake of which they are kept, too.
const KEEP_AT_END: u64 = 500;
/// How often to look whether something new has come for the names that wait.
const LOOK: Duration = Duration::from_secs(5);
/// Walks that may wait to be done.
const ASKED_MAX: usize = 1000;

/// Why a change of names was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// It must not be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be made durable; it may be tried again.
    #[error("the names cannot be written to 9fat: {0}")]
    NotKept(FatError),
    /// There is no 9fat.
    #[error("this node has no 9fat to keep names in")]
    NoFat,
    /// The text is too long.
    #[error("a file of names has at most {TEXT_LEN_MAX} bytes")]
    TooLong,
    /// Too many walks wait.
    #[error("too many names wait to be proved; try again later")]
    Busy,
}

/// A walk that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The name.
    pub name: String,
    /// Its root.
    pub root: Score,
    /// Whether everything is read from the disk.
    pub is_full: bool,
    /// Blocks so far.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Keeps the names of one node.
pub struct NameKeeper<D: BlockDevice + 'static, F> {
    store: Rc<Store<D>>,
    nine_fat: Option<Rc<NineFat<F>>>,
    registry: RefCell<Registry>,
    /// Whoever writes the files holds it.
    writing: Mutex<()>,
    asked: RefCell<VecDeque<(String, Score)>>,
    wake: Event,
    progress: RefCell<Option<Progress>>,
    /// For each name that waits: how many blocks had been written when it was walked last.
    tried: RefCell<BTreeMap<(String, Score), u64>>,
    /// Something could not be written, and was told.
    told: Cell<bool>,
}

impl<D: BlockDevice + 'static, F: BlockDevice> NameKeeper<D, F> {
    /// Reads the names that 9fat has.
    pub async fn open(store: Rc<Store<D>>, nine_fat: Option<Rc<NineFat<F>>>) -> NameKeeper<D, F> {
        let mut texts = [const { Vec::new() }; 4];
        for file in File::ALL {
            let Some(nine_fat) = &nine_fat else { break };
            match nine_fat.read_if_there(file.name(), TEXT_LEN_MAX as u64).await {
                Ok(text) => texts[file as usize] = text.unwrap_or_default(),
                Err(error) => log::error!("9fat: {}: {error}", file.name()),
            }
        }
        let [published, waiting, removed, proofs] = &texts;
        let registry = Registry::load(published, waiting, removed, proofs);
        for bad in registry.published().bad() {
            log::warn!("scorenames: {bad}; the record is kept and binds nothing");
        }
        for name in registry.published().conflicts() {
            log::warn!("scorenames: {name} is bound to more than one root; the first one counts");
        }
        NameKeeper {
            store,
            nine_fat,
            registry: RefCell::new(registry),
            writing: Mutex::new(()),
            asked: RefCell::default(),
            wake: Event::new(),
            progress: RefCell::default(),
            tried: RefCell::default(),
            told: Cell::new(false),
        }
    }

    /// What is known now.
    pub fn registry(&self) -> Ref<'_, Registry> {
        self.registry.borrow()
    }

    /// The walk that is under way, if any.
    pub fn progress(&self) -> Option<Progress> {
        self.progress.borrow().clone()
    }

    /// Takes a name that somebody here gives. Durable when this returns; published once its tree was found complete.
    ///
    /// # Errors
    /// See [`NamesError`].
    pub async fn add(&self, binding: &Binding, now: Timestamp) -> Result<Offered, NamesError> {
        self.check_fat()?;
        let offered = self.registry.borrow_mut().add(binding)?;
        self.keep(now).await?;
        self.wake.notify(usize::MAX);
        Ok(offered)
    }

    /// Takes a whole file of names, as scorecopy writes it: a union, of which what is new waits for its blocks. What was
    /// refused is told in the log: the file is no worse for it. Durable when this returns.
    ///
    /// # Errors
    /// See [`NamesError`].
    pub async fn merge(&self, text: &[u8], now: Timestamp) -> Result<Vec<String>, NamesError> {
        self.check_fat()?;
        if text.len() > TEXT_LEN_MAX {
            return Err(NamesError::TooLong);
        }
        let (new, refused) = self.registry.borrow_mut().merge(text);
        for error in refused {
            log::warn!("names: {error}");
        }
        self.keep(now).await?;
        self.wake.notify(usize::MAX);
        Ok(new)
    }

    /// Takes a name away for good.
    ///
    /// # Errors
    /// See [`NamesError`].
    pub async fn remove(&self, name: &str, root: Score, now: Timestamp) -> Result<(), NamesError> {
        self.check_fat()?;
        self.registry.borrow_mut().remove(name, root)?;
        self.keep(now).await
    }

    /// Has everything beneath a name read and hashed again, after those asked for before. The result will be in
    /// [`Registry::proof`].
    ///
    /// # Errors
    /// If there is no such name, or too many wait.
    pub fn prove(&self, name: &str) -> Result<(), NamesError> {
        let roots: Vec<Score> = {
            let registry = self.registry.borrow();
            let there = registry.get(name).filter(|(_, stage)| *stage != Stage::Removed);
            there.map(|(binding, _)| binding.root).collect()
        };
        if roots.is_empty() {
            return Err(Refused::Unknown(name.to_string()).into());
        }
        let mut asked = self.asked.borrow_mut();
        if asked.len() + roots.len() > ASKED_MAX {
            return Err(NamesError::Busy);
        }
        asked.extend(roots.into_iter().map(|root| (name.to_string(), root)));
        self.wake.notify(usize::MAX);
        Ok(())
    }

    fn check_fat(&self) -> Result<(), NamesError> {
        match &self.nine_fat {
            None => Err(NamesError::NoFat),
            Some(nine_fat) => match nine_fat.read_only() {
                Some(reason) => Err(NamesError::NotKept(FatError::ReadOnly(reason.to_string()))),
                None => Ok(()),
            },
        }
    }

    /// Writes the files that have changed, in order.
    async fn keep(&self, now: Timestamp) -> Result<(), NamesError> {
        let nine_fat = self.nine_fat.as_ref().ok_or(NamesError::NoFat)?;
        let _turn = self.writing.lock().await;
        let changes = self.registry.borrow().changes();
        for (file, text) in changes {
            nine_fat.replace(file.name(), &text, now).await.map_err(NamesError::NotKept)?;
            let mut registry = self.registry.borrow_mut();
            // It may have changed again meanwhile.
            if registry.text(file) == text {
                registry.saved(file);
            }
        }
        Ok(())
    }

    /// Walks the trees of names that wait, and of those that are to be proved, for as long as it is polled. `now` and
    /// `pause` as for [`Store::scrub`].
    pub async fn run(&self, now: impl Fn() -> Timestamp, pause: impl AsyncFn(Duration)) {
        let mut finished = self.remembered().await;
        loop {
            let woken = self.wake.listen();
            let asked = self.asked.borrow_mut().pop_front();
            let done = if let Some((name, root)) = asked {
                let mut nothing = Finished::new(FINISHED_MAX);
                let done = self.look(&name, root, true, &mut nothing, &now, &pause).await;
                if done.is_err() {
                    self.asked.borrow_mut().push_back((name, root));
                }
                done
            } else if let Some((name, root)) = self.next_to_walk() {
                let done = self.look(&name, root, false, &mut finished, &now, &pause).await;
                if done.is_err() {
                    self.tried.borrow_mut().remove(&(name, root));
                }
                done
            } else {
                let tick = core::pin::pin!(pause(LOOK));
                if let Either::Left(_) = select(woken, tick).await {
                    continue;
                }
                Ok(())
            };
            if let Err(error) = done {
                log::warn!("names: {error}; will try again");
                pause(LOOK).await;
            }
            self.keep_or_tell(now()).await;
        }
    }

    async fn keep_or_tell(&self, now: Timestamp) {
        if self.registry.borrow().changes().is_empty() || self.check_fat().is_err() {
            return;
        }
        match self.keep(now).await {
            Ok(()) => self.told.set(false),
            Err(error) if !self.told.replace(true) => log::error!("{error}; will try again"),
            Err(_) => {}
        }
    }

    /// A name that waits, and was not walked since blocks came.
    fn next_to_walk(&self) -> Option<(String, Score)> {
        let registry = self.registry.borrow();
        let mut tried = self.tried.borrow_mut();
        if registry.waiting().is_empty() {
            tried.clear();
            return None;
        }
        let writes = self.store.status().writes;
        let key = |binding: &Binding| (binding.name.clone(), binding.root);
        let next = registry.waiting().iter().map(key).find(|key| tried.get(key) != Some(&writes))?;
        tried.insert(next.clone(), writes);
        Some(next)
    }

    /// Walks one tree, and does what follows from it.
    async fn look(
        &self,
        name: &str,
        root: Score,
        is_full: bool,
        finished: &mut Finished,
        now: &impl Fn() -> Timestamp,
        pause: &impl AsyncFn(Duration),
    ) -> Result<(), NoBlock> {
        let source = Verified { store: &self.store, pause };
        let blocks_max = self.store.totals().clumps.saturating_mul(16).saturating_add(1 << 20);
        let mut kept = 0;
        *self.progress.borrow_mut() =
            Some(Progress { name: name.to_string(), root, is_full, blocks: 0, bytes: 0 });
        let progress = async |walked: &Walked, finished: &Finished| {
            let Walked { blocks, bytes, .. } = *walked;
            if let Some(progress) = &mut *self.progress.borrow_mut() {
                (progress.blocks, progress.bytes) = (blocks, bytes);
            }
            if !is_full && blocks >= kept + KEEP_AFTER {
                kept = blocks;
                self.remember(finished, now()).await;
            }
        };
        let walked = walk(&source, root, finished, blocks_max, progress).await;
        *self.progress.borrow_mut() = None;
        let walked = walked?;
        if !is_full && !walked.is_complete() && walked.blocks >= kept + KEEP_AT_END {
            self.remember(finished, now()).await;
        }
        let first_fault = match walked.faults.first() {
            Some(fault) => {
                let path = path_of(&source, root, &fault.slots).await?;
                let block_type = fault.block_type.decoded();
                Some(format!("{path}: block {}/{block_type}: {}", fault.score, fault.cause))
            }
            None => None,
        };
        let Walked { blocks, bytes, fault_count: faults, .. } = walked;
        let before = self.registry.borrow().proof(name, root).map_or(0, |proof| proof.count);
        let count = before + u64::from(is_full);
        let proof = Proof { at: now(), is_full, count, blocks, bytes, faults, first_fault };
        if proof.is_complete() {
            self.complete(name, root).await?;
        }
        log::info!("names: {name} {}", if proof.is_complete() { "is complete" } else { "is not complete" });
        self.registry.borrow_mut().note(name, root, proof);
        Ok(())
    }

    /// Everything beneath the root is here: makes it durable, and then shows the name.
    async fn complete(&self, name: &str, root: Score) -> Result<(), NoBlock> {
        self.store.sync().await.map_err(|error| NoBlock::Stopped(error.to_string()))?;
        if self.registry.borrow_mut().publish(name, root) {
            log::info!("names: {name} is published");
        }
        Ok(())
    }

    async fn remembered(&self) -> Finished {
        let mut finished = Finished::new(FINISHED_MAX);
        if let Some(nine_fat) = &self.nine_fat
            && let Ok(Some(bytes)) = nine_fat.read_if_there(WALK_FILE, WALK_FILE_MAX).await
        {
            finished.add(&bytes);
        }
        finished
    }

    /// Keeps what is finished. Only what is durable may be believed after a restart.
    async fn remember(&self, finished: &Finished, now: Timestamp) {
        let Some(nine_fat) = self.nine_fat.as_ref().filter(|fat| fat.read_only().is_none()) else { return };
        if self.store.sync().await.is_err() {
            return;
        }
        if let Err(error) = nine_fat.replace(WALK_FILE, &finished.to_bytes(), now).await {
            log::warn!("9fat: {WALK_FILE}: {error}: a restart would walk from the beginning");
        }
    }
}
