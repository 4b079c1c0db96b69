//! The client's end. In the middle of it the caller fetches tickets from the authentication server; where none
//! can be reached, a client whose account is the server's own makes them itself.

use super::{Established, Nonces, Step, TicketClient, Tickets, established};
use crate::auth::account::Account;
use crate::auth::gather::Gather;
use crate::auth::name::{Domain, UserName};
use crate::auth::p9any::{self, NoAgreement, Version};
use crate::auth::pak::{Exchange, FIELD_LEN, NoPoint, PublicValue, Side};
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
    /// The server wants something else than dp9ik.
    #[error("the server asks for {0:?}, not for a key agreement")]
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
    /// It was over before.
    #[error("this authentication is over")]
    Over,
}

/// How far the negotiation got when the server closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosedAt {
    /// Before dp9ik began.
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
    Confirmation(Domain),
    Challenge(Domain),
    Request(Domain),
    Tickets(Domain, TicketRequest, PublicValue),
    Proof(Tickets, UserName),
    Answer(Ticket, UserName),
    Over,
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
        let State::Tickets(_, request, of_server) = &self.state else {
            return Err(ClientError::NotNow);
        };
        Ok(TicketClient::new(self.account, request.clone(), *of_server, scalar))
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
        let State::Tickets(_, request, of_server) = &self.state else {
            return Err(ClientError::NotNow);
        };
        let ours = self.account.user();
        if request.server != *ours {
            return Err(ClientError::NotOurs { ours: ours.clone(), server: request.server.clone() });
        }
        let exchange = Exchange::new(Side::AuthServer, self.account.points(), own.scalar);
        let for_server = *exchange.public_value();
        let key = exchange.finish(of_server)?;
        let ticket = Ticket {
            challenge: request.challenge,
            client_user: request.client.clone(),
            server_user: request.user.clone(),
            key: own.ticket_key,
        };
        // The key is new, and nothing else is sealed with it.
        let sealed = ticket.seal(Kind::ServerTicket, 0, &key);
        self.use_tickets(Tickets { for_server, sealed, ticket })
    }

    /// What it means that the server closed now.
    pub fn closed_at(&self) -> ClosedAt {
        match self.state {
            State::Answer(..) => ClosedAt::Answer,
            _ => ClosedAt::Negotiation,
        }
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: close.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<Event>, ClientError> {
        let (next, step) = match core::mem::replace(&mut self.state, State::Over) {
            State::Offer => match self.gather.text(input, p9any::MAX_OFFER).map_err(NoAgreement::from)? {
                None => (State::Offer, Step::Receive),
                Some(offer) => {
                    let (domain, version) = p9any::choose(offer, self.domain.as_ref())?;
                    let choice = p9any::choice(&domain);
                    match version {
                        Version::V1 => (State::Challenge(domain), Step::Send(choice)),
                        Version::V2 => (State::Confirmation(domain), Step::Send(choice)),
                    }
                }
            },
            State::Confirmation(domain) => match self.gather.exactly(input) {
                None => (State::Confirmation(domain), Step::Receive),
                Some(said) if said == *p9any::CONFIRMATION => {
                    (State::Request(domain), Step::Send(self.nonces.challenge.to_vec()))
                }
                Some(_) => return Err(NoAgreement::NotConfirmed.into()),
            },
            State::Challenge(domain) => (State::Request(domain), Step::Send(self.nonces.challenge.to_vec())),
            State::Request(domain) => match self.gather.exactly(input) {
                None => (State::Request(domain), Step::Receive),
                Some(asked) => self.asked(domain, &asked)?,
            },
            State::Tickets(domain, request, of_server) => {
                let event = Event::FetchTickets(domain.clone());
                (State::Tickets(domain, request, of_server), Step::Event(event))
            }
            State::Proof(tickets, server) => self.prove(tickets, server),
            State::Answer(ticket, server) => match self.gather.exactly(input) {
                None => (State::Answer(ticket, server), Step::Receive),
                Some(answer) => {
                    let kind = Kind::ServerAuthenticator;
                    let of_server = open_authenticator(kind, &ticket.key, &answer, &self.nonces.challenge)
                        .map_err(ClientError::Authenticator)?;
                    let user = ticket.server_user;
                    let established = established(user, server, &ticket.key, &self.nonces.random, &of_server);
                    (State::Over, Step::Event(Event::Established(established)))
                }
            },
            State::Over => return Err(ClientError::Over),
        };
        self.state = next;
        Ok(step)
    }

    /// Understands what the server wants to have vouched for, and fills in who we are.
    fn asked(
        &self,
        domain: Domain,
        asked: &[u8; REQUEST_LEN + FIELD_LEN],
    ) -> Result<(State, Step<Event>), ClientError> {
        let (mut request, mut of_server) = ([0; REQUEST_LEN], [0; FIELD_LEN]);
        request.copy_from_slice(&asked[..REQUEST_LEN]);
        of_server.copy_from_slice(&asked[REQUEST_LEN..]);
        let mut request = TicketRequest::parse(&request)?;
        if request.wanted != Wanted::KeyAgreement {
            return Err(ClientError::Wanted(request.wanted));
        }
        request.client = self.account.user().clone();
        request.user = self.account.user().clone();
        let event = Event::FetchTickets(domain.clone());
        Ok((State::Tickets(domain, request, of_server), Step::Event(event)))
    }

    fn prove(&self, tickets: Tickets, server: UserName) -> (State, Step<Event>) {
        let Tickets { for_server, sealed, ticket } = tickets;
        let kind = Kind::ClientAuthenticator;
        let authenticator = seal_authenticator(kind, &ticket.key, &ticket.challenge, &self.nonces.random);
        let message = [&for_server[..], &sealed, &authenticator].concat();
        (State::Answer(ticket, server), Step::Send(message))
    }
}
