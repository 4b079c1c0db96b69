//! One measurement: some clients ask for all blocks, each with a number of requests under way.

use super::content::{Lumps, Numbers};
use crate::commands::read::is_miss;
use crate::progress::Progress;
use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use net::venti::MAX_LUMP;
use net::venti::client::{Client, ClientError};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::Instant;
use storage::block_type::BlockType;
use storage::score::Score;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Write blocks that the server does not have, then sync.
    New,
    /// Write them again, then sync.
    Duplicate,
    /// Read them in the order in which they were written.
    Sequential,
    /// Read them in another order.
    Random,
    /// Read blocks that the server does not have.
    Miss,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::New => "new",
            Phase::Duplicate => "duplicate",
            Phase::Sequential => "sequential",
            Phase::Random => "random",
            Phase::Miss => "miss",
        })
    }
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Measured {
    /// From the first request to the last reply, with the sync of writes.
    pub(super) seconds: f64,
    /// The part of it that the sync took.
    pub(super) sync_seconds: f64,
    /// Requests a second.
    pub(super) per_second: f64,
    /// MiB of blocks a second; none for misses.
    pub(super) mib_per_second: f64,
    /// Half of the requests took no longer, in microseconds.
    pub(super) p50_us: u32,
    /// All but one in a hundred took no longer.
    pub(super) p99_us: u32,
    /// The slowest.
    pub(super) max_us: u32,
}

/// Who asks, and for what.
pub(super) struct Load<'a> {
    pub(super) clients: &'a [Client],
    pub(super) depth: usize,
    pub(super) lumps: &'a Lumps,
    pub(super) seed: u64,
    pub(super) progress: &'a Progress,
}

impl Load<'_> {
    pub(super) async fn measure(&self, phase: Phase) -> anyhow::Result<Measured> {
        let count = self.lumps.lumps.len();
        let order = match phase {
            Phase::Random => Numbers(self.seed).permutation(count),
            _ => (0..count).collect(),
        };
        let absent: Vec<Score> = match phase {
            Phase::Miss => absent_scores(self.seed, count),
            _ => Vec::new(),
        };
        let next = Cell::new(0);
        let latencies = RefCell::new(Vec::with_capacity(count));
        let begun = Instant::now();
        let workers = self.clients.iter().flat_map(|client| std::iter::repeat_n(client, self.depth));
        let workers = workers.map(|client| async {
            while let Some(&at) = order.get(next.replace(next.get() + 1)) {
                let asked = Instant::now();
                match absent.get(at) {
                    Some(&score) => miss(client, score).await?,
                    None => hit(client, phase, &self.lumps.lumps[at]).await?,
                }
                latencies.borrow_mut().push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                self.progress.advance(1);
            }
            anyhow::Ok(())
        });
        try_join_all(workers).await.with_context(|| format!("measuring `{phase}`"))?;
        let asked_sync = Instant::now();
        if matches!(phase, Phase::New | Phase::Duplicate) {
            try_join_all(self.clients.iter().map(Client::sync)).await?;
        }
        let sync_seconds = asked_sync.elapsed().as_secs_f64();
        let seconds = begun.elapsed().as_secs_f64();
        let bytes: usize = match phase {
            Phase::Miss => 0,
            _ => self.lumps.lumps.iter().map(|(_, lump)| lump.len()).sum(),
        };
        Ok(summary(latencies.into_inner(), seconds, sync_seconds, bytes))
    }
}

async fn hit(client: &Client, phase: Phase, (score, lump): &(Score, Bytes)) -> anyhow::Result<()> {
    if matches!(phase, Phase::New | Phase::Duplicate) {
        client.write_known(*score, BlockType::DATA, lump.clone()).await?;
    } else {
        // The client has compared the score.
        client.read(*score, BlockType::DATA, MAX_LUMP).await?;
    }
    Ok(())
}

async fn miss(client: &Client, score: Score) -> anyhow::Result<()> {
    match client.read(score, BlockType::DATA, MAX_LUMP).await {
        Err(ClientError::Server(text)) if is_miss(text.as_bytes()) => Ok(()),
        Err(other) => Err(other.into()),
        Ok(_) => bail!("the server has {score}, which was made up"),
    }
}

fn absent_scores(seed: u64, count: usize) -> Vec<Score> {
    let mut numbers = Numbers(!seed);
    (0..count).map(|_| Score::of(&numbers.next().to_be_bytes())).collect()
}

fn summary(mut latencies: Vec<u32>, seconds: f64, sync_seconds: f64, bytes: usize) -> Measured {
    latencies.sort_unstable();
    let count = latencies.len();
    let rank = |percent: usize| latencies.get((count * percent).div_ceil(100).saturating_sub(1)).copied();
    let percentile = |percent| rank(percent).unwrap_or_default();
    Measured {
        seconds,
        sync_seconds,
        per_second: count as f64 / seconds,
        mib_per_second: bytes as f64 / seconds / f64::from(1 << 20),
        p50_us: percentile(50),
        p99_us: percentile(99),
        max_us: percentile(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_ranks() {
        let measured = summary((1..=200).rev().collect(), 2.0, 0.0, 4 << 20);
        assert_eq!((measured.p50_us, measured.p99_us, measured.max_us), (100, 198, 200));
        assert_eq!((measured.per_second, measured.mib_per_second), (100.0, 2.0));
        let one = summary(vec![5], 1.0, 0.0, 0);
        assert_eq!((one.p50_us, one.p99_us, one.max_us), (5, 5, 5));
    }
}
