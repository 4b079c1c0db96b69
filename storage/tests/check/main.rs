//! What a check says of the real server's disks and of damage, and what a recovery makes of them.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as loudly as the test")]

#[path = "../store/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the store, which use more of it")]
mod support;

mod damage;
mod fixtures;
mod recovered;
