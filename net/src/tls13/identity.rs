//! A node's key and certificate, and the file that keeps both: PEM, as every TLS program reads it.

use super::provider::Random;
use crate::rng::Rng;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use p256::SecretKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, UtcTime};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, Decode, Encode, pem};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

/// A longer file of a key is refused.
pub const FILE_LEN_MAX: usize = 64 << 10;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// 2000-01-01: a machine's clock may be wrong when its key is made, and nobody looks at these dates.
const NOT_BEFORE: Duration = Duration::from_secs(946_684_800);

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate (DER).
    pub fn of(certificate: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(certificate).into())
    }

    /// How it begins: enough to tell peers apart in a log.
    pub fn short(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    /// `sha256=` and 64 hexadecimal digits; the word `x509` may stand before.
    fn from_str(text: &str) -> Result<Fingerprint, BadFingerprint> {
        let text = text.trim();
        let text = text.strip_prefix("x509 ").unwrap_or(text).trim_start();
        let digits = text.strip_prefix("sha256=").ok_or(BadFingerprint)?;
        let mut bytes = [0; 32];
        base16ct::mixed::decode(digits, &mut bytes)
            .ok()
            .filter(|all| all.len() == 32)
            .ok_or(BadFingerprint)?;
        Ok(Fingerprint(bytes))
    }
}

/// A text that is no hash of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a certificate is named by sha256= and 64 hexadecimal digits, as `granary key show` prints it")]
pub struct BadFingerprint;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256=")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a key cannot be used, or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// No key.
    #[error(
        "no PEM block `PRIVATE KEY` with a P-256 key (PKCS #8); `openssl pkcs8 -topk8 -nodes` makes one of others"
    )]
    Key,
    /// No certificate.
    #[error("no PEM block `CERTIFICATE` with a certificate for a P-256 key")]
    Certificate,
    /// A certificate of another key.
    #[error("the certificate is not one of this key")]
    Mismatch,
    /// A name that no certificate takes.
    #[error("a certificate cannot carry this name")]
    Name,
}

/// Who a node is: its key, which it keeps to itself, and the certificate that it shows.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
    certificate: Vec<u8>,
}

impl Identity {
    /// A new one. The `name` is for people who look at the certificate; nothing depends on it.
    ///
    /// # Errors
    /// [`BadIdentity::Name`].
    pub fn generate(rng: &impl Rng, name: &str) -> Result<Identity, BadIdentity> {
        let key = SigningKey::random(&mut Random(rng));
        let mut serial_number = [0; 16];
        rng.fill(&mut serial_number);
        let name = common_name(name).ok_or(BadIdentity::Name)?;
        let certificate = self_signed(&key, &serial_number, name).map_err(|_| BadIdentity::Name)?;
        Ok(Identity { key, certificate })
    }

    /// From its file: a key and a certificate, in any order; whatever else is in it is passed over.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn from_pem(text: &str) -> Result<Identity, BadIdentity> {
        let key_block = block(text, "PRIVATE KEY").ok_or(BadIdentity::Key)?;
        let key = SecretKey::from_pkcs8_pem(key_block).map_err(|_| BadIdentity::Key)?;
        let certificate = block(text, "CERTIFICATE").ok_or(BadIdentity::Certificate)?;
        let (_, certificate) =
            pem::decode_vec(certificate.as_bytes()).map_err(|_| BadIdentity::Certificate)?;
        let shown = public_key(&certificate).ok_or(BadIdentity::Certificate)?;
        let key = SigningKey::from(key);
        if *key.verifying_key() != shown {
            return Err(BadIdentity::Mismatch);
        }
        Ok(Identity { key, certificate })
    }

    /// Its file.
    ///
    /// # Errors
    /// None that can be brought about.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, BadIdentity> {
        let key = SecretKey::from(&self.key).to_pkcs8_pem(LineEnding::LF).map_err(|_| BadIdentity::Key)?;
        let certificate = pem::encode_string("CERTIFICATE", LineEnding::LF, &self.certificate);
        let certificate = certificate.map_err(|_| BadIdentity::Certificate)?;
        Ok(Zeroizing::new(format!("{}{certificate}", &*key)))
    }

    /// Its certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The hash by which peers know it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The line that peers put into their `thumbprints`.
    pub fn line(&self, name: &str) -> String {
        format!("x509 {} name={name}", self.fingerprint())
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Somebody who shows a certificate that is not of this key.
    #[cfg(test)]
    pub(crate) fn for_tests(key: SigningKey, certificate: &[u8]) -> Identity {
        Identity { key, certificate: certificate.to_vec() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

/// The key in a certificate, if it is one of P-256.
pub(super) fn public_key(certificate: &[u8]) -> Option<VerifyingKey> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let key = certificate.tbs_certificate.subject_public_key_info.to_der().ok()?;
    VerifyingKey::from_public_key_der(&key).ok()
}

fn common_name(name: &str) -> Option<Name> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    let is_plain = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
    is_plain.then(|| Name::from_str(&format!("CN={name}")).ok())?
}

fn self_signed(key: &SigningKey, serial_number: &[u8], name: Name) -> der::Result<Vec<u8>> {
    let algorithm = AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None };
    let public_key =
        key.verifying_key().to_public_key_der().map_err(|_| der::Tag::BitString.value_error())?;
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(serial_number)?,
        signature: algorithm.clone(),
        issuer: name.clone(),
        validity: Validity {
            not_before: Time::UtcTime(UtcTime::from_unix_duration(NOT_BEFORE)?),
            not_after: Time::INFINITY,
        },
        subject: name,
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(public_key.as_bytes())?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    };
    let signature: DerSignature = key.sign(&tbs_certificate.to_der()?);
    let signature = BitString::from_bytes(signature.as_bytes())?;
    Certificate { tbs_certificate, signature_algorithm: algorithm, signature }.to_der()
}

/// The first PEM block with this label.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let from = text.find(&begin)?;
    let rest = text.get(from..)?;
    rest.get(..rest.find(&end)? + end.len())
}
