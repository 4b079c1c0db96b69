//! A venti client: many requests under way on one connection, every score checked.
//!
//! Knows the client's end of a session; must not know how a stream was opened. [`connect`] returns a
//! [`Client`] and the future that carries its bytes; run both side by side (spawn the future, or join it).

mod shared;

use super::frame::FrameCutter;
use super::greeting::{self, BadGreeting, Greeting, GreetingReader};
use super::message::{Hello, MAX_ASKED, Message, Presence, Tagged, Text};
use super::{MAX_LUMP, Version};
use crate::clock::Clock;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::future::Future;
use core::ops::Range;
use core::pin::pin;
use core::time::Duration;
use embedded_io_async::{Error, ErrorKind, Read, Write};
use futures_util::future::{Either, select};
use shared::{Shared, drive};
use storage::block_type::BlockType;
use storage::score::Score;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name given in the hello; stock tools say `anonymous`, and servers ignore it.
    pub uid: &'static str,
    /// The connection fails if nothing moves for so long while a reply is owed.
    pub stall: Duration,
    /// Lumps up to this many bytes are copied into the write that carries their header.
    pub coalesce: usize,
    /// Bytes read from the stream at once.
    pub read_buffer: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        let stall = Duration::from_secs(60);
        Settings { uid: "anonymous", stall, coalesce: 16 << 10, read_buffer: 64 << 10 }
    }
}

/// Why a request, or the whole connection, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server refused this request; others go on.
    #[error("{0}")]
    Server(Text),
    /// The lump is larger than venti stores; nothing was sent.
    #[error("the lump has {0} bytes, more than {MAX_LUMP}")]
    LumpTooLarge(usize),
    /// The server sent another block, or stored another block, than the one with this name. Do not trust it.
    #[error("the server's block has the score {got}, not {wanted}")]
    WrongScore {
        /// The block's name.
        wanted: Score,
        /// The score of what came, or that it said.
        got: Score,
    },
    /// The server's first line was refused.
    #[error("no venti server there: {0}")]
    Greeting(#[from] BadGreeting),
    /// The server did not answer the hello as it must.
    #[error("the server did not accept the hello")]
    Hello,
    /// A reply breaks the protocol; the connection is over.
    #[error("the server breaks the protocol: {0}")]
    Protocol(&'static str),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// Nothing moved for too long.
    #[error("the server does not answer")]
    TimedOut,
    /// The stream failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
}

impl ClientError {
    /// Whether the stream failed, so that whoever made the stream may know more of it.
    pub fn is_of_stream(&self) -> bool {
        matches!(self, ClientError::Stream(_) | ClientError::Closed)
    }
}

/// What a server says to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pong {
    /// It answered as the protocol says.
    Rping,
    /// It is there, but does not serve pings (plan9port and 9front).
    NotServed,
}

/// A connection to a server. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Client {
    handle: Rc<Handle>,
}

struct Handle {
    shared: Rc<Shared>,
    server: Greeting,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

/// Says hello over a fresh stream. The second value carries the connection's bytes and must be run beside the
/// client; it ends with the connection.
pub async fn connect<R: Read, W: Write, C: Clock>(
    reader: R,
    mut writer: W,
    clock: C,
    settings: Settings,
) -> Result<(Client, impl Future<Output = ()> + use<R, W, C>), ClientError> {
    let mut incoming = Incoming { reader, buffer: vec![0; settings.read_buffer.max(1)], unread: 0..0 };
    let deadline = clock.now().plus(settings.stall);
    let hello = say_hello(&mut incoming, &mut writer, &settings);
    let (server, cutter) = match select(pin!(hello), pin!(clock.sleep_until(deadline))).await {
        Either::Left((agreed, _)) => agreed?,
        Either::Right(_) => return Err(ClientError::TimedOut),
    };
    let shared = Rc::new(Shared::new(server.first, settings.coalesce));
    let client = Client { handle: Rc::new(Handle { shared: Rc::clone(&shared), server }) };
    Ok((client, drive(shared, incoming, cutter, writer, clock, settings.stall)))
}

async fn say_hello<R: Read, W: Write>(
    incoming: &mut Incoming<R>,
    writer: &mut W,
    settings: &Settings,
) -> Result<(Greeting, FrameCutter), ClientError> {
    writer.write_all(greeting::OURS).await.map_err(stream_error)?;
    writer.flush().await.map_err(stream_error)?;
    let mut line = GreetingReader::default();
    let server = incoming.next(|input| Ok(line.take(input)?)).await?;
    let version = server.first;
    let hello = Hello {
        version: Text::new(version.name()),
        uid: Text::new(settings.uid),
        strength: 0,
        crypto: Bytes::new(),
        codec: Bytes::new(),
    };
    let mut frame = Vec::new();
    Tagged { tag: 0, message: Message::Thello(hello) }.encode(version, &mut frame);
    writer.write_all(&frame).await.map_err(stream_error)?;
    writer.flush().await.map_err(stream_error)?;
    let mut cutter = FrameCutter::new(version);
    match incoming.next_message(&mut cutter).await? {
        Tagged { tag: 0, message: Message::Rhello { .. } } => Ok((server, cutter)),
        Tagged { message: Message::Rerror(text), .. } => Err(ClientError::Server(text)),
        _ => Err(ClientError::Hello),
    }
}

impl Client {
    /// The version that was agreed on.
    pub fn version(&self) -> Version {
        self.handle.server.first
    }

    /// The server's first line.
    pub fn server(&self) -> &Greeting {
        &self.handle.server
    }

    /// The lump with this name; `limit` is the longest that is taken, in bytes. Its score was checked.
    pub async fn read(
        &self,
        score: Score,
        block_type: BlockType,
        limit: usize,
    ) -> Result<Bytes, ClientError> {
        if score == Score::ZERO {
            return Ok(Bytes::new());
        }
        let count = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = Message::Tread { score, block_type: block_type.to_disk(), count };
        let Message::Rread(lump) = self.handle.shared.call(request).await? else { return Err(WRONG_REPLY) };
        if lump.len() > limit {
            return Err(ClientError::Protocol("a block longer than was asked for"));
        }
        expect(score, Score::of(&lump))?;
        Ok(lump)
    }

    /// Stores a lump and returns its score, which was checked. Durable only after [`Client::sync`].
    pub async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, ClientError> {
        let score = Score::of(&lump);
        self.write_known(score, block_type, lump).await?;
        Ok(score)
    }

    /// As [`Client::write`], for a lump whose score is known.
    pub async fn write_known(
        &self,
        score: Score,
        block_type: BlockType,
        lump: Bytes,
    ) -> Result<(), ClientError> {
        if lump.is_empty() {
            return expect(score, Score::ZERO);
        }
        if lump.len() > MAX_LUMP {
            return Err(ClientError::LumpTooLarge(lump.len()));
        }
        let request = Message::Twrite { block_type: block_type.to_disk(), lump };
        let Message::Rwrite(got) = self.handle.shared.call(request).await? else { return Err(WRONG_REPLY) };
        expect(score, got)
    }

    /// Returns once everything written before survives a power cut of the server.
    pub async fn sync(&self) -> Result<(), ClientError> {
        let Message::Rsync = self.handle.shared.call(Message::Tsync).await? else { return Err(WRONG_REPLY) };
        Ok(())
    }

    /// Asks which of these blocks the server has, in order. `None`: it cannot tell, and all must be sent. What is
    /// [`Presence::Missing`] is expected from this connection soon.
    pub async fn have(&self, names: &[(Score, BlockType)]) -> Result<Option<Vec<Presence>>, ClientError> {
        if !self.server().announces(greeting::HAVE) {
            return Ok(None);
        }
        let mut presences = Vec::with_capacity(names.len());
        for names in names.chunks(MAX_ASKED) {
            let asked = names.iter().map(|(score, block_type)| (*score, block_type.to_disk())).collect();
            let Message::Rhave(known) = self.handle.shared.call(Message::Thave(asked)).await? else {
                return Err(WRONG_REPLY);
            };
            if known.len() != names.len() {
                return Err(ClientError::Protocol("presences that fit no question"));
            }
            for number in known {
                let unknown = ClientError::Protocol("a presence that there is not");
                presences.push(Presence::from_wire(number).ok_or(unknown)?);
            }
        }
        Ok(Some(presences))
    }

    /// Whether the server answers questions about names.
    pub fn has_names(&self) -> bool {
        self.server().announces(greeting::NAMES)
    }

    /// Asks a server that [`Client::has_names`] a question about names.
    pub async fn names(&self, question: Bytes) -> Result<Bytes, ClientError> {
        match self.handle.shared.call(Message::Tnames(question)).await? {
            Message::Rnames(answer) => Ok(answer),
            _ => Err(WRONG_REPLY),
        }
    }

    /// Asks whether the server is there.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        match self.handle.shared.call(Message::Tping).await {
            Ok(Message::Rping) => Ok(Pong::Rping),
            Ok(_) => Err(WRONG_REPLY),
            Err(ClientError::Server(_)) => Ok(Pong::NotServed),
            Err(error) => Err(error),
        }
    }

    /// Takes leave and waits until the server has closed the connection. Replies still owed are lost.
    pub async fn goodbye(self) {
        self.handle.shared.goodbye().await;
    }
}

const WRONG_REPLY: ClientError = ClientError::Protocol("a reply of the wrong type");

fn expect(wanted: Score, got: Score) -> Result<(), ClientError> {
    if wanted == got { Ok(()) } else { Err(ClientError::WrongScore { wanted, got }) }
}

fn stream_error(error: impl Error) -> ClientError {
    ClientError::Stream(error.kind())
}

/// The reading half with what was read and not yet used.
struct Incoming<R> {
    reader: R,
    buffer: Vec<u8>,
    unread: Range<usize>,
}

impl<R: Read> Incoming<R> {
    /// Reads until `take` has found what it wants at the front.
    async fn next<T>(
        &mut self,
        mut take: impl FnMut(&mut &[u8]) -> Result<Option<T>, ClientError>,
    ) -> Result<T, ClientError> {
        loop {
            let mut input = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let found = take(&mut input)?;
            self.unread.start = self.unread.end - input.len();
            if let Some(found) = found {
                return Ok(found);
            }
            let count = self.reader.read(&mut self.buffer).await.map_err(stream_error)?;
            if count == 0 {
                return Err(ClientError::Closed);
            }
            self.unread = 0..count;
        }
    }

    async fn next_message(&mut self, cutter: &mut FrameCutter) -> Result<Tagged, ClientError> {
        let too_long = ClientError::Protocol("a frame longer than any message");
        let frame = self.next(|input| cutter.cut(input).map_err(|_| too_long.clone())).await?;
        Tagged::parse(frame).map_err(|_| ClientError::Protocol("a message that cannot be read"))
    }
}
