//! What is new here goes to the peers, and their names come here: one worker for each peer.
//!
//! The order is: **blocks → the peer's `Rsync` → the cursor → names.** A cursor covers only what the peer confirmed; a
//! name is sent only after everything that was durable when it was published here is confirmed there; one that comes
//! waits in quarantine until its tree is complete. What cannot be read is recorded, fetched from the peer if it has it,
//! retried, and told; it is never skipped in silence. A peer that refuses, fills up, lies or stalls stops its own worker
//! alone.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`info`] | a peer's `NAME.info`: text ↔ address, limits, cursors | files |
//! | [`peer`] | one peer: what is known of it, as others see it | how it is reached |
//! | [`peers`] | which peers there are, by the files in 9fat | what is sent |
//! | `worker` | one peer's rounds: when, and what comes after an error | messages |
//! | `outgoing` | the log, cut into batches; what becomes of damage | connections |
//! | `blocks` | batches to a venti, many at a time, and what it confirmed | files |
//! | `healing` | damaged blocks, fetched from a peer | when |
//! | `desk` | questions about names over venti, answered | trees |
//! | `direct` | those questions, asked | when |
//! | `names` | `scorenames` exchanged over 9P | trees |
//! | [`way`] | how a connection is protected, and who must be there | streams, keys |
//! | `opening` | a connection by each of the ways | what is sent |
//! | `reach` | a host that is named or numbered, tried address by address | what is said there |
//! | `pace` | how fast, and how long to wait | what for |
//!
//! Connections are opened through [`Road`]. Never: a socket, a thread, a clock of its own.

mod blocks;
mod desk;
mod direct;
mod healing;
pub mod info;
mod names;
mod opening;
mod outgoing;
mod pace;
pub mod peer;
pub mod peers;
mod reach;
pub mod way;
mod worker;

pub use desk::WithNames;
pub use opening::{Keys, WayError};
pub use peer::{Peer, Progress, State};
pub use peers::{Engine, Parts, Peers};
pub use way::Way;

use crate::rng::Rng;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use embedded_io_async::{Read, Write};

/// How peers are reached, before any protection: TCP, and what this node proves itself with.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Road: 'static {
    /// The half that reads.
    type Reader: Read;
    /// The half that writes.
    type Writer: Write;
    /// Randomness, good enough for keys.
    type Rng: Rng + Send + Sync;

    /// The addresses of a host that is named. May take as long as it likes.
    ///
    /// # Errors
    /// In words, for who runs the node.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String>;

    /// Opens a connection. May take as long as it likes.
    ///
    /// # Errors
    /// In words.
    async fn connect(&self, to: SocketAddr) -> Result<(Self::Reader, Self::Writer), String>;

    /// What this node proves itself with.
    fn keys(&self) -> &Keys<Self::Rng>;
}
