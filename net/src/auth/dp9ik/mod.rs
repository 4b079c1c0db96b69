//! `dp9ik` behind `p9any`, for both ends and towards the authentication server: bytes in, [`Step`]s out.
//!
//! ```text
//! server                          client                        authentication server
//!   offer ────────────────────────►
//!         ◄──────── choice, challenge
//!   request, YAs ─────────────────►
//!                                  request, YAs, YAc ───────────►
//!                                  ◄──────────────────── YBs, YBc
//!                                  request ─────────────────────►
//!                                  ◄───────────────── two tickets
//!         ◄─ YBs, ticket, authenticator
//!   authenticator ────────────────►
//! ```
//!
//! An account with a key for it speaks `p9sk1` as well, where the peer has nothing better: the same without what is
//! marked YA and YB, with the old form of tickets.
//!
//! What follows on the connection is TLS. No bytes are taken that belong to it.
//! Nobody tells the peer why: an end that is not satisfied closes.

pub mod client;
#[cfg(test)]
mod old_tests;
pub mod server;
#[cfg(test)]
mod tests;
pub mod ticket_client;

pub use client::{Client, ClientError};
pub use server::{Server, ServerError};
pub use ticket_client::{TicketClient, TicketError, Tickets};

use super::key::SessionSecret;
use super::name::UserName;
use super::secret::Secret;
use super::ticket::{CHALLENGE_LEN, Challenge};
use crate::rng::Rng;
use alloc::vec::Vec;

/// What an end does next. `Event` is what only this end has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<Event> {
    /// Come back with more bytes; those given are used up.
    Receive,
    /// Send this, then come back, with no new bytes if there are none.
    Send(Vec<u8>),
    /// Something for the caller.
    Event(Event),
}

/// Both ends are who they say, and share a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Established {
    /// The user that the server takes the client for.
    pub user: UserName,
    /// The server's account.
    pub server: UserName,
    /// The key for TLS.
    pub secret: SessionSecret,
}

/// What an end of `dp9ik` must draw anew for every connection.
#[derive(Clone, Copy)]
pub struct Nonces {
    /// What the peer has to repeat.
    pub challenge: Challenge,
    /// This end's part of the session's secret.
    pub random: [u8; 32],
}

impl Nonces {
    /// Draws. From a generator that repeats itself after a restart the proof is worth nothing.
    pub fn draw(rng: &impl Rng) -> Nonces {
        let mut nonces = Nonces { challenge: [0; CHALLENGE_LEN], random: [0; 32] };
        rng.fill(&mut nonces.challenge);
        rng.fill(&mut nonces.random);
        nonces
    }
}

/// Draws a secret: the scalar of a key agreement, or a key.
pub fn draw_secret<const N: usize>(rng: &impl Rng) -> Secret<N> {
    Secret::filled(|target| rng.fill(target))
}
