//! Visits every block beneath a root, and says which are missing.
//!
//! Knows only what points to what: entries, pointer blocks, roots; the names of files are read where a path is to be
//! told (`path`). Needs an explicit stack, since directories nest without limit; what it holds is bounded, and what is
//! finished is remembered, since shared subtrees are the rule. Must not know where blocks are kept.
//!
//! A walk does not follow a root to the archive before it: that one has a name of its own, or none.

use crate::archive::BLOCK_LEN_MAX;
use crate::archive::entry::{BadEntry, ENTRY_LEN, Entry, is_nothing};
use crate::archive::root::{BadRoot, Root};
use crate::archive::shape::Shape;
use crate::archive::tree::{NoBlock, Source};
use crate::block_type::BlockType;
use crate::score::{SCORE_LEN, Score};
use alloc::vec::Vec;
use bytes::Bytes;
use core::num::NonZeroUsize;
use lru::LruCache;

/// Faults that are told with their places; of the others, how many there are.
const FAULTS_MAX: usize = 64;
/// Blocks that are held on the way down to one leaf.
const FRAMES_MAX: usize = 4096;
/// Bytes that these may have.
const HELD_MAX: usize = 8 << 20;

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Blocks that were read; those of subtrees finished before are not counted again.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// All of them.
    pub fault_count: u64,
}

impl Walked {
    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.fault_count == 0
    }
}

/// Something beneath the root that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The slots that lead to it, from the block below the root down; see [`super::path`].
    pub slots: Vec<u64>,
    /// The block.
    pub score: Score,
    /// Its type.
    pub block_type: BlockType,
    /// What is wrong.
    pub cause: FaultCause,
}

/// What is wrong with a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultCause {
    /// It cannot be had.
    #[error(transparent)]
    NoBlock(#[from] NoBlock),
    /// It is no root.
    #[error(transparent)]
    Root(#[from] BadRoot),
    /// An entry in it is none.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// Nobody can follow it down.
    #[error("directories nest too deeply here")]
    TooDeep,
    /// Nobody can follow it to its end.
    #[error("the tree has more blocks than could be stored here; what is beneath this one was not looked at")]
    TooLarge,
}

/// Blocks of which everything beneath is known to be there: the last ones so found, so many as there is room for.
pub struct Finished {
    seen: LruCache<Key, ()>,
}

/// A block, and how it is read: pointers above data and above entries share a type, and lead elsewhere.
type Key = (Score, u8);

/// Bytes of a key in [`Finished::to_bytes`].
const KEY_LEN: usize = SCORE_LEN + 1;

impl Finished {
    /// Remembers up to `most` blocks, some 80 bytes each.
    pub fn new(most: usize) -> Finished {
        Finished { seen: LruCache::new(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN)) }
    }

    /// Everything that is remembered, to be kept until the next start. Only worth something once all blocks seen so far
    /// are durable.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.seen.iter().flat_map(|((score, way), ())| score.0.into_iter().chain([*way])).collect()
    }

    /// Takes over what was kept. A piece at the end that is not whole is left out.
    pub fn add(&mut self, bytes: &[u8]) {
        for key in bytes.as_chunks::<KEY_LEN>().0 {
            let mut score = [0; SCORE_LEN];
            score.copy_from_slice(&key[..SCORE_LEN]);
            self.seen.put((Score(score), key[SCORE_LEN]), ());
        }
    }

    /// How many blocks are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

/// A block whose children are being visited.
struct Frame {
    key: Key,
    block_type: BlockType,
    block: Bytes,
    holds: Holds,
    /// The child that comes next.
    next: u64,
    /// Nothing beneath it is missing so far.
    is_whole: bool,
}

/// What is in a block.
#[derive(Clone, Copy)]
enum Holds {
    Root,
    /// Pointers, `depth` levels above the leaves of a stream of this shape; its first leaf is number `leaf`.
    Pointers {
        shape: Shape,
        depth: u8,
        leaf: u64,
    },
    /// Entries: leaf number `leaf` of a stream with so many a leaf.
    Entries {
        per_leaf: u32,
        leaf: u64,
    },
    /// Bytes.
    Data,
}

struct Child {
    score: Score,
    block_type: BlockType,
    holds: Holds,
}

impl Child {
    fn of_stream(score: Score, shape: Shape, depth: u8, leaf: u64) -> Child {
        let holds = match (depth, shape.is_directory) {
            (0, true) => Holds::Entries { per_leaf: shape.entries_per_leaf(), leaf },
            (0, false) => Holds::Data,
            _ => Holds::Pointers { shape, depth, leaf },
        };
        Child { score, block_type: shape.type_at(depth), holds }
    }

    fn key(&self) -> Key {
        let above_entries = matches!(self.holds, Holds::Pointers { shape, .. } if shape.is_directory);
        (self.score, self.block_type.to_disk() | u8::from(above_entries) << 7)
    }
}

impl Frame {
    /// The next child; `None` after the last.
    fn next_child(&mut self) -> Option<Result<Child, FaultCause>> {
        let number = self.next;
        let at = usize::try_from(number).ok()?;
        self.next += 1;
        match self.holds {
            Holds::Data => None,
            Holds::Root => {
                let only = (at == 0).then(|| Root::parse(&self.block))?;
                let holds = Holds::Entries { per_leaf: BLOCK_LEN_MAX / ENTRY_LEN as u32, leaf: 0 };
                let child =
                    |root: Root| Child { score: root.directory, block_type: BlockType::DIRECTORY, holds };
                Some(only.map(child).map_err(FaultCause::from))
            }
            Holds::Pointers { shape, depth, leaf } => {
                let score = *self.block.as_chunks::<SCORE_LEN>().0.get(at)?;
                let below = depth.saturating_sub(1);
                let leaves = shape.pointers_per_block().saturating_pow(u32::from(below));
                let leaf = leaf.saturating_add(leaves.saturating_mul(number));
                Some(Ok(Child::of_stream(Score(score), shape, below, leaf)))
            }
            Holds::Entries { .. } => loop {
                let at = usize::try_from(self.next - 1).ok()?.checked_mul(ENTRY_LEN)?;
                let cut = self.block.get(at..).filter(|cut| !cut.is_empty())?;
                let mut whole = [0; ENTRY_LEN];
                whole.iter_mut().zip(cut).for_each(|(to, from)| *to = *from);
                match Entry::parse(&whole) {
                    Ok(None) => self.next += 1,
                    Ok(Some(entry)) => {
                        let Entry { shape, score, .. } = entry;
                        return Some(Ok(Child::of_stream(score, shape, shape.depth, 0)));
                    }
                    Err(error) => return Some(Err(error.into())),
                }
            },
        }
    }

    /// The slot that is being visited, in a directory.
    fn slot(&self) -> Option<u64> {
        match self.holds {
            Holds::Entries { per_leaf, leaf } => {
                let first = leaf.saturating_mul(u64::from(per_leaf));
                Some(first.saturating_add(self.next.saturating_sub(1)))
            }
            _ => None,
        }
    }
}

/// Visits everything beneath `root`, but not more than `blocks_max` blocks. `finished` is asked and told about whole
/// subtrees. `progress` hears of every block, with the sums so far and with what is finished, and may take its time.
///
/// # Errors
/// The text of [`NoBlock::Stopped`], if blocks could not be read at all; what was finished stays so.
pub async fn walk<S: Source>(
    source: &S,
    root: Score,
    finished: &mut Finished,
    blocks_max: u64,
    mut progress: impl AsyncFnMut(&Walked, &Finished),
) -> Result<Walked, NoBlock> {
    let broken = LruCache::new(finished.seen.cap());
    let mut walk =
        Walk { source, finished, broken, blocks_max, frames: Vec::new(), held: 0, walked: Walked::default() };
    walk.visit(Child { score: root, block_type: BlockType::ROOT, holds: Holds::Root }).await?;
    progress(&walk.walked, walk.finished).await;
    while let Some(frame) = walk.frames.last_mut() {
        match frame.next_child() {
            Some(Ok(child)) => walk.visit(child).await?,
            Some(Err(cause)) => {
                let (score, block_type) = (frame.key.0, frame.block_type);
                walk.fault(score, block_type, cause);
            }
            None => walk.leave(),
        }
        progress(&walk.walked, walk.finished).await;
    }
    Ok(walk.walked)
}

struct Walk<'a, S> {
    source: &'a S,
    finished: &'a mut Finished,
    /// Blocks with a fault beneath them: told once, however many ways lead there.
    broken: LruCache<Key, ()>,
    blocks_max: u64,
    frames: Vec<Frame>,
    /// Bytes of the blocks in `frames`.
    held: usize,
    walked: Walked,
}

impl<S: Source> Walk<'_, S> {
    async fn visit(&mut self, child: Child) -> Result<(), NoBlock> {
        let Child { score, block_type, holds } = child;
        let key = child.key();
        if is_nothing(score) || self.finished.seen.get(&key).is_some() {
            return Ok(());
        }
        if self.broken.get(&key).is_some() {
            self.spoil();
            return Ok(());
        }
        if self.walked.blocks >= self.blocks_max {
            self.fault(score, block_type, FaultCause::TooLarge);
            return Ok(());
        }
        let block = match self.source.block(score, block_type, BLOCK_LEN_MAX).await {
            Ok(block) => block,
            Err(stopped @ NoBlock::Stopped(_)) => return Err(stopped),
            Err(error) => {
                self.fault(score, block_type, error.into());
                return Ok(());
            }
        };
        self.walked.blocks += 1;
        self.walked.bytes += block.len() as u64;
        if matches!(holds, Holds::Data) {
            return Ok(());
        }
        if self.frames.len() >= FRAMES_MAX || self.held + block.len() > HELD_MAX {
            self.fault(score, block_type, FaultCause::TooDeep);
            return Ok(());
        }
        self.held += block.len();
        self.frames.push(Frame { key, block_type, block, holds, next: 0, is_whole: true });
        Ok(())
    }

    /// Everything beneath the last frame was visited.
    fn leave(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.held -= frame.block.len();
        if frame.is_whole {
            self.finished.seen.put(frame.key, ());
        } else {
            self.broken.put(frame.key, ());
            self.spoil();
        }
    }

    /// What the last frame holds is not whole.
    fn spoil(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.is_whole = false;
        }
    }

    fn fault(&mut self, score: Score, block_type: BlockType, cause: FaultCause) {
        self.walked.fault_count += 1;
        self.spoil();
        if self.walked.faults.len() < FAULTS_MAX {
            let slots = self.frames.iter().filter_map(Frame::slot).collect();
            self.walked.faults.push(Fault { slots, score, block_type, cause });
        }
    }
}
