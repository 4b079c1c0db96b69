//! Blocks behind a venti connection, used from another thread.
//!
//! The working thread sends requests through a bounded channel; the runtime's thread has a bounded number of
//! them under way. The first write that fails ends the service: whatever comes later must not be taken for
//! stored.

use super::blocks::{Blocks, Pending};
use crate::dial::Dial;
use crate::host;
use anyhow::Context;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use net::venti::client::Client;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use storage::archive::NewBlock;
use storage::block_type::BlockType;
use storage::score::Score;
use tokio::sync::{mpsc, oneshot};

/// Requests under way at once; a venti connection has 256 tags.
const UNDER_WAY_MAX: usize = 128;
/// Requests that wait for one of those places.
const WAITING_MAX: usize = 64;

/// Bytes of stack for the working thread: it descends once for each directory in a directory.
const WORKER_STACK: usize = 64 << 20;

/// What a server can do, in futures. The seam to the client.
#[allow(async_fn_in_trait, reason = "the client and its users run on one thread")]
pub trait Server {
    /// The block with this name.
    async fn read(&self, score: Score, block_type: BlockType, len_max: u32) -> anyhow::Result<Bytes>;
    /// Stores a block.
    async fn write(&self, block: NewBlock) -> anyhow::Result<()>;
    /// Makes all blocks durable whose writes have returned.
    async fn sync(&self) -> anyhow::Result<()>;
}

enum Request {
    Read(Score, BlockType, u32, oneshot::Sender<anyhow::Result<Bytes>>),
    Write(NewBlock),
    Sync(oneshot::Sender<anyhow::Result<()>>),
}

/// The working thread's end.
pub struct Remote {
    requests: mpsc::Sender<Request>,
    failure: Arc<Mutex<Option<String>>>,
}

/// The runtime's end.
pub struct Service {
    requests: mpsc::Receiver<Request>,
    failure: Arc<Mutex<Option<String>>>,
}

/// Both ends.
pub fn channel() -> (Remote, Service) {
    let (sender, requests) = mpsc::channel(WAITING_MAX);
    let failure = Arc::new(Mutex::new(None));
    (Remote { requests: sender, failure: Arc::clone(&failure) }, Service { requests, failure })
}

impl Remote {
    fn gone(&self) -> anyhow::Error {
        let reason = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        anyhow::anyhow!(reason.unwrap_or_else(|| "the connection to the server is gone".to_owned()))
    }
}

impl Blocks for Remote {
    fn ask(&self, score: Score, block_type: BlockType, len_max: u32) -> Pending {
        let (answer, reply) = oneshot::channel();
        // If nobody serves any more, the answer is dropped, and whoever waits for it learns.
        drop(self.requests.blocking_send(Request::Read(score, block_type, len_max, answer)));
        Pending { reply, score }
    }

    fn put(&self, block: NewBlock) -> anyhow::Result<()> {
        self.requests.blocking_send(Request::Write(block)).map_err(|_| self.gone())
    }

    fn sync(&self) -> anyhow::Result<()> {
        let (answer, reply) = oneshot::channel();
        self.requests.blocking_send(Request::Sync(answer)).map_err(|_| self.gone())?;
        reply.blocking_recv().map_err(|_| self.gone())?
    }
}

/// Connects to a server and lets `work` use it from a thread of its own.
///
/// # Errors
/// If the server cannot be reached, blocks could not be stored, or `work` fails.
pub fn with_server<T: Send + 'static>(
    dial: &Dial,
    work: impl FnOnce(&Remote) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    host::run(async {
        let client = host::connect(dial).await?;
        let (remote, service) = channel();
        let worker = thread::Builder::new().stack_size(WORKER_STACK).spawn(move || work(&remote))?;
        let served = service.run(&client).await;
        let result = worker.join().map_err(|_| anyhow::anyhow!("the working thread panicked"))?;
        served.and(result)
    })
}

impl Service {
    /// Serves until the working thread is done with its end, or a write fails.
    ///
    /// # Errors
    /// If a write failed.
    pub async fn run(mut self, server: &impl Server) -> anyhow::Result<()> {
        let mut under_way: FuturesUnordered<LocalBoxFuture<'_, anyhow::Result<()>>> = FuturesUnordered::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            let room = open && under_way.len() < UNDER_WAY_MAX;
            let next = tokio::select! {
                request = self.requests.recv(), if room => Either::Left(request),
                Some(done) = under_way.next(), if !under_way.is_empty() => Either::Right(done),
            };
            let done = match next {
                Either::Left(Some(Request::Sync(answer))) => {
                    let synced = sync_after(&mut under_way, server).await;
                    let failed = synced.as_ref().err().map(|error| anyhow::anyhow!("{error:#}"));
                    drop(answer.send(synced));
                    failed.map_or(Ok(()), Err)
                }
                Either::Left(Some(request)) => {
                    under_way.push(Box::pin(answer_one(request, server)));
                    Ok(())
                }
                Either::Left(None) => {
                    open = false;
                    Ok(())
                }
                Either::Right(done) => done,
            };
            if let Err(error) = done {
                let text = format!("{error:#}");
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Waits for all that is under way, then syncs.
async fn sync_after(
    under_way: &mut FuturesUnordered<LocalBoxFuture<'_, anyhow::Result<()>>>,
    server: &impl Server,
) -> anyhow::Result<()> {
    while let Some(done) = under_way.next().await {
        done?;
    }
    server.sync().await.context("making the blocks durable")
}

async fn answer_one(request: Request, server: &impl Server) -> anyhow::Result<()> {
    match request {
        Request::Read(score, block_type, len_max, answer) => {
            drop(answer.send(server.read(score, block_type, len_max).await));
            Ok(())
        }
        Request::Write(block) => {
            let score = block.score;
            server.write(block).await.with_context(|| format!("storing block {score}"))
        }
        Request::Sync(answer) => {
            drop(answer.send(server.sync().await));
            Ok(())
        }
    }
}

impl Server for Client {
    async fn read(&self, score: Score, block_type: BlockType, len_max: u32) -> anyhow::Result<Bytes> {
        Ok(Client::read(self, score, block_type, len_max as usize).await?)
    }

    async fn write(&self, block: NewBlock) -> anyhow::Result<()> {
        Ok(self.write_known(block.score, block.block_type, block.data).await?)
    }

    async fn sync(&self) -> anyhow::Result<()> {
        Ok(Client::sync(self).await?)
    }
}
