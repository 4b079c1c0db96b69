//! A connection that proves who is at each end and lets nobody else read: `p9any` and `dp9ik`, then TLS with the
//! secret that they yield, over any stream.
//!
//! Knows the order of the two, and how long they may take; must not know sockets, nor who may do what.
//!
//! | module | what |
//! |---|---|
//! | [`accept`](mod@accept) | the server's end |
//! | [`dial`](mod@dial) | the client's end |
//! | [`tickets`] | the way to an authentication server |
//! | `line` | one end's messages carried over a stream |
//! | `ahead` | records that other processors open |
//! | [`halves`] | what comes of it: a half that reads and a half that writes |
//! | [`gate`] | how many may prove themselves at a time, and how often |
//! | [`adopt`](mod@adopt) | an account that `granary.ini` gives, moved into the nvram |
//! | [`identity`] | who a node is, as its nvram says |
//! | [`logins`] | what came of those who tried: counts, and few lines in the log |
//! | [`door`] | all of it, as a service needs it |
//!
//! This is what 9front's `tlssrv -A` and `tlsclient -a` do.

pub mod accept;
pub mod adopt;
mod ahead;
pub mod dial;
pub mod door;
mod error;
pub mod gate;
pub mod halves;
pub mod identity;
mod line;
pub mod logins;
pub mod tickets;

pub use accept::{Identity, accept};
pub use adopt::adopt;
pub use dial::{Caller, dial};
pub use door::Door;
pub use error::{ChannelError, SecureError};
pub use gate::Gate;
pub use halves::{Reader, Writer};
pub use identity::{read_identity, write_identity};
pub use logins::Logins;
pub use tickets::{AuthServers, NoAuthServers};

use crate::auth::UserName;
use crate::clock::Clock;
use crate::rng::Rng;
use core::time::Duration;
use storage::arithmetic::Arithmetic;

/// How long both ends may take until the first byte of what they have to say.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to say goodbye.
pub const GOODBYE: Duration = Duration::from_secs(5);

/// The TCP port of venti behind this.
pub const VENTI_PORT: u16 = 27_034;
/// The TCP port of 9P behind this.
pub const P9_PORT: u16 = 17_020;

/// What an end needs of its machine.
#[derive(Clone)]
pub struct Means<C, G> {
    /// Time.
    pub clock: C,
    /// Randomness. From a generator that repeats itself after a restart, nothing here proves anything.
    pub rng: G,
    /// From the first byte until both ends are proved; [`PATIENCE`] is what 9front's peers need.
    pub patience: Duration,
    /// Who seals and opens long records.
    pub arithmetic: Arithmetic,
}

impl<C: Clock, G: Rng> Means<C, G> {
    /// With the usual patience, and nobody to help.
    pub fn new(clock: C, rng: G) -> Means<C, G> {
        Means { clock, rng, patience: PATIENCE, arithmetic: Arithmetic::here() }
    }

    /// With others that seal and open.
    #[must_use]
    pub fn helped_by(self, arithmetic: Arithmetic) -> Means<C, G> {
        Means { arithmetic, ..self }
    }
}

/// Both ends are who they say.
pub struct Secured<R, W, G> {
    /// The user that the server takes the client for.
    pub user: UserName,
    /// The server's account.
    pub server: UserName,
    /// What the peer sends.
    pub reader: Reader<R>,
    /// What the peer is sent.
    pub writer: Writer<W, G>,
}
