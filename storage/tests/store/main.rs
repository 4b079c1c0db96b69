//! The promises of the store, tested from outside: blocks, the real server's disks, power cuts and faults.

mod blocks;
mod crash;
mod fixtures;
mod support;
