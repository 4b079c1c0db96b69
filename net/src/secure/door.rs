//! The server's end as a service needs it: the gate, the proof, a line in the log for whoever does not get in.

use super::{Gate, Identity, Logins, Means, Secured, accept};
use crate::auth::UserName;
use crate::clock::Clock;
use crate::rng::Rng;
use alloc::rc::Rc;
use core::net::SocketAddr;
use embedded_io_async::{Read, Write};

/// What all authenticated ports of a node share.
#[derive(Clone)]
pub struct Door<C, G> {
    /// Time and randomness.
    pub means: Means<C, G>,
    /// How many may try.
    pub gate: Rc<Gate>,
    /// What came of it.
    pub logins: Rc<Logins>,
}

impl<C: Clock, G: Rng> Door<C, G> {
    /// A door through which nobody has come.
    pub fn new(clock: C, rng: G) -> Door<C, G> {
        Door { means: Means::new(clock, rng), gate: Gate::new(), logins: Rc::default() }
    }

    /// Lets a client in that proves itself and `may_connect`. `None`: it did not; drop what is left.
    pub async fn let_in<R: Read, W: Write>(
        &self,
        (reader, writer): (R, W),
        peer: SocketAddr,
        identity: &Identity,
        may_connect: impl FnOnce(&UserName) -> bool,
    ) -> Option<Secured<R, W, G>> {
        let pass = match self.gate.enter(peer.ip(), self.means.clock.now()) {
            Ok(pass) => pass,
            Err(refused) => {
                self.logins.refused(refused.outcome(), peer, &refused, self.means.clock.now());
                return None;
            }
        };
        match accept(reader, writer, identity, may_connect, &self.means).await {
            Ok(secured) => {
                pass.admitted();
                self.logins.admitted();
                log::info!("{peer}: {} logged in", secured.user);
                Some(secured)
            }
            Err(error) => {
                let now = self.means.clock.now();
                pass.failed(now);
                self.logins.refused(error.outcome(), peer, &error, now);
                None
            }
        }
    }
}
