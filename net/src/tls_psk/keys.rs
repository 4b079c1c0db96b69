//! Keys made of the secret and the random strings of both ends.

use crate::auth::key::{SESSION_SECRET_LEN, SessionSecret};
use crate::auth::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the proof in a Finished message.
pub(super) const VERIFY_LEN: usize = 12;
/// Bytes that a suite's keys are cut from, at most. A longer block begins like a shorter one.
pub(super) const KEY_BLOCK_LEN: usize = 128;

/// Who says Finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// The random strings of both ends.
#[derive(Clone, Copy)]
pub(super) struct Randoms {
    pub(super) client: [u8; 32],
    pub(super) server: [u8; 32],
}

/// The secret of one connection, from which everything else is made.
pub(super) struct Master(Secret<48>);

impl Master {
    /// RFC 4279, section 2: as many zeros as the secret is long, and the secret, each behind its length.
    pub(super) fn new(secret: &SessionSecret, randoms: &Randoms) -> Master {
        let secret = secret.expose();
        let len = (secret.len() as u16).to_be_bytes();
        let mut premaster = Zeroizing::new([0; 4 + 2 * SESSION_SECRET_LEN]);
        let premaster = &mut premaster[..4 + 2 * secret.len()];
        premaster[..2].copy_from_slice(&len);
        premaster[2 + secret.len()..4 + secret.len()].copy_from_slice(&len);
        premaster[4 + secret.len()..].copy_from_slice(secret);
        Master(Secret::filled(|target| {
            expand(premaster, &[b"master secret", &randoms.client, &randoms.server], target);
        }))
    }

    pub(super) fn key_block(&self, randoms: &Randoms) -> Secret<KEY_BLOCK_LEN> {
        Secret::filled(|target| {
            expand(self.0.expose(), &[b"key expansion", &randoms.server, &randoms.client], target);
        })
    }

    /// What an end says last of the handshake, over the hash of all that was said before.
    pub(super) fn verify_data(&self, end: End, said: &[u8; 32]) -> [u8; VERIFY_LEN] {
        let label: &[u8] = match end {
            End::Client => b"client finished",
            End::Server => b"server finished",
        };
        let mut target = [0; VERIFY_LEN];
        expand(self.0.expose(), &[label, said], &mut target);
        target
    }
}

/// P_SHA256 of RFC 5246, section 5; the label is the first part of `seed`.
fn expand(secret: &[u8], seed: &[&[u8]], target: &mut [u8]) {
    let hash = |parts: &mut dyn Iterator<Item = &[u8]>| -> Zeroizing<[u8; 32]> {
        let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(secret) else {
            unreachable!("HMAC takes keys of any length")
        };
        parts.for_each(|part| hmac.update(part));
        Zeroizing::new(hmac.finalize().into_bytes().into())
    };
    let mut chain = hash(&mut seed.iter().copied());
    for piece in target.chunks_mut(32) {
        let block = hash(&mut core::iter::once(&chain[..]).chain(seed.iter().copied()));
        piece.copy_from_slice(&block[..piece.len()]);
        chain = hash(&mut core::iter::once(&chain[..]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{recorded, secret_of};
    use super::{End, Master, Randoms};
    use crate::auth::fixtures::{array, bytes};

    #[test]
    fn keys_are_those_that_9front_makes() {
        for session in recorded() {
            let secrets = &session["tls"]["secrets"];
            let randoms = Randoms {
                client: array(&secrets["client_random"]),
                server: array(&secrets["server_random"]),
            };
            let secret = secret_of(&session);
            let master = Master::new(&secret, &randoms);
            assert_eq!(master.0.expose(), &array(&secrets["master"]));
            let block = bytes(&secrets["key_block"]);
            assert_eq!(&master.key_block(&randoms).expose()[..block.len()], block);
            for (end, name) in [(End::Client, "client_finished"), (End::Server, "server_finished")] {
                let said = array(&secrets[name]["handshake_hash"]);
                assert_eq!(master.verify_data(end, &said), array(&secrets[name]["verify_data"]));
            }
        }
    }
}
