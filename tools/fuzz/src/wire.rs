//! Venti's protocol. However bytes are cut into pieces, they mean the same; whatever they are, a session ends.

mod blocks;

use crate::Input;
use blocks::MemoryBlocks;
pub use blocks::{Chunks, StoppedClock, Written};
use bytes::Bytes;
use net::http::{HEAD_MAX, Request};
use net::p9;
use net::venti::client::{Settings, connect};
use net::venti::connections::Connections;
use net::venti::frame::FrameCutter;
use net::venti::greeting::{Greeting, GreetingReader, MAX_LINE};
use net::venti::message::{Message, Tagged};
use net::venti::serve::{Ending, Limits, serve_connection};
use net::venti::session::{Closing, Event, ServerSession};
use net::venti::{Version, greeting};
use storage::block_type::BlockType;
use storage::score::Score;
use storage::simulation::block_on;

/// A first line, whole and in pieces.
pub fn greeting(data: &[u8]) {
    let mut input = Input(data);
    let size = usize::from(input.byte()) + 1;
    let (mut whole, mut rest) = (GreetingReader::default(), input.0);
    let expected = whole.take(&mut rest);
    let mut reader = GreetingReader::default();
    let mut found: Result<Option<Greeting>, _> = Ok(None);
    for mut piece in input.0.chunks(size) {
        found = reader.take(&mut piece);
        if found != Ok(None) {
            break;
        }
    }
    assert_eq!(found, expected);
    if let Ok(Some(greeting)) = found {
        assert!(input.0.len() - rest.len() <= MAX_LINE);
        greeting.announces("granary");
    }
}

/// Frames of both versions, whole and in pieces; each as a message, written and read again.
pub fn frames(data: &[u8]) {
    let mut input = Input(data);
    let version = if input.byte() & 1 == 0 { Version::V04 } else { Version::V02 };
    let size = usize::from(input.byte()) + 1;
    let (mut rest, mut whole) = (input.0, FrameCutter::new(version));
    let (mut pieces, mut cutter) = (input.0.chunks(size), FrameCutter::new(version));
    let mut piece: &[u8] = &[];
    loop {
        let frame = whole.cut(&mut rest);
        let in_pieces = loop {
            match cutter.cut(&mut piece) {
                Ok(None) => match pieces.next() {
                    Some(next) => piece = next,
                    None => break Ok(None),
                },
                other => break other,
            }
        };
        match (frame, in_pieces) {
            (Ok(Some(frame)), in_pieces) => {
                assert_eq!(in_pieces, Ok(Some(frame.clone())));
                message(frame);
            }
            (Ok(None), in_pieces) => return assert_eq!(in_pieces, Ok(None)),
            // Type and tag are told where they came together with the length.
            (Err(error), in_pieces) => {
                return assert_eq!(in_pieces.map_err(|error| error.length), Err(error.length));
            }
        }
    }
}

fn message(frame: Bytes) {
    let Ok(tagged) = Tagged::parse(frame) else { return };
    let mut bytes = Vec::new();
    let lump = tagged.encode(Version::V04, &mut bytes);
    bytes.extend_from_slice(&lump.unwrap_or_default());
    let again = FrameCutter::new(Version::V04).cut(&mut bytes.as_slice());
    let again = again.expect("a message fits a frame").expect("the frame is whole");
    assert_eq!(Tagged::parse(again), Ok(tagged));
}

/// A server's session, whole and in pieces.
pub fn session(data: &[u8]) {
    let mut input = Input(data);
    let size = usize::from(input.byte()) + 1;
    let mut expected = events(std::iter::once(input.0));
    let mut found = events(input.0.chunks(size));
    let too_long = Event::Close(Closing::FrameTooLong);
    for events in [&mut expected, &mut found] {
        if events.last() == Some(&too_long) {
            // An error comes in front where type and tag came together with the length.
            let answered = events.len().checked_sub(2).and_then(|at| events.get(at)).is_some_and(|event| {
                matches!(event, Event::Reply(Tagged { message: Message::Rerror(_), .. }))
            });
            events.truncate(events.len() - 1 - usize::from(answered));
        }
    }
    // What was cut off may have been an answer to the message before.
    let common = expected.len().min(found.len());
    assert!(expected.len() - common <= 1 && found.len() - common <= 1);
    assert_eq!(found[..common], expected[..common]);
}

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let (mut session, mut events) = (ServerSession::default(), Vec::new());
    for mut piece in pieces {
        while let Some(event) = session.receive(&mut piece) {
            let closed = matches!(event, Event::Close(_));
            events.push(event);
            if closed {
                assert_eq!(session.receive(&mut &b"anything"[..]), None);
                return events;
            }
        }
        assert!(piece.is_empty());
    }
    events
}

/// A whole connection over blocks in memory: it ends when the client has finished, and every answer is well formed.
pub fn connection(data: &[u8]) {
    let mut input = Input(data);
    let (size, room) = (usize::from(input.byte()) + 1, usize::from(input.byte()) + 1);
    let limits = Limits { requests: 1 + room % 8, bytes: room << 8, read_buffer: size, ..Limits::default() };
    let (blocks, written) = (MemoryBlocks::default(), Written::default());
    let ticket = Connections::new(1).admit(Default::default()).expect("there is room for one");
    let chunks = Chunks { rest: input.0, size };
    let ending =
        block_on(serve_connection(chunks, written.clone(), &blocks, &limits, &StoppedClock, &ticket));
    assert!(matches!(ending, Ending::PeerClosed | Ending::Session(_)), "{ending:?}");
    let written = written.0.borrow();
    let mut answers = written.strip_prefix(greeting::OURS).expect("a server greets");
    if answers.is_empty() {
        return;
    }
    let version = if answers.starts_with(&[0, 0]) { Version::V04 } else { Version::V02 };
    let mut cutter = FrameCutter::new(version);
    while let Some(frame) = cutter.cut(&mut answers).expect("our frames are not too long") {
        let tagged = Tagged::parse(frame).expect("our messages are well formed");
        assert!(matches!(tagged.message.code(), 1 | 3 | 5 | 13 | 15 | 17), "a server only answers");
    }
    assert_eq!(cutter.cut(&mut &b""[..]), Ok(None));
}

/// A client whose server says anything: it gets the block it asked for, or an error.
pub fn client(data: &[u8]) {
    let mut input = Input(data);
    let size = usize::from(input.byte()) + 1;
    let lump = Bytes::from_static(b"a lump that the server may have");
    let chunks = Chunks { rest: input.0, size };
    let settings = Settings { read_buffer: size, ..Settings::default() };
    block_on(async {
        let connected = connect(chunks, Written::default(), StoppedClock, settings).await;
        let Ok((client, driver)) = connected else { return };
        let work = async {
            let score = Score::of(&lump);
            if let Ok(got) = client.read(score, BlockType::DATA, 57_344).await {
                assert_eq!(got, lump);
            }
            if let Ok(got) = client.write(BlockType::DATA, lump.clone()).await {
                assert_eq!(got, score);
            }
            let _ = client.sync().await;
            let _ = client.ping().await;
            client.goodbye().await;
        };
        futures_util::future::join(driver, work).await;
    });
}

/// The head of an HTTP request: what is complete stays so whatever follows, and nothing too long is waited for.
pub fn http_request(data: &[u8]) {
    match Request::parse(data) {
        Ok(Some((request, len))) => {
            assert!(len <= data.len() && request.path.starts_with('/'));
            let parts = |request: &Request<'_>| {
                (request.head_only, String::from(request.path), request.old, request.keep_alive)
            };
            let (again, same) = Request::parse(&data[..len]).ok().flatten().expect("it was complete");
            assert_eq!((parts(&again), same), (parts(&request), len));
        }
        Ok(None) => assert!(data.len() < HEAD_MAX),
        Err(refusal) => drop(refusal.status()),
    }
}

/// Messages of 9P2000: those that are understood are written again as they came.
pub fn p9_message(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok((tag, Ok(request))) = p9::Request::parse(bytes.clone()) {
        let again = request.to_bytes(tag);
        assert_eq!(p9::Request::parse(Bytes::copy_from_slice(&again[4..])), Ok((tag, Ok(request))));
    }
    if let Ok((tag, reply)) = p9::Reply::parse(bytes) {
        let again = reply.to_bytes(tag);
        assert_eq!(p9::Reply::parse(Bytes::copy_from_slice(&again[4..])), Ok((tag, reply)));
    }
    let _ = p9::Stat::parse_all(data);
}
