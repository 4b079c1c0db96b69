//! TLS-PSK without streams. The ends share the secrets of three sessions of 9front's own programs, so that what those
//! said is understood; the server draws what theirs drew.

use crate::Input;
use net::auth::Secret;
use net::auth::key::SessionSecret;
use net::rng::Rng;
use net::tls_psk::{Alert, Channel, Client, Received, Receiver, Sender, Server, Step, TlsError};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::LazyLock;

/// What is known of a recorded session.
pub struct Session {
    secret: Vec<u8>,
    server_random: Vec<u8>,
    /// What its client said.
    pub to_server: Vec<u8>,
}

/// The three, one for each suite.
pub static SESSIONS: LazyLock<[Session; 3]> = LazyLock::new(|| {
    let files = [
        include_str!("../../../net/tests/fixtures/auth/dp9ik-ccab.json"),
        include_str!("../../../net/tests/fixtures/auth/dp9ik-00ae.json"),
        include_str!("../../../net/tests/fixtures/auth/p9sk1-008c.json"),
    ];
    files.map(|file| {
        let file: Value = serde_json::from_str(file).expect("the fixture is JSON");
        let records = file["tls"]["records"].as_array().expect("there are records");
        let to_server = records.iter().filter(|record| record["dir"] == "C->S");
        Session {
            secret: bytes(&file["values"]["session_secret"]),
            server_random: bytes(&file["tls"]["secrets"]["server_random"]),
            to_server: to_server.flat_map(|record| bytes(&record["record"])).collect(),
        }
    })
});

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("a text");
    let at = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(at).collect()
}

/// These, then the same byte for ever.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<VecDeque<u8>>>);

impl Rng for Script {
    fn fill(&self, target: &mut [u8]) {
        target.fill_with(|| self.0.borrow_mut().pop_front().unwrap_or(9));
    }
}

/// One end of a handshake.
trait End {
    fn step(&mut self, input: &mut &[u8]) -> Result<Step<Script>, TlsError>;
    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>>;
}

impl End for Client<Script> {
    fn step(&mut self, input: &mut &[u8]) -> Result<Step<Script>, TlsError> {
        Client::step(self, input)
    }

    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        Client::last_words(self, error)
    }
}

impl End for Server<Script> {
    fn step(&mut self, input: &mut &[u8]) -> Result<Step<Script>, TlsError> {
        Server::step(self, input)
    }

    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        Server::last_words(self, error)
    }
}

fn client(session: &Session) -> Client<Script> {
    Client::new(secret(session), Script::default())
}

fn server(session: &Session) -> Server<Script> {
    let script = Script::default();
    script.0.borrow_mut().extend(&session.server_random);
    Server::new(secret(session), script)
}

fn secret(session: &Session) -> SessionSecret {
    match session.secret.len() {
        8 => SessionSecret::P9sk1(Secret::filled(|secret| secret.copy_from_slice(&session.secret))),
        _ => SessionSecret::Dp9ik(Secret::filled(|secret| secret.copy_from_slice(&session.secret))),
    }
}

/// What an end did: what it said, what it took for content, and how it ended.
#[derive(Debug, PartialEq)]
struct Outcome {
    said: Vec<u8>,
    content: Vec<u8>,
    ending: Result<bool, TlsError>,
}

/// One end on everything that its peer says, in pieces.
fn run(mut end: impl End, input: &[u8], size: usize) -> Outcome {
    let mut outcome = Outcome { said: Vec::new(), content: Vec::new(), ending: Ok(false) };
    let mut pieces = input.chunks(size);
    let mut piece: &[u8] = &[];
    let mut receiver = loop {
        match end.step(&mut piece) {
            Ok(Step::Send(bytes)) => outcome.said.extend(bytes),
            Ok(Step::Done(channel)) => break channel.receiver,
            Ok(Step::Receive) => {
                assert!(piece.is_empty());
                let Some(next) = pieces.next() else { return outcome };
                piece = next;
            }
            Err(error) => {
                outcome.said.extend(end.last_words(&error).unwrap_or_default());
                assert!(matches!(end.step(&mut &b"more"[..]), Err(TlsError::Over)));
                outcome.ending = Err(error);
                return outcome;
            }
        }
    };
    for piece in std::iter::once(piece).chain(pieces) {
        outcome.ending = receive(&mut receiver, piece, &mut outcome.content);
        if outcome.ending != Ok(false) {
            break;
        }
    }
    outcome
}

/// Gives a receiver these bytes. Whether its peer has ended, or how it failed.
fn receive(receiver: &mut Receiver, mut bytes: &[u8], content: &mut Vec<u8>) -> Result<bool, TlsError> {
    loop {
        match receiver.advance()? {
            Received::Content => {
                let count = receiver.content().len();
                content.extend_from_slice(receiver.content());
                receiver.taken(count);
            }
            Received::End => return Ok(true),
            Received::Nothing if bytes.is_empty() => return Ok(false),
            Received::Nothing => {
                let count = receiver.receive(bytes);
                assert!(count > 0, "there is room where nothing was opened");
                bytes = &bytes[count..];
            }
        }
    }
}

fn session(data: &[u8]) -> (&'static Session, usize, &[u8]) {
    let mut input = Input(data);
    let session = &SESSIONS[usize::from(input.byte() % 3)];
    (session, usize::from(input.byte()) + 1, input.0)
}

/// A server whose client says anything: however that is cut into pieces, it means the same.
pub fn tls_psk_server(data: &[u8]) {
    let (session, size, said) = session(data);
    assert_eq!(run(server(session), said, size), run(server(session), said, usize::MAX));
}

/// A client whose server says anything.
pub fn tls_psk_client(data: &[u8]) {
    let (session, size, said) = session(data);
    assert_eq!(run(client(session), said, size), run(client(session), said, usize::MAX));
}

/// Runs an end as far as it gets with what it hears.
fn advance(
    end: &mut impl End,
    heard: &mut Vec<u8>,
    said: &mut Vec<u8>,
    all: &mut Vec<u8>,
) -> Option<Box<Channel<Script>>> {
    let bytes = std::mem::take(heard);
    let mut input = bytes.as_slice();
    loop {
        match end.step(&mut input).expect("both ends are ours") {
            Step::Send(bytes) => {
                said.extend_from_slice(&bytes);
                all.extend_from_slice(&bytes);
            }
            Step::Done(channel) => return Some(channel),
            Step::Receive => return None,
        }
    }
}

/// Both ends of a new connection, and what was said to each.
fn pair(session: &Session) -> ([Box<Channel<Script>>; 2], [Vec<u8>; 2]) {
    let (mut client, mut server) = (client(session), server(session));
    let (mut to_server, mut to_client, mut all) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    let (mut at_client, mut at_server) = (None, None);
    while at_client.is_none() || at_server.is_none() {
        if at_client.is_none() {
            at_client = advance(&mut client, &mut to_client, &mut to_server, &mut all[0]);
        }
        if at_server.is_none() {
            at_server = advance(&mut server, &mut to_server, &mut to_client, &mut all[1]);
        }
    }
    ([at_client, at_server].map(|channel| channel.expect("both are done")), all)
}

/// What a server of this session says to our client: the handshake, a few words, the end.
pub fn to_client(session: &Session) -> Vec<u8> {
    let ([_, server], [_, mut said]) = pair(session);
    let mut sender = server.sender;
    sender.push(b"a few words").expect("a channel that is new takes words");
    sender.end(Alert::CloseNotify);
    flush(&mut sender, &mut said);
    said
}

fn flush(sender: &mut Sender<Script>, wire: &mut Vec<u8>) {
    let count = sender.unsent().len();
    wire.extend_from_slice(sender.unsent());
    sender.sent(count);
}

/// Content on its way, altered, cut, doubled: what arrives is how it began, and it ends only where its sender ended.
pub fn tls_psk_records(data: &[u8]) {
    let (session, size, commands) = session(data);
    let mut commands = Input(commands);
    let ([client, server], _) = pair(session);
    let (mut sender, mut receiver) = (client.sender, server.receiver);
    let (mut content, mut wire, mut is_whole, mut has_ended) = (Vec::new(), Vec::new(), true, false);
    while !commands.is_empty() && content.len().max(wire.len()) < 1 << 20 {
        let (command, number) = (commands.byte(), usize::from(commands.short()));
        let before = wire.len();
        match command % 5 {
            0 => {
                let words: Vec<u8> = (0..number).map(|at| at as u8 ^ command).collect();
                if let Ok(count) = sender.push(&words) {
                    content.extend_from_slice(&words[..count]);
                }
                flush(&mut sender, &mut wire);
            }
            1 => {
                has_ended = true;
                sender.end(Alert::CloseNotify);
                flush(&mut sender, &mut wire);
            }
            2 if before > 0 => wire[number % before] ^= commands.byte(),
            3 => wire.truncate(number),
            4 => wire.extend_from_within(number.min(before)..),
            _ => {}
        }
        is_whole &= command % 5 < 2 || wire.len() == before && command % 5 != 2;
    }
    let mut got = Vec::new();
    let ending = wire.chunks(size).try_fold(false, |_, piece| receive(&mut receiver, piece, &mut got));
    assert!(content.starts_with(&got), "what arrives is what was sent");
    if is_whole {
        assert_eq!((got.len(), ending), (content.len(), Ok(has_ended)));
    } else {
        assert!(ending != Ok(true) || (has_ended && got.len() == content.len()));
    }
}
