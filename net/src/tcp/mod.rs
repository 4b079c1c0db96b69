//! TCP/IP on network cards, datagrams for the clock and the log, and questions to name servers.
//!
//! Knows smoltcp: for each card an Ethernet interface, its addresses, its sockets and its next deadline. Must not
//! know which driver moves the frames, nor what the streams carry.
//!
//! [`Stack::new`] gives two ends: a [`Stack`], a cheap handle from which every task listens and connects, and
//! a [`Runner`], which owns the card and whose [`Runner::run`] is the one task that moves packets. The runner
//! sleeps until a frame arrives, a stream is read or written, or a timer of the protocols is due. [`Networks`] makes one
//! network of the stacks of several cards.
//!
//! # What this TCP does, precisely
//!
//! It is smoltcp 0.14's, so its abilities are these and no others:
//!
//! - **Window scaling** (RFC 7323) both ways, from the size of the receive buffer. No timestamps, so no PAWS.
//! - **SACK as receiver only, and little of it**: SACK is agreed on in the SYN; an acknowledgement sent at
//!   once for a segment out of order names *one* block (that of the newest segment). Up to 32 separate ranges
//!   are kept. **As sender the blocks of the peer are ignored**: three duplicate acknowledgements resend one
//!   segment (fast retransmit), any further loss of the same window waits for the timer (1 s at least), which
//!   resends from the first hole.
//! - **Congestion control** is Reno (RFC 5681). Cubic does not build without `std` in this version.
//! - Delayed acknowledgements (10 ms, at once after more than a segment); Nagle's algorithm is off.
//! - Keep-alive, probes of a closed window, and an end to connections whose peer no longer answers.
//! - Initial sequence numbers come from a small generator seeded by [`Rng`](crate::rng::Rng), not from RFC
//!   6528's hash.
//! - IP fragments are not reassembled. No path MTU discovery: the peer's MSS and our MTU decide. Our MTU is the least of
//!   what the card, the settings, the DHCP server (option 26) and IPv6 routers say, for both families.
//! - Of a DHCP server's routes (option 121) those by a gateway count, up to six. One gateway may lie outside of
//!   the card's network.
//! - No duplicate address detection, and no MLD reports (a switch that snoops MLD may withhold neighbour
//!   solicitations).
//!
//! # What is bounded
//!
//! Sockets, and the bytes of their buffers ([`TcpLimits`]); half-open and lingering connections, which give
//! way to new ones, the oldest first; the frames handled before other tasks get their turn. Beyond the limit
//! a SYN is answered by RST, and what stands goes on.

mod addresses;
mod dhcp;
mod error;
mod far_gateway;
mod limits;
mod listener;
mod lookup;
mod networks;
mod nic;
pub mod offload;
mod router;
mod runner;
mod settings;
mod sockets;
mod stack;
mod status;
mod stream;
mod udp;

pub use error::{ConnectError, ListenError, SettingsError, TcpError};
pub use limits::TcpLimits;
pub use listener::Listener;
pub use lookup::LookupError;
pub use networks::{Listeners, Member, Networks};
pub use nic::Nic;
pub use runner::Runner;
pub use settings::{Ipv4Settings, Ipv6Settings, NetSettings, ROUTES_MAX, StaticRoute};
pub use stack::Stack;
pub use status::{FrameCounters, Ipv4Status, Ipv6Address, Ipv6Origin, NetStatus, NetTotals, TcpStatus};
pub use stream::{ReadHalf, TcpStream, WriteHalf};
pub use udp::UdpSocket;
