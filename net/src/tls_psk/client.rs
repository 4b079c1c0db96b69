//! The client's end of the handshake.

use super::conversation::{Conversation, Heard, Message};
use super::keys::{End, Master, Randoms};
use super::message::{self, kind};
use super::protect::{Opener, protection};
use super::{Step, Suite, TlsError};
use crate::auth::key::SessionSecret;
use crate::rng::Rng;
use alloc::vec::Vec;

enum State {
    Begin(SessionSecret),
    Hello(SessionSecret, [u8; 32]),
    /// The server may say a hint before it is done.
    HelloDone {
        secret: SessionSecret,
        randoms: Randoms,
        suite: Suite,
        hinted: bool,
    },
    NewKeys(Master, Opener),
    Finished(Master),
    Done,
    Over,
}

/// A client that shares `secret` with its server.
pub struct Client<R> {
    rng: R,
    spoken: &'static [Suite],
    offered: Vec<u16>,
    conversation: Conversation<R>,
    state: State,
}

impl<R: Rng> Client<R> {
    /// Draws its random string from `rng`, and what records need of it.
    pub fn new(secret: SessionSecret, rng: R) -> Client<R> {
        let offered: Vec<u16> = Suite::spoken(&secret).iter().map(|suite| suite.number()).collect();
        Client::offering(offered, secret, rng)
    }

    /// A client that offers these suites. Of what a server chooses, only those are taken that go with the secret.
    pub(super) fn offering(offered: Vec<u16>, secret: SessionSecret, rng: R) -> Client<R> {
        let spoken = Suite::spoken(&secret);
        Client { rng, spoken, offered, conversation: Conversation::new(), state: State::Begin(secret) }
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: send
    /// [`Client::last_words`], and close.
    ///
    /// # Errors
    /// The peer does not speak this protocol, or has another secret.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<R>, TlsError> {
        loop {
            // An error leaves the state of a handshake that is over.
            let state = match core::mem::replace(&mut self.state, State::Over) {
                State::Begin(secret) => return self.begin(secret).map(Step::Send),
                State::Done => return self.conversation.channel().map(Step::Done),
                State::Over => return Err(TlsError::Over),
                state => state,
            };
            let Some(heard) = self.conversation.hear(input)? else {
                self.state = state;
                return Ok(Step::Receive);
            };
            let mut out = Vec::new();
            self.state = self.heard(state, heard, &mut out)?;
            if !out.is_empty() {
                return Ok(Step::Send(out));
            }
        }
    }

    /// What to send before closing because of `error`, if anything.
    pub fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        self.conversation.last_words(error)
    }

    fn begin(&mut self, secret: SessionSecret) -> Result<Vec<u8>, TlsError> {
        let mut random = [0; 32];
        self.rng.fill(&mut random);
        // Whatever answers, speaks 1.2.
        self.conversation.settle();
        let mut out = Vec::new();
        self.conversation.say(&message::client_hello(&random, &self.offered), &mut out)?;
        self.state = State::Hello(secret, random);
        Ok(out)
    }

    fn heard(&mut self, state: State, heard: Heard, out: &mut Vec<u8>) -> Result<State, TlsError> {
        match (state, heard) {
            (State::NewKeys(master, opener), Heard::NewKeys) => {
                self.conversation.open_with(opener);
                Ok(State::Finished(master))
            }
            (_, Heard::NewKeys) => Err(TlsError::Unexpected("a ChangeCipherSpec")),
            (state, Heard::Message(message)) => {
                let next = self.message(state, &message, out)?;
                Ok(next)
            }
        }
    }

    fn message(&mut self, state: State, message: &Message, out: &mut Vec<u8>) -> Result<State, TlsError> {
        match (state, message.kind()) {
            (State::Hello(secret, client), kind::SERVER_HELLO) => {
                let (server, suite) =
                    message::parse_server_hello(message.body(), self.spoken, &self.offered)?;
                self.conversation.note(message);
                Ok(State::HelloDone { secret, randoms: Randoms { client, server }, suite, hinted: false })
            }
            (State::HelloDone { secret, randoms, suite, hinted: false }, kind::SERVER_KEY_EXCHANGE) => {
                message::parse_server_key_exchange(message.body())?;
                self.conversation.note(message);
                Ok(State::HelloDone { secret, randoms, suite, hinted: true })
            }
            (State::HelloDone { secret, randoms, suite, .. }, kind::SERVER_HELLO_DONE) => {
                if !message.body().is_empty() {
                    return Err(TlsError::Malformed("a ServerHelloDone"));
                }
                self.conversation.note(message);
                self.prove(&secret, &randoms, suite, out)
            }
            (State::Finished(master), kind::FINISHED) => {
                let wanted = master.verify_data(End::Server, &self.conversation.said());
                message::check_finished(message.body(), &wanted)?;
                Ok(State::Done)
            }
            _ => Err(TlsError::Unexpected("a handshake message")),
        }
    }

    fn prove(
        &mut self,
        secret: &SessionSecret,
        randoms: &Randoms,
        suite: Suite,
        out: &mut Vec<u8>,
    ) -> Result<State, TlsError> {
        self.conversation.say(&message::client_key_exchange(), out)?;
        let master = Master::new(secret, randoms);
        let block = master.key_block(randoms);
        let (sealer, opener) = protection(suite, &block, End::Client, self.rng.clone());
        let proof = master.verify_data(End::Client, &self.conversation.said());
        self.conversation.seal_with(sealer, out);
        self.conversation.say(&message::encode(kind::FINISHED, &[&proof]), out)?;
        Ok(State::NewKeys(master, opener))
    }
}
