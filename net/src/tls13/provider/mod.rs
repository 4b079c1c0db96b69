//! The arithmetic under rustls: one cipher suite, one group, one kind of signature, each of which everybody who speaks
//! TLS 1.3 must know (RFC 8446, 9.1).
//!
//! | module | what |
//! |---|---|
//! | `aead` | records sealed and opened by AES-128-GCM |
//! | `hash` | SHA-256 and HMAC of it |
//! | `ecdsa` | signatures by P-256 |
//! | `source` | keys for one handshake, and randomness |
//!
//! Knows rustls' seams. Must not know whom we trust.

mod aead;
mod ecdsa;
mod hash;
mod source;

pub(super) use ecdsa::{NodeKey, SCHEMES};
pub(super) use source::Random;
pub use source::Source;

use crate::rng::Rng;
use alloc::sync::Arc;
use alloc::vec;
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, SupportedCipherSuite};

/// Records under one key, of which AES-GCM allows 2^24.5 before it tells an observer something (RFC 8446, 5.5).
pub(super) const RECORDS_MAX: u64 = 1 << 24;

/// All of it, with randomness of `source`.
pub(super) fn provider<R: Rng + Send + Sync>(source: &'static Source<R>) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(&aead::SUITE)],
        kx_groups: vec![source],
        signature_verification_algorithms: SCHEMES,
        secure_random: source,
        key_provider: &NoKeyFiles,
    }
}

/// Keys are given to rustls as they are used, never as bytes.
#[derive(Debug)]
struct NoKeyFiles;

impl KeyProvider for NoKeyFiles {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("private keys are not read from bytes".into()))
    }
}
