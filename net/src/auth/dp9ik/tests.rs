//! Whole conversations: those that were recorded, and both ends against one another.

use super::client::{ClosedAt, Event as ClientEvent, OwnTickets};
use super::server::Event as ServerEvent;
use super::{Client, ClientError, Established, Nonces, Server, ServerError, Step, TicketClient, TicketError};
use crate::auth::account::Account;
use crate::auth::fixtures::{array, bytes, fixture, list, text};
use crate::auth::key::aes_key;
use crate::auth::name::{Domain, UserName};
use crate::auth::p9any::Version;
use crate::auth::sealed::Unopened;
use crate::auth::secret::Secret;
use crate::auth::ticket::Worthless;
use core::fmt::Debug;
use proptest::prelude::*;
use serde_json::Value;
use std::string::{String, ToString};
use std::vec::Vec;

/// One recorded connection.
pub(super) struct Recorded {
    pub(super) all: Value,
    pub(super) version: Version,
    pub(super) server: Account,
    pub(super) client: Account,
    pub(super) domain: Domain,
}

impl Recorded {
    fn both() -> [Recorded; 2] {
        [("dp9ik-ccab", Version::V1), ("dp9ik-00ae", Version::V2)].map(|(name, version)| {
            let all = fixture(name);
            let (users, keys) = (&all["values"]["users"], &all["values"]["pak"]);
            let account = |user: &Value, key: &Value| {
                Account::new(UserName::new(text(user)).unwrap(), &Secret::take(&mut array(key)))
            };
            Recorded {
                version,
                server: account(&users["server_authid"], &keys["server_aes"]),
                client: account(&users["client"], &keys["client_aes"]),
                domain: Domain::new(text(&users["authdom"])).unwrap(),
                all,
            }
        })
    }

    /// Everything that went one way.
    pub(super) fn sent(&self, direction: &str) -> Vec<u8> {
        let steps = list(&self.all["auth_steps"]).iter().filter(|step| step["dir"] == direction);
        steps.flat_map(|step| bytes(&step["hex"])).collect()
    }

    fn nonces(&self, challenge: &str, random: &str) -> Nonces {
        let values = &self.all["values"]["ticket"];
        Nonces { challenge: array(&values[challenge]), random: array(&values[random]) }
    }

    fn server(&self) -> Server<'_> {
        self.server_drawing(self.nonces("CHs", "RNs"))
    }

    fn server_drawing(&self, nonces: Nonces) -> Server<'_> {
        Server::new(&self.server, &self.domain, self.version, nonces, self.scalar("x_server")).unwrap()
    }

    fn client(&self) -> Client<'_> {
        Client::new(&self.client, Some(self.domain.clone()), self.nonces("CHc", "RNc"))
    }

    fn scalar(&self, name: &str) -> Secret<56> {
        Secret::take(&mut array(&self.all["values"]["pak"][name]))
    }

    pub(super) fn check(&self, established: &Established) {
        let values = &self.all["values"];
        assert_eq!(established.user.as_str(), text(&values["ticket"]["suid"]));
        assert_eq!(established.server.as_str(), text(&values["users"]["server_authid"]));
        assert_eq!(established.secret.expose(), bytes(&values["session_secret"]));
    }
}

/// Runs one end on `input`, in pieces of `piece` bytes, until it has something to tell; collects what it sends.
pub(super) fn run<Event: Debug, Failure: Debug>(
    mut step: impl FnMut(&mut &[u8]) -> Result<Step<Event>, Failure>,
    input: &mut &[u8],
    piece: usize,
    sent: &mut Vec<u8>,
) -> Result<Event, Failure> {
    loop {
        let mut window = &input[..piece.min(input.len())];
        let before = window.len();
        let next = step(&mut window)?;
        *input = &input[before - window.len()..];
        match next {
            Step::Send(message) => sent.extend(message),
            Step::Event(event) => return Ok(event),
            Step::Receive => assert!(window.is_empty() && before > 0, "waits for more than there was"),
        }
    }
}

pub(super) const PIECES: [usize; 4] = [1, 7, 200, 5000];

#[test]
fn the_server_says_what_9fronts_said() {
    for recorded in Recorded::both() {
        for piece in PIECES {
            let heard = [&recorded.sent("C->S")[..], b"TLS"].concat();
            let (mut server, mut input, mut sent) = (recorded.server(), &heard[..], Vec::new());
            let event = run(|bytes| server.step(bytes), &mut input, piece, &mut sent).unwrap();
            let user = UserName::new(text(&recorded.all["values"]["ticket"]["suid"])).unwrap();
            assert_eq!(event, ServerEvent::MayConnect(user));
            // Nothing is proved to a user who is not let in.
            assert!(matches!(server.step(&mut &[][..]), Ok(Step::Event(ServerEvent::MayConnect(_)))));
            assert_eq!(sent.len() + 68, recorded.sent("S->C").len());
            server.admit();
            let event = run(|bytes| server.step(bytes), &mut input, piece, &mut sent).unwrap();
            let ServerEvent::Established(established) = event else { panic!("{event:?}") };
            recorded.check(&established);
            assert_eq!(sent, recorded.sent("S->C"));
            assert_eq!(input, b"TLS");
            assert_eq!(server.step(&mut input), Err(ServerError::Over));
        }
    }
}

#[test]
fn the_client_says_what_9fronts_and_drawterms_said() {
    for recorded in Recorded::both() {
        for piece in PIECES {
            let heard = [&recorded.sent("S->C")[..], b"TLS"].concat();
            let (mut client, mut input, mut sent) = (recorded.client(), &heard[..], Vec::new());
            let event = run(|bytes| client.step(bytes), &mut input, piece, &mut sent).unwrap();
            assert_eq!(event, ClientEvent::FetchTickets(recorded.domain.clone()));

            let mut tickets = client.ticket_client(recorded.scalar("x_client")).unwrap();
            let (answers, mut asked) = (recorded.sent("A->C"), Vec::new());
            let got = run(|bytes| tickets.step(bytes), &mut &answers[..], piece, &mut asked).unwrap();
            assert_eq!(asked, recorded.sent("C->A"));
            client.use_tickets(got).unwrap();

            let event = run(|bytes| client.step(bytes), &mut input, piece, &mut sent).unwrap();
            let ClientEvent::Established(established) = event else { panic!("{event:?}") };
            recorded.check(&established);
            assert_eq!(sent, recorded.sent("C->S"));
            assert_eq!(input, b"TLS");
            assert_eq!(client.step(&mut input), Err(ClientError::Over));
        }
    }
}

/// The server, from what the client sent, with one byte altered.
fn server_hearing(recorded: &Recorded, heard: &[u8]) -> Result<ServerEvent, ServerError> {
    let mut server = recorded.server();
    run(|bytes| server.step(bytes), &mut &heard[..], 5000, &mut Vec::new())
}

#[test]
fn the_server_lets_nothing_pass_that_was_altered() {
    let [recorded, _] = Recorded::both();
    let heard = recorded.sent("C->S");
    let proof = heard.len() - 248;
    // The client's challenge, too, would pass unnoticed; the client then does not take the answer.
    for at in (0..proof - 8).chain((proof..heard.len()).step_by(3)) {
        let mut altered = heard.clone();
        altered[at] ^= 1;
        // An altered choice may lose its end, and then takes in what follows.
        altered.resize(altered.len() + 200, 0);
        assert!(server_hearing(&recorded, &altered).is_err(), "byte {at}");
    }
}

#[test]
fn a_client_ticket_is_no_server_ticket() {
    let [recorded, _] = Recorded::both();
    let mut heard = recorded.sent("C->S");
    let ticket = heard.len() - 248 + 56;
    heard[ticket..ticket + 124].copy_from_slice(&recorded.sent("A->C")[114..238]);
    let refused = server_hearing(&recorded, &heard).unwrap_err();
    assert!(matches!(refused, ServerError::Ticket(Worthless::Unopened(Unopened::OtherKind(_)))), "{refused}");
}

#[test]
fn old_messages_are_of_no_use_to_a_later_connection() {
    let [recorded, _] = Recorded::both();
    // Even if the same scalar were drawn again.
    let nonces = Nonces { challenge: [1; 8], ..recorded.nonces("CHs", "RNs") };
    let mut server = recorded.server_drawing(nonces);
    let heard = recorded.sent("C->S");
    let refused = run(|bytes| server.step(bytes), &mut &heard[..], 5000, &mut Vec::new());
    assert_eq!(refused, Err(ServerError::Ticket(Worthless::OtherChallenge)));
}

fn ticket_client(recorded: &Recorded) -> TicketClient {
    let (mut client, heard) = (recorded.client(), recorded.sent("S->C"));
    run(|bytes| client.step(bytes), &mut &heard[..], 5000, &mut Vec::new()).unwrap();
    client.ticket_client(recorded.scalar("x_client")).unwrap()
}

fn hearing(recorded: &Recorded, answers: &[u8]) -> TicketError {
    let mut tickets = ticket_client(recorded);
    run(|bytes| tickets.step(bytes), &mut &answers[..], 5000, &mut Vec::new()).unwrap_err()
}

#[test]
fn the_authentication_servers_reasons_are_heard() {
    let [recorded, _] = Recorded::both();
    let mut refusal = [0; 65];
    refusal[..17].copy_from_slice(b"\x05DES is disabled\n");
    let wanted = TicketError::Refused("DES is disabled\u{fffd}".to_string());
    assert_eq!(hearing(&recorded, &refusal), wanted);
    let mut late = recorded.sent("A->C")[..113].to_vec();
    late.extend(refusal);
    assert_eq!(hearing(&recorded, &late), wanted);
    assert_eq!(hearing(&recorded, b"HTTP/1.1"), TicketError::NotUnderstood(b'H'));
}

#[test]
fn a_wrong_password_shows_in_the_ticket() {
    let [mut recorded, _] = Recorded::both();
    recorded.client = Account::new(recorded.client.user().clone(), &aes_key(b"wrong"));
    let refused = hearing(&recorded, &recorded.sent("A->C"));
    assert_eq!(refused, TicketError::Ticket(Unopened::WrongKey.into()));
}

/// Both ends, with no authentication server; the client is `client`, the server `venti` with its password.
fn alone(client: &str, password: &str, version: Version) -> Result<[Established; 2], String> {
    let account =
        |user, password: &str| Account::new(UserName::new(user).unwrap(), &aes_key(password.as_bytes()));
    let (ours, theirs) = (account("venti", "secret"), account(client, password));
    let domain = Domain::new("lab").unwrap();
    let draw = |fill| Nonces { challenge: [fill; 8], random: [fill; 32] };
    let scalar = Secret::filled(|scalar| scalar.fill(1));
    let mut server = Server::new(&ours, &domain, version, draw(1), scalar).unwrap();
    let mut client = Client::new(&theirs, None, draw(2));
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    loop {
        let heard = core::mem::take(&mut to_server);
        let at_server = serve(&mut server, &heard, &mut to_client).inspect_err(|_| {
            assert_eq!(client.closed_at(), ClosedAt::Answer);
        })?;
        let heard = core::mem::take(&mut to_client);
        let at_client = call(&mut client, &heard, &mut to_server)?;
        if let Some(at_server) = at_server {
            return Ok([at_server, at_client.unwrap()]);
        }
    }
}

/// The server, as far as it gets with what it heard.
pub(super) fn serve(
    server: &mut Server,
    mut heard: &[u8],
    sent: &mut Vec<u8>,
) -> Result<Option<Established>, String> {
    loop {
        match server.step(&mut heard).map_err(|error| error.to_string())? {
            Step::Send(message) => sent.extend(message),
            Step::Event(ServerEvent::MayConnect(_)) => server.admit(),
            Step::Event(ServerEvent::Established(done)) => return Ok(Some(done)),
            Step::Receive => return Ok(None),
        }
    }
}

/// The client, as far as it gets with what it heard.
pub(super) fn call(
    client: &mut Client,
    mut heard: &[u8],
    sent: &mut Vec<u8>,
) -> Result<Option<Established>, String> {
    loop {
        match client.step(&mut heard).map_err(|error| error.to_string())? {
            Step::Send(message) => sent.extend(message),
            Step::Event(ClientEvent::FetchTickets(_)) => {
                let scalar = Secret::filled(|scalar| scalar.fill(3));
                let ticket_key = Secret::filled(|key| key.fill(4));
                let own = OwnTickets { scalar, ticket_key };
                client.make_tickets(own).map_err(|error| error.to_string())?;
            }
            Step::Event(ClientEvent::Established(done)) => return Ok(Some(done)),
            Step::Receive => return Ok(None),
        }
    }
}

#[test]
fn a_client_of_the_servers_own_account_needs_no_authentication_server() {
    for version in [Version::V1, Version::V2] {
        let [at_server, at_client] = alone("venti", "secret", version).unwrap();
        assert_eq!(at_server, at_client);
        assert_eq!(at_server.user.as_str(), "venti");
    }
}

#[test]
fn others_cannot_make_tickets_themselves() {
    assert!(alone("ada", "secret", Version::V1).unwrap_err().contains("can only connect to itself"));
    assert!(alone("venti", "guess", Version::V1).unwrap_err().contains("another key"));
}

#[test]
fn domains_that_cannot_be_offered_are_refused() {
    let [recorded, _] = Recorded::both();
    for domain in ["", "two words"].map(|domain| Domain::new(domain).unwrap()) {
        let (nonces, scalar) = (recorded.nonces("CHs", "RNs"), recorded.scalar("x_server"));
        let server = Server::new(&recorded.server, &domain, Version::V1, nonces, scalar);
        assert_eq!(server.err(), Some(ServerError::Domain(domain.clone())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_arrives_ends_in_an_error_or_a_wait(
        at in any::<usize>(),
        with in any::<u8>(),
        cut in any::<usize>(),
        piece in 1usize..300,
    ) {
        let [_, recorded] = Recorded::both();
        let spoil = |mut heard: Vec<u8>| {
            let at = at % heard.len();
            heard[at] = with;
            heard.truncate(cut % (heard.len() + 1));
            heard
        };
        let (to_server, to_client) = (spoil(recorded.sent("C->S")), spoil(recorded.sent("S->C")));
        let (mut server, mut client) = (recorded.server(), recorded.client());
        let mut sent = Vec::new();
        for bytes in to_server.chunks(piece) {
            let _ = serve(&mut server, bytes, &mut sent);
        }
        for bytes in to_client.chunks(piece) {
            let _ = call(&mut client, bytes, &mut sent);
        }
        let mut tickets = ticket_client(&recorded);
        for mut bytes in spoil(recorded.sent("A->C")).chunks(piece) {
            while !matches!(tickets.step(&mut bytes), Ok(Step::Receive) | Err(_)) {}
        }
        // Offer, confirmation, request, answer; choice, challenge, proof.
        prop_assert!(sent.len() < 2048);
    }
}
