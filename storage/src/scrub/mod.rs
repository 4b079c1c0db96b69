//! Verifying a store again and again, for as long as it is kept: when, how fast, and what came of it.
//!
//! | module | what |
//! |---|---|
//! | `pace` | from the setting and the store's size to pauses |
//! | `schedule` | which arena is due |
//! | `record` | the result of an arena, and all of them as text |
//! | `keeper` | the records as a file in 9fat |
//!
//! Knows values and text. How an arena is verified is [`crate::store`]'s part. Must not know clocks: time comes as
//! arguments.

mod keeper;
mod pace;
mod record;
mod schedule;

pub use keeper::{FILE, Keeper};
pub use pace::{PIECE, Pace};
pub use record::{BadLine, ScrubRecord, ScrubRecords, SealResult};
pub(crate) use schedule::{Due, Standing, next};
