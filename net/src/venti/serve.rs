//! One connection: requests run side by side, replies leave as they finish, packed into large writes.
//!
//! Three futures share the connection in one task: one reads requests, one works on them, one sends replies.
//! Nothing is read while too much is under way, so a client that asks faster than it listens holds a bounded
//! amount of memory.

use super::barrier::SyncBarrier;
use super::blocks::Blocks;
use super::connections::{Operation, Ticket};
use super::message::{Message, Presence, Tagged, Text};
use super::outbox::Outbox;
use super::session::{Closing, Event, Job, ServerSession};
use super::signal::Signal;
use super::{MAX_LUMP, Version, greeting};
use crate::clock::Clock;
use alloc::collections::VecDeque;
use alloc::vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use embedded_io_async::{Error, ErrorKind, Read, Write};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use storage::block_type::BlockType;
use storage::score::Score;

/// What one connection may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests whose replies are not sent yet.
    pub requests: usize,
    /// Bytes of lumps that are held for them. May be exceeded by one request.
    pub bytes: usize,
    /// Bytes read from the stream at once; memory that even an idle connection holds.
    pub read_buffer: usize,
    /// Lumps up to this many bytes are copied into the write that carries their header.
    pub coalesce: usize,
    /// From the first byte to the end of the hello.
    pub hello: Duration,
    /// Longest time in which a peer takes not one byte of what is sent to it, or sends not one more of a request that it
    /// began.
    pub stall: Duration,
}

impl Default for Limits {
    /// For a machine with memory to spare: 4 MiB a busy connection, 64 KiB an idle one.
    fn default() -> Limits {
        Limits {
            requests: 256,
            bytes: 4 << 20,
            read_buffer: 64 << 10,
            coalesce: 16 << 10,
            hello: Duration::from_secs(10),
            stall: Duration::from_secs(30),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// The client finished sending; everything it asked was answered.
    #[error("the client closed the connection")]
    PeerClosed,
    /// By the rules of the protocol.
    #[error(transparent)]
    Session(Closing),
    /// No hello in time.
    #[error("the client did not say hello in time")]
    NoHello,
    /// The client takes no replies.
    #[error("the client stopped reading its replies")]
    Stalled,
    /// The client began a request, which memory is held for, and does not go on.
    #[error("the client stopped in the middle of a request")]
    Unfinished,
    /// It was idle and others needed its place.
    #[error("idle, and closed to make room for others")]
    Evicted,
    /// The stream failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
}

/// Serves one connection until either end closes it. Dropping the halves afterwards closes the stream.
pub async fn serve_connection<R: Read, W: Write, B: Blocks, C: Clock>(
    mut reader: R,
    mut writer: W,
    blocks: &B,
    limits: &Limits,
    clock: &C,
    ticket: &Ticket,
) -> Ending {
    let greeting = if blocks.has_names() { greeting::OURS_WITH_NAMES } else { greeting::OURS };
    let connection = Connection::new(limits, clock, ticket, greeting);
    let work = async {
        let (ending, (), ()) = futures_util::try_join!(
            connection.read_requests(&mut reader),
            connection.work(blocks),
            connection.send_replies(&mut writer),
        )?;
        Ok(ending)
    };
    match select(pin!(work), pin!(connection.guard())).await {
        Either::Left((Ok(ending) | Err(ending), _)) | Either::Right((ending, _)) => ending,
    }
}

/// What the three futures of a connection share.
struct Connection<'a, C> {
    limits: &'a Limits,
    clock: &'a C,
    ticket: &'a Ticket,
    version: Cell<Version>,
    jobs: RefCell<VecDeque<(u8, Job)>>,
    outbox: RefCell<Outbox>,
    requests: Cell<usize>,
    bytes: Cell<usize>,
    input_ended: Cell<bool>,
    work_ended: Cell<bool>,
    reader: Signal,
    worker: Signal,
    sender: Signal,
}

impl<'a, C: Clock> Connection<'a, C> {
    fn new(limits: &'a Limits, clock: &'a C, ticket: &'a Ticket, greeting: &'static [u8]) -> Self {
        let mut outbox = Outbox::new(limits.coalesce);
        outbox.push_raw(greeting);
        Connection {
            limits,
            clock,
            ticket,
            version: Cell::new(Version::V04),
            jobs: RefCell::default(),
            outbox: RefCell::new(outbox),
            requests: Cell::new(0),
            // The greeting waits in the outbox.
            bytes: Cell::new(greeting.len()),
            input_ended: Cell::new(false),
            work_ended: Cell::new(false),
            reader: Signal::default(),
            worker: Signal::default(),
            sender: Signal::default(),
        }
    }

    async fn read_requests<R: Read>(&self, reader: &mut R) -> Result<Ending, Ending> {
        let mut session = ServerSession::default();
        let mut buffer = vec![0; self.limits.read_buffer.max(1)];
        let ending = 'reading: loop {
            let count = self.read(reader, &mut buffer, session.is_within_request()).await?;
            if count == 0 {
                break Ending::PeerClosed;
            }
            self.ticket.touch(self.clock.now());
            self.ticket.count(|counters| counters.bytes_in += count as u64);
            let mut input = buffer.get(..count).unwrap_or_default();
            loop {
                self.reader.until(|| self.has_room()).await;
                match session.receive(&mut input) {
                    Some(Event::Close(closing)) => break 'reading Ending::Session(closing),
                    Some(event) => self.arrived(event, &session),
                    None => break,
                }
            }
        };
        self.input_ended.set(true);
        self.worker.notify();
        Ok(ending)
    }

    /// Waits for bytes: as long as it takes between requests, a bounded time within one.
    async fn read<R: Read>(&self, reader: &mut R, buffer: &mut [u8], within: bool) -> Result<usize, Ending> {
        let deadline = self.clock.now().plus(self.limits.stall);
        let patience = async {
            match within {
                true => self.clock.sleep_until(deadline).await,
                false => pending().await,
            }
        };
        match select(pin!(reader.read(buffer)), pin!(patience)).await {
            Either::Left((count, _)) => count.map_err(|error| Ending::Stream(error.kind())),
            Either::Right(_) => Err(Ending::Unfinished),
        }
    }

    fn has_room(&self) -> bool {
        self.requests.get() < self.limits.requests.max(1) && self.bytes.get() < self.limits.bytes.max(1)
    }

    fn arrived(&self, event: Event, session: &ServerSession) {
        self.hold(self.requests.get() + 1, self.bytes.get());
        match event {
            Event::Job(tag, job) => {
                self.hold(self.requests.get(), self.bytes.get() + cost(&job));
                self.jobs.borrow_mut().push_back((tag, job));
                self.worker.notify();
            }
            Event::Welcome(reply) => {
                self.version.set(session.version().unwrap_or(Version::V04));
                self.ticket.welcome();
                self.reply(&reply);
            }
            Event::Reply(reply) => self.reply(&reply),
            Event::Close(_) => {}
        }
    }

    fn hold(&self, requests: usize, bytes: usize) {
        self.requests.set(requests);
        self.bytes.set(bytes);
        self.ticket.set_under_way(requests);
        self.reader.notify();
    }

    fn reply(&self, reply: &Tagged) {
        if matches!(reply.message, Message::Rerror(_)) {
            self.ticket.count(|counters| counters.errors += 1);
        }
        let length = self.outbox.borrow_mut().push(reply, self.version.get());
        self.hold(self.requests.get(), self.bytes.get() + length);
        self.sender.notify();
    }

    async fn work<B: Blocks>(&self, blocks: &B) -> Result<(), Ending> {
        let mut running = FuturesUnordered::new();
        let mut barrier = SyncBarrier::new();
        poll_fn(|context| {
            loop {
                while let Some((tag, job)) = self.next_job() {
                    let epoch = match job {
                        Job::Sync => {
                            barrier.sync_came(tag);
                            continue;
                        }
                        Job::Write { .. } => Some(barrier.write_came()),
                        Job::Read { .. } | Job::Have(_) | Job::Names(_) => None,
                    };
                    running.push(perform(blocks, self.clock, self.ticket.number(), Task { tag, job, epoch }));
                }
                while let Some(tag) = barrier.next_sync() {
                    running.push(perform(
                        blocks,
                        self.clock,
                        self.ticket.number(),
                        Task { tag, job: Job::Sync, epoch: None },
                    ));
                }
                match self.poll_running(&mut running, context) {
                    Poll::Ready(Some(done)) => {
                        done.epoch.into_iter().for_each(|epoch| barrier.write_ended(epoch));
                        self.finished(&done);
                    }
                    Poll::Ready(None) if self.input_ended.get() => return Poll::Ready(()),
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        self.work_ended.set(true);
        self.sender.notify();
        Ok(())
    }

    fn next_job(&self) -> Option<(u8, Job)> {
        self.jobs.borrow_mut().pop_front()
    }

    /// Polls what runs, and has `context` woken when a job comes.
    fn poll_running<F: Future<Output = Done>>(
        &self,
        running: &mut FuturesUnordered<F>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Done>> {
        // Registers this task for the next job; there is none now, so the future itself cannot be ready.
        let come = self.worker.until(|| false);
        let registered = pin!(come).poll(context);
        assert!(registered.is_pending());
        Pin::new(running).poll_next_unpin(context)
    }

    fn finished(&self, done: &Done) {
        done.operation.into_iter().for_each(|operation| self.ticket.note(operation, done.time));
        self.hold(self.requests.get(), self.bytes.get() - done.cost);
        self.reply(&done.reply);
    }

    async fn send_replies<W: Write>(&self, writer: &mut W) -> Result<(), Ending> {
        loop {
            self.sender.until(|| !self.outbox.borrow().is_empty() || self.work_ended.get()).await;
            let next = self.outbox.borrow_mut().take();
            let Some(batch) = next else { break };
            self.send(writer, batch.bytes()).await?;
            let length = batch.bytes().len();
            self.ticket.count(|counters| counters.bytes_out += length as u64);
            self.hold(self.requests.get() - batch.messages, self.bytes.get() - length);
            self.outbox.borrow_mut().sent(batch);
        }
        writer.flush().await.map_err(|error| Ending::Stream(error.kind()))
    }

    async fn send<W: Write>(&self, writer: &mut W, mut bytes: &[u8]) -> Result<(), Ending> {
        while !bytes.is_empty() {
            let deadline = self.clock.now().plus(self.limits.stall);
            let count = match select(pin!(writer.write(bytes)), pin!(self.clock.sleep_until(deadline))).await
            {
                Either::Left((Ok(0), _)) => return Err(Ending::Stream(ErrorKind::WriteZero)),
                Either::Left((Ok(count), _)) => count,
                Either::Left((Err(error), _)) => return Err(Ending::Stream(error.kind())),
                Either::Right(_) => return Err(Ending::Stalled),
            };
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends when the connection has to, whatever it is doing.
    async fn guard(&self) -> Ending {
        let hello = async {
            self.clock.sleep_until(self.clock.now().plus(self.limits.hello)).await;
            if self.ticket.welcomed() {
                pending::<()>().await;
            }
        };
        match select(pin!(hello), pin!(self.ticket.evicted())).await {
            Either::Left(_) => Ending::NoHello,
            Either::Right(_) => Ending::Evicted,
        }
    }
}

/// Bytes that a job may hold until its reply is sent.
fn cost(job: &Job) -> usize {
    match job {
        Job::Read { limit, .. } => MAX_LUMP.min(*limit),
        Job::Write { lump, .. } => lump.len(),
        Job::Sync => 0,
        Job::Have(names) => names.len() * size_of::<(Score, BlockType)>(),
        Job::Names(question) => MAX_LUMP.max(question.len()),
    }
}

struct Task {
    tag: u8,
    job: Job,
    epoch: Option<u64>,
}

struct Done {
    reply: Tagged,
    operation: Option<Operation>,
    /// How long the store took.
    time: Duration,
    cost: usize,
    epoch: Option<u64>,
}

async fn perform<B: Blocks, C: Clock>(blocks: &B, clock: &C, asker: u64, task: Task) -> Done {
    let Task { tag, job, epoch } = task;
    let (cost, began) = (cost(&job), clock.now());
    let (operation, result) = match job {
        Job::Read { score, block_type, limit } => {
            (Some(Operation::Read), blocks.read(score, block_type, limit).await.map(Message::Rread))
        }
        Job::Write { block_type, lump } => {
            (Some(Operation::Write), blocks.write(block_type, lump).await.map(Message::Rwrite))
        }
        Job::Have(names) => {
            let presences = blocks.have(&names, asker).await;
            (None, presences.map(|known| Message::Rhave(known.into_iter().map(Presence::to_wire).collect())))
        }
        Job::Names(question) => (None, blocks.names(question).await.map(Message::Rnames)),
        Job::Sync => (Some(Operation::Sync), blocks.sync().await.map(|()| Message::Rsync)),
    };
    let message = result.unwrap_or_else(|text: Text| Message::Rerror(text));
    let time = clock.now().since(began);
    Done { reply: Tagged { tag, message }, operation, time, cost, epoch }
}
