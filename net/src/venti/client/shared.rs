//! Tags, replies and waiters of one connection, and the future that carries its bytes.

use super::{ClientError, Incoming, stream_error};
use crate::clock::{Clock, Instant};
use crate::venti::Version;
use crate::venti::frame::FrameCutter;
use crate::venti::message::{Message, Tagged};
use crate::venti::outbox::Outbox;
use crate::venti::signal::Signal;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use embedded_io_async::{Read, Write};
use event_listener::{Event, IntoNotification};
use futures_util::future::{Either, select};

/// Tags there are: requests that can be under way.
const TAGS: usize = 256;

/// What a tag is used for.
enum Slot {
    Free,
    Waiting(Option<Waker>),
    /// The caller is gone; the reply will free the tag.
    Abandoned,
    Answered(Message),
}

pub(super) struct Shared {
    version: Version,
    slots: RefCell<Vec<Slot>>,
    taken: Cell<usize>,
    tag_freed: Event,
    outbox: RefCell<Outbox>,
    sender: Signal,
    watchdog: Signal,
    /// A first request came after a time without any: what was measured before says nothing.
    fresh: Cell<bool>,
    leaving: Cell<bool>,
    failure: RefCell<Option<ClientError>>,
    ended: Event,
}

impl Shared {
    pub(super) fn new(version: Version, coalesce: usize) -> Shared {
        Shared {
            version,
            slots: RefCell::new((0..TAGS).map(|_| Slot::Free).collect()),
            taken: Cell::new(0),
            tag_freed: Event::new(),
            outbox: RefCell::new(Outbox::new(coalesce)),
            sender: Signal::default(),
            watchdog: Signal::default(),
            fresh: Cell::new(false),
            leaving: Cell::new(false),
            failure: RefCell::default(),
            ended: Event::new(),
        }
    }

    /// Sends a request and returns its reply; an Rerror is an error.
    pub(super) async fn call(&self, message: Message) -> Result<Message, ClientError> {
        let tag = self.take_tag().await?;
        let waiting = Waiting { shared: self, tag };
        self.send(&Tagged { tag, message });
        match waiting.reply().await? {
            Message::Rerror(text) => Err(ClientError::Server(text)),
            reply => Ok(reply),
        }
    }

    /// Says goodbye and waits for the end.
    pub(super) async fn goodbye(&self) {
        let ended = self.ended.listen();
        if let Ok(tag) = self.take_tag().await {
            self.set(tag, Slot::Abandoned);
            self.send(&Tagged { tag, message: Message::Tgoodbye });
            ended.await;
        }
    }

    /// Nobody will ask any more.
    pub(super) fn leave(&self) {
        self.leaving.set(true);
        self.sender.notify();
    }

    fn send(&self, tagged: &Tagged) {
        self.outbox.borrow_mut().push(tagged, self.version);
        self.sender.notify();
    }

    /// The lowest free tag, as stock clients do.
    async fn take_tag(&self) -> Result<u8, ClientError> {
        loop {
            let freed = self.tag_freed.listen();
            if let Some(failure) = self.failure.borrow().clone() {
                return Err(failure);
            }
            let free = self.slots.borrow().iter().position(|slot| matches!(slot, Slot::Free));
            if let Some(tag) = free.and_then(|tag| u8::try_from(tag).ok()) {
                self.set(tag, Slot::Waiting(None));
                if self.taken.replace(self.taken.get() + 1) == 0 {
                    self.fresh.set(true);
                    self.watchdog.notify();
                }
                return Ok(tag);
            }
            freed.await;
        }
    }

    fn free(&self, tag: u8) {
        self.set(tag, Slot::Free);
        self.taken.set(self.taken.get() - 1);
        // One more each time: several tags become free before anybody who waits has its turn.
        self.tag_freed.notify(1.additional());
    }

    fn set(&self, tag: u8, slot: Slot) -> Slot {
        core::mem::replace(&mut self.slots.borrow_mut()[usize::from(tag)], slot)
    }

    fn answered(&self, reply: Tagged) -> Result<(), ClientError> {
        match self.set(reply.tag, Slot::Answered(reply.message)) {
            Slot::Waiting(waker) => {
                waker.into_iter().for_each(Waker::wake);
                Ok(())
            }
            Slot::Abandoned => {
                self.free(reply.tag);
                Ok(())
            }
            Slot::Free | Slot::Answered(_) => Err(ClientError::Protocol("a reply that nobody waits for")),
        }
    }

    /// Everybody who waits, and everybody who comes, learns of it.
    fn fail(&self, failure: ClientError) {
        *self.failure.borrow_mut() = Some(failure);
        let wakers: Vec<Waker> = self.slots.borrow_mut().iter_mut().filter_map(take_waker).collect();
        wakers.into_iter().for_each(Waker::wake);
        self.tag_freed.notify(usize::MAX);
        self.ended.notify(usize::MAX);
    }
}

fn take_waker(slot: &mut Slot) -> Option<Waker> {
    if let Slot::Waiting(waker) = slot { waker.take() } else { None }
}

/// A caller with a request under way.
struct Waiting<'a> {
    shared: &'a Shared,
    tag: u8,
}

impl Waiting<'_> {
    async fn reply(&self) -> Result<Message, ClientError> {
        poll_fn(|context| match self.shared.set(self.tag, Slot::Waiting(None)) {
            Slot::Answered(message) => Poll::Ready(Ok(message)),
            _ => {
                if let Some(failure) = self.shared.failure.borrow().clone() {
                    return Poll::Ready(Err(failure));
                }
                self.shared.set(self.tag, Slot::Waiting(Some(context.waker().clone())));
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // An answered request left `Waiting(None)` behind; one that still waits has its waker there.
        match self.shared.set(self.tag, Slot::Abandoned) {
            Slot::Waiting(Some(_)) => {}
            _ => self.shared.free(self.tag),
        }
    }
}

/// Carries the bytes until the connection ends.
pub(super) async fn drive<R: Read, W: Write, C: Clock>(
    shared: Rc<Shared>,
    mut incoming: Incoming<R>,
    mut cutter: FrameCutter,
    mut writer: W,
    clock: C,
    stall: Duration,
) {
    let progress = Cell::new(clock.now());
    let receive = receive(&shared, &mut incoming, &mut cutter, &clock, &progress);
    let send = send(&shared, &mut writer, &clock, &progress);
    let watch = watch(&shared, &clock, &progress, stall);
    let failure = first(first(receive, send), watch).await;
    shared.fail(failure);
}

async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    match select(pin!(one), pin!(other)).await {
        Either::Left((value, _)) | Either::Right((value, _)) => value,
    }
}

/// Hands replies to their callers. Ends when the server or its stream does.
async fn receive<R: Read>(
    shared: &Shared,
    incoming: &mut Incoming<R>,
    cutter: &mut FrameCutter,
    clock: &impl Clock,
    progress: &Cell<Instant>,
) -> ClientError {
    loop {
        let answered = match incoming.next_message(cutter).await {
            Ok(reply) => shared.answered(reply),
            Err(failure) => Err(failure),
        };
        match answered {
            Ok(()) => progress.set(clock.now()),
            Err(failure) => return failure,
        }
    }
}

/// Sends what waits. Ends when nobody will ask any more and nothing is owed, or when the stream fails.
async fn send<W: Write>(
    shared: &Shared,
    writer: &mut W,
    clock: &impl Clock,
    progress: &Cell<Instant>,
) -> ClientError {
    loop {
        shared.sender.until(|| !shared.outbox.borrow().is_empty() || shared.leaving.get()).await;
        let next = shared.outbox.borrow_mut().take();
        let Some(batch) = next else { return ClientError::Closed };
        let mut bytes = batch.bytes();
        while !bytes.is_empty() {
            match writer.write(bytes).await {
                Ok(0) => return ClientError::Closed,
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => return stream_error(error),
            }
            progress.set(clock.now());
        }
        shared.outbox.borrow_mut().sent(batch);
        if shared.outbox.borrow().is_empty()
            && let Err(error) = writer.flush().await
        {
            return stream_error(error);
        }
    }
}

/// Ends when nothing has moved for `stall` while a reply is owed.
async fn watch(
    shared: &Shared,
    clock: &impl Clock,
    progress: &Cell<Instant>,
    stall: Duration,
) -> ClientError {
    loop {
        shared.watchdog.until(|| shared.taken.get() > 0).await;
        if shared.fresh.take() {
            progress.set(clock.now());
        }
        let deadline = progress.get().plus(stall);
        if clock.now() >= deadline {
            return ClientError::TimedOut;
        }
        clock.sleep_until(deadline).await;
    }
}
