//! Venti's disk structures, one file each: bytes on one side, plain values on the other.
//!
//! | module | structure |
//! |---|---|
//! | [`name`] | the 64-byte name field |
//! | [`prelude`] | what the first 256 KiB and the header of arena partitions and index sections have in common |
//! | [`text`], [`range_map`] | the texts on a disk: lines, and the map of named ranges |
//! | [`arena_partition`] | header and map of an arena partition |
//! | [`geometry`] | where things lie inside one arena, and what still fits |
//! | [`arena_head`], [`arena_tail`] | first and last block of an arena |
//! | [`clump`], [`directory`] | one entry of the log, and its record in the arena's directory |
//! | [`seal`] | the SHA-1 over a whole arena |
//! | [`index_section`], [`bucket`] | header and blocks of an index section |
//! | [`index_config`] | what all sections of an index say alike; score → bucket, clump → address |
//! | [`bloom`] | the bloom filter |
//! | [`config`] | `venti.conf`, as a file or inside a partition |
//!
//! All integers are big-endian; venti(6) and `venti/srv/conv.c` of plan9port are the reference.
//!
//! Never: I/O, policy, a panic on what a disk holds.

pub mod arena_head;
pub mod arena_partition;
pub mod arena_tail;
pub mod bloom;
pub mod bucket;
pub mod clump;
pub mod config;
pub mod directory;
pub mod error;
pub mod geometry;
pub mod index_config;
pub mod index_section;
pub mod name;
pub mod prelude;
pub mod range_map;
pub mod seal;
pub mod text;

#[cfg(test)]
mod test_support;

pub use error::{Fault, FormatError, Structure};
pub use name::{Name, NameError};
