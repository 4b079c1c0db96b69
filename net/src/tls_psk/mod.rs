//! TLS 1.2 between two ends that already share a secret, as 9front speaks it after `dp9ik`: bytes in, bytes out.
//!
//! Knows handshakes, records, alerts, and two suites; must not know where the secret comes from, sockets, or what is
//! inside the stream.
//!
//! | module | what |
//! |---|---|
//! | [`alert`] | what an end says before it closes, and why |
//! | [`suite`] | the two suites, by their numbers |
//! | `keys` | keys made of the secret and the random strings of both ends |
//! | `record` | records: headers, bounds, pieces put together |
//! | `protect`, `cbc`, `padded_mac` | sealing and opening records |
//! | `message` | handshake messages ↔ bytes |
//! | `conversation` | what both ends do alike during the handshake |
//! | [`client`], [`server`] | the two ends of the handshake |
//! | [`channel`] | what comes of it: a half that sends and a half that receives |
//!
//! ```text
//! client                                   server
//!   ClientHello ─────────────────────────►
//!             ◄───────── ServerHello, ServerHelloDone
//!   ClientKeyExchange, [keys], Finished ─►
//!             ◄──────────────────── [keys], Finished
//! ```
//!
//! Only version 1.2. No certificates, no resumption, no renegotiation, no extension but the one that says so.

pub mod alert;
mod cbc;
pub mod channel;
pub mod client;
mod conversation;
mod keys;
mod message;
mod padded_mac;
mod protect;
mod record;
pub mod server;
pub mod suite;
#[cfg(test)]
mod tests;

pub use alert::{Alert, TlsError};
pub use channel::{Channel, Received, Receiver, Sender};
pub use client::Client;
pub use protect::{Opened, Sealed, Unsealed};
pub use server::Server;
pub use suite::Suite;

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Most bytes of plaintext in a record.
pub const PLAIN_MAX: usize = 16_384;

/// What an end of a handshake does next.
#[derive(Debug)]
pub enum Step<R> {
    /// Come back with more bytes; those given are used up.
    Receive,
    /// Send this, then come back, with no new bytes if there are none.
    Send(Vec<u8>),
    /// The handshake is done. Bytes that were not taken belong to the channel.
    Done(Box<Channel<R>>),
}
