//! Settings from the network of a cloud: where they are, and asking for them.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`place`] | from firmware's word on the machine, where its cloud keeps settings | HTTP |
//! | [`services`] | the clouds with a metadata service that we know, and their paths | how they are asked |
//! | [`url`] | the URLs that are taken | what is behind them |
//! | [`answer`] | the answer of an HTTP server, from bytes | streams |
//! | [`fetch`] | one question and its answer over a stream | sockets, what is asked |
//! | [`ask`] | which questions lead to the settings | streams |
//!
//! Nobody is asked of whom firmware says nothing: otherwise anybody on the same network could configure a node. There is no
//! TLS here; whoever is between the node and the server can change what it says, as clouds have it.

pub mod answer;
pub mod ask;
pub mod fetch;
pub mod place;
pub mod services;
pub mod url;

pub use answer::{Answer, AnswerError, Reader};
pub use ask::{AskError, Fetch, ask};
pub use fetch::{FetchError, Request, exchange};
pub use place::{Place, place};
pub use services::Service;
pub use url::{BadUrl, Url};

/// Longer answers are refused: Amazon gives 16 KiB of user data, OpenStack 64 KiB.
pub const BODY_LEN_MAX: usize = 64 << 10;
