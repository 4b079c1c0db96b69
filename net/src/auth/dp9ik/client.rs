//! The client's end. In the middle of it the caller fetches tickets from the authentication server; where none
//! can be reached, a client whose account is the server's own makes them itself.

use super::ticket_client::Asked;
use super::{Established, Nonces, Step, TicketClient, TicketError, Tickets};
use crate::auth::account::Account;
use crate::auth::gather::Gather;
use crate::auth::key::{DES_KEY_LEN, SessionSecret, session_secret};
use crate::auth::name::{Domain, UserName};
use crate::auth::p9any::{self, NoAgreement, Protocol, Version};
use crate::auth::p9sk1::{self, DesTicket};
use crate::auth::pak::{Exchange, FIELD_LEN, NoPoint, Side};
use crate::auth::sealed::Kind;
use crate::auth::secret::Secret;
use crate::auth::ticket::{Ticket, Worthless, open_authenticator, seal_authenticator};
use crate::auth::ticket_request::{BadRequest, REQUEST_LEN, TicketRequest, Wanted};

/// What a client tells its caller.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Tickets are needed, from the authentication server of this domain: run [`Client::ticket_client`] with it, then
    /// call [`Client::use_tickets`]; or, where it cannot be reached, [`Client::make_tickets`].
    FetchTickets(Domain),
    /// All is proved; what follows is TLS.
    Established(Established),
}

/// Why a client closes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No protocol was agreed on.
    #[error(transparent)]
    Negotiation(#[from] NoAgreement),
    /// The server's request is none.
    #[error(transparent)]
    Request(#[from] BadRequest),
    /// The server wants something else than belongs to the protocol.
    #[error("the server asks for {0:?}, which does not belong to the protocol that was chosen")]
    Wanted(Wanted),
    /// The server sent no point.
    #[error(transparent)]
    NoPoint(#[from] NoPoint),
    /// No authentication server, and no way around it.
    #[error(
        "without an authentication server, {ours:?} can only connect to itself, and the server is {server:?}"
    )]
    NotOurs {
        /// Our account.
        ours: UserName,
        /// The server's.
        server: UserName,
    },
    /// No tickets are wanted now.
    #[error("tickets are not wanted at this point")]
    NotNow,
    /// The server could not open its ticket.
    #[error("the server's authenticator: {0}")]
    Authenticator(Worthless),
    /// The authentication server was not asked.
    #[error(transparent)]
    Tickets(#[from] TicketError),
    /// It was over before.
    #[error("this authentication is over")]
    Over,
}

/// How far the negotiation got when the server closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosedAt {
    /// Before the protocol began.
    #[error("the server closed while a protocol was chosen")]
    Negotiation,
    /// The server's answer is missing.
    #[error(
        "the server closed instead of proving itself: its key is not the one that the authentication server has for it, or \
         it does not let this user in"
    )]
    Answer,
}

enum State {
    Offer,
    Confirmation(Chosen),
    Challenge(Chosen),
    Request(Domain),
    OldRequest(Domain),
    Tickets(Domain, TicketRequest, Asked),
    Proof(Tickets, UserName),
    Answer(Ticket, UserName),
    OldAnswer(DesTicket, UserName),
    Over,
}

/// What was taken of the offer.
struct Chosen {
    protocol: Protocol,
    domain: Domain,
}

/// The client's end of one connection.
pub struct Client<'a> {
    account: &'a Account,
    domain: Option<Domain>,
    nonces: Nonces,
    gather: Gather,
    state: State,
}

/// What a client must draw when it makes its tickets itself.
pub struct OwnTickets {
    /// The scalar of the key agreement, in the place of the authentication server.
    pub scalar: Secret<FIELD_LEN>,
    /// The key in the tickets.
    pub ticket_key: Secret<32>,
}

impl<'a> Client<'a> {
    /// A client with its account, for a domain, or for the first that the server offers.
    pub fn new(account: &'a Account, domain: Option<Domain>, nonces: Nonces) -> Client<'a> {
        Client { account, domain, nonces, gather: Gather::default(), state: State::Offer }
    }

    /// The conversation with the authentication server, once [`Event::FetchTickets`] asked for it. `scalar` is 56
    /// random bytes that are used once.
    pub fn ticket_client(&self, scalar: Secret<FIELD_LEN>) -> Result<TicketClient, ClientError> {
        let State::Tickets(_, request, asked) = &self.state else {
            return Err(ClientError::NotNow);
        };
        Ok(TicketClient::new(self.account, request.clone(), asked, scalar)?)
    }

    /// Goes on with what the authentication server gave.
    pub fn use_tickets(&mut self, tickets: Tickets) -> Result<(), ClientError> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Tickets(_, request, _) => {
                self.state = State::Proof(tickets, request.server);
                Ok(())
            }
            _ => Err(ClientError::NotNow),
        }
    }

    /// Goes on without an authentication server, which is possible if our account is the server's own.
    pub fn make_tickets(&mut self, own: OwnTickets) -> Result<(), ClientError> {
        let State::Tickets(_, request, asked) = &self.state else {
            return Err(ClientError::NotNow);
        };
        let ours = self.account.user();
        if request.server != *ours {
            return Err(ClientError::NotOurs { ours: ours.clone(), server: request.server.clone() });
        }
        let (challenge, client_user) = (request.challenge, request.client.clone());
        let server_user = request.user.clone();
        let tickets = match asked {
            Asked::Dp9ik(of_server) => {
                let exchange = Exchange::new(Side::AuthServer, self.account.points(), own.scalar);
                let for_server = *exchange.public_value();
                let key = exchange.finish(of_server)?;
                let ticket = Ticket { challenge, client_user, server_user, key: own.ticket_key };
                // The key is new, and nothing else is sealed with it.
                let sealed = ticket.seal(Kind::ServerTicket, 0, &key);
                Tickets::Dp9ik { for_server, sealed, ticket }
            }
            Asked::P9sk1 => {
                let under = self.account.des_key().ok_or(TicketError::NoDesKey)?;
                let key = Secret::filled(|key: &mut [u8; DES_KEY_LEN]| {
                    key.copy_from_slice(&own.ticket_key.expose()[..DES_KEY_LEN]);
                });
                let ticket = DesTicket { challenge, client_user, server_user, key };
                Tickets::P9sk1 { sealed: ticket.seal(Kind::ServerTicket, under), ticket }
            }
        };
        self.use_tickets(tickets)
    }

    /// What it means that the server closed now.
    pub fn closed_at(&self) -> ClosedAt {
        match self.state {
            State::Answer(..) | State::OldAnswer(..) => ClosedAt::Answer,
            _ => ClosedAt::Negotiation,
        }
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: close.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<Event>, ClientError> {
        let (next, step) = match core::mem::replace(&mut self.state, State::Over) {
            State::Offer => match self.gather.text(input, p9any::MAX_OFFER).map_err(NoAgreement::from)? {
                None => (State::Offer, Step::Receive),
                Some(offer) => {
                    let spoken = p9any::spoken(self.account);
                    let (protocol, domain, version) = p9any::choose(offer, spoken, self.domain.as_ref())?;
                    let choice = p9any::choice(protocol, &domain);
                    let chosen = Chosen { protocol, domain };
                    match version {
                        Version::V1 => (State::Challenge(chosen), Step::Send(choice)),
                        Version::V2 => (State::Confirmation(chosen), Step::Send(choice)),
                    }
                }
            },
            State::Confirmation(chosen) => match self.gather.exactly(input) {
                None => (State::Confirmation(chosen), Step::Receive),
                Some(said) if said == *p9any::CONFIRMATION => self.challenge(chosen),
                Some(_) => return Err(NoAgreement::NotConfirmed.into()),
            },
            State::Challenge(chosen) => self.challenge(chosen),
            State::Request(domain) => match self.gather.exactly(input) {
                None => (State::Request(domain), Step::Receive),
                Some(asked) => self.asked(domain, &asked)?,
            },
            State::OldRequest(domain) => match self.gather.exactly(input) {
                None => (State::OldRequest(domain), Step::Receive),
                Some(request) => self.fetch(domain, &request, Wanted::Tickets, Asked::P9sk1)?,
            },
            State::Tickets(domain, request, asked) => {
                let event = Event::FetchTickets(domain.clone());
                (State::Tickets(domain, request, asked), Step::Event(event))
            }
            State::Proof(tickets, server) => self.prove(tickets, server),
            State::Answer(ticket, server) => match self.gather.exactly(input) {
                None => (State::Answer(ticket, server), Step::Receive),
                Some(answer) => {
                    let kind = Kind::ServerAuthenticator;
                    let of_server = open_authenticator(kind, &ticket.key, &answer, &self.nonces.challenge)
                        .map_err(ClientError::Authenticator)?;
                    let secret = session_secret(&ticket.key, &self.nonces.random, &of_server);
                    established(ticket.server_user, server, SessionSecret::Dp9ik(secret))
                }
            },
            State::OldAnswer(ticket, server) => match self.gather.exactly(input) {
                None => (State::OldAnswer(ticket, server), Step::Receive),
                Some(answer) => {
                    let kind = Kind::ServerAuthenticator;
                    let challenge = &self.nonces.challenge;
                    p9sk1::ticket::open_authenticator(kind, &ticket.key, &answer, challenge)
                        .map_err(ClientError::Authenticator)?;
                    established(ticket.server_user, server, p9sk1::session_secret(&ticket.key))
                }
            },
            State::Over => return Err(ClientError::Over),
        };
        self.state = next;
        Ok(step)
    }

    fn challenge(&self, chosen: Chosen) -> (State, Step<Event>) {
        let next = match chosen.protocol {
            Protocol::Dp9ik => State::Request(chosen.domain),
            Protocol::P9sk1 => State::OldRequest(chosen.domain),
        };
        (next, Step::Send(self.nonces.challenge.to_vec()))
    }

    fn asked(
        &self,
        domain: Domain,
        asked: &[u8; REQUEST_LEN + FIELD_LEN],
    ) -> Result<(State, Step<Event>), ClientError> {
        let (mut request, mut of_server) = ([0; REQUEST_LEN], [0; FIELD_LEN]);
        request.copy_from_slice(&asked[..REQUEST_LEN]);
        of_server.copy_from_slice(&asked[REQUEST_LEN..]);
        self.fetch(domain, &request, Wanted::KeyAgreement, Asked::Dp9ik(of_server))
    }

    /// Understands what the server wants to have vouched for, and fills in who we are.
    fn fetch(
        &self,
        domain: Domain,
        request: &[u8; REQUEST_LEN],
        wanted: Wanted,
        asked: Asked,
    ) -> Result<(State, Step<Event>), ClientError> {
        let mut request = TicketRequest::parse(request)?;
        if request.wanted != wanted {
            return Err(ClientError::Wanted(request.wanted));
        }
        request.client = self.account.user().clone();
        request.user = self.account.user().clone();
        let event = Event::FetchTickets(domain.clone());
        Ok((State::Tickets(domain, request, asked), Step::Event(event)))
    }

    fn prove(&self, tickets: Tickets, server: UserName) -> (State, Step<Event>) {
        let kind = Kind::ClientAuthenticator;
        match tickets {
            Tickets::Dp9ik { for_server, sealed, ticket } => {
                let random = &self.nonces.random;
                let authenticator = seal_authenticator(kind, &ticket.key, &ticket.challenge, random);
                let message = [&for_server[..], &sealed, &authenticator].concat();
                (State::Answer(ticket, server), Step::Send(message))
            }
            Tickets::P9sk1 { sealed, ticket } => {
                let authenticator = p9sk1::ticket::seal_authenticator(kind, &ticket.key, &ticket.challenge);
                let message = [&sealed[..], &authenticator].concat();
                (State::OldAnswer(ticket, server), Step::Send(message))
            }
        }
    }
}

fn established(user: UserName, server: UserName, secret: SessionSecret) -> (State, Step<Event>) {
    (State::Over, Step::Event(Event::Established(Established { user, server, secret })))
}
