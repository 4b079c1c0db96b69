//! What the network is doing, for people and for metrics. Plain values: knows nothing of how they come about.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// A snapshot of interface and sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetStatus {
    /// The card's Ethernet address.
    pub hardware_address: [u8; 6],
    /// IPv4, in one of its states.
    pub ipv4: Ipv4Status,
    /// IPv6 addresses, the link-local one first; none if IPv6 is off.
    pub ipv6: heapless::Vec<Ipv6Address, 8>,
    /// The IPv6 gateway.
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// The largest packet that is sent, in bytes.
    pub mtu: u16,
    /// Frames in and out.
    pub frames: FrameCounters,
    /// Connections.
    pub tcp: TcpStatus,
}

/// The figures of all cards together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetTotals {
    /// Frames in and out.
    pub frames: FrameCounters,
    /// Connections.
    pub tcp: TcpStatus,
}

impl NetTotals {
    /// Those of these cards.
    pub fn of(cards: &[NetStatus]) -> NetTotals {
        cards.iter().fold(NetTotals::default(), NetTotals::plus)
    }

    fn plus(self, card: &NetStatus) -> NetTotals {
        let (frames, tcp, more, other) = (self.frames, self.tcp, card.frames, card.tcp);
        NetTotals {
            frames: FrameCounters {
                frames_in: frames.frames_in.wrapping_add(more.frames_in),
                bytes_in: frames.bytes_in.wrapping_add(more.bytes_in),
                frames_out: frames.frames_out.wrapping_add(more.frames_out),
                bytes_out: frames.bytes_out.wrapping_add(more.bytes_out),
            },
            tcp: TcpStatus {
                open: tcp.open + other.open,
                half_open: tcp.half_open + other.half_open,
                lingering: tcp.lingering + other.lingering,
                listening: tcp.listening + other.listening,
                buffer_bytes: tcp.buffer_bytes + other.buffer_bytes,
                accepted: tcp.accepted.wrapping_add(other.accepted),
                connected: tcp.connected.wrapping_add(other.connected),
                half_open_expired: tcp.half_open_expired.wrapping_add(other.half_open_expired),
                evicted: tcp.evicted.wrapping_add(other.evicted),
                refused: tcp.refused.wrapping_add(other.refused),
            },
        }
    }
}

/// How IPv4 stands. Its text is for console and log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Status {
    /// Switched off by setting.
    Off,
    /// As set.
    Static {
        /// This node.
        address: Ipv4Addr,
        /// Bits of the network.
        prefix: u8,
        /// The gateway, if there is one.
        gateway: Option<Ipv4Addr>,
    },
    /// No DHCP server has answered yet, or the lease was lost.
    Searching {
        /// For how long.
        elapsed: Duration,
    },
    /// Leased.
    Leased {
        /// This node.
        address: Ipv4Addr,
        /// Bits of the network.
        prefix: u8,
        /// The gateway that the server named.
        gateway: Option<Ipv4Addr>,
        /// The server.
        server: Ipv4Addr,
        /// How long ago the lease was won (renewals that change nothing do not count).
        elapsed: Duration,
    },
}

impl Ipv4Status {
    /// The address that can be called, if there is one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match *self {
            Ipv4Status::Static { address, .. } | Ipv4Status::Leased { address, .. } => Some(address),
            Ipv4Status::Off | Ipv4Status::Searching { .. } => None,
        }
    }
}

impl fmt::Display for Ipv4Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let via = |out: &mut fmt::Formatter<'_>, gateway: Option<Ipv4Addr>| match gateway {
            Some(gateway) => write!(out, ", gateway {gateway}"),
            None => Ok(()),
        };
        match *self {
            Ipv4Status::Off => write!(out, "IPv4 is off"),
            Ipv4Status::Static { address, prefix, gateway } => {
                write!(out, "address {address}/{prefix} as set")?;
                via(out, gateway)
            }
            Ipv4Status::Searching { elapsed } => {
                write!(out, "no DHCP answer after {} s, still trying", elapsed.as_secs())
            }
            Ipv4Status::Leased { address, prefix, gateway, .. } => {
                write!(out, "address {address}/{prefix} by DHCP")?;
                via(out, gateway)
            }
        }
    }
}

/// One IPv6 address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Address {
    /// The address.
    pub address: Ipv6Addr,
    /// Bits of the network.
    pub prefix: u8,
    /// Where it comes from.
    pub origin: Ipv6Origin,
}

/// Where an IPv6 address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Origin {
    /// Made from the card's address; for neighbours only.
    LinkLocal,
    /// Made from a prefix that a router announced.
    Router,
    /// As set.
    Static,
}

impl fmt::Display for Ipv6Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Ipv6Origin::LinkLocal => "for neighbours only",
            Ipv6Origin::Router => "by router",
            Ipv6Origin::Static => "as set",
        };
        write!(out, "address {}/{} {origin}", self.address, self.prefix)
    }
}

/// What passed the card since the start. The counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Frames received.
    pub frames_in: u64,
    /// Bytes received, with Ethernet headers.
    pub bytes_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes sent, with Ethernet headers.
    pub bytes_out: u64,
}

/// Connections now, and what became of earlier ones. The counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpStatus {
    /// Connections in use, or waiting to be accepted.
    pub open: usize,
    /// Begun by a peer, not yet confirmed.
    pub half_open: usize,
    /// Dropped by us, not yet over.
    pub lingering: usize,
    /// Sockets that wait for a SYN.
    pub listening: usize,
    /// Bytes of all buffers.
    pub buffer_bytes: usize,
    /// Connections that peers opened.
    pub accepted: u64,
    /// Connections that we opened.
    pub connected: u64,
    /// Half-open connections that ran out of time.
    pub half_open_expired: u64,
    /// Half-open or lingering connections that gave way to new ones.
    pub evicted: u64,
    /// Times a listening port had to be closed to newcomers because everything was in use.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_console_reads_where_the_node_is() {
        let address = Ipv4Addr::new(10, 0, 2, 15);
        let leased = Ipv4Status::Leased {
            address,
            prefix: 24,
            gateway: None,
            server: Ipv4Addr::new(10, 0, 2, 2),
            elapsed: Duration::ZERO,
        };
        assert_eq!(leased.to_string(), "address 10.0.2.15/24 by DHCP");
        let searching = Ipv4Status::Searching { elapsed: Duration::from_secs(10) };
        assert_eq!(searching.to_string(), "no DHCP answer after 10 s, still trying");
    }
}
