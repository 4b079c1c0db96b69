//! Why a connection did not come about, or ended.

use super::identity::Fingerprint;
use alloc::string::String;
use embedded_io_async::{Error, ErrorKind};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer showed a certificate that nobody listed.
    #[error(
        "the peer's certificate {0} is not trusted; if it should be, `granary key trust` adds it to thumbprints"
    )]
    Stranger(Fingerprint),
    /// The peer did not prove that the certificate is its own.
    #[error("the peer did not prove that it has the key of its certificate")]
    Unproved,
    /// Something that TLS 1.3 does not allow, or that we do not speak; also what the peer said against us.
    #[error("TLS: {0}")]
    Protocol(String),
    /// The stream ended without the peer's goodbye: somebody may have cut it off.
    #[error("the connection was cut off: it ended without the goodbye that TLS asks for")]
    Truncated,
    /// The handshake took too long.
    #[error("the TLS handshake did not end in time")]
    TooLate,
    /// As much was sent under one key as may be.
    #[error("as much was sent as one TLS key is good for; connect again")]
    UsedUp,
    /// We said goodbye already.
    #[error("the connection was closed")]
    Closed,
    /// The stream beneath failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
}

impl Error for Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Failure::Stream(kind) => *kind,
            Failure::Truncated => ErrorKind::ConnectionAborted,
            Failure::TooLate => ErrorKind::TimedOut,
            Failure::Stranger(_) | Failure::Unproved => ErrorKind::PermissionDenied,
            Failure::Closed => ErrorKind::NotConnected,
            Failure::Protocol(_) | Failure::UsedUp => ErrorKind::InvalidData,
        }
    }
}
