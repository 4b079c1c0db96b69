//! Granary's protocols, sessions and services. Uses [`storage`]; knows no machine.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`clock`], [`rng`] | the seams for time and randomness | protocols |
//! | [`disks`] | what disks tell of their health | how a disk is asked |
//! | [`dial`] | Plan 9's text for an address | sockets |
//! | [`journal`] | the log's last lines | who logs |
//! | [`syslog`] | a line as a message for a collector | sockets |
//! | [`sntp`] | the time, from a time server | what clock it sets |
//! | [`signature`] | whether a file was signed by a key | what the file is |
//! | [`tcp`] | smoltcp: one interface, its addresses, its sockets, its next deadline | drivers, venti |
//! | [`auth`] | 9front's proof of identity, as messages; the secret it yields | TLS, sockets |
//! | [`tls13`] | TLS 1.3 with pinned certificates: rustls answers, embedded-tls dials | what is inside the stream |
//! | [`tls_psk`] | TLS 1.2 between two ends that share a secret, as messages and records | sockets, whose secret it is |
//! | [`secure`] | streams whose ends are proved and that nobody else reads: `auth`, then `tls_psk` | sockets, who may do what |
//! | [`http`] | the node to look at: requests, answers, pages | sockets, disks |
//! | [`metadata`] | settings from the network of a cloud, by HTTP | sockets, what settings mean |
//! | [`p9`] | 9P2000, server and client | sockets, what is in a tree |
//! | [`replicate`] | what is new here goes to the peers, and their names come | sockets, wire messages |
//! | [`tree`] | the node as a tree of files: what is in it, who may do what | messages, sockets |
//! | [`venti`] | venti's wire protocol, server and client | sockets, disks |
//!
//! Streams are [`embedded_io_async`]'s `Read` and `Write`, one half each.
//!
//! Never: a socket of the host, a driver, a global clock, `unsafe`, a panic on what a peer sends.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod auth;
pub mod clock;
pub mod dial;
pub mod disks;
pub mod http;
pub mod journal;
pub mod metadata;
pub mod p9;
pub mod replicate;
pub mod rng;
pub mod secure;
pub mod signature;
pub mod sntp;
pub mod syslog;
pub mod tcp;
pub mod tls13;
pub mod tls_psk;
pub mod tree;
pub mod venti;
