//! What both ends have in common: one connection as bytes in and bytes out, without a stream.

use super::error::Failure;
use super::identity::Fingerprint;
use crate::auth::thumbprint::Grant;
use alloc::vec::Vec;

/// Most bytes of a record, its header included (RFC 8446, 5.2).
pub(super) const RECORD_LEN_MAX: usize = 5 + (1 << 14) + 256;

/// Most bytes of plain text in a record.
pub(super) const PLAIN_LEN_MAX: usize = 1 << 14;

/// Whom we talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its certificate's hash.
    pub fingerprint: Fingerprint,
    /// What `thumbprints` says of it.
    pub grant: Grant,
}

impl core::fmt::Display for Peer {
    /// For the log: how its hash begins, and its name.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.fingerprint.short())?;
        if self.grant.name.is_empty() { Ok(()) } else { write!(f, " ({})", self.grant.name) }
    }
}

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes, at least one.
    Data(usize),
    /// Nothing until more of the peer's bytes have come.
    NeedMore,
    /// The peer said goodbye.
    Closed,
}

/// One end of a connection.
pub(super) trait Engine {
    /// How many bytes [`Engine::feed`] takes now.
    fn room(&self) -> usize;

    /// Takes bytes that the peer sent, at most [`Engine::room`].
    fn feed(&mut self, bytes: &[u8]);

    /// Goes on with the handshake as far as what came allows. Yields the peer when it is done. What is to be sent, after
    /// an error too, is in [`Engine::output`].
    fn handshake(&mut self) -> Result<Option<Peer>, Failure>;

    /// Opens what came.
    fn receive(&mut self, target: &mut [u8]) -> Result<Received, Failure>;

    /// Seals as much of `plain` as is sensible at once; says how much. The rest is in [`Engine::output`].
    fn send(&mut self, plain: &[u8]) -> Result<usize, Failure>;

    /// Says goodbye.
    fn close(&mut self) -> Result<(), Failure>;

    /// Bytes for the peer, to be taken out.
    fn output(&mut self) -> &mut Vec<u8>;
}
