//! Randomness, and keys for one handshake that are made of it.

use crate::rng::Rng;
use alloc::boxed::Box;
use core::fmt;
use p256::PublicKey;
use p256::ecdh::EphemeralSecret;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::{CryptoRng, RngCore};
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};

/// A point that is not compressed: a mark and two coordinates.
const POINT_LEN: usize = 65;

/// The source of everything random in TLS. rustls wants it for the life of the program, so whoever has globals keeps one.
pub struct Source<R>(R);

impl<R: Rng> Source<R> {
    /// From a generator that is seeded.
    pub const fn new(rng: R) -> Source<R> {
        Source(rng)
    }

    /// The generator.
    pub fn rng(&self) -> &R {
        &self.0
    }
}

impl<R> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl<R: Rng + Send + Sync> SecureRandom for Source<R> {
    fn fill(&self, target: &mut [u8]) -> Result<(), GetRandomFailed> {
        self.0.fill(target);
        Ok(())
    }
}

impl<R: Rng + Send + Sync> SupportedKxGroup for Source<R> {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = EphemeralSecret::random(&mut Random(&self.0));
        let point = secret.public_key().to_encoded_point(false);
        Ok(Box::new(Exchange { secret, point: point.as_bytes().into() }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }

    fn ffdhe_group(&self) -> Option<rustls::ffdhe_groups::FfdheGroup<'static>> {
        None
    }
}

struct Exchange {
    secret: EphemeralSecret,
    point: Box<[u8]>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let point = Some(peer).filter(|peer| peer.len() == POINT_LEN);
        let key = point.and_then(|point| PublicKey::from_sec1_bytes(point).ok());
        let key = key.ok_or(PeerMisbehaved::InvalidKeyShare)?;
        Ok(SharedSecret::from(self.secret.diffie_hellman(&key).raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.point
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

/// Our generator, as RustCrypto asks for one.
pub(in crate::tls13) struct Random<'a, R>(pub(in crate::tls13) &'a R);

impl<R: Rng> RngCore for Random<'_, R> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, target: &mut [u8]) {
        self.0.fill(target);
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(target);
        Ok(())
    }
}

impl<R: Rng> CryptoRng for Random<'_, R> {}
