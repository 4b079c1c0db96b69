//! The server's end. It needs its own account's key and nobody else: the client brings what the authentication
//! server says of it.

use super::{Established, Nonces, Step, established};
use crate::auth::account::Account;
use crate::auth::gather::Gather;
use crate::auth::name::{Domain, UserName};
use crate::auth::p9any::{self, NoAgreement, Version};
use crate::auth::pak::{Exchange, FIELD_LEN, NoPoint, Side};
use crate::auth::sealed::Kind;
use crate::auth::secret::Secret;
use crate::auth::ticket::{
    AUTHENTICATOR_LEN, CHALLENGE_LEN, Challenge, TICKET_LEN, Ticket, Worthless, open_authenticator,
    seal_authenticator,
};
use crate::auth::ticket_request::{TicketRequest, Wanted};

const PROOF_LEN: usize = FIELD_LEN + TICKET_LEN + AUTHENTICATOR_LEN;

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
    Confirming(Drawn),
    Challenge(Drawn),
    Proof(Exchange, Expected),
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

struct Proved {
    user: UserName,
    ticket_key: Secret<32>,
    expected: Expected,
    of_client: [u8; 32],
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
                    let offer = p9any::offer(self.domain, self.version);
                    (State::Choice(drawn), Some(Step::Send(offer)))
                }
                State::Choice(drawn) => match self.choice(input)? {
                    false => (State::Choice(drawn), Some(Step::Receive)),
                    true if self.version == Version::V2 => (State::Confirming(drawn), None),
                    true => (State::Challenge(drawn), None),
                },
                State::Confirming(drawn) => {
                    (State::Challenge(drawn), Some(Step::Send(p9any::CONFIRMATION.to_vec())))
                }
                State::Challenge(drawn) => match self.gather.exactly(input) {
                    None => (State::Challenge(drawn), Some(Step::Receive)),
                    Some(theirs) => self.ask(drawn, theirs),
                },
                State::Proof(exchange, expected) => match self.gather.exactly(input) {
                    None => (State::Proof(exchange, expected), Some(Step::Receive)),
                    Some(proof) => (State::Admitting(check(exchange, expected, &proof)?), None),
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

    /// Whether the choice has come and is good.
    fn choice(&mut self, input: &mut &[u8]) -> Result<bool, NoAgreement> {
        match self.gather.text(input, p9any::MAX_CHOICE)? {
            None => Ok(false),
            Some(choice) => p9any::check_choice(choice, self.domain).map(|()| true),
        }
    }

    fn ask(&self, drawn: Drawn, theirs: Challenge) -> (State, Option<Step<Event>>) {
        let Drawn { nonces: Nonces { challenge: ours, random }, scalar } = drawn;
        let exchange = Exchange::new(Side::Holder, self.account.points(), scalar);
        let request = TicketRequest {
            wanted: Wanted::KeyAgreement,
            server: self.account.user().clone(),
            domain: self.domain.clone(),
            challenge: ours,
            client: UserName::default(),
            user: UserName::default(),
        };
        let message = [&request.encode()[..], exchange.public_value()].concat();
        (State::Proof(exchange, Expected { ours, theirs, random }), Some(Step::Send(message)))
    }

    fn answer(&self, proved: Proved) -> (State, Option<Step<Event>>) {
        let Proved { user, ticket_key, expected, of_client } = proved;
        let Expected { theirs, random, .. } = expected;
        let answer = seal_authenticator(Kind::ServerAuthenticator, &ticket_key, &theirs, &random);
        let server = self.account.user().clone();
        let established = established(user, server, &ticket_key, &of_client, &random);
        (State::Answered(established), Some(Step::Send(answer.to_vec())))
    }
}

/// Checks the public value of the authentication server, the ticket, and the authenticator.
fn check(exchange: Exchange, expected: Expected, proof: &[u8; PROOF_LEN]) -> Result<Proved, ServerError> {
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
    Ok(Proved { user: ticket.server_user, ticket_key: ticket.key, expected, of_client })
}

const _: () = assert!(PROOF_LEN == 248 && CHALLENGE_LEN == 8);
