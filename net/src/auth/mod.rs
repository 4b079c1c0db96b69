//! 9front's proof of identity: who is at the other end, and a secret that only the two ends know.
//!
//! Knows the messages of authsrv(6), `p9any` and `dp9ik`; must not know TLS, sockets, or who may do what.
//!
//! | module | what |
//! |---|---|
//! | [`name`] | names of accounts and domains in their fields |
//! | [`secret`] | bytes that are wiped, and never shown |
//! | [`key`] | keys made of passwords and of keys |
//! | [`pak`] | agreeing on a key with a password alone |
//! | [`sealed`] | the envelope of tickets and authenticators |
//! | [`ticket`], [`ticket_request`] | what the authentication server vouches for, and what it is asked |
//! | [`p9any`] | the choice of a protocol |
//! | [`account`] | an account whose key we have |
//! | [`p9sk1`] | the messages of the protocol before it |
//! | [`dp9ik`] | the protocol itself: server, client, and the client's talk with the authentication server |
//! | [`nvram`] | where a machine keeps who it is |
//! | [`thumbprint`] | certificates that are trusted by their hash |

pub mod account;
pub mod dp9ik;
#[cfg(test)]
pub(crate) mod fixtures;
mod gather;
pub mod key;
pub mod name;
pub mod nvram;
pub mod p9any;
pub mod p9sk1;
pub mod pak;
pub mod sealed;
pub mod secret;
pub mod thumbprint;
pub mod ticket;
pub mod ticket_request;

pub use account::Account;
pub use name::{Domain, UserName};
pub use secret::Secret;
