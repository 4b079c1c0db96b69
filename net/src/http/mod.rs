//! The node over HTTP, to look at: a page for people, metrics for programs, and venti's own pages.
//!
//! | module | what |
//! |---|---|
//! | `request` | the head of a request: bytes → what is asked |
//! | `response` | an answer: head and body as bytes |
//! | `serve` | one connection: requests in, answers out, each in its time |
//! | `site` | which answer belongs to which path |
//! | `history` | what the node did lately |
//! | `view` | everything that pages show, at one moment |
//! | `page`, `metrics`, `listing` | the pages |
//! | `escape` | how numbers and foreign texts stand in them |
//!
//! Never: a change of anything by a request, a score of a block, a name's root, a key.

mod escape;
mod history;
mod listing;
mod metrics;
mod page;
mod request;
mod response;
mod serve;
mod site;
mod view;

pub use request::{HEAD_MAX, Refusal, Request};
pub use response::{Body, ContentType, Response, Status};
pub use serve::{Ending, Limits, Pages, serve_connection};
pub use site::Site;
pub use view::{MachineStatus, MemoryStatus, ProcessorUse, Stage};

/// The TCP port.
pub const PORT: u16 = 8000;

/// Connections at a time: enough for a few people and programs that look.
pub const CONNECTIONS: usize = 16;
