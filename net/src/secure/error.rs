//! Why there is no connection, and why one ended.

use crate::auth::UserName;
use crate::auth::dp9ik::client::ClosedAt;
use crate::auth::dp9ik::{ClientError, ServerError, TicketError};
use crate::tls_psk::TlsError;
use alloc::string::String;
use embedded_io_async::{Error, ErrorKind};

/// Why the two ends did not come together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecureError {
    /// The client proves nothing.
    #[error(transparent)]
    Client(#[from] ServerError),
    /// The client is who it says, and may do nothing here.
    #[error("{0:?} proved who it is, and has no rights here")]
    NotAdmitted(UserName),
    /// The server proves nothing.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The authentication server gives no tickets.
    #[error(transparent)]
    Tickets(#[from] TicketError),
    /// The server gave up.
    #[error(transparent)]
    Closed(#[from] ClosedAt),
    /// There is no authentication server, and no way around it.
    #[error(
        "no authentication server: {reason}; without one, {ours:?} can only connect to itself, and the server is \
         {server:?}"
    )]
    NoAuthServer {
        /// Which one, and why it cannot be reached.
        reason: String,
        /// Our account.
        ours: UserName,
        /// The server's.
        server: UserName,
    },
    /// Another server than was wanted.
    #[error("the server proved to be {found:?}, and {wanted:?} was wanted")]
    OtherServer {
        /// Who was wanted.
        wanted: UserName,
        /// Who is there.
        found: UserName,
    },
    /// The secret was agreed on, and then TLS failed.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// It took too long.
    #[error("the peer did not prove itself in time")]
    TimedOut,
    /// The peer closed.
    #[error("the peer closed before it proved itself")]
    Hungup,
    /// The stream failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
}

/// Why a half of a secured connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The peer broke the rules, or somebody between.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The stream beneath failed.
    #[error("the connection failed: {0:?}")]
    Stream(ErrorKind),
    /// A write was dropped half way, so nobody knows what of it the peer got.
    #[error("a write was given up half way")]
    GivenUp,
}

impl Error for ChannelError {
    fn kind(&self) -> ErrorKind {
        match self {
            ChannelError::Tls(TlsError::Truncated | TlsError::Fatal(_)) => ErrorKind::ConnectionAborted,
            ChannelError::Tls(TlsError::Over) => ErrorKind::NotConnected,
            ChannelError::Tls(_) => ErrorKind::InvalidData,
            ChannelError::Stream(kind) => *kind,
            ChannelError::GivenUp => ErrorKind::BrokenPipe,
        }
    }
}
