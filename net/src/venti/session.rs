//! The server's end of a session, apart from sockets and stores: bytes in, [`Event`]s out.
//!
//! Order: greeting, hello (tag 0, the version chosen), then requests in any number. What a store need not be
//! asked for is answered here: pings, odd and broken messages, the empty block.

use super::frame::{FrameCutter, FrameTooLong};
use super::greeting::{BadGreeting, Greeting, GreetingReader};
use super::message::{Hello, Malformed, Message, Tagged, Text, code};
use super::{MAX_LUMP, Version};
use alloc::vec::Vec;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::score::Score;

/// Work for a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Find a block.
    Read {
        /// Its score.
        score: Score,
        /// Its type.
        block_type: BlockType,
        /// The longest the client takes, in bytes.
        limit: usize,
    },
    /// Keep a block of 1..=[`MAX_LUMP`] bytes.
    Write {
        /// Its type.
        block_type: BlockType,
        /// Its bytes.
        lump: Bytes,
    },
    /// Say which of these blocks there are.
    Have(Vec<(Score, BlockType)>),
    /// Answer a question about names.
    Names(Bytes),
    /// Make durable what arrived on this connection before, and what others were told was written.
    Sync,
}

/// What the bytes so far ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Work for the store; the reply carries this tag.
    Job(u8, Job),
    /// An answer that needs no store.
    Reply(Tagged),
    /// The hello was good: this is its answer, and what follows are requests.
    Welcome(Tagged),
    /// Send what is owed, then close.
    Close(Closing),
}

/// Why the server ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// The client said goodbye.
    #[error("the client said goodbye")]
    Goodbye,
    /// The first line was refused.
    #[error(transparent)]
    Greeting(#[from] BadGreeting),
    /// The first message was no hello with tag 0 and the chosen version.
    #[error("the first message is not a hello with tag 0 and the version agreed on")]
    BadHello,
    /// A frame was longer than any request can be.
    #[error("a frame is longer than any request can be")]
    FrameTooLong,
}

enum State {
    Greeting(GreetingReader),
    /// Both ends speak both versions: the first bytes of the hello tell which one the client chose.
    Choosing(Option<u8>),
    Hello(FrameCutter, Version),
    Requests(FrameCutter, Version),
    /// The last reply is given; the end is next.
    Ending(Closing),
    Closed,
}

/// One session.
pub struct ServerSession {
    state: State,
    peer: Option<Greeting>,
}

impl Default for ServerSession {
    fn default() -> ServerSession {
        ServerSession { state: State::Greeting(GreetingReader::default()), peer: None }
    }
}

impl ServerSession {
    /// The version agreed on, once requests may come.
    pub fn version(&self) -> Option<Version> {
        match self.state {
            State::Requests(_, version) => Some(version),
            _ => None,
        }
    }

    /// Whether part of a request has come, and the rest has not.
    pub fn is_within_request(&self) -> bool {
        matches!(&self.state, State::Requests(cutter, _) if cutter.is_within_frame())
    }

    /// The peer's first line, once it has come.
    pub fn peer(&self) -> Option<&Greeting> {
        self.peer.as_ref()
    }

    /// Takes bytes from the front of `input` up to the next event. `None`: `input` is used up; come back with
    /// more. After [`Event::Close`] everything is swallowed.
    pub fn receive(&mut self, input: &mut &[u8]) -> Option<Event> {
        loop {
            let event = match &mut self.state {
                State::Closed => {
                    *input = &[];
                    return None;
                }
                State::Greeting(reader) => match reader.take(input) {
                    Ok(None) => return None,
                    Ok(Some(greeting)) => self.greeted(greeting),
                    Err(refusal) => Some(Event::Close(refusal.into())),
                },
                State::Choosing(first) => {
                    let (&byte, rest) = input.split_first()?;
                    match first.take() {
                        None => {
                            *first = Some(byte);
                            *input = rest;
                        }
                        Some(before) => self.choose(before, byte),
                    }
                    None
                }
                State::Hello(cutter, version) => {
                    let (frame, version) = (cutter.cut(input), *version);
                    match frame {
                        Ok(None) => return None,
                        Ok(Some(frame)) => Some(self.hello(frame, version)),
                        Err(_) => Some(Event::Close(Closing::BadHello)),
                    }
                }
                State::Requests(cutter, _) => match cutter.cut(input) {
                    Ok(None) => return None,
                    Ok(Some(frame)) => request(frame),
                    Err(too_long) => self.too_long(too_long),
                },
                State::Ending(closing) => Some(Event::Close(*closing)),
            };
            if let Some(event) = event {
                if matches!(event, Event::Close(_)) {
                    self.state = State::Closed;
                }
                return Some(event);
            }
        }
    }

    /// The real server takes such a frame into memory, and then says this of writes.
    fn too_long(&mut self, frame: FrameTooLong) -> Option<Event> {
        self.state = State::Ending(Closing::FrameTooLong);
        let (code, tag) = frame.type_and_tag?;
        let text = if code == code::T_WRITE { Text::new("lump too large") } else { Text::new(frame) };
        Some(Event::Reply(Tagged { tag, message: Message::Rerror(text) }))
    }

    fn greeted(&mut self, greeting: Greeting) -> Option<Event> {
        self.state = if greeting.both {
            State::Choosing(None)
        } else {
            State::Hello(FrameCutter::new(greeting.first), greeting.first)
        };
        self.peer = Some(greeting);
        None
    }

    /// A hello's length is at most 2571: in version 04 its first two bytes are zero, in version 02 they are
    /// not.
    fn choose(&mut self, first: u8, second: u8) {
        let version = if (first, second) == (0, 0) { Version::V04 } else { Version::V02 };
        let mut cutter = FrameCutter::new(version);
        // One byte of a length: neither a frame nor too long. The second is still in the caller's input.
        let taken = cutter.cut(&mut &[first][..]);
        assert!(matches!(taken, Ok(None)));
        self.state = State::Hello(cutter, version);
    }

    fn hello(&mut self, frame: Bytes, version: Version) -> Event {
        match Tagged::parse(frame) {
            Ok(Tagged { tag: 0, message: Message::Thello(Hello { version: wanted, .. }) })
                if wanted.as_bytes() == version.name().as_bytes() =>
            {
                self.state = State::Requests(FrameCutter::new(version), version);
                let message = Message::Rhello { sid: Text::new("anonymous"), crypto: 0, codec: 0 };
                Event::Welcome(Tagged { tag: 0, message })
            }
            _ => Event::Close(Closing::BadHello),
        }
    }
}

/// What a frame after the hello asks for. `None`: a broken message without a tag, which nobody can be told
/// about.
fn request(frame: Bytes) -> Option<Event> {
    let Tagged { tag, message } = match Tagged::parse(frame) {
        Ok(tagged) => tagged,
        Err(malformed) => return refuse_malformed(malformed),
    };
    let message = match message {
        Message::Tread { score, block_type, count } => return Some(read(tag, score, block_type, count)),
        Message::Twrite { block_type, lump } => return Some(write(tag, block_type, lump)),
        Message::Tsync => return Some(Event::Job(tag, Job::Sync)),
        Message::Thave(names) => return Some(have(tag, names)),
        Message::Tnames(question) => return Some(Event::Job(tag, Job::Names(question))),
        Message::Tgoodbye => return Some(Event::Close(Closing::Goodbye)),
        Message::Tping => Message::Rping,
        _ => Message::Rerror(Text::new("unknown request")),
    };
    Some(Event::Reply(Tagged { tag, message }))
}

/// The real server drops these without a word, and a client would wait forever.
fn refuse_malformed(malformed: Malformed) -> Option<Event> {
    let tag = malformed.tag()?;
    Some(Event::Reply(Tagged { tag, message: Message::Rerror(Text::new(malformed)) }))
}

fn read(tag: u8, score: Score, block_type: u8, count: u32) -> Event {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let message = match BlockType::from_disk(block_type) {
        Some(block_type) if score != Score::NULL && score != Score::ZERO => {
            return Event::Job(tag, Job::Read { score, block_type, limit });
        }
        None if score != Score::NULL => {
            Message::Rerror(Text::new(format_args!("no block with score {score}/255 exists")))
        }
        _ => Message::Rread(Bytes::new()),
    };
    Event::Reply(Tagged { tag, message })
}

fn have(tag: u8, names: Vec<(Score, u8)>) -> Event {
    let typed = |(score, block_type)| Some((score, BlockType::from_disk(block_type)?));
    match names.into_iter().map(typed).collect() {
        Some(names) => Event::Job(tag, Job::Have(names)),
        None => Event::Reply(Tagged { tag, message: Message::Rerror(Text::new("illegal block type")) }),
    }
}

fn write(tag: u8, block_type: u8, lump: Bytes) -> Event {
    let message = match BlockType::from_disk(block_type) {
        _ if lump.len() > MAX_LUMP => Message::Rerror(Text::new("lump too large")),
        None => Message::Rerror(Text::new(format_args!("illegal block type {block_type}"))),
        Some(_) if lump.is_empty() => Message::Rwrite(Score::ZERO),
        Some(block_type) => return Event::Job(tag, Job::Write { block_type, lump }),
    };
    Event::Reply(Tagged { tag, message })
}

#[cfg(test)]
mod tests;
