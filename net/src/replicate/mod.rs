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
//! | `names` | `scorenames` exchanged over 9P | trees |
//! | `pace` | how fast, and how long to wait | what for |
//!
//! Connections are opened through [`Road`]. Never: a socket, a thread, a clock of its own.

mod blocks;
mod healing;
pub mod info;
mod names;
mod outgoing;
mod pace;
pub mod peer;
pub mod peers;
mod worker;

pub use peer::{Peer, Progress, State};
pub use peers::{Engine, Parts, Peers};

use crate::dial::Dial;
use alloc::string::String;
use embedded_io_async::{Read, Write};

/// How peers are reached.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Road: 'static {
    /// The half that reads.
    type Reader: Read;
    /// The half that writes.
    type Writer: Write;

    /// Opens a connection, to `port` where the address names none.
    ///
    /// # Errors
    /// In words, for who runs the node.
    async fn open(&self, to: &Dial, port: u16) -> Result<(Self::Reader, Self::Writer), String>;
}
