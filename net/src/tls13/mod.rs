//! TLS 1.3 between nodes, and for anyone with a TLS library: both ends show a certificate, and each accepts the other's by
//! its hash alone.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`identity`] | a node's key and certificate, and the file that keeps them | peers |
//! | `provider` | the arithmetic under rustls | whom we trust |
//! | `server` | the end that answers: rustls | streams |
//! | `client` | the end that dials: embedded-tls, and what has to be watched there | streams |
//! | `engine` | what both ends have in common: bytes in, bytes out | either library |
//! | [`files`] | a node's key and its peers' certificates in 9fat | connections |
//! | `serve` | venti inside | blocks |
//! | `halves` | a connection as two halves of a stream | either library |
//!
//! One suite (AES-128-GCM with SHA-256), one group and one kind of key (P-256): each is among those that RFC 8446 obliges
//! everybody to know. No tickets, no early data, no compression.

mod client;
mod engine;
mod error;
pub mod files;
mod halves;
pub mod identity;
mod provider;
mod serve;
mod server;

pub use engine::Peer;
pub use error::Failure;
pub use halves::{Ours, Reader, Secured, Writer, accept, dial};
pub use identity::{BadFingerprint, BadIdentity, Fingerprint, Identity};
pub use provider::Source;
pub use serve::serve_venti;

/// The port for venti by TLS 1.3.
pub const PORT: u16 = 17035;

/// The name of the file in 9fat that keeps a node's key and certificate. Nobody may read it from outside.
pub const KEY_FILE: &str = "node.key";

/// The name of the file in 9fat that lists the peers' certificates.
pub const THUMBPRINTS_FILE: &str = "thumbprints";

#[cfg(test)]
mod tests;
