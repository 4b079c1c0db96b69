//! Walking a tree of blocks on one server and storing it on another, leaves first.

use crate::commands::read::is_miss;
use crate::progress::Progress;
use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use futures_util::future::{LocalBoxFuture, try_join};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use net::venti::MAX_LUMP;
use net::venti::client::{Client, ClientError};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use storage::archive::entry::{ENTRY_LEN, entries_of, is_nothing};
use storage::archive::root::{ROOT_LEN, Root};
use storage::block_type::BlockType;
use storage::score::{SCORE_LEN, Score};

/// Leaves of one block that are copied at a time.
const LEAVES_AT_ONCE: usize = 64;

/// Blocks above one another that are followed. Archives have a few for each level of folders.
const DEPTH_MAX: usize = 600;

/// Places of the scores in a root block.
const ROOT_DIRECTORY_AT: usize = 258;
const ROOT_PREVIOUS_AT: usize = 280;

/// How to copy; see the command's options.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    pub(super) fast: bool,
    pub(super) ignore: bool,
    pub(super) memory: bool,
    pub(super) rewrite: bool,
    pub(super) verbose: bool,
}

/// A block's type as venti's programs number it (0 to 16): unlike on the wire, pointers to data and to
/// directories differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(pub(super) u8);

impl Kind {
    const DATA: Kind = Kind(0);
    const DIRECTORY: Kind = Kind(8);
    const ROOT: Kind = Kind(16);

    fn block_type(self) -> anyhow::Result<BlockType> {
        BlockType::from_decoded(self.0).with_context(|| format!("no block has the type {}", self.0))
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Totals {
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    pub(super) skipped: u64,
    pub(super) unreadable: u64,
}

/// A score inside a block, and where it stands.
struct Child {
    at: usize,
    score: Score,
    kind: Kind,
}

/// One copy under way.
pub(super) struct Copy {
    source: Client,
    destination: Client,
    manner: Manner,
    progress: Progress,
    totals: Cell<Totals>,
    remembered: RefCell<HashSet<(Score, u8)>>,
}

impl Copy {
    pub(super) fn new(source: Client, destination: Client, manner: Manner, progress: Progress) -> Copy {
        let (totals, remembered) = Default::default();
        Copy { source, destination, manner, progress, totals, remembered }
    }

    pub(super) fn destination(&self) -> &Client {
        &self.destination
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals.get()
    }

    /// Copies what `score` names and everything below. Returns its score on the destination: another one only
    /// if pointers were replaced.
    pub(super) async fn everything(&self, score: Score, kind: Kind) -> anyhow::Result<Score> {
        match kind {
            Kind::ROOT => self.archives(score).await,
            _ => self.block(score, kind, DEPTH_MAX).await,
        }
    }

    /// An archive and those before it: there may be thousands, so this goes from one to the next without
    /// recursion.
    async fn archives(&self, newest: Score) -> anyhow::Result<Score> {
        let mut roots = Vec::new();
        let mut score = newest;
        while !is_nothing(score) && !self.can_skip(score, Kind::ROOT).await? {
            let Some(block) = self.fetch(score, Kind::ROOT).await? else {
                score = self.in_place_of(score);
                break;
            };
            let previous = Root::parse(&block).map(|root| root.previous);
            roots.push((score, block));
            match previous {
                Ok(previous) => score = previous,
                Err(error) => {
                    self.progress.note(format!("granary: {score}: {error}; copied as it is"));
                    score = Score::NULL;
                }
            }
        }
        for (old, block) in roots.into_iter().rev() {
            let block = match Root::parse(&block) {
                Ok(root) => {
                    let directory = self.block(root.directory, Kind::DIRECTORY, DEPTH_MAX).await?;
                    let changes = [
                        (ROOT_DIRECTORY_AT, root.directory, directory),
                        (ROOT_PREVIOUS_AT, root.previous, score),
                    ];
                    replace(block, &changes, ROOT_LEN)
                }
                Err(_) => block,
            };
            score = self.store(old, Kind::ROOT, block).await?;
        }
        Ok(score)
    }

    /// A block and everything below it.
    fn block(&self, score: Score, kind: Kind, depth: usize) -> LocalBoxFuture<'_, anyhow::Result<Score>> {
        Box::pin(async move {
            if is_nothing(score) || self.can_skip(score, kind).await? {
                return Ok(score);
            }
            let Some(depth) = depth.checked_sub(1) else {
                bail!("{score} lies more than {DEPTH_MAX} blocks deep")
            };
            let Some(block) = self.fetch(score, kind).await? else { return Ok(self.in_place_of(score)) };
            let block = match kind {
                Kind::DATA | Kind::ROOT => block,
                Kind::DIRECTORY => {
                    let children = self.entries(score, &block);
                    self.below(block, children, ENTRY_LEN, depth).await?
                }
                Kind(pointer) => {
                    let children = pointers(&block, Kind(pointer - 1));
                    self.below(block, children, SCORE_LEN, depth).await?
                }
            };
            self.store(score, kind, block).await
        })
    }

    /// Copies the children of a block: leaves many at a time, others one after the other.
    async fn below(
        &self,
        block: Bytes,
        children: Vec<Child>,
        unit: usize,
        depth: usize,
    ) -> anyhow::Result<Bytes> {
        let (leaves, others): (Vec<Child>, Vec<Child>) =
            children.into_iter().partition(|child| child.kind == Kind::DATA);
        let copy = |child: Child| async move {
            let score = self.block(child.score, child.kind, depth).await?;
            anyhow::Ok((child.at, child.score, score))
        };
        let leaves = stream::iter(leaves).map(copy).buffer_unordered(LEAVES_AT_ONCE).try_collect::<Vec<_>>();
        let others = stream::iter(others).then(copy).try_collect::<Vec<_>>();
        let (mut changes, others) = try_join(leaves, others).await?;
        changes.extend(others);
        Ok(replace(block, &changes, unit))
    }

    fn entries(&self, score: Score, block: &[u8]) -> Vec<Child> {
        let mut children = Vec::new();
        for (slot, entry) in entries_of(block) {
            match entry {
                Ok(entry) => {
                    let base = if entry.shape.is_directory { Kind::DIRECTORY.0 } else { Kind::DATA.0 };
                    let at = (slot + 1) * ENTRY_LEN - SCORE_LEN;
                    children.push(Child { at, score: entry.score, kind: Kind(base + entry.shape.depth) });
                }
                Err(error) => {
                    self.progress.note(format!("granary: {score}, entry {slot}: {error}; not followed"))
                }
            }
        }
        children
    }

    async fn can_skip(&self, score: Score, kind: Kind) -> anyhow::Result<bool> {
        let known = self.remembered.borrow().contains(&(score, kind.0));
        let skip = known || (self.manner.fast && self.is_there(score, kind).await?);
        if skip {
            self.count(|totals| totals.skipped += 1);
        }
        Ok(skip)
    }

    async fn is_there(&self, score: Score, kind: Kind) -> anyhow::Result<bool> {
        match self.destination.read(score, kind.block_type()?, MAX_LUMP).await {
            Ok(_) => Ok(true),
            // Whatever is wrong with it there, it is worth writing it again.
            Err(ClientError::Server(_) | ClientError::WrongScore { .. }) => Ok(false),
            Err(error) => Err(error).context("asking the destination"),
        }
    }

    /// The block, or nothing if it cannot be read and that is to be suffered.
    async fn fetch(&self, score: Score, kind: Kind) -> anyhow::Result<Option<Bytes>> {
        let error = match self.source.read(score, kind.block_type()?, MAX_LUMP).await {
            Ok(block) => return Ok(Some(block)),
            Err(error) => error,
        };
        let of_this_block = matches!(error, ClientError::Server(_) | ClientError::WrongScore { .. });
        if !of_this_block || !(self.manner.ignore || self.manner.rewrite) {
            return Err(error).with_context(|| format!("reading block {score} (type {})", kind.0));
        }
        self.count(|totals| totals.unreadable += 1);
        let what = match &error {
            ClientError::Server(text) if is_miss(text.as_bytes()) => "is missing".to_owned(),
            error => error.to_string(),
        };
        self.progress.note(format!("granary: block {score} (type {}): {what}", kind.0));
        Ok(None)
    }

    fn in_place_of(&self, unreadable: Score) -> Score {
        if self.manner.rewrite { Score::ZERO } else { unreadable }
    }

    async fn store(&self, old: Score, kind: Kind, block: Bytes) -> anyhow::Result<Score> {
        let length = block.len() as u64;
        let written = self.destination.write(kind.block_type()?, block).await;
        let score = written.with_context(|| format!("writing block {old} (type {})", kind.0))?;
        self.count(|totals| {
            totals.blocks += 1;
            totals.bytes += length;
        });
        self.progress.advance(length);
        if self.manner.verbose && kind != Kind::DATA {
            self.progress.note(format!("{score} type {}", kind.0));
        }
        if self.manner.memory && score == old {
            self.remembered.borrow_mut().insert((score, kind.0));
        }
        Ok(score)
    }

    fn count(&self, change: impl FnOnce(&mut Totals)) {
        let mut totals = self.totals.get();
        change(&mut totals);
        self.totals.set(totals);
    }
}

fn pointers(block: &[u8], kind: Kind) -> Vec<Child> {
    let scores = block.chunks_exact(SCORE_LEN).enumerate();
    let child = |(number, bytes): (usize, &[u8])| {
        let score = Score(bytes.try_into().ok()?);
        Some(Child { at: number * SCORE_LEN, score, kind })
    };
    scores.filter_map(child).collect()
}

/// Puts new scores in the place of old ones; (place, old, new). A last unit that zero truncation cut is
/// filled up where a change needs it.
fn replace(block: Bytes, changes: &[(usize, Score, Score)], unit: usize) -> Bytes {
    let changes: Vec<_> = changes.iter().filter(|(_, old, new)| old != new).collect();
    if changes.is_empty() {
        return block;
    }
    let mut changed = BytesMut::from(block);
    changed.resize(changed.len().next_multiple_of(unit), 0);
    for &&(at, _, new) in &changes {
        changed[at..at + SCORE_LEN].copy_from_slice(&new.0);
    }
    changed.freeze()
}
