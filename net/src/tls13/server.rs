//! The end that answers: rustls, fed by hand.
//!
//! Knows whose certificates count. Must not know streams.

use super::engine::{Engine, PLAIN_LEN_MAX, Peer, RECORD_LEN_MAX, Received};
use super::error::Failure;
use super::identity::{Fingerprint, Identity};
use super::provider::{self, NodeKey, SCHEMES, Source};
use crate::auth::thumbprint::Thumbprints;
use crate::rng::Rng;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Bytes of the peer that wait to be opened: a record, and what came with it.
const INCOMING_MAX: usize = 2 * RECORD_LEN_MAX;
/// What sealing adds to a record, with its header.
const OVERHEAD: usize = 5 + 1 + 16;

/// One connection.
pub(super) struct Server {
    connection: UnbufferedServerConnection,
    trusted: Arc<Thumbprints>,
    incoming: Vec<u8>,
    /// Opened, and not yet asked for.
    plain: Vec<u8>,
    plain_taken: usize,
    output: Vec<u8>,
    is_closed: bool,
    has_said_goodbye: bool,
    failed: Option<Failure>,
}

/// What is done where the connection may send.
enum Now<'a> {
    Nothing,
    Send(&'a [u8]),
    Close,
}

impl Server {
    /// For one client, who must show a certificate that `trusted` lists.
    pub(super) fn new<R: Rng + Send + Sync>(
        identity: &Identity,
        trusted: Arc<Thumbprints>,
        source: &'static Source<R>,
    ) -> Result<Server, Failure> {
        let config = config(identity, trusted.clone(), source).map_err(failure)?;
        let connection = UnbufferedServerConnection::new(Arc::new(config)).map_err(failure)?;
        Ok(Server {
            connection,
            trusted,
            incoming: Vec::new(),
            plain: Vec::new(),
            plain_taken: 0,
            output: Vec::new(),
            is_closed: false,
            has_said_goodbye: false,
            failed: None,
        })
    }

    /// Works on what came, until there is something to read (given to `take`), or nothing more to do. Whether there is.
    /// What failed has failed for good: rustls would go on with the next record.
    fn advance(&mut self, now: &Now<'_>, take: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        if let Some(failure) = &self.failed {
            return Err(failure.clone());
        }
        self.work(now, take).inspect_err(|failure| self.failed = Some(failure.clone()))
    }

    fn work(&mut self, now: &Now<'_>, take: &mut dyn FnMut(&[u8])) -> Result<bool, Failure> {
        let (mut has_read, mut is_done) = (false, false);
        while !is_done {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut self.incoming);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(failure)?;
                        discard += record.discard;
                        has_read |= !record.payload.is_empty();
                        take(record.payload);
                    }
                    is_done = has_read && matches!(now, Now::Nothing);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.output, 0, |space| match data.encode(space) {
                        Ok(len) => Ok(Ok(len)),
                        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            Ok(Err(required_size))
                        }
                        Err(EncodeError::AlreadyEncoded) => Ok(Ok(0)),
                    })?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let sealed = |sealed| match sealed {
                        Ok(len) => Ok(Ok(len)),
                        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            Ok(Err(required_size))
                        }
                        Err(EncryptError::EncryptExhausted) => Err(Failure::UsedUp),
                    };
                    match now {
                        Now::Nothing => {}
                        Now::Send(plain) => append(&mut self.output, plain.len() + OVERHEAD, |space| {
                            sealed(traffic.encrypt(plain, space))
                        })?,
                        Now::Close => append(&mut self.output, 2 + OVERHEAD, |space| {
                            sealed(traffic.queue_close_notify(space))
                        })?,
                    }
                    is_done = true;
                }
                Ok(_) => is_done = true,
                Err(error) => {
                    self.discard(discard);
                    self.flush_alert()?;
                    return Err(failure(error));
                }
            }
            self.discard(discard);
        }
        Ok(has_read)
    }

    fn discard(&mut self, count: usize) {
        self.incoming.drain(..count.min(self.incoming.len()));
    }

    /// After an error: the peer is told.
    fn flush_alert(&mut self) -> Result<(), Failure> {
        let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut self.incoming);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
            append(&mut self.output, OVERHEAD + 2, |space| Ok(Ok(data.encode(space).unwrap_or(0))))?;
        }
        Ok(())
    }
}

/// Has `fill` write at the end of `output`, into at least `room` bytes; again with as many as it says it needs.
fn append(
    output: &mut Vec<u8>,
    mut room: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<Result<usize, usize>, Failure>,
) -> Result<(), Failure> {
    let before = output.len();
    loop {
        output.resize(before + room, 0);
        match fill(output.get_mut(before..).unwrap_or_default())? {
            Ok(filled) => {
                output.truncate(before + filled);
                return Ok(());
            }
            Err(needed) if needed > room => room = needed,
            Err(_) => return Err(Failure::Protocol("a record does not fit".into())),
        }
    }
}

impl Engine for Server {
    fn room(&self) -> usize {
        INCOMING_MAX.saturating_sub(self.incoming.len())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    fn handshake(&mut self) -> Result<Option<Peer>, Failure> {
        let mut early = Vec::new();
        self.advance(&Now::Nothing, &mut |plain| early.extend_from_slice(plain))?;
        self.plain.append(&mut early);
        if self.connection.is_handshaking() {
            return Ok(None);
        }
        let shown = self.connection.peer_certificates().and_then(|certificates| certificates.first());
        let certificate = shown.ok_or(Failure::Unproved)?;
        let grant = self.trusted.find(certificate).cloned().ok_or(Failure::Unproved)?;
        Ok(Some(Peer { fingerprint: Fingerprint::of(certificate), grant }))
    }

    fn receive(&mut self, target: &mut [u8]) -> Result<Received, Failure> {
        if self.plain_taken == self.plain.len() {
            self.plain.clear();
            self.plain_taken = 0;
            if self.is_closed {
                return Ok(Received::Closed);
            }
            let (mut rest, mut filled) = (core::mem::take(&mut self.plain), 0);
            let result = self.advance(&Now::Nothing, &mut |plain| {
                let fits = plain.len().min(target.len() - filled);
                let (now, later) = plain.split_at(fits);
                target[filled..filled + fits].copy_from_slice(now);
                filled += fits;
                rest.extend_from_slice(later);
            });
            self.plain = rest;
            return match result? {
                true => Ok(Received::Data(filled)),
                false if self.is_closed => Ok(Received::Closed),
                false => Ok(Received::NeedMore),
            };
        }
        let waiting = self.plain.get(self.plain_taken..).unwrap_or_default();
        let count = waiting.len().min(target.len());
        target[..count].copy_from_slice(&waiting[..count]);
        self.plain_taken += count;
        Ok(Received::Data(count))
    }

    fn send(&mut self, plain: &[u8]) -> Result<usize, Failure> {
        if self.has_said_goodbye {
            return Err(Failure::Closed);
        }
        let now = plain.get(..PLAIN_LEN_MAX).unwrap_or(plain);
        let mut waiting = core::mem::take(&mut self.plain);
        let result = self.advance(&Now::Send(now), &mut |plain| waiting.extend_from_slice(plain));
        self.plain = waiting;
        result.map(|_| now.len())
    }

    fn close(&mut self) -> Result<(), Failure> {
        if core::mem::replace(&mut self.has_said_goodbye, true) {
            return Ok(());
        }
        let mut waiting = core::mem::take(&mut self.plain);
        let result = self.advance(&Now::Close, &mut |plain| waiting.extend_from_slice(plain));
        self.plain = waiting;
        result.map(drop)
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }
}

fn failure(error: Error) -> Failure {
    Failure::Protocol(error.to_string())
}

fn config<R: Rng + Send + Sync>(
    identity: &Identity,
    trusted: Arc<Thumbprints>,
    source: &'static Source<R>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(provider::provider(source));
    let certificate = CertificateDer::from(identity.certificate().to_vec());
    let key = CertifiedKey::new(vec![certificate], Arc::new(NodeKey(identity.key().clone())));
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(NoDates))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Pinned(trusted)))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A listed certificate is good until it is no longer listed.
#[derive(Debug)]
struct NoDates;

impl TimeProvider for NoDates {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

/// Accepts what is listed, from whoever has its key.
#[derive(Debug)]
struct Pinned(Arc<Thumbprints>);

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.0.accepts(certificate) {
            return Ok(ClientCertVerified::assertion());
        }
        Err(Error::General(Failure::Stranger(Fingerprint::of(certificate)).to_string()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &SCHEMES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.supported_schemes()
    }
}
