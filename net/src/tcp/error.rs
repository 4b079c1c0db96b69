//! What can go wrong with addresses, listeners and streams. Knows no smoltcp error: those are told apart
//! where they arise.

use core::net::SocketAddr;
use embedded_io_async::{Error, ErrorKind};
use thiserror::Error;

/// A stream that can no longer be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TcpError {
    /// The connection ended before its data did: reset by the peer, a peer that no longer answers, or the
    /// loss of our own address.
    #[error("connection with {peer} lost: reset, no answer, or our own address is gone")]
    Lost {
        /// The other end.
        peer: SocketAddr,
    },
    /// Written to after it was closed by us.
    #[error("connection with {peer} is already closed for writing")]
    Closed {
        /// The other end.
        peer: SocketAddr,
    },
}

impl Error for TcpError {
    fn kind(&self) -> ErrorKind {
        match self {
            TcpError::Lost { .. } => ErrorKind::ConnectionReset,
            TcpError::Closed { .. } => ErrorKind::BrokenPipe,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The peer answered that nobody listens there.
    #[error("{peer} refuses connections")]
    Refused {
        /// Who was called.
        peer: SocketAddr,
    },
    /// Nobody answered in time.
    #[error("{peer} does not answer")]
    TimedOut {
        /// Who was called.
        peer: SocketAddr,
    },
    /// This node has no address yet from which the peer could be called, or the peer's is none that can be
    /// called.
    #[error("no way to {peer}: this node has no fitting address (yet)")]
    NoAddress {
        /// Who was called.
        peer: SocketAddr,
    },
    /// [`TcpLimits::max_connections`](super::TcpLimits::max_connections) are in use, or memory is short.
    #[error("{peer} not called: all connections are in use")]
    TooMany {
        /// Who was to be called.
        peer: SocketAddr,
    },
}

/// Why a port cannot be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Port 0 is nobody's.
    #[error("port 0 cannot be listened to: name a port from 1 to 65535")]
    PortZero,
    /// Somebody listens already.
    #[error("port {port} is already listened to")]
    InUse {
        /// Which.
        port: u16,
    },
    /// [`TcpLimits::MAX_PORTS`](super::TcpLimits::MAX_PORTS) are listened to.
    #[error("port {port} not opened: too many ports are listened to")]
    TooMany {
        /// Which.
        port: u16,
    },
}

/// Why the network cannot be set up as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The card's own address is a group's.
    #[error("the network card's address {0:02x?} is not that of one card")]
    HardwareAddress([u8; 6]),
    /// A static address or gateway that no host can have.
    #[error("{0} cannot be the address of a host")]
    NotAHost(core::net::IpAddr),
    /// A prefix longer than an address.
    #[error("prefix /{0} is longer than an address")]
    Prefix(u8),
    /// A route that leads nowhere.
    #[error("no route to {network} by {gateway}: both must be of one family, and the gateway a host")]
    Route {
        /// An address in its network.
        network: core::net::IpAddr,
        /// Its gateway.
        gateway: core::net::IpAddr,
    },
    /// More than [`ROUTES_MAX`](super::ROUTES_MAX) routes.
    #[error("{0} static routes are more than a network can have")]
    Routes(usize),
    /// An MTU, of the settings or of the card, outside of what the protocols allow.
    #[error("an MTU of {0} is impossible: allowed are 1280 to 9216 bytes")]
    Mtu(u16),
}
