//! What goes on in a store while it is served: clients that write, read and sync, give up half-way, store the same block
//! at once; the work in the background; the index being brought up to the log.
//!
//! Knows the model. Must not know disks.

use super::lumps::twin;
use super::model::{Key, Model};
use crate::Timestamp;
use crate::arithmetic::Arithmetic;
use crate::block_type::BlockType;
use crate::device::BlockDevice;
use crate::format::clump::LUMP_LEN_MAX;
use crate::score::Score;
use crate::simulation::{Executor, SeededRng, SimOthers, Stalled, yield_now};
use crate::store::{Store, StoreError};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::Cell;
use core::pin::pin;
use futures_util::future::{Either, join, select};

/// The time that trials write.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000);

/// How much is done, and by how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) clients: u64,
    /// Requests of each client.
    pub(super) steps: u64,
    /// The process is killed after so many turns, wherever it is then.
    pub(super) killed_after: Option<u64>,
    /// Whether clients also store two lumps with the same score.
    pub(super) twins: bool,
    /// Whether others hash and pack, and finish in any order.
    pub(super) others: bool,
    /// Most lumps that a trial makes up: its disks are small.
    pub(super) lumps_max: u64,
}

/// Serves clients until all have done their steps, or the process is killed.
pub(super) fn serve<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
    load: &Load,
    rng: &SeededRng,
) -> Result<(), Stalled> {
    let rngs: Vec<SeededRng> = (0..load.clients).map(|_| SeededRng::new(rng.next_u64())).collect();
    let working = Cell::new(load.clients);
    let executor = Executor::new(rng.next_u64());
    if load.others {
        let others = Rc::new(SimOthers::new(rng.next_u64(), 3));
        store.use_arithmetic(Arithmetic::elsewhere(others.clone()));
        let working = &working;
        executor.spawn(async move {
            while working.get() > 0 {
                others.work_once();
                yield_now().await;
            }
            while others.work_once() {}
        });
    }
    for rng in &rngs {
        executor.spawn(async {
            client(model, store, load, rng).await;
            working.set(working.get() - 1);
        });
    }
    executor.spawn(async {
        let pause = async |_| yield_now().await;
        let until_all_went = async {
            while working.get() > 0 {
                yield_now().await;
            }
        };
        select(pin!(store.background(pause)), pin!(until_all_went)).await;
    });
    executor.stop_after(load.killed_after.unwrap_or(u64::MAX));
    let end = executor.run();
    // Whoever goes on with the store does so alone.
    store.use_arithmetic(Arithmetic::here());
    end
}

async fn client<D: BlockDevice + 'static>(model: &Model, store: &Store<D>, load: &Load, rng: &SeededRng) {
    for step in 0..load.steps {
        let result = request(model, store, load, rng).await;
        model.note(step << 8 | code(&result));
        // Some clients go when a disk fails, others insist.
        if let Err(StoreError::Device { .. }) = result
            && rng.chance(1, 4)
        {
            return;
        }
    }
}

fn code(result: &Result<(), StoreError>) -> u64 {
    match result {
        Ok(()) => 0,
        Err(StoreError::NoSuchBlock { .. }) => 1,
        Err(StoreError::TooLarge) => 2,
        Err(StoreError::Collision(_)) => 3,
        Err(StoreError::NoSpace) => 4,
        Err(StoreError::Damaged(_)) => 5,
        Err(StoreError::Device { .. }) => 6,
        Err(_) => 7,
    }
}

/// One request, which may be given up half-way.
async fn request<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
    load: &Load,
    rng: &SeededRng,
) -> Result<(), StoreError> {
    let patience = rng.chance(1, 12).then(|| rng.below(12));
    let asked = pin!(ask(model, store, load, rng));
    let Some(patience) = patience else { return asked.await };
    let given_up = pin!(async {
        for _ in 0..patience {
            yield_now().await;
        }
    });
    match select(asked, given_up).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Ok(()),
    }
}

async fn ask<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
    load: &Load,
    rng: &SeededRng,
) -> Result<(), StoreError> {
    let may_grow = model.lumps.count() < load.lumps_max;
    match rng.below(100) {
        0..40 if may_grow => write(model, store, model.lumps.fresh()).await,
        0..50 => write(model, store, model.lumps.recent(rng)).await,
        50..54 => write(model, store, model.lumps.earlier(rng)).await,
        54..57 if may_grow => write_at_once(model, store).await,
        57..60 if load.twins => write(model, store, twin(rng.chance(1, 2))).await,
        60..62 => refuse(model, store).await,
        62..64 => flush_index(model, store).await,
        64..80 => read(model, store, rng).await,
        80..84 => miss(model, store, rng).await,
        _ => sync(model, store).await,
    }
}

/// Writes a lump, and holds the store to its answer.
pub(super) async fn write<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
    (block_type, lump): (BlockType, Bytes),
) -> Result<(), StoreError> {
    let key = (Score::of(&lump), block_type);
    model.give(key, &lump);
    let score = store.write(block_type, lump.clone(), NOW).await?;
    if score != key.0 {
        model.accuse(format!("{} was stored under the score {score}", key.0));
    }
    model.acknowledge(key, &lump);
    Ok(())
}

/// Two who store the same new block at the same moment.
async fn write_at_once<D: BlockDevice + 'static>(model: &Model, store: &Store<D>) -> Result<(), StoreError> {
    let lump = model.lumps.fresh();
    let (one, other) = join(write(model, store, lump.clone()), write(model, store, lump)).await;
    one.and(other)
}

/// A sync that answers success covers everything that was acknowledged before it was asked for.
pub(super) async fn sync<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
) -> Result<(), StoreError> {
    let covered = model.covered();
    store.sync().await?;
    model.settle(covered);
    Ok(())
}

async fn flush_index<D: BlockDevice + 'static>(model: &Model, store: &Store<D>) -> Result<(), StoreError> {
    let covered = model.covered();
    store.flush_index().await?;
    model.settle(covered);
    Ok(())
}

async fn read<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
    rng: &SeededRng,
) -> Result<(), StoreError> {
    let Some((key, _)) = model.any_given(rng.next_u64()) else { return Ok(()) };
    let promised = model.covered().contains_key(&key);
    match store.read(key.0, key.1).await {
        Ok(lump) => model.judge(&key, &lump),
        Err(StoreError::NoSuchBlock { .. }) if promised => {
            model.accuse(format!("{} was acknowledged, and then denied", key.0));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What was never stored, and what needs no disk.
async fn miss<D: BlockDevice + 'static>(
    model: &Model,
    store: &Store<D>,
    rng: &SeededRng,
) -> Result<(), StoreError> {
    let mut unknown = Score::NULL;
    rng.fill(&mut unknown.0);
    let key: Key = (unknown, BlockType::DATA);
    match store.read(key.0, key.1).await {
        Ok(_) => model.accuse(format!("{unknown} was never stored, and something was served for it")),
        Err(StoreError::NoSuchBlock { .. }) => {}
        // Where the disk cannot say, the store must not either.
        Err(error) => return Err(error),
    }
    for score in [Score::ZERO, Score::NULL] {
        if store.read(score, BlockType::DATA).await? != Bytes::new() {
            model.accuse(format!("{score} is not served as the empty block"));
        }
    }
    Ok(())
}

/// What no store takes, and what it need not keep.
async fn refuse<D: BlockDevice + 'static>(model: &Model, store: &Store<D>) -> Result<(), StoreError> {
    let large = Bytes::from(vec![7; LUMP_LEN_MAX + 1]);
    match store.write(BlockType::DATA, large, NOW).await {
        Err(StoreError::TooLarge | StoreError::Device { .. }) => {}
        other => model.accuse(format!("a lump that is too large was answered with {other:?}")),
    }
    match store.write(BlockType::DATA, Bytes::new(), NOW).await {
        Ok(Score::ZERO) | Err(StoreError::Device { .. }) => Ok(()),
        other => {
            model.accuse(format!("the empty lump was answered with {other:?}"));
            Ok(())
        }
    }
}
