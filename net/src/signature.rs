//! Signatures over a file: ECDSA with P-256 and SHA-256, as `openssl dgst -sha256 -sign` makes them.
//!
//! Knows keys and signatures in the forms that other programs use (SubjectPublicKeyInfo in base64, DER). Must not know what is
//! signed.

use crate::tls13::Identity;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use core::fmt;
use core::str::FromStr;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey, EncodePublicKey};

/// Letters of a longer key are not looked at.
const KEY_LEN_MAX: usize = 200;

/// A key that says who has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no public key on P-256: what `openssl pkey -pubout` prints between its first line and its last, in one line"
)]
pub struct BadKey;

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<PublicKey, BadKey> {
        if text.len() > KEY_LEN_MAX {
            return Err(BadKey);
        }
        let mut der = vec![0; text.len()];
        let der = Base64::decode(text, &mut der).map_err(|_| BadKey)?;
        VerifyingKey::from_public_key_der(der).map(PublicKey).map_err(|_| BadKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let der = self.0.to_public_key_der().map_err(|_| fmt::Error)?;
        let mut text = [0; KEY_LEN_MAX];
        out.write_str(Base64::encode(der.as_bytes(), &mut text).map_err(|_| fmt::Error)?)
    }
}

impl PublicKey {
    /// That of a node's key.
    pub fn of(identity: &Identity) -> PublicKey {
        PublicKey(*identity.key().verifying_key())
    }

    /// Whether `signature` (DER) is one of `file` by this key.
    pub fn has_signed(&self, file: &[u8], signature: &[u8]) -> bool {
        DerSignature::try_from(signature).is_ok_and(|signature| self.0.verify(file, &signature).is_ok())
    }
}

/// The signature (DER) of `file` by a node's key.
pub fn sign(identity: &Identity, file: &[u8]) -> Vec<u8> {
    let signature: DerSignature = identity.key().sign(file);
    signature.as_bytes().to_vec()
}

/// Hexadecimal digits, as commands carry signatures.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::SecretKey;
    use p256::ecdsa::SigningKey;

    /// Made with OpenSSL 3: `openssl ecparam -name prime256v1 -genkey -noout`, `openssl pkey -pubout`, and
    /// `printf 'a kernel\n' | openssl dgst -sha256 -sign`.
    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmT+M1XoaauELt7Qw8xOVHpa8zp2dWTaFgtwA9Ld4wxufJcSVNhuNZx\
        AM2h6IApgsFRYNvh5/FK8Z2t5YZMsQuw==";
    const SIGNATURE: &str = "304402200379cb6250ff5fe91c11c52405fb579f6e0e2f92b35edab09cc787b0d122895a0220699a6a670b77bd\
        f2b5de83d80f1a59877453f5456ceeaf574178bc5fedee5271";

    #[test]
    fn what_openssl_has_signed_is_accepted_and_nothing_else() {
        let key: PublicKey = KEY.parse().unwrap();
        let mut signature = [0; 80];
        let signature = base16ct::lower::decode(SIGNATURE, &mut signature).unwrap();
        assert!(key.has_signed(b"a kernel\n", signature));
        assert!(!key.has_signed(b"a kernel", signature));
        assert!(!key.has_signed(b"a kernel\n", &signature[..signature.len() - 1]));
        assert!(!key.has_signed(b"a kernel\n", b""));
        assert_eq!(alloc::format!("{key}"), KEY);
        for bad in ["", "x", &KEY[1..], &KEY[..KEY.len() - 4], &KEY.repeat(9)] {
            assert_eq!(bad.parse::<PublicKey>(), Err(BadKey), "{bad}");
        }
    }

    #[test]
    fn what_a_key_has_signed_its_public_half_knows() {
        let key = SigningKey::from(SecretKey::from_slice(&[7; 32]).unwrap());
        let identity = Identity::for_tests(key, b"");
        let signature = sign(&identity, b"a kernel");
        assert!(PublicKey::of(&identity).has_signed(b"a kernel", &signature));
        let read_again: PublicKey = alloc::format!("{}", PublicKey::of(&identity)).parse().unwrap();
        assert!(read_again.has_signed(b"a kernel", &signature));
        assert!(!read_again.has_signed(b"another", &signature));
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
