//! From one arena to the next, as they become due, and what is said of it.
//!
//! Must not know how an arena is verified.

use crate::Timestamp;
use crate::device::BlockDevice;
use crate::format::Name;
use crate::scrub::{Due, ScrubRecord, SealResult, Standing, next};
use crate::settings::Scrub;
use crate::store::Store;
use alloc::vec::Vec;
use core::time::Duration;

/// How often to look whether an arena is due.
const LOOK: Duration = Duration::from_secs(60);
/// When an arena whose device failed is tried again.
const RETRY: Duration = Duration::from_secs(600);

/// What the arenas came to that were verified one after the other.
#[derive(Debug, Default)]
struct Round {
    arenas: u64,
    clumps: u64,
    bytes: u64,
    seals: u64,
    damaged: u64,
    lost: u64,
    /// Arenas that could not be read; not tried again in this round.
    failed: Vec<Name>,
}

/// Verifies what is due, for as long as it is polled. Ends only if nothing is ever to be verified.
pub(in crate::store) async fn work<D: BlockDevice + 'static>(
    store: &Store<D>,
    setting: Scrub,
    now: &impl Fn() -> Timestamp,
    pause: &impl AsyncFn(Duration),
) {
    let Some(period) = setting.period() else { return };
    pause(LOOK).await;
    let mut round = Round::default();
    loop {
        let Some((number, due)) = store.due(now(), period, &round.failed) else {
            round.tell();
            pause(if round.failed.is_empty() { LOOK } else { RETRY }).await;
            round = Round::default();
            continue;
        };
        let Some(subject) = store.subject(number) else { continue };
        let name = subject.log.name;
        match store.scrub_arena(&subject, due, setting, now, pause).await {
            Ok((record, whole)) => {
                round.add(&name, &record, whole);
                store.scrubs.finished(name, record, whole);
            }
            Err(error) => {
                log::error!("scrub: {name}: {error}, will try again");
                round.failed.push(name);
            }
        }
    }
}

impl<D: BlockDevice + 'static> Store<D> {
    /// The arena to verify next, by its number.
    fn due(&self, now: Timestamp, period: u32, failed: &[Name]) -> Option<(usize, Due)> {
        let state = self.core.state();
        let seen = self.scrubs.seen.borrow();
        let standings = state.arenas.iter().map(|arena| Standing {
            name: arena.name,
            clumps: if failed.contains(&arena.name) { 0 } else { arena.durable.clumps },
            used: arena.durable.used,
            seen: seen.contains(&arena.name),
        });
        next(standings, &self.scrubs.records.borrow(), now, period)
    }
}

impl Round {
    fn add(&mut self, arena: &Name, record: &ScrubRecord, whole: bool) {
        if whole {
            self.arenas += 1;
            self.clumps += u64::from(record.clumps);
            self.bytes += record.bytes;
            self.seals += u64::from(record.seal == SealResult::Good);
            self.damaged += u64::from(record.damaged);
            self.lost += u64::from(record.lost);
        }
        if record.damaged > 0 {
            let ScrubRecord { clumps, damaged, lost, .. } = record;
            log::warn!(
                "scrub: {arena}: {damaged} damaged places in {clumps} blocks, {lost} blocks without a whole copy"
            );
        } else {
            log::debug!("scrub: {arena}: {} blocks are whole, seal {}", record.clumps, record.seal);
        }
    }

    /// Says what a round came to in which whole arenas were verified.
    fn tell(&self) {
        let Round { arenas, clumps, bytes, seals, damaged, lost, .. } = self;
        if *arenas == 0 {
            return;
        }
        let what =
            alloc::format!("verified {clumps} blocks, {bytes} bytes, {seals} seals in {arenas} arenas");
        if *damaged == 0 {
            log::info!("scrub: {what}: all are whole");
        } else {
            log::error!(
                "scrub: {what}: {damaged} damaged places, {lost} blocks are lost unless they are written again"
            );
        }
    }
}
