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

#[cfg(test)]
mod fixtures;
pub mod key;
pub mod name;
pub mod pak;
pub mod secret;

pub use name::{Domain, UserName};
pub use secret::Secret;
