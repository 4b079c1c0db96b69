//! The server's end. It needs its own account's key and nobody else: the client brings what the authentication
//! server says of it.

use super::{Established, Nonces, Step};
use crate::auth::account::Account;
use crate::auth::gather::Gather;
use crate::auth::key::{SessionSecret, session_secret};
use crate::auth::name::{Domain, UserName};
use crate::auth::p9any::{self, NoAgreement, Protocol, Version};
use crate::auth::p9sk1::{self, DesTicket};
use crate::auth::pak::{Exchange, FIELD_LEN, NoPoint, Side};
use crate::auth::sealed::Kind;
use crate::auth::secret::Secret;
use crate::auth::ticket::{
    AUTHENTICATOR_LEN, CHALLENGE_LEN, Challenge, TICKET_LEN, Ticket, Worthless, open_authenticator,
    seal_authenticator,
};
use crate::auth::ticket_request::{REQUEST_LEN, TicketRequest, Wanted};
use alloc::vec::Vec;

const PROOF_LEN: usize = FIELD_LEN + TICKET_LEN + AUTHENTICATOR_LEN;
const OLD_PROOF_LEN: usize = p9sk1::ticket::TICKET_LEN + p9sk1::ticket::AUTHENTICATOR_LEN;

/// What a server tells its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The client proved to be this user. Call [`Server::admit`] and go on, or close: no refusal can be said.
    MayConnect(UserName),
    /// All is proved; what follows is TLS.
    Established(Established),
}

/// Why a server closes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// No protocol was agreed on.
    #[error(transparent)]
    Negotiation(#[from] NoAgreement),
    /// The client sent no point.
    #[error(transparent)]
    NoPoint(#[from] NoPoint),
    /// The ticket proves nothing.
    #[error(
        "the client's ticket: {0} (is this node's key the one that the authentication server has for it?)"
    )]
    Ticket(Worthless),
    /// The client could not open its own ticket.
    #[error("the client's authenticator: {0}")]
    Authenticator(Worthless),
    /// The domain has no letters, or a blank in it.
    #[error("the domain {0:?} cannot be offered: it is empty or has a blank in it")]
    Domain(Domain),
    /// It was over before.
    #[error("this authentication is over")]
    Over,
}

enum State {
    Offering(Drawn),
    Choice(Drawn),
    Confirming(Drawn, Protocol),
    Challenge(Drawn, Protocol),
    Proof(Exchange, Expected),
    OldProof(Expected),
    Admitting(Proved),
    Admitted(Proved),
    Answered(Established),
    Over,
}

/// What was drawn for this connection.
struct Drawn {
    nonces: Nonces,
    scalar: Secret<FIELD_LEN>,
}

/// What this end must remember for the client's proof.
struct Expected {
    ours: Challenge,
    theirs: Challenge,
    random: [u8; 32],
}

/// A client who is `user`, and what it is owed.
struct Proved {
    user: UserName,
    answer: Vec<u8>,
    secret: SessionSecret,
}

/// The server's end of one connection.
pub struct Server<'a> {
    account: &'a Account,
    domain: &'a Domain,
    version: Version,
    gather: Gather,
    state: State,
}

impl<'a> Server<'a> {
    /// A server with its own account (its "authid") in a domain. `scalar` is 56 random bytes that are used once.
    pub fn new(
        account: &'a Account,
        domain: &'a Domain,
        version: Version,
        nonces: Nonces,
        scalar: Secret<FIELD_LEN>,
    ) -> Result<Server<'a>, ServerError> {
        if !p9any::can_be_offered(domain) {
            return Err(ServerError::Domain(domain.clone()));
        }
        let state = State::Offering(Drawn { nonces, scalar });
        Ok(Server { account, domain, version, gather: Gather::default(), state })
    }

    /// Lets the user of [`Event::MayConnect`] in.
    pub fn admit(&mut self) {
        self.state = match core::mem::replace(&mut self.state, State::Over) {
            State::Admitting(proved) => State::Admitted(proved),
            other => other,
        };
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: close.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<Event>, ServerError> {
        loop {
            // An error leaves the state of an authentication that is over.
            let (next, step) = match core::mem::replace(&mut self.state, State::Over) {
                State::Offering(drawn) => {
                    let offer = p9any::offer(self.domain, p9any::spoken(self.account), self.version);
                    (State::Choice(drawn), Some(Step::Send(offer)))
                }
                State::Choice(drawn) => match self.choice(input)? {
                    None => (State::Choice(drawn), Some(Step::Receive)),
                    Some(protocol) if self.version == Version::V2 => {
                        (State::Confirming(drawn, protocol), None)
                    }
                    Some(protocol) => (State::Challenge(drawn, protocol), None),
                },
                State::Confirming(drawn, protocol) => {
                    (State::Challenge(drawn, protocol), Some(Step::Send(p9any::CONFIRMATION.to_vec())))
                }
                State::Challenge(drawn, protocol) => match self.gather.exactly(input) {
                    None => (State::Challenge(drawn, protocol), Some(Step::Receive)),
                    Some(theirs) => self.ask(protocol, drawn, theirs),
                },
                State::Proof(exchange, expected) => match self.gather.exactly(input) {
                    None => (State::Proof(exchange, expected), Some(Step::Receive)),
                    Some(proof) => (State::Admitting(check(exchange, &expected, &proof)?), None),
                },
                State::OldProof(expected) => match self.gather.exactly(input) {
                    None => (State::OldProof(expected), Some(Step::Receive)),
                    Some(proof) => (State::Admitting(self.check_old(&expected, &proof)?), None),
                },
                State::Admitting(proved) => {
                    let user = proved.user.clone();
                    (State::Admitting(proved), Some(Step::Event(Event::MayConnect(user))))
                }
                State::Admitted(proved) => self.answer(proved),
                State::Answered(established) => {
                    (State::Over, Some(Step::Event(Event::Established(established))))
                }
                State::Over => return Err(ServerError::Over),
            };
            self.state = next;
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// The choice, once it has come and if it is good.
    fn choice(&mut self, input: &mut &[u8]) -> Result<Option<Protocol>, NoAgreement> {
        let choice = self.gather.text(input, p9any::MAX_CHOICE)?;
        choice.map(|choice| p9any::chosen(choice, p9any::spoken(self.account), self.domain)).transpose()
    }

    fn ask(&self, protocol: Protocol, drawn: Drawn, theirs: Challenge) -> (State, Option<Step<Event>>) {
        let Drawn { nonces: Nonces { challenge: ours, random }, scalar } = drawn;
        let expected = Expected { ours, theirs, random };
        match protocol {
            Protocol::Dp9ik => {
                let exchange = Exchange::new(Side::Holder, self.account.points(), scalar);
                let request = self.request(Wanted::KeyAgreement, ours);
                let message = [&request[..], exchange.public_value()].concat();
                (State::Proof(exchange, expected), Some(Step::Send(message)))
            }
            Protocol::P9sk1 => {
                let request = self.request(Wanted::Tickets, ours);
                (State::OldProof(expected), Some(Step::Send(request.to_vec())))
            }
        }
    }

    fn request(&self, wanted: Wanted, challenge: Challenge) -> [u8; REQUEST_LEN] {
        let request = TicketRequest {
            wanted,
            server: self.account.user().clone(),
            domain: self.domain.clone(),
            challenge,
            client: UserName::default(),
            user: UserName::default(),
        };
        request.encode()
    }

    /// Checks ticket and authenticator of p9sk1.
    fn check_old(&self, expected: &Expected, proof: &[u8; OLD_PROOF_LEN]) -> Result<Proved, ServerError> {
        let Some(key) = self.account.des_key() else { return Err(ServerError::Over) };
        let (mut ticket, mut authenticator) =
            ([0; p9sk1::ticket::TICKET_LEN], [0; p9sk1::ticket::AUTHENTICATOR_LEN]);
        ticket.copy_from_slice(&proof[..p9sk1::ticket::TICKET_LEN]);
        authenticator.copy_from_slice(&proof[p9sk1::ticket::TICKET_LEN..]);
        let ticket =
            DesTicket::open(Kind::ServerTicket, key, &ticket, &expected.ours).map_err(ServerError::Ticket)?;
        let kind = Kind::ClientAuthenticator;
        p9sk1::ticket::open_authenticator(kind, &ticket.key, &authenticator, &expected.ours)
            .map_err(ServerError::Authenticator)?;
        let kind = Kind::ServerAuthenticator;
        let answer = p9sk1::ticket::seal_authenticator(kind, &ticket.key, &expected.theirs).to_vec();
        Ok(Proved { user: ticket.server_user, answer, secret: p9sk1::session_secret(&ticket.key) })
    }

    fn answer(&self, proved: Proved) -> (State, Option<Step<Event>>) {
        let Proved { user, answer, secret } = proved;
        let established = Established { user, server: self.account.user().clone(), secret };
        (State::Answered(established), Some(Step::Send(answer)))
    }
}

/// Checks the public value of the authentication server, the ticket, and the authenticator.
fn check(exchange: Exchange, expected: &Expected, proof: &[u8; PROOF_LEN]) -> Result<Proved, ServerError> {
    let (mut value, mut ticket) = ([0; FIELD_LEN], [0; TICKET_LEN]);
    let mut authenticator = [0; AUTHENTICATOR_LEN];
    value.copy_from_slice(&proof[..FIELD_LEN]);
    ticket.copy_from_slice(&proof[FIELD_LEN..FIELD_LEN + TICKET_LEN]);
    authenticator.copy_from_slice(&proof[FIELD_LEN + TICKET_LEN..]);
    let key = exchange.finish(&value)?;
    let ticket =
        Ticket::open(Kind::ServerTicket, &key, &ticket, &expected.ours).map_err(ServerError::Ticket)?;
    let of_client =
        open_authenticator(Kind::ClientAuthenticator, &ticket.key, &authenticator, &expected.ours)
            .map_err(ServerError::Authenticator)?;
    let kind = Kind::ServerAuthenticator;
    let answer = seal_authenticator(kind, &ticket.key, &expected.theirs, &expected.random).to_vec();
    let secret = session_secret(&ticket.key, &of_client, &expected.random);
    Ok(Proved { user: ticket.server_user, answer, secret: SessionSecret::Dp9ik(secret) })
}

const _: () = assert!(PROOF_LEN == 248 && CHALLENGE_LEN == 8);
