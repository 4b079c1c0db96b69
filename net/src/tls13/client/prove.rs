//! Our certificate for the server, and whether the server's is trusted and its own.

use super::super::engine::Peer;
use super::super::error::Failure;
use super::super::identity::{Fingerprint, Identity, public_key};
use super::super::provider::{Random, Source};
use super::guard::GuardedSuite;
use crate::auth::thumbprint::Thumbprints;
use crate::rng::Rng;
use alloc::sync::Arc;
use alloc::vec::Vec;
use embedded_tls::{
    Certificate, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider, CryptoRngCore,
    Sha256, SignatureScheme, TlsError, TlsVerifier,
};
use p256::ecdsa::signature::digest::Digest;
use p256::ecdsa::signature::{SignerMut, Verifier};
use p256::ecdsa::{DerSignature, VerifyingKey};

/// What the signature of a server is over, in front of the hash of everything that was said (RFC 8446, 4.4.3).
const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";

/// Both proofs.
pub(super) struct Proof<R: 'static> {
    identity: Identity,
    source: &'static Source<R>,
    theirs: Theirs,
}

struct Theirs {
    trusted: Arc<Thumbprints>,
    /// The certificate, its key, and what must be signed by that.
    shown: Option<(Peer, VerifyingKey, Vec<u8>)>,
    proved: Option<Peer>,
    refusal: Option<Failure>,
}

impl<R: Rng> Proof<R> {
    pub(super) fn new(identity: Identity, trusted: Arc<Thumbprints>, source: &'static Source<R>) -> Proof<R> {
        let theirs = Theirs { trusted, shown: None, proved: None, refusal: None };
        Proof { identity, source, theirs }
    }

    /// The server, if it showed a certificate that is trusted and proved that it is its own.
    pub(super) fn peer(&mut self) -> Result<Peer, Failure> {
        self.theirs.proved.take().ok_or(Failure::Unproved)
    }

    /// Why the server is none for us.
    pub(super) fn refusal(&mut self) -> Option<Failure> {
        self.theirs.refusal.take()
    }
}

impl<R: Rng> CryptoProvider for Proof<R> {
    type CipherSuite = GuardedSuite;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        Random(self.source.rng())
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<GuardedSuite>, TlsError> {
        Ok(&mut self.theirs)
    }

    fn signer(&mut self) -> Result<(impl SignerMut<DerSignature>, SignatureScheme), TlsError> {
        Ok((self.identity.key().clone(), SignatureScheme::EcdsaSecp256r1Sha256))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        Some(Certificate::X509(self.identity.certificate()))
    }
}

impl TlsVerifier<GuardedSuite> for Theirs {
    fn set_hostname_verification(&mut self, _: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(&mut self, transcript: &Sha256, shown: CertificateRef<'_>) -> Result<(), TlsError> {
        let Some(CertificateEntryRef::X509(certificate)) = shown.entries.first() else {
            return Err(TlsError::InvalidCertificate);
        };
        // One certificate, and before the signature.
        if self.shown.is_some() {
            return Err(TlsError::InvalidHandshake);
        }
        let fingerprint = Fingerprint::of(certificate);
        let Some(grant) = self.trusted.find(certificate).cloned() else {
            self.refusal = Some(Failure::Stranger(fingerprint));
            return Err(TlsError::InvalidCertificate);
        };
        let key = public_key(certificate).ok_or(TlsError::InvalidCertificate)?;
        self.shown = Some((Peer { fingerprint, grant }, key, signed(transcript)));
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let (peer, key, signed) = self.shown.as_ref().ok_or(TlsError::InvalidHandshake)?;
        let signature = DerSignature::try_from(verify.signature).ok();
        let signature =
            signature.filter(|_| verify.signature_scheme == SignatureScheme::EcdsaSecp256r1Sha256);
        if signature.is_some_and(|signature| key.verify(signed, &signature).is_ok()) {
            self.proved = Some(peer.clone());
            return Ok(());
        }
        self.refusal = Some(Failure::Unproved);
        Err(TlsError::InvalidSignature)
    }
}

fn signed(transcript: &Sha256) -> Vec<u8> {
    [&[b' '; 64][..], CONTEXT, &transcript.clone().finalize()].concat()
}
