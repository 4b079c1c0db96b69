//! Records sealed and opened by AES-128-GCM, in place.

use super::RECORDS_MAX;
use super::hash::{Sha256Hash, Sha256Hmac};
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::{AeadInPlace, Aes128Gcm, KeyInit, Tag};
use alloc::boxed::Box;
use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::{CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, Tls13CipherSuite};

const KEY_LEN: usize = 16;
const TAG_LEN: usize = 16;

/// TLS_AES_128_GCM_SHA256.
pub(super) static SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &Sha256Hash,
        confidentiality_limit: RECORDS_MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&Sha256Hmac),
    aead_alg: &Gcm,
    quic: None,
};

struct Gcm;

impl Tls13AeadAlgorithm for Gcm {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Keyed::new(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Keyed::new(&key, iv))
    }

    fn key_len(&self) -> usize {
        KEY_LEN
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(ConnectionTrafficSecrets::Aes128Gcm { key, iv })
    }
}

struct Keyed {
    cipher: Aes128Gcm,
    iv: Iv,
}

impl Keyed {
    fn new(key: &AeadKey, iv: Iv) -> Keyed {
        // rustls gives a key of `key_len` bytes.
        let cipher = Aes128Gcm::new(GenericArray::<u8, U16>::from_slice(key.as_ref()));
        Keyed { cipher, iv }
    }

    fn nonce(&self, number: u64) -> GenericArray<u8, U12> {
        GenericArray::from(Nonce::new(&self.iv, number).0)
    }
}

impl MessageEncrypter for Keyed {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let len = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(len);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        let sealed = self.cipher.encrypt_in_place_detached(
            &self.nonce(number),
            &make_tls13_aad(len),
            payload.as_mut(),
        );
        payload.extend_from_slice(&sealed.map_err(|_| Error::EncryptError)?);
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG_LEN
    }
}

impl MessageDecrypter for Keyed {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let nonce = self.nonce(number);
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let len = payload.len().checked_sub(TAG_LEN).ok_or(Error::DecryptError)?;
        let (sealed, tag) = payload.split_at_mut(len);
        let tag = *Tag::from_slice(tag);
        self.cipher.decrypt_in_place_detached(&nonce, &aad, sealed, &tag).map_err(|_| Error::DecryptError)?;
        payload.truncate(len);
        message.into_tls13_unpadded_message()
    }
}
