//! What a simulated run needs beside its disks: one seed for every choice, and an executor that obeys it.
//!
//! Must not know disks, formats, or what the tasks do. The same seed gives the same run, byte for byte.

mod executor;
mod rng;

pub use executor::{Executor, Stalled, block_on, yield_now};
pub use rng::SeededRng;
