//! The way to an authentication server, which vouches for a client.

use crate::auth::Domain;
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
