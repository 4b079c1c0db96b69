//! The client's conversation with the authentication server (tcp port 567): agree on keys, get tickets.
//!
//! That server does not say that it does not know an account, or that the password is wrong: its tickets then do
//! not open.

use super::Step;
use crate::auth::account::Account;
use crate::auth::gather::Gather;
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
pub struct Tickets {
    /// What the server needs to agree on its key.
    pub for_server: PublicValue,
    /// The server's ticket, sealed.
    pub sealed: [u8; TICKET_LEN],
    /// The client's copy.
    pub ticket: Ticket,
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
    /// It was over before.
    #[error("this conversation is over")]
    Over,
}

enum State {
    Begin(Exchange),
    Status(Await),
    Keys(Exchange),
    Ask(Secret<32>, PublicValue),
    Tickets(Secret<32>, PublicValue),
    Refusal,
    Over,
}

/// What follows the byte that says whether all is well.
enum Await {
    Keys(Exchange),
    Tickets(Secret<32>, PublicValue),
}

/// The client's end of one request.
pub struct TicketClient {
    request: TicketRequest,
    of_server: PublicValue,
    gather: Gather,
    state: State,
}

impl TicketClient {
    /// Asks for tickets to the server that sent `request` and `of_server`. `scalar` is 56 random bytes that are
    /// used once.
    pub(super) fn new(
        account: &Account,
        request: TicketRequest,
        of_server: PublicValue,
        scalar: Secret<FIELD_LEN>,
    ) -> TicketClient {
        let exchange = Exchange::new(Side::Holder, account.points(), scalar);
        TicketClient { request, of_server, gather: Gather::default(), state: State::Begin(exchange) }
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: close.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<Tickets>, TicketError> {
        loop {
            let (next, step) = match core::mem::replace(&mut self.state, State::Over) {
                State::Begin(exchange) => {
                    let ours = exchange.public_value();
                    // Everything at once: the server answers the first half before it reads the second.
                    let message = [&self.ask(Wanted::KeyAgreement)[..], &self.of_server, ours].concat();
                    (State::Status(Await::Keys(exchange)), Some(Step::Send(message)))
                }
                State::Status(next) => match (self.gather.exactly(input), next) {
                    (None, next) => (State::Status(next), Some(Step::Receive)),
                    (Some([OK]), Await::Keys(exchange)) => (State::Keys(exchange), None),
                    (Some([OK]), Await::Tickets(key, value)) => (State::Tickets(key, value), None),
                    (Some([ERROR]), _) => (State::Refusal, None),
                    (Some([other]), _) => return Err(TicketError::NotUnderstood(other)),
                },
                State::Keys(exchange) => match self.gather.exactly::<{ 2 * FIELD_LEN }>(input) {
                    None => (State::Keys(exchange), Some(Step::Receive)),
                    Some(values) => {
                        let (for_server, for_us) = halves(&values);
                        (State::Ask(exchange.finish(&for_us)?, for_server), None)
                    }
                },
                State::Ask(key, for_server) => {
                    let message = self.ask(Wanted::Tickets).to_vec();
                    (State::Status(Await::Tickets(key, for_server)), Some(Step::Send(message)))
                }
                State::Tickets(key, for_server) => match self.gather.exactly(input) {
                    None => (State::Tickets(key, for_server), Some(Step::Receive)),
                    Some(tickets) => (State::Over, Some(Step::Event(self.open(&key, for_server, &tickets)?))),
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
        Ok(Tickets { for_server, sealed, ticket })
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
