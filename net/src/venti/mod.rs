//! Venti's wire protocol: greeting, frames, messages, and both ends of a session.
//!
//! Knows the protocol of venti(6) and venti(7) in the versions 02 and 04; must not know sockets, disks, or
//! how a block is found. Bytes arrive through [`embedded_io_async`] halves, blocks through [`Blocks`].
//!
//! | module | what |
//! |---|---|
//! | [`greeting`] | the first line of each end, and the choice of a version |
//! | [`frame`] | cutting a stream into frames, bounded |
//! | [`message`] | one frame ↔ one typed message |
//! | [`session`] | the server's rules of order: bytes in, events out |
//! | [`serve`] | one connection: requests side by side, replies as they finish |
//! | [`connections`] | how many there may be, and what they did |
//! | [`latency`] | how long requests take |
//! | [`client`] | the client's end: many requests under way, every score checked |
//! | `claims` | who brings which block, where several could |
//! | [`blocks`] | what a server needs of a store |
//! | [`allowed`] | the same for who may not do everything |
//! | [`store_blocks`] | a store as that |

pub mod allowed;
mod barrier;
pub mod blocks;
mod claims;
pub mod client;
pub mod connections;
pub mod frame;
pub mod greeting;
pub mod latency;
pub mod message;
mod outbox;
pub mod serve;
pub mod session;
mod signal;
pub mod store_blocks;

pub use allowed::{Allowed, Rights};
pub use blocks::Blocks;
pub use message::{Message, Presence, Text};
pub use store_blocks::StoreBlocks;

/// The TCP port of venti in clear (`venti` in the services tables).
pub const PORT: u16 = 17034;

/// Largest lump that is stored, in bytes: 56 KiB.
pub const MAX_LUMP: usize = 57_344;

/// A version of the protocol. They differ in the width of a frame's length alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `02`: lengths of two bytes. All that 9front speaks.
    V02,
    /// `04`: lengths of four bytes.
    V04,
}

impl Version {
    /// How the greeting and the hello name it.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V02 => "02",
            Version::V04 => "04",
        }
    }

    /// Bytes of the length in front of each frame.
    pub const fn length_width(self) -> usize {
        match self {
            Version::V02 => 2,
            Version::V04 => 4,
        }
    }
}
