//! The promises of the store, tested from outside: blocks, the real server's disks, power cuts and faults.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as loudly as the test")]
#![allow(clippy::await_holding_refcell_ref, reason = "the model is only looked at while nobody else runs")]

mod blocks;
mod cost;
mod crash;
mod fixtures;
mod grow;
mod holes;
mod index;
mod indexed;
mod large;
mod scrub;
mod scrub_damage;
mod sectors;
mod support;
