//! The log to a venti: many batches under way at a time, the peer's sync now and then, and what it has confirmed.
//!
//! Knows the order: written → synced → confirmed. Must not know where cursors are kept.

use super::info::{HOLES_MAX, Info};
use super::outgoing::{BATCH_BYTES, Batch, Hole, Outgoing};
use super::pace::Pace;
use super::peer::Peer;
use super::worker::RoundError;
use crate::clock::{Clock, Instant};
use crate::venti::Presence;
use crate::venti::client::{Client, ClientError};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use futures_util::stream::{FuturesUnordered, StreamExt, TryStreamExt, unfold};
use storage::device::BlockDevice;
use storage::store::{LogEnd, Store};

/// Bytes after which a peer is asked to sync, and the time after which it is at the latest.
const SYNC_BYTES: u64 = 32 << 20;
const SYNC_TIME: Duration = Duration::from_secs(5);
/// How often to ask again for blocks that another node promised the peer, and for how long.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ASKS_MAX: u32 = 300;

/// What came of a batch.
struct Sent {
    arena: String,
    end: u64,
    holes: Vec<Hole>,
    blocks: u64,
    bytes: u64,
    known: u64,
    healed: u64,
}

/// What the peer has answered for and a sync may confirm.
#[derive(Default)]
struct Written {
    cursors: BTreeMap<String, u64>,
    holes: Vec<Hole>,
    blocks: u64,
    bytes: u64,
    /// When the stretch began.
    since: Instant,
}

/// A connection to a peer's venti, and what goes over it.
pub(super) struct Push<'a, D: BlockDevice + 'static, C> {
    pub(super) store: &'a Rc<Store<D>>,
    pub(super) clock: &'a C,
    pub(super) client: &'a Client,
    pub(super) peer: &'a Peer,
    pub(super) pace: &'a Pace,
    /// Bytes of lumps that may be under way.
    pub(super) window: usize,
}

/// What happened next.
enum Step {
    Sent(Sent),
    Synced(Written),
    End,
}

impl<D: BlockDevice + 'static, C: Clock> Push<'_, D, C> {
    /// Sends everything that is durable now. `confirmed` is called after each sync of the peer, when the peer's cursors
    /// have moved. Ends early, with success, when the peer's hours do.
    pub(super) async fn run(&self, confirmed: &impl AsyncFn()) -> Result<(), RoundError> {
        let outgoing = Outgoing {
            store: self.store,
            clock: self.clock,
            client: self.client,
            arenas: self.arenas(),
            number: 0,
        };
        let batches = unfold(Some(outgoing), async |outgoing| {
            let mut outgoing = outgoing.filter(|_| self.is_its_hour())?;
            match outgoing.next().await {
                Ok(batch) => batch.map(|batch| (Ok(batch), Some(outgoing))),
                Err(error) => Some((Err(error), None)),
            }
        });
        let sent = batches.map(async |batch| self.send(batch?).await);
        let mut sent = pin!(sent.buffered((self.window / BATCH_BYTES).max(1)));
        let mut syncs = FuturesUnordered::new();
        let begin = || Written { since: self.clock.now(), ..Written::default() };
        let mut written = begin();
        let mut ended = false;
        loop {
            let step = poll_fn(|context| {
                let synced: Poll<Option<Result<Written, RoundError>>> = syncs.poll_next_unpin(context);
                if let Poll::Ready(Some(synced)) = synced {
                    return Poll::Ready(synced.map(Step::Synced));
                }
                if !ended {
                    match sent.poll_next_unpin(context) {
                        Poll::Ready(Some(batch)) => return Poll::Ready(batch.map(Step::Sent)),
                        Poll::Ready(None) => ended = true,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                if syncs.is_empty() { Poll::Ready(Ok(Step::End)) } else { Poll::Pending }
            });
            match step.await {
                Ok(Step::Sent(batch)) => {
                    self.note(&mut written, batch);
                    let is_due =
                        written.bytes >= SYNC_BYTES || self.clock.now().since(written.since) >= SYNC_TIME;
                    if is_due && syncs.is_empty() {
                        syncs.push(self.sync(core::mem::replace(&mut written, begin())));
                    }
                }
                Ok(Step::Synced(written)) => self.confirm(written, confirmed).await?,
                Ok(Step::End) if written.cursors.is_empty() => return Ok(()),
                Ok(Step::End) => syncs.push(self.sync(core::mem::replace(&mut written, begin()))),
                Err(error) => {
                    // What was written before the peer refused need not be sent again.
                    if matches!(error, RoundError::Peer(ClientError::Server(_)))
                        && !written.cursors.is_empty()
                    {
                        let written = self.sync(written).await?;
                        self.confirm(written, confirmed).await?;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Where to go on in each arena. A cursor behind the end of a log is that of another disk: it counts for nothing.
    fn arenas(&self) -> Vec<(LogEnd, u64)> {
        let place = |end: LogEnd| {
            let arena = end.arena.to_string();
            let cursor = self.peer.info().cursors.get(&arena).copied().unwrap_or(0);
            if cursor <= end.durable {
                return (end, cursor);
            }
            log::error!(
                "{}.info: {arena}={cursor:#x} is behind the end of that log: it is offered from its beginning again",
                self.peer.name
            );
            self.peer.change_info(|info| info.cursors.insert(arena, 0));
            (end, 0)
        };
        self.store.log_ends().map(place).collect()
    }

    fn is_its_hour(&self) -> bool {
        !self.peer.gone.get() && self.peer.info().hours.is_none_or(|hours| hours.contain(self.clock.wall()))
    }

    /// Writes what the peer lacks of a batch.
    async fn send(&self, batch: Batch) -> Result<Sent, RoundError> {
        let Batch { arena, end, mut blocks, holes, healed, .. } = batch;
        let rate = self.peer.info().rate;
        let (count, mut sent_bytes, mut sent_blocks, mut asked) = (blocks.len() as u64, 0, 0, 0);
        while !blocks.is_empty() {
            let names: Vec<_> = blocks.iter().map(|(score, block_type, _)| (*score, *block_type)).collect();
            let known = self.client.have(&names).await?;
            let mut promised = Vec::new();
            let writes = FuturesUnordered::new();
            for (at, (score, block_type, lump)) in blocks.into_iter().enumerate() {
                match known.as_ref().map_or(Presence::Missing, |known| known[at]) {
                    Presence::Here => {}
                    Presence::Promised if asked < ASKS_MAX => promised.push((score, block_type, lump)),
                    Presence::Missing | Presence::Promised => {
                        sent_blocks += 1;
                        sent_bytes += lump.len() as u64;
                        writes.push(async move {
                            self.pace.take(self.clock, rate, lump.len()).await;
                            self.client.write_known(score, block_type, lump).await
                        });
                    }
                }
            }
            writes.try_for_each(async |()| Ok(())).await?;
            blocks = promised;
            asked += 1;
            if !blocks.is_empty() {
                self.clock.sleep_until(self.clock.now().plus(ASK_AGAIN)).await;
            }
        }
        let known = count - sent_blocks;
        Ok(Sent { arena, end, holes, blocks: sent_blocks, bytes: sent_bytes, known, healed })
    }

    fn note(&self, written: &mut Written, sent: Sent) {
        written.cursors.insert(sent.arena, sent.end);
        written.holes.extend(sent.holes);
        written.blocks += sent.blocks;
        written.bytes += sent.bytes;
        self.peer.change(|progress| {
            progress.known_blocks += sent.known;
            progress.healed_blocks += sent.healed;
        });
    }

    async fn sync(&self, written: Written) -> Result<Written, RoundError> {
        self.client.sync().await?;
        Ok(written)
    }

    /// The peer has it all for good.
    async fn confirm(&self, written: Written, confirmed: &impl AsyncFn()) -> Result<(), RoundError> {
        let Written { cursors, holes, blocks, bytes, since } = written;
        let now = self.clock.now();
        let room = self.peer.change_info(|info: &mut Info| {
            if info.holes.len() + holes.len() > HOLES_MAX {
                return false;
            }
            info.cursors.extend(cursors);
            info.holes.extend(holes);
            true
        });
        if !room {
            return Err(RoundError::TooManyHoles);
        }
        self.peer.change(|progress| {
            progress.sent_blocks += blocks;
            progress.sent_bytes += bytes;
            if bytes > 0 {
                let micros = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX).max(1);
                progress.speed = bytes.saturating_mul(1_000_000) / micros;
            }
            progress.confirmed_at = Some(now);
        });
        update_lag(self.store, self.peer, now);
        confirmed().await;
        Ok(())
    }
}

/// Notes how far behind a peer is. Returns whether it lacks anything.
pub(super) fn update_lag<D: BlockDevice + 'static>(store: &Store<D>, peer: &Peer, now: Instant) -> bool {
    let info = peer.info();
    let lag = store.log_ends().map(|end| {
        let cursor = info.cursors.get(&end.arena.to_string()).copied().unwrap_or(0);
        // One that is ahead is none.
        if cursor > end.durable { end.durable } else { end.durable - cursor }
    });
    let lag: u64 = lag.sum();
    peer.change(|progress| {
        progress.lag_bytes = lag;
        progress.behind_since = (lag > 0).then(|| progress.behind_since.unwrap_or(now));
    });
    lag > 0
}
