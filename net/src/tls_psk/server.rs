//! The server's end of the handshake.

use super::conversation::{Conversation, Heard};
use super::keys::{End, Master, Randoms};
use super::message::{self, ClientHello, kind};
use super::protect::{Opener, Sealer, protection};
use super::{Step, Suite, TlsError};
use crate::auth::key::SessionSecret;
use crate::rng::Rng;
use alloc::vec::Vec;

enum State<R> {
    Hello(SessionSecret),
    KeyExchange(Master, Sealer<R>, Opener),
    NewKeys(Master, Sealer<R>, Opener),
    Finished(Master, Sealer<R>),
    Done,
    Over,
}

/// A server that shares `secret` with its client.
pub struct Server<R> {
    rng: R,
    conversation: Conversation<R>,
    state: State<R>,
}

impl<R: Rng> Server<R> {
    /// Draws its random string from `rng`, and what records need of it.
    pub fn new(secret: SessionSecret, rng: R) -> Server<R> {
        Server { rng, conversation: Conversation::new(), state: State::Hello(secret) }
    }

    /// Takes bytes from the front of `input` up to what is to be done next. After an error: send
    /// [`Server::last_words`], and close.
    ///
    /// # Errors
    /// The peer does not speak this protocol, or has another secret.
    pub fn step(&mut self, input: &mut &[u8]) -> Result<Step<R>, TlsError> {
        loop {
            // An error leaves the state of a handshake that is over.
            let state = match core::mem::replace(&mut self.state, State::Over) {
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

    fn heard(&mut self, state: State<R>, heard: Heard, out: &mut Vec<u8>) -> Result<State<R>, TlsError> {
        match (state, heard) {
            (State::Hello(secret), Heard::Message(message)) if message.kind() == kind::CLIENT_HELLO => {
                let hello = ClientHello::parse(message.body(), Suite::spoken(&secret))?;
                self.conversation.settle();
                self.conversation.note(&message);
                self.answer(&secret, &hello, out)
            }
            (State::KeyExchange(master, sealer, opener), Heard::Message(message))
                if message.kind() == kind::CLIENT_KEY_EXCHANGE =>
            {
                message::parse_client_key_exchange(message.body())?;
                self.conversation.note(&message);
                Ok(State::NewKeys(master, sealer, opener))
            }
            (State::NewKeys(master, sealer, opener), Heard::NewKeys) => {
                self.conversation.open_with(opener);
                Ok(State::Finished(master, sealer))
            }
            (State::Finished(master, sealer), Heard::Message(message))
                if message.kind() == kind::FINISHED =>
            {
                let wanted = master.verify_data(End::Client, &self.conversation.said());
                message::check_finished(message.body(), &wanted)?;
                self.conversation.note(&message);
                let proof = master.verify_data(End::Server, &self.conversation.said());
                self.conversation.seal_with(sealer, out);
                self.conversation.say(&message::encode(kind::FINISHED, &[&proof]), out)?;
                Ok(State::Done)
            }
            (_, Heard::NewKeys) => Err(TlsError::Unexpected("a ChangeCipherSpec")),
            (_, Heard::Message(_)) => Err(TlsError::Unexpected("a handshake message")),
        }
    }

    fn answer(
        &mut self,
        secret: &SessionSecret,
        hello: &ClientHello,
        out: &mut Vec<u8>,
    ) -> Result<State<R>, TlsError> {
        let mut randoms = Randoms { client: hello.random, server: [0; 32] };
        self.rng.fill(&mut randoms.server);
        let mut messages = message::server_hello(&randoms.server, hello.suite, hello.asks_renegotiation);
        messages.extend(message::encode(kind::SERVER_HELLO_DONE, &[]));
        self.conversation.say(&messages, out)?;
        let master = Master::new(secret, &randoms);
        let block = master.key_block(&randoms);
        let (sealer, opener) = protection(hello.suite, &block, End::Server, self.rng.clone());
        Ok(State::KeyExchange(master, sealer, opener))
    }
}
