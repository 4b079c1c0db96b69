//! Authentication servers over TCP.

use super::stream::{self, Reader, Writer};
use crate::dial::Dial;
use net::auth::Domain;
use net::auth::dp9ik::ticket_client::PORT;
use net::secure::AuthServers;
use tokio::net::TcpStream;

/// Those that the command line names; without any, the host `p9auth` of the server's domain, as on Plan 9.
#[derive(Clone, Debug, Default)]
pub struct HostAuthServers {
    /// Tried in turn.
    pub named: Vec<Dial>,
}

impl AuthServers for HostAuthServers {
    type Reader = Reader;
    type Writer = Writer;

    async fn open(&self, domain: &Domain) -> Result<(Reader, Writer), String> {
        let usual = [Dial { host: format!("p9auth.{domain}"), port: None }];
        let servers = if self.named.is_empty() { &usual[..] } else { &self.named };
        let mut failures = Vec::new();
        for server in servers {
            let opened = TcpStream::connect((server.host.as_str(), server.port_or(PORT))).await;
            match opened.and_then(stream::split) {
                Ok(halves) => return Ok(halves),
                Err(error) => failures.push(format!("{server}: {error}")),
            }
        }
        Err(failures.join("; "))
    }
}
