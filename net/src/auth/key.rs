//! Keys made of passwords, and keys made of keys.

use super::p9sk1;
use super::secret::Secret;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the key that `dp9ik` is based on.
pub const AES_KEY_LEN: usize = 16;

/// Bytes of the key that `p9sk1` is based on: 56 bits for DES.
pub const DES_KEY_LEN: usize = 7;

/// Bytes of the secret that `dp9ik` yields.
pub const SESSION_SECRET_LEN: usize = 256;

/// The secret that an authentication yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSecret {
    /// By `dp9ik`.
    Dp9ik(Secret<SESSION_SECRET_LEN>),
    /// By `p9sk1`: the key of the ticket with DES' parity. Whoever tries 2^56 keys has it.
    P9sk1(Secret<8>),
}

impl SessionSecret {
    /// The bytes, to calculate with.
    pub fn expose(&self) -> &[u8] {
        match self {
            SessionSecret::Dp9ik(secret) => secret.expose(),
            SessionSecret::P9sk1(secret) => secret.expose(),
        }
    }
}

const PASSWORD_SALT: &[u8] = b"Plan 9 key derivation";
const PASSWORD_ROUNDS: u32 = 9001;

/// The key of an account, made of its password. Called so everywhere, though AES has no part in it.
pub fn aes_key(password: &[u8]) -> Secret<AES_KEY_LEN> {
    Secret::filled(|key| {
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password, PASSWORD_SALT, PASSWORD_ROUNDS, key);
    })
}

/// The key of an account for `p9sk1`, made of the first 27 bytes of its password.
pub fn des_key(password: &[u8]) -> Secret<DES_KEY_LEN> {
    const LEN_MAX: usize = 27;
    let password = &password[..password.len().min(LEN_MAX)];
    // At least one block, of blanks where the password is shorter, and behind its last letter a zero.
    let mut work = Zeroizing::new([0; LEN_MAX + 1]);
    work[..8].fill(b' ');
    work[..password.len()].copy_from_slice(password);
    work[password.len()] = 0;
    let (mut at, mut left) = (0, password.len());
    loop {
        let key = Secret::filled(|key: &mut [u8; DES_KEY_LEN]| {
            for (index, byte) in key.iter_mut().enumerate() {
                let pair = [work[at + index], work[at + index + 1]];
                // A sum, which for bytes above 127 is not the same as putting the bits together.
                *byte = (pair[0] >> index).wrapping_add(pair[1].wrapping_shl(7 - index as u32));
            }
        });
        if left <= 8 {
            return key;
        }
        left -= 8;
        at += 8;
        if left < 8 {
            at -= 8 - left;
            left = 8;
        }
        p9sk1::encrypt(&key, &mut work[at..at + 8]);
    }
}

/// The secret of a session: from the key of the ticket and the random strings of both ends, the client's first.
pub(super) fn session_secret(
    ticket_key: &Secret<32>,
    of_client: &[u8; 32],
    of_server: &[u8; 32],
) -> Secret<SESSION_SECRET_LEN> {
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(of_client);
    salt[32..].copy_from_slice(of_server);
    derive(&salt, ticket_key.expose(), b"Plan 9 session secret")
}

/// HKDF with SHA-256.
pub(super) fn derive<const N: usize>(salt: &[u8], key: &[u8], purpose: &[u8]) -> Secret<N> {
    Secret::filled(|target| {
        let expanded = Hkdf::<Sha256>::new(Some(salt), key).expand(purpose, target);
        assert!(expanded.is_ok(), "HKDF makes at most 255 hashes, and nothing here is as long");
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{array, bytes, fixture, list, text};
    use super::{aes_key, derive, des_key, session_secret};

    #[test]
    fn passwords_make_the_keys_that_9front_makes() {
        let passtokey = fixture("passtokey");
        for vector in list(&passtokey["vectors"]) {
            let key = aes_key(&bytes(&vector["password_hex"]));
            assert_eq!(key.expose(), &array(&vector["aes"]), "{}", vector["password"]);
            let key = des_key(&bytes(&vector["password_hex"]));
            assert_eq!(key.expose(), &array(&vector["des"]), "{}", vector["password"]);
        }
        for vector in list(&fixture("kdf")["pbkdf2"]) {
            assert_eq!(aes_key(&bytes(&vector["password"])).expose(), &array(&vector["dk"]));
        }
    }

    #[test]
    fn keys_make_the_keys_that_9front_makes() {
        let kdf = fixture("kdf");
        for vector in list(&kdf["hkdf"]) {
            let (salt, ikm, info) = (bytes(&vector["salt"]), bytes(&vector["ikm"]), bytes(&vector["info"]));
            match vector["length"].as_u64() {
                Some(112) => assert_eq!(derive::<112>(&salt, &ikm, &info).expose(), &array(&vector["okm"])),
                Some(32) => assert_eq!(derive::<32>(&salt, &ikm, &info).expose(), &array(&vector["okm"])),
                other => assert_eq!(other, Some(256), "{}", text(&vector["name"])),
            }
        }
    }

    #[test]
    fn the_random_string_of_the_client_comes_first() {
        let kdf = fixture("kdf");
        let sessions: std::vec::Vec<_> =
            list(&kdf["hkdf"]).iter().filter(|vector| vector["length"] == 256).collect();
        assert_eq!(sessions.len(), 2);
        for vector in sessions {
            let salt: [u8; 64] = array(&vector["salt"]);
            let (client, server) = (salt[..32].try_into().unwrap(), salt[32..].try_into().unwrap());
            let secret = session_secret(&super::Secret::take(&mut array(&vector["ikm"])), &client, &server);
            assert_eq!(secret.expose(), &array(&vector["okm"]));
        }
    }
}
