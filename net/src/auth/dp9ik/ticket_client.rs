//! The client's conversation with the authentication server (tcp port 567): agree on keys, get tickets.
//!
//! That server does not say that it does not know an account, or that the password is wrong: its tickets then do
//! not open.

use super::Step;
use crate::auth::account::Account;
use crate::auth::gather::Gather;
use crate::auth::key::DES_KEY_LEN;
use crate::auth::p9sk1::{self, DesTicket};
use crate::auth::pak::{Exchange, FIELD_LEN, NoPoint, PublicValue, Side};
use crate::auth::sealed::Kind;
use crate::auth::secret::Secret;
use crate::auth::ticket::{TICKET_LEN, Ticket, Worthless};
use crate::auth::ticket_request::{TicketRequest, Wanted};
use alloc::string::String;

/// The port of the authentication server.
pub const PORT: u16 = 567;

const OK: u8 = 4;
const ERROR: u8 = 5;
const ERROR_LEN: usize = 64;

/// What a client needs to prove itself to one server, once.
#[derive(Debug, PartialEq, Eq)]
pub enum Tickets {
    /// By dp9ik.
    Dp9ik {
        /// What the server needs to agree on its key.
        for_server: PublicValue,
        /// The server's ticket, sealed.
        sealed: [u8; TICKET_LEN],
        /// The client's copy.
        ticket: Ticket,
    },
    /// By p9sk1.
    P9sk1 {
        /// The server's ticket, sealed.
        sealed: [u8; p9sk1::ticket::TICKET_LEN],
        /// The client's copy.
        ticket: DesTicket,
    },
}

/// What the server asked its client to bring.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Its ticket, and what it needs to agree on the ticket's key.
    Dp9ik(PublicValue),
    /// Its ticket.
    P9sk1,
}

/// Why there are no tickets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The server says no.
    #[error("the authentication server refuses: {0}")]
    Refused(String),
    /// Something else is speaking.
    #[error("no authentication server: it answers with {0}, known are 4 and 5")]
    NotUnderstood(u8),
    /// The server sent no point.
    #[error("the authentication server: {0}")]
    NoPoint(#[from] NoPoint),
    /// The client's copy proves nothing.
    #[error(
        "the ticket for us: {0} (a wrong key or password, an unknown account, or one that may not speak for this user)"
    )]
    Ticket(Worthless),
    /// p9sk1, and an account without a key for it.
    #[error("this account has no key for p9sk1")]
    NoDesKey,
    /// It was over before.
    #[error("this conversation is over")]
    Over,
}

enum State {
    Begin(Exchange, PublicValue),
    Status(Await),
    Keys(Exchange),
    Ask(Under),
    Tickets(Secret<32>, PublicValue),
    OldTickets(Secret<DES_KEY_LEN>),
    Refusal,
    Over,
}

/// What follows the byte that says whether all is well.
enum Await {
    Keys(Exchange),
    Tickets(Under),
}

/// The client's key, under which its ticket will be.
enum Under {
    /// One that was agreed on, and what the server needs for its own.
    Agreed(Secret<32>, PublicValue),
    /// That of p9sk1.
    Old(Secret<DES_KEY_LEN>),
}

/// The client's end of one request.
pub struct TicketClient {
    request: TicketRequest,
    gather: Gather,
    state: State,
}

impl TicketClient {
    /// Asks for tickets to the server that sent `request` and `asked`. `scalar` is 56 random bytes that are used
    /// once.
    pub(super) fn new(
        account: &Account,
        request: TicketRequest,
        asked: &Asked,
        scalar: Secret<FIELD_LEN>,
    ) -> Result<TicketClient, TicketError> {
        let state = match asked {
            Asked::Dp9ik(of_server) => {
                State::Begin(Exchange::new(Side::Holder, account.points(), scalar), *of_server)
            }
            Asked::P9sk1 => State::Ask(Under::Old(account.des_key().ok_or(TicketError::NoDesKey)?.clone())),
        };
        Ok(TicketClient { request, gather: Gather::default(), state })
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: close.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<Tickets>, TicketError> {
        loop {
            let (next, step) = match core::mem::replace(&mut self.state, State::Over) {
                State::Begin(exchange, of_server) => {
                    let ours = exchange.public_value();
                    // Everything at once: the server answers the first half before it reads the second.
                    let message = [&self.ask(Wanted::KeyAgreement)[..], &of_server, ours].concat();
                    (State::Status(Await::Keys(exchange)), Some(Step::Send(message)))
                }
                State::Status(next) => match (self.gather.exactly(input), next) {
                    (None, next) => (State::Status(next), Some(Step::Receive)),
                    (Some([OK]), Await::Keys(exchange)) => (State::Keys(exchange), None),
                    (Some([OK]), Await::Tickets(Under::Agreed(key, value))) => {
                        (State::Tickets(key, value), None)
                    }
                    (Some([OK]), Await::Tickets(Under::Old(key))) => (State::OldTickets(key), None),
                    (Some([ERROR]), _) => (State::Refusal, None),
                    (Some([other]), _) => return Err(TicketError::NotUnderstood(other)),
                },
                State::Keys(exchange) => match self.gather.exactly::<{ 2 * FIELD_LEN }>(input) {
                    None => (State::Keys(exchange), Some(Step::Receive)),
                    Some(values) => {
                        let (for_server, for_us) = halves(&values);
                        (State::Ask(Under::Agreed(exchange.finish(&for_us)?, for_server)), None)
                    }
                },
                State::Ask(under) => {
                    let message = self.ask(Wanted::Tickets).to_vec();
                    (State::Status(Await::Tickets(under)), Some(Step::Send(message)))
                }
                State::Tickets(key, for_server) => match self.gather.exactly(input) {
                    None => (State::Tickets(key, for_server), Some(Step::Receive)),
                    Some(tickets) => (State::Over, Some(Step::Event(self.open(&key, for_server, &tickets)?))),
                },
                State::OldTickets(key) => match self.gather.exactly(input) {
                    None => (State::OldTickets(key), Some(Step::Receive)),
                    Some(tickets) => (State::Over, Some(Step::Event(self.open_old(&key, &tickets)?))),
                },
                State::Refusal => match self.gather.exactly(input) {
                    None => (State::Refusal, Some(Step::Receive)),
                    Some(text) => return Err(TicketError::Refused(printable(&text))),
                },
                State::Over => return Err(TicketError::Over),
            };
            self.state = next;
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn ask(&self, wanted: Wanted) -> [u8; crate::auth::ticket_request::REQUEST_LEN] {
        TicketRequest { wanted, ..self.request.clone() }.encode()
    }

    /// The client's ticket comes first.
    fn open(
        &self,
        key: &Secret<32>,
        for_server: PublicValue,
        tickets: &[u8; 2 * TICKET_LEN],
    ) -> Result<Tickets, TicketError> {
        let (ours, sealed) = halves(tickets);
        let ticket = Ticket::open(Kind::ClientTicket, key, &ours, &self.request.challenge)
            .map_err(TicketError::Ticket)?;
        Ok(Tickets::Dp9ik { for_server, sealed, ticket })
    }

    fn open_old(
        &self,
        key: &Secret<DES_KEY_LEN>,
        tickets: &[u8; 2 * p9sk1::ticket::TICKET_LEN],
    ) -> Result<Tickets, TicketError> {
        let (ours, sealed) = halves(tickets);
        let ticket = DesTicket::open(Kind::ClientTicket, key, &ours, &self.request.challenge)
            .map_err(TicketError::Ticket)?;
        Ok(Tickets::P9sk1 { sealed, ticket })
    }
}

fn halves<const BOTH: usize, const HALF: usize>(both: &[u8; BOTH]) -> ([u8; HALF], [u8; HALF]) {
    const { assert!(BOTH == 2 * HALF) };
    let (mut first, mut second) = ([0; HALF], [0; HALF]);
    first.copy_from_slice(&both[..HALF]);
    second.copy_from_slice(&both[HALF..]);
    (first, second)
}

/// A text from outside, up to its first zero, without what could confuse a terminal.
fn printable(text: &[u8; ERROR_LEN]) -> String {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let shown = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    String::from_utf8_lossy(text).chars().map(shown).collect()
}
