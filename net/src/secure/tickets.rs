//! The way to an authentication server, which vouches for a client.

use crate::auth::Domain;
use crate::auth::dp9ik::ticket_client::PORT;
use crate::dial::Dial;
use crate::replicate::Road;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};

/// Opens connections to authentication servers.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait AuthServers {
    /// What one sends.
    type Reader: Read;
    /// What one is sent.
    type Writer: Write;

    /// A new connection to an authentication server of this domain (tcp port 567).
    ///
    /// # Errors
    /// None can be reached; the text says why.
    async fn open(&self, domain: &Domain) -> Result<(Self::Reader, Self::Writer), String>;
}

/// There is none: a client can only connect to a server that has the client's own account.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAuthServers;

impl AuthServers for NoAuthServers {
    type Reader = &'static [u8];
    type Writer = Vec<u8>;

    async fn open(&self, _: &Domain) -> Result<(&'static [u8], Vec<u8>), String> {
        Err("none is known".to_string())
    }
}

/// Those that the settings name (`auth=`), reached as peers are; without any, the host `p9auth` of the domain, as on
/// Plan 9.
#[derive(Clone, Debug)]
pub struct RoadToServers<R> {
    /// How they are reached.
    pub road: R,
    /// Tried in turn.
    pub named: Vec<Dial>,
}

impl<R: Road> AuthServers for RoadToServers<R> {
    type Reader = R::Reader;
    type Writer = R::Writer;

    async fn open(&self, domain: &Domain) -> Result<(R::Reader, R::Writer), String> {
        let usual = [Dial { host: format!("p9auth.{domain}"), port: None }];
        let servers = if self.named.is_empty() { &usual[..] } else { &self.named };
        let mut failures = Vec::new();
        for server in servers {
            match self.road.open(server, PORT).await {
                Ok(halves) => return Ok(halves),
                Err(error) => failures.push(error),
            }
        }
        Err(failures.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::rc::Rc;
    use core::cell::RefCell;
    use futures_util::FutureExt;
    use std::vec;

    /// A road on which only hosts that end in 2 answer; it remembers who was asked.
    struct Fork(Rc<RefCell<Vec<String>>>);

    impl Road for Fork {
        type Reader = &'static [u8];
        type Writer = Vec<u8>;

        async fn open(&self, to: &Dial, port: u16) -> Result<(&'static [u8], Vec<u8>), String> {
            self.0.borrow_mut().push(format!("{}!{}", to.host, to.port_or(port)));
            if to.host.ends_with('2') { Ok((b"tickets", Vec::new())) } else { Err(format!("{to} is silent")) }
        }
    }

    fn asked(named: &[&str]) -> (Vec<String>, Result<&'static [u8], String>) {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let named = named.iter().map(|host| host.parse().unwrap()).collect();
        let servers = RoadToServers { road: Fork(asked.clone()), named };
        let opened = servers.open(&Domain::new("lab").unwrap()).now_or_never().unwrap();
        (asked.take(), opened.map(|(reader, _)| reader))
    }

    #[test]
    fn servers_that_are_named_are_tried_in_turn_and_else_the_domains_usual_one() {
        let (tried, opened) = asked(&["10.0.0.1", "tcp!10.0.0.2!5670", "10.0.0.3"]);
        assert_eq!(
            (tried, opened),
            (vec!["10.0.0.1!567".into(), "10.0.0.2!5670".into()], Ok(&b"tickets"[..]))
        );
        assert_eq!(asked(&[]), (vec!["p9auth.lab!567".into()], Err("tcp!p9auth.lab is silent".into())));
        let (_, none) = asked(&["a1", "b1"]);
        assert_eq!(none, Err("tcp!a1 is silent; tcp!b1 is silent".into()));
    }
}
