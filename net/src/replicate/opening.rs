//! A connection to a peer by its way, as two halves of a stream, however it is protected.
//!
//! Knows the three ways, and what proves us on each. Must not know what is sent, nor how TCP is made.

use super::reach::reach;
use super::way::{Access, Service, Way};
use super::{Peer, Road};
use crate::auth::Domain;
use crate::auth::dp9ik::ticket_client;
use crate::auth::thumbprint::Thumbprints;
use crate::clock::Clock;
use crate::dial::Dial;
use crate::rng::Rng;
use crate::secure::{self, AuthServers, Caller, Means, SecureError};
use crate::tls13::{self, Failure, Ours, Source, files};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::cell::RefCell;
use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};
use storage::arithmetic::Arithmetic;
use storage::device::BlockDevice;
use storage::fat::NineFat;

/// What a node proves itself with.
pub struct Keys<S: 'static> {
    /// Its account, where its nvram has one.
    pub account: Option<secure::Identity>,
    /// The authentication server that gives it tickets, where the settings name one.
    pub auth: Option<Dial>,
    /// Its certificate and key, where its 9fat has them.
    pub certificate: Option<tls13::Identity>,
    /// Where keys of a handshake come from; without it there is no TLS 1.3.
    pub source: Option<&'static Source<S>>,
    /// Randomness.
    pub rng: S,
    /// Who seals and opens long records of what is sent behind authentication.
    pub arithmetic: Arithmetic,
}

/// Why a peer is not reached by its way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// No connection.
    #[error("{0}")]
    Road(String),
    /// The file says something of the way that is not understood.
    #[error(
        "its file says something of the way that is not understood (see the log); nothing is sent, lest it go in clear"
    )]
    Unclear,
    /// We have no account.
    #[error("way=auth: this node has no account; `granary key nvram` writes one into its nvram")]
    NoAccount,
    /// We have no certificate.
    #[error("way=tls: this node has no key; `granary key new` makes one in its 9fat")]
    NoCertificate,
    /// Nobody is trusted.
    #[error(
        "way=tls: no certificate of a peer is known: give its file a line `# granary pin=`, or have thumbprints list it \
         with roles=replicate"
    )]
    TrustsNobody,
    /// The list of certificates cannot be used.
    #[error("{0}")]
    Thumbprints(String),
    /// There is no such service on this way.
    #[error(
        "way=tls leads to venti alone, and names are not sent in clear: take `# granary names=` away, or way=auth"
    )]
    NoTree,
    /// p9any failed, or TLS after it.
    #[error("authentication: {0}")]
    Auth(#[from] SecureError),
    /// TLS 1.3 failed, perhaps because the peer does not trust us.
    #[error("{0}")]
    Tls(#[from] Failure),
}

/// Why a connection ended that was open; what TLS knows of it is more than a stream can tell.
pub(super) type Said = Rc<RefCell<Option<WayError>>>;

/// An open connection.
pub(super) struct Opened<R: Road> {
    pub(super) reader: WayReader<R::Reader>,
    pub(super) writer: WayWriter<R::Writer, R::Rng>,
    pub(super) said: Said,
}

/// Opens connections by a peer's way.
pub(super) struct Opener<'a, F, C, R> {
    pub(super) road: &'a R,
    pub(super) clock: &'a C,
    pub(super) nine_fat: &'a NineFat<F>,
    pub(super) peer: &'a Peer,
    pub(super) access: Access,
    pub(super) way: Way,
}

impl<F: BlockDevice, C: Clock, R: Road> Opener<'_, F, C, R> {
    /// Opens a connection to a service of the peer. Both ends are proved when it returns; but a server of TLS 1.3 that
    /// does not trust us says so only when something is read.
    pub(super) async fn open(&self, to: &Dial, service: Service) -> Result<Opened<R>, WayError> {
        if self.access.is_unclear {
            return Err(WayError::Unclear);
        }
        if (self.way, service) == (Way::Tls, Service::Tree) {
            return Err(WayError::NoTree);
        }
        let port = service.port(self.way);
        let said = Said::default();
        let (reader, writer) = match self.way {
            Way::Clear => {
                let (reader, writer) = self.reach(to, port).await?;
                (AnyReader::Clear(reader), AnyWriter::Clear(writer))
            }
            Way::Auth => self.by_auth(to, port).await?,
            Way::Tls => self.by_tls(to, port).await?,
        };
        Ok(Opened {
            reader: WayReader { inner: reader, said: said.clone() },
            writer: WayWriter { inner: writer, said: said.clone() },
            said,
        })
    }

    async fn reach(&self, to: &Dial, port: u16) -> Result<(R::Reader, R::Writer), WayError> {
        reach(self.road, self.clock, self.peer, to, port).await.map_err(WayError::Road)
    }

    async fn by_auth(&self, to: &Dial, port: u16) -> Result<AnyHalves<R>, WayError> {
        let keys = self.road.keys();
        let own = keys.account.as_ref().ok_or(WayError::NoAccount)?;
        // Whoever has any account in the domain could play a server that is not named.
        let server = self.access.server.clone().unwrap_or_else(|| own.account.user().clone());
        let domain = self.access.server.is_none().then(|| own.domain.clone());
        let caller = Caller { account: own.account.clone(), domain, server: Some(server) };
        let servers = Tickets { opener: self, named: self.access.auth.as_ref().or(keys.auth.as_ref()) };
        let means = Means::new(self.clock.clone(), keys.rng.clone()).helped_by(keys.arithmetic.clone());
        let (reader, writer) = self.reach(to, port).await?;
        let secured = secure::dial(reader, writer, &caller, &servers, &means).await?;
        Ok((AnyReader::Auth(secured.reader), AnyWriter::Auth(secured.writer)))
    }

    async fn by_tls(&self, to: &Dial, port: u16) -> Result<AnyHalves<R>, WayError> {
        let keys = self.road.keys();
        let (Some(identity), Some(source)) = (&keys.certificate, keys.source) else {
            return Err(WayError::NoCertificate);
        };
        let ours = Ours { identity, trusted: Arc::new(self.trusted().await?), source };
        let (reader, writer) = self.reach(to, port).await?;
        let secured = tls13::dial(reader, writer, ours, self.clock, secure::PATIENCE).await?;
        Ok((AnyReader::Tls(secured.reader), AnyWriter::Tls(secured.writer)))
    }

    /// The certificates that the peer may show: the one that its file pins, else those of peers. Whoever is listed to
    /// read here must not be able to play a peer.
    async fn trusted(&self) -> Result<Thumbprints, WayError> {
        let spoiled = |error: &dyn core::fmt::Display| WayError::Thumbprints(error.to_string());
        let mut trusted = Thumbprints::default();
        if let Some(pin) = self.access.pin {
            trusted.add(&format!("x509 {pin}")).map_err(|error| spoiled(&error))?;
            return Ok(trusted);
        }
        trusted = files::peers(self.nine_fat).await.map_err(|error| spoiled(&error))?;
        trusted.retain(|grant| grant.roles.replicate);
        if trusted.is_empty() { Err(WayError::TrustsNobody) } else { Ok(trusted) }
    }
}

/// The authentication server that a peer's file or the settings name; without one, the host `p9auth` of the domain, as on
/// Plan 9.
struct Tickets<'a, F, C, R> {
    opener: &'a Opener<'a, F, C, R>,
    named: Option<&'a Dial>,
}

impl<F: BlockDevice, C: Clock, R: Road> AuthServers for Tickets<'_, F, C, R> {
    type Reader = R::Reader;
    type Writer = R::Writer;

    async fn open(&self, domain: &Domain) -> Result<(R::Reader, R::Writer), String> {
        let usual = Dial { host: format!("p9auth.{domain}"), port: None };
        let Opener { road, clock, peer, .. } = self.opener;
        reach(*road, *clock, peer, self.named.unwrap_or(&usual), ticket_client::PORT).await
    }
}

type AnyHalves<R> = (AnyReader<<R as Road>::Reader>, AnyWriter<<R as Road>::Writer, <R as Road>::Rng>);

enum AnyReader<R> {
    Clear(R),
    Auth(secure::Reader<R>),
    Tls(tls13::Reader<R>),
}

enum AnyWriter<W, G> {
    Clear(W),
    Auth(secure::Writer<W, G>),
    Tls(tls13::Writer<W>),
}

/// What a peer sends.
pub(super) struct WayReader<R> {
    inner: AnyReader<R>,
    said: Said,
}

/// What a peer is sent.
pub(super) struct WayWriter<W, G> {
    inner: AnyWriter<W, G>,
    said: Said,
}

/// Keeps what TLS says of the end; the first word counts.
fn note<E: Error>(said: &Said, error: E, why: impl FnOnce(&E) -> Option<WayError>) -> ErrorKind {
    let kind = error.kind();
    if said.borrow().is_none() {
        *said.borrow_mut() = why(&error);
    }
    kind
}

fn of_tls(failure: &Failure) -> Option<WayError> {
    Some(WayError::Tls(failure.clone())).filter(|_| !matches!(failure, Failure::Stream(_)))
}

fn of_auth(error: &secure::ChannelError) -> Option<WayError> {
    match error {
        secure::ChannelError::Tls(error) => Some(WayError::Auth(SecureError::Tls(error.clone()))),
        _ => None,
    }
}

impl<R> ErrorType for WayReader<R> {
    type Error = ErrorKind;
}

impl<R: Read> Read for WayReader<R> {
    async fn read(&mut self, target: &mut [u8]) -> Result<usize, ErrorKind> {
        match &mut self.inner {
            AnyReader::Clear(reader) => reader.read(target).await.map_err(|error| error.kind()),
            AnyReader::Auth(reader) => {
                reader.read(target).await.map_err(|error| note(&self.said, error, of_auth))
            }
            AnyReader::Tls(reader) => {
                reader.read(target).await.map_err(|error| note(&self.said, error, of_tls))
            }
        }
    }
}

impl<W, G> ErrorType for WayWriter<W, G> {
    type Error = ErrorKind;
}

impl<W: Write, G: Rng> Write for WayWriter<W, G> {
    async fn write(&mut self, source: &[u8]) -> Result<usize, ErrorKind> {
        match &mut self.inner {
            AnyWriter::Clear(writer) => writer.write(source).await.map_err(|error| error.kind()),
            AnyWriter::Auth(writer) => {
                writer.write(source).await.map_err(|error| note(&self.said, error, of_auth))
            }
            AnyWriter::Tls(writer) => {
                writer.write(source).await.map_err(|error| note(&self.said, error, of_tls))
            }
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        match &mut self.inner {
            AnyWriter::Clear(writer) => writer.flush().await.map_err(|error| error.kind()),
            AnyWriter::Auth(writer) => writer.flush().await.map_err(|error| note(&self.said, error, of_auth)),
            AnyWriter::Tls(writer) => writer.flush().await.map_err(|error| note(&self.said, error, of_tls)),
        }
    }
}
