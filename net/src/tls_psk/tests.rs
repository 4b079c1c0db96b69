//! Whole sessions: those that were recorded, both ends against one another, and what a hostile peer may try.

use super::message::kind;
use super::{Alert, Channel, Client, PLAIN_MAX, Received, Receiver, Sender, Server, Step, TlsError};
use crate::auth::fixtures::{array, bytes, fixture, list};
use crate::auth::key::SessionSecret;
use crate::auth::secret::Secret;
use crate::rng::Rng;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use proptest::prelude::*;
use serde_json::Value;
use std::vec::Vec;

/// The recorded sessions, one for each suite.
pub(super) fn recorded() -> [Value; 3] {
    ["dp9ik-ccab", "dp9ik-00ae", "p9sk1-008c"].map(fixture)
}

/// What 9front's client offered in each of them.
const OFFERED: [&[u16]; 3] = [&[0xccab, 0x00ae, 0x008c], &[0x00ae], &[0x008c]];

/// Bytes that are drawn in turn; then zeros.
#[derive(Clone, Default)]
pub(super) struct Script(Rc<RefCell<VecDeque<Vec<u8>>>>);

impl Script {
    pub(super) fn new(draws: impl IntoIterator<Item = Vec<u8>>) -> Script {
        Script(Rc::new(RefCell::new(draws.into_iter().collect())))
    }
}

impl Rng for Script {
    fn fill(&self, target: &mut [u8]) {
        match self.0.borrow_mut().pop_front() {
            Some(bytes) => target.copy_from_slice(&bytes),
            None => target.fill(0),
        }
    }
}

/// One end of the handshake, whichever.
enum Either {
    Client(Client<Script>),
    Server(Server<Script>),
}

impl Either {
    fn step(&mut self, input: &mut &[u8]) -> Result<Step<Script>, TlsError> {
        match self {
            Either::Client(client) => client.step(input),
            Either::Server(server) => server.step(input),
        }
    }

    fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        match self {
            Either::Client(client) => client.last_words(error),
            Either::Server(server) => server.last_words(error),
        }
    }
}

/// Runs one end on what it hears, in pieces, until the handshake is done.
fn run(
    end: &mut Either,
    input: &mut &[u8],
    piece: usize,
    sent: &mut Vec<u8>,
) -> Result<Channel<Script>, TlsError> {
    loop {
        let mut window = &input[..piece.min(input.len())];
        let before = window.len();
        let next = end.step(&mut window)?;
        *input = &input[before - window.len()..];
        match next {
            Step::Send(bytes) => sent.extend(bytes),
            Step::Done(channel) => return Ok(*channel),
            Step::Receive => assert!(window.is_empty() && before > 0, "waits for more than there was"),
        }
    }
}

/// Everything that was sent one way, and the content of it after the handshake.
fn went(session: &Value, direction: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let records = list(&session["tls"]["records"]).iter().filter(|record| record["dir"] == direction);
    let wire = records.clone().flat_map(|record| bytes(&record["record"])).collect();
    let content = records.filter(|record| record["type"] == 23).map(|record| bytes(&record["plaintext"]));
    (wire, content.collect())
}

/// The random string of an end, then the first block of each of its protected records.
fn draws(session: &Value, direction: &str, random: &str) -> Script {
    let records = list(&session["tls"]["records"]).iter().filter(|record| record["dir"] == direction);
    let protected = records.filter(|record| record["seq"].is_number());
    let blocks = protected.map(|record| bytes(&record["record"])[5..21].to_vec());
    Script::new(core::iter::once(bytes(&session["tls"]["secrets"][random])).chain(blocks))
}

pub(super) fn secret_of(session: &Value) -> SessionSecret {
    let secret = &session["values"]["session_secret"];
    match session["protocol"].as_str() {
        Some("p9sk1") => SessionSecret::P9sk1(Secret::take(&mut array(secret))),
        _ => SessionSecret::Dp9ik(Secret::take(&mut array(secret))),
    }
}

/// Everything that is received from `wire`, in pieces.
fn receive(receiver: &mut Receiver, wire: &[u8], piece: usize) -> Result<(Vec<u8>, bool), TlsError> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        match receiver.advance()? {
            Received::Content => {
                let some = receiver.content().len().min(1000);
                content.extend_from_slice(&receiver.content()[..some]);
                receiver.taken(some);
            }
            Received::End => return Ok((content, true)),
            Received::Nothing if at == wire.len() => return Ok((content, false)),
            Received::Nothing => {
                let some = &wire[at..wire.len().min(at + piece)];
                let count = receiver.receive(some);
                assert!(count > 0);
                at += count;
            }
        }
    }
}

fn send(sender: &mut Sender<Script>, content: &[u8], wire: &mut Vec<u8>) {
    let mut content = content;
    while !content.is_empty() {
        let count = sender.push(content).unwrap();
        content = &content[count..];
    }
    flush(sender, wire);
}

fn flush(sender: &mut Sender<Script>, wire: &mut Vec<u8>) {
    wire.extend_from_slice(sender.unsent());
    let count = sender.unsent().len();
    sender.sent(count);
}

#[test]
fn both_ends_say_what_9fronts_said() {
    for (session, offered) in recorded().iter().zip(OFFERED) {
        for piece in [1, 7, 200, 50_000] {
            let client = Client::offering(
                offered.to_vec(),
                secret_of(session),
                draws(session, "C->S", "client_random"),
            );
            let server = Server::new(secret_of(session), draws(session, "S->C", "server_random"));
            for (mut end, ours, theirs) in
                [(Either::Client(client), "C->S", "S->C"), (Either::Server(server), "S->C", "C->S")]
            {
                let ((wanted, to_say), (heard, to_hear)) = (went(session, ours), went(session, theirs));
                let (mut input, mut sent) = (&heard[..], Vec::new());
                let Channel { mut sender, mut receiver } =
                    run(&mut end, &mut input, piece, &mut sent).unwrap();
                for content in to_say {
                    send(&mut sender, &content, &mut sent);
                }
                let (content, ended) = receive(&mut receiver, input, piece).unwrap();
                assert_eq!(content, to_hear.concat());
                // The client closed.
                assert_eq!(ended, theirs == "C->S");
                assert_eq!(receiver.finish().is_ok(), ended);
                if !ended {
                    sender.end(Alert::CloseNotify);
                    flush(&mut sender, &mut sent);
                }
                assert_eq!(sent, wanted, "{ours}");
            }
        }
    }
}

/// One end, as far as it gets with what it heard.
fn go_on(end: &mut Either, heard: &mut Vec<u8>, sent: &mut Vec<u8>, done: &mut Option<Channel<Script>>) {
    let bytes = core::mem::take(heard);
    let mut input = &bytes[..];
    while done.is_none() {
        match end.step(&mut input).unwrap() {
            Step::Send(bytes) => sent.extend(bytes),
            Step::Done(channel) => *done = Some(*channel),
            Step::Receive => return,
        }
    }
}

/// Both ends of a new session.
fn pair(suite: u16) -> (Channel<Script>, Channel<Script>) {
    let secret = || match suite {
        0x008c => SessionSecret::P9sk1(Secret::filled(|bytes| bytes.fill(9))),
        _ => SessionSecret::Dp9ik(Secret::filled(|bytes| bytes.fill(9))),
    };
    let mut client = Either::Client(Client::offering([suite].to_vec(), secret(), Script::default()));
    let mut server = Either::Server(Server::new(secret(), Script::default()));
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let (mut at_client, mut at_server) = (None, None);
    while at_client.is_none() || at_server.is_none() {
        go_on(&mut client, &mut to_client, &mut to_server, &mut at_client);
        go_on(&mut server, &mut to_server, &mut to_client, &mut at_server);
    }
    (at_client.unwrap(), at_server.unwrap())
}

const SUITES: [u16; 3] = [0xccab, 0x00ae, 0x008c];

#[test]
fn a_recorded_session_is_of_no_use_to_a_later_connection() {
    for session in recorded() {
        let mut draws = draws(&session, "S->C", "server_random").0.borrow().clone();
        draws[0][31] ^= 1;
        let mut server = Either::Server(Server::new(secret_of(&session), Script::new(draws)));
        let (heard, _) = went(&session, "C->S");
        let refused = run(&mut server, &mut &heard[..], 5000, &mut Vec::new()).unwrap_err();
        assert_eq!(refused, TlsError::BadRecord);
        assert_eq!(server.last_words(&refused), Some([21, 3, 3, 0, 2, 2, 20].to_vec()));
    }
}

#[test]
fn another_secret_does_not_open_the_first_record() {
    for session in recorded() {
        let secret = match secret_of(&session) {
            SessionSecret::Dp9ik(_) => SessionSecret::Dp9ik(Secret::filled(|secret| secret.fill(1))),
            SessionSecret::P9sk1(_) => SessionSecret::P9sk1(Secret::filled(|secret| secret.fill(1))),
        };
        let mut server = Either::Server(Server::new(secret, draws(&session, "S->C", "server_random")));
        let (heard, _) = went(&session, "C->S");
        let refused = run(&mut server, &mut &heard[..], 5000, &mut Vec::new()).unwrap_err();
        assert_eq!((&refused, refused.alert()), (&TlsError::BadRecord, Some(Alert::BadRecordMac)));
    }
}

#[test]
fn no_byte_of_a_handshake_can_be_altered() {
    for (session, offered) in recorded().iter().zip(OFFERED) {
        for (ours, theirs, random) in [("C->S", "S->C", "client_random"), ("S->C", "C->S", "server_random")] {
            let records = list(&session["tls"]["records"]).iter().filter(|record| record["dir"] == theirs);
            let handshake = records.filter(|record| record["type"] != 23 && record["type"] != 21);
            let heard: Vec<u8> = handshake.flat_map(|record| bytes(&record["record"])).collect();
            for at in 0..heard.len() {
                let mut altered = heard.clone();
                altered[at] ^= 0x10;
                // A longer length takes in what follows.
                altered.resize(altered.len() + 5000, 0);
                let draws = draws(session, ours, random);
                let mut end = match ours {
                    "C->S" => Either::Client(Client::offering(offered.to_vec(), secret_of(session), draws)),
                    _ => Either::Server(Server::new(secret_of(session), draws)),
                };
                let ending = run(&mut end, &mut &altered[..], 20_000, &mut Vec::new());
                // The version of the first record alone is not settled, nor protected by anything.
                let unprotected = theirs == "C->S" && at == 2;
                assert!(ending.is_err() || unprotected, "{theirs} byte {at}");
            }
        }
    }
}

#[test]
fn records_are_taken_once_and_in_their_order() {
    for suite in SUITES {
        let record = |sender: &mut Sender<Script>, content: &[u8]| {
            let mut wire = Vec::new();
            send(sender, content, &mut wire);
            wire
        };
        for order in [&[0, 0][..], &[1], &[0, 2], &[2, 1]] {
            let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(suite);
            let records = [b"one", b"two", b"six"].map(|content| record(&mut sender, content));
            let wire: Vec<u8> = order.iter().flat_map(|index| records[*index].clone()).collect();
            assert_eq!(receive(&mut receiver, &wire, 9), Err(TlsError::BadRecord), "{order:?}");
            assert_eq!(receiver.advance(), Err(TlsError::Over));
            assert!(receiver.content().is_empty());
        }
    }
}

#[test]
fn what_one_end_sends_does_not_come_back_to_it() {
    for suite in SUITES {
        let (Channel { mut sender, mut receiver }, _) = pair(suite);
        let mut wire = Vec::new();
        send(&mut sender, b"echo", &mut wire);
        assert_eq!(receive(&mut receiver, &wire, 9), Err(TlsError::BadRecord));
    }
}

#[test]
fn a_stream_that_ends_without_the_orderly_end_is_cut_off() {
    for suite in SUITES {
        let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(suite);
        let mut wire = Vec::new();
        send(&mut sender, b"all of it?", &mut wire);
        assert_eq!(receive(&mut receiver, &wire, 9), Ok((b"all of it?".to_vec(), false)));
        assert_eq!(receiver.finish(), Err(TlsError::Truncated));
        let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(suite);
        sender.end(Alert::CloseNotify);
        sender.end(Alert::InternalError);
        assert_eq!(sender.push(b"more"), Err(TlsError::Over));
        let mut wire = Vec::new();
        flush(&mut sender, &mut wire);
        assert_eq!(receive(&mut receiver, &wire, 9), Ok((Vec::new(), true)));
        assert_eq!(receiver.finish(), Ok(()));
    }
}

#[test]
fn long_writes_become_full_records_and_a_rest() {
    for (suite, lengths) in
        [(0xccab, [16_400, 16_400, 7248]), (0x00ae, [16_448, 16_448, 7296]), (0x008c, [16_432, 16_432, 7280])]
    {
        let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(suite);
        let content: Vec<u8> = (0..=250).cycle().take(40_000).collect();
        let mut wire = Vec::new();
        send(&mut sender, &content, &mut wire);
        let (mut seen, mut rest) = (Vec::new(), &wire[..]);
        while let [_, _, _, high, low, body @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            seen.push(len);
            rest = &body[len..];
        }
        assert_eq!(seen, lengths);
        for piece in [1013, 33_000, 50_000] {
            let (_, Channel { receiver: mut again, .. }) = pair(suite);
            assert_eq!(receive(&mut again, &wire, piece), Ok((content.clone(), false)));
        }
        assert_eq!(receive(&mut receiver, &wire, 1), Ok((content, false)));
    }
}

/// What a server answers to one message in the clear.
fn server_hearing(records: &[&[u8]]) -> TlsError {
    let mut server =
        Server::new(SessionSecret::Dp9ik(Secret::filled(|secret| secret.fill(1))), Script::default());
    let heard = records.concat();
    let mut input = &heard[..];
    loop {
        match server.step(&mut input) {
            Ok(Step::Receive) => panic!("waits for more"),
            Ok(_) => {}
            Err(error) => {
                // It stays over, whatever follows.
                let hello = hello([3, 3], &[0xcc, 0xab], &[0], &[]);
                assert!(matches!(server.step(&mut &hello[..]), Err(TlsError::Over)));
                return error;
            }
        }
    }
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    super::record::push_clear(
        super::record::Kind::Handshake,
        &super::message::encode(kind, &[body]),
        &mut record,
    );
    record
}

fn hello(version: [u8; 2], suites: &[u8], compressions: &[u8], extensions: &[u8]) -> Vec<u8> {
    let suites_len = (suites.len() as u16).to_be_bytes();
    let compressions_len = [compressions.len() as u8];
    let body =
        [&version[..], &[7; 32], &[0], &suites_len, suites, &compressions_len, compressions, extensions]
            .concat();
    handshake(kind::CLIENT_HELLO, &body)
}

#[test]
fn hellos_that_lead_nowhere_are_refused_by_the_right_alert() {
    let poly = [0xcc, 0xab];
    for (record, alert) in [
        (hello([3, 2], &poly, &[0], &[]), 70),
        (hello([4, 0], &poly, &[0], &[]), 70),
        (hello([3, 3], &[0x13, 0x01, 0x00, 0x8c], &[0], &[]), 40),
        (hello([3, 3], &poly, &[1], &[]), 40),
        (hello([3, 3], &[0xcc, 0xab, 0], &[0], &[]), 50),
        (hello([3, 3], &poly, &[0], &[0, 5, 0xff, 1, 0, 2, 1]), 50),
        (hello([3, 3], &poly, &[0], &[0, 6, 0xff, 1, 0, 2, 1, 9]), 50),
        (hello([3, 3], &poly, &[0], &[0, 0, 0]), 50),
        (handshake(kind::CLIENT_KEY_EXCHANGE, b""), 10),
        (b"GET / HTTP/1.1\r\n".to_vec(), 70),
        ([22, 3, 1, 0x48, 1].to_vec(), 22),
        ([22, 3, 1, 0, 0].to_vec(), 50),
        ([23, 3, 3, 0, 1, 0].to_vec(), 10),
        ([20, 3, 3, 0, 1, 1].to_vec(), 10),
        ([22, 3, 3, 0, 4, 1, 0xff, 0, 0].to_vec(), 50),
    ] {
        let refused = server_hearing(&[&record]);
        assert_eq!(refused.alert().map(|alert| alert as u8), Some(alert), "{refused}");
    }
    assert_eq!(server_hearing(&[&[21, 3, 3, 0, 2, 2, 40]]), TlsError::Fatal(40));
    assert_eq!(server_hearing(&[&[21, 3, 3, 0, 2, 1, 0]]), TlsError::Truncated);
}

#[test]
fn another_identity_is_refused() {
    let hello = hello([3, 3], &[0xcc, 0xab], &[0], &[]);
    let refused = server_hearing(&[&hello, &handshake(kind::CLIENT_KEY_EXCHANGE, b"\0\x08p9secre7")]);
    assert_eq!((&refused, refused.alert()), (&TlsError::Identity, Some(Alert::UnknownPskIdentity)));
    let split = server_hearing(&[&hello, &[22, 3, 3, 0, 1, 16], &[20, 3, 3, 0, 1, 1]]);
    assert_eq!(split, TlsError::Unexpected("a ChangeCipherSpec"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn content_arrives_whole_however_it_is_cut(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..12),
        piece in 1usize..40_000,
        suite in prop::sample::select(&SUITES),
    ) {
        let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(suite);
        let mut wire = Vec::new();
        parts.iter().for_each(|part| send(&mut sender, part, &mut wire));
        sender.end(Alert::CloseNotify);
        flush(&mut sender, &mut wire);
        prop_assert_eq!(receive(&mut receiver, &wire, piece), Ok((parts.concat(), true)));
    }

    #[test]
    fn no_byte_of_a_record_can_be_altered(
        content in prop::collection::vec(any::<u8>(), 0..400),
        at in any::<usize>(),
        with in 1u8..,
        suite in prop::sample::select(&SUITES),
    ) {
        let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(suite);
        let mut wire = Vec::new();
        send(&mut sender, &content, &mut wire);
        sender.end(Alert::CloseNotify);
        flush(&mut sender, &mut wire);
        let at = at % wire.len();
        wire[at] ^= with;
        // Altered lengths lead to an error, or to waiting for more; never to other content or an orderly end.
        match receive(&mut receiver, &wire, 100) {
            Ok((received, ended)) => prop_assert!(content.starts_with(&received) && !ended),
            Err(_) => prop_assert!(receiver.content().is_empty()),
        }
    }

    #[test]
    fn whatever_arrives_ends_in_an_error_or_a_wait(
        at in any::<usize>(),
        with in any::<u8>(),
        cut in any::<usize>(),
        piece in 1usize..300,
    ) {
        for (session, offered) in recorded().iter().zip(OFFERED) {
            let client = Client::offering(offered.to_vec(), secret_of(session), draws(session, "C->S", "client_random"));
            let server = Server::new(secret_of(session), draws(session, "S->C", "server_random"));
            for (mut end, theirs) in [(Either::Client(client), "S->C"), (Either::Server(server), "C->S")] {
                let (mut heard, _) = went(session, theirs);
                let at = at % heard.len();
                heard[at] = with;
                heard.truncate(cut % (heard.len() + 1));
                for mut bytes in heard.chunks(piece) {
                    while !matches!(end.step(&mut bytes), Ok(Step::Receive) | Err(_)) {}
                }
            }
        }
    }
}

#[test]
fn full_records_are_the_longest_that_are_taken() {
    let (Channel { mut sender, .. }, Channel { mut receiver, .. }) = pair(0xccab);
    assert_eq!(sender.push(&[7; PLAIN_MAX + 1]), Ok(PLAIN_MAX));
    let mut wire = Vec::new();
    flush(&mut sender, &mut wire);
    assert_eq!(receive(&mut receiver, &wire, 5000).unwrap().0.len(), PLAIN_MAX);
    let too_long = [23, 3, 3, 0x48, 1];
    assert_eq!(receive(&mut receiver, &too_long, 5), Err(TlsError::TooLong(18_433)));
}
