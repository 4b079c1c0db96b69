//! What a simulated run needs beside its disks: one seed for every choice, an executor that obeys it,
//! and others that work in its order.
//!
//! Must not know disks, formats, or what the tasks do. The same seed gives the same run, byte for byte.

mod executor;
mod others;
mod rng;

pub use executor::{Executor, Stalled, block_on, yield_now};
pub use others::SimOthers;
pub use rng::SeededRng;
