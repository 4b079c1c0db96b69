//! The client's end by TLS 1.3: our key, and the certificates that a server may show.

use super::relay;
use crate::commands::key;
use crate::host::clock::HostClock;
use crate::host::rng::HostRng;
use crate::host::stream::{Reader, Writer};
use net::auth::thumbprint::Thumbprints;
use net::secure::{GOODBYE, PATIENCE};
use net::tls13::{Identity, Ours, Secured, Source, dial};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

static SOURCE: Source<HostRng> = Source::new(HostRng);

/// Who we are, and whom we trust.
pub(super) struct Pinned {
    identity: Identity,
    trusted: Arc<Thumbprints>,
}

impl Pinned {
    /// # Errors
    /// There is no key in the file, or a line is none of a thumbprint file.
    pub(super) fn new(file: &Path, lines: &[String]) -> anyhow::Result<Pinned> {
        let identity = key::in_file(file)?;
        let mut trusted = Thumbprints::default();
        for line in lines {
            trusted.add(&key::complete(line, None)?)?;
        }
        Ok(Pinned { identity, trusted: Arc::new(trusted) })
    }

    /// Carries one connection from the handshake to its last byte.
    pub(super) async fn carry(
        &self,
        near: (Reader, Writer),
        (reader, writer): (Reader, Writer),
        peer: SocketAddr,
    ) -> anyhow::Result<()> {
        let ours = Ours { identity: &self.identity, trusted: self.trusted.clone(), source: &SOURCE };
        let secured = dial(reader, writer, ours, &HostClock, PATIENCE).await?;
        let Secured { peer: server, mut reader, mut writer } = secured;
        let ended = relay::relay(near, (&mut reader, &mut writer)).await;
        // The server may be gone.
        let _ = tokio::time::timeout(GOODBYE, writer.close()).await;
        match ended {
            Ok(()) => log::info!("{peer}: done with {server}"),
            Err(kind) => log::warn!("{peer}: the connection to {server} failed: {kind:?}"),
        }
        Ok(())
    }
}
