//! 9P2000: a tree of files, served (Plan 9's manual, section 5).
//!
//! | module | what |
//! |---|---|
//! | `wire` | numbers and strings ↔ bytes, bounded |
//! | `stat` | what is said of a file: qids, modes, stats |
//! | `message` | requests and replies ↔ bytes, both ways |
//! | `files` | what a tree must be able to do, and how it fails |
//! | `fids` | one client's fids: what each stands for, and what may be done with it |
//! | `serve` | one connection: requests in, replies out, one after another |
//! | `client` | the other end, for tools and tests |
//!
//! Requests of one connection are answered in the order in which they come. So a flush finds nothing to cancel: what it
//! names has been answered already (flush(5) allows that), and no request can overtake another.
//!
//! Never: a path of a host, a login (who may come is decided before), a change that the tree has not agreed to.

pub mod client;
mod fids;
mod files;
mod message;
mod serve;
mod stat;
mod wire;

pub use files::{Error, Files, OpenMode};
pub use message::{FRAME_MAX, FRAME_MIN, HEADER_LEN, Reply, Request, WALK_MAX};
pub use serve::{Ending, Limits, serve_connection};
pub use stat::{Qid, Stat, StatChange, mode, qid_kind};

/// The TCP port, in clear.
pub const PORT: u16 = 564;

/// The protocol that is spoken.
pub const VERSION: &str = "9P2000";

/// Stands for "no fid" and "no tag".
pub const NO_FID: u32 = u32::MAX;
/// The tag of a version request.
pub const NO_TAG: u16 = u16::MAX;

/// Connections at a time.
pub const CONNECTIONS: usize = 32;
