//! AES-128-GCM that looks at what it opens before embedded-tls does.
//!
//! embedded-tls lets the suite choose the cipher, so this is where records can be judged that are sealed: after the
//! handshake it gets data and alerts. Tickets for later sessions, which we do not use, become data without a byte. All else
//! fails to open.

use super::pipes::AFTER_HANDSHAKE;
use aes_gcm::aead::{self, AeadCore, AeadInPlace, KeyInit, KeySizeUser};
use aes_gcm::{Aes128Gcm, Key, Nonce, Tag};
use embedded_tls::{Aes128GcmSha256, Sha256, TlsCipherSuite};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const NEW_SESSION_TICKET: u8 = 4;
/// The second byte of every record's version.
const MINOR: u8 = 3;

/// TLS_AES_128_GCM_SHA256, guarded.
pub(super) struct GuardedSuite;

impl TlsCipherSuite for GuardedSuite {
    const CODE_POINT: u16 = Aes128GcmSha256::CODE_POINT;
    type Cipher = GuardedGcm;
    type KeyLen = <Aes128GcmSha256 as TlsCipherSuite>::KeyLen;
    type IvLen = <Aes128GcmSha256 as TlsCipherSuite>::IvLen;
    type Hash = Sha256;
    type LabelBufferSize = <Aes128GcmSha256 as TlsCipherSuite>::LabelBufferSize;
}

pub(super) struct GuardedGcm(Aes128Gcm);

impl KeySizeUser for GuardedGcm {
    type KeySize = <Aes128Gcm as KeySizeUser>::KeySize;
}

impl KeyInit for GuardedGcm {
    fn new(key: &Key<Aes128Gcm>) -> GuardedGcm {
        GuardedGcm(Aes128Gcm::new(key))
    }
}

impl AeadCore for GuardedGcm {
    type NonceSize = <Aes128Gcm as AeadCore>::NonceSize;
    type TagSize = <Aes128Gcm as AeadCore>::TagSize;
    type CiphertextOverhead = <Aes128Gcm as AeadCore>::CiphertextOverhead;
}

impl AeadInPlace for GuardedGcm {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self::NonceSize>,
        header: &[u8],
        plain: &mut [u8],
    ) -> aead::Result<Tag> {
        self.0.encrypt_in_place_detached(nonce, header, plain)
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self::NonceSize>,
        header: &[u8],
        sealed: &mut [u8],
        tag: &Tag,
    ) -> aead::Result<()> {
        let [kind, major, minor, high, low] = *header else { return Err(aead::Error) };
        let is_late = minor == AFTER_HANDSHAKE;
        let header = [kind, major, if is_late { MINOR } else { minor }, high, low];
        self.0.decrypt_in_place_detached(nonce, &header, sealed, tag)?;
        judge(sealed, is_late)
    }
}

/// Whether embedded-tls may see what a record says.
fn judge(plain: &mut [u8], is_late: bool) -> aead::Result<()> {
    // Zeros are padding; the byte before them says what the others are.
    let end = plain.iter().rposition(|byte| *byte != 0).ok_or(aead::Error)?;
    match (plain[end], is_late) {
        (HANDSHAKE | ALERT, false) | (APPLICATION_DATA | ALERT, true) => Ok(()),
        (HANDSHAKE, true) if end > 0 && plain[0] == NEW_SESSION_TICKET => {
            plain.fill(0);
            plain[0] = APPLICATION_DATA;
            Ok(())
        }
        _ => Err(aead::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_alerts_and_tickets_pass_after_the_handshake() {
        for (plain, early, late) in [
            (&[1, 2, APPLICATION_DATA][..], false, true),
            (&[APPLICATION_DATA, 0, 0], false, true),
            (&[1, 0, ALERT], true, true),
            (&[20, 0, 0, 32, HANDSHAKE], true, false),
            (&[24, 0, 0, 1, 0, HANDSHAKE], true, false),
            (&[HANDSHAKE, 0], true, false),
            (&[NEW_SESSION_TICKET, 0, 0, 9, HANDSHAKE], true, true),
            (&[0, 0, 0], false, false),
            (&[], false, false),
            (&[1, 20], false, false),
        ] {
            assert_eq!(judge(&mut plain.to_vec(), false).is_ok(), early, "{plain:?}");
            assert_eq!(judge(&mut plain.to_vec(), true).is_ok(), late, "{plain:?}");
        }
    }

    #[test]
    fn a_ticket_becomes_data_without_a_byte() {
        let mut plain = [NEW_SESSION_TICKET, 0, 0, 1, 7, HANDSHAKE, 0];
        judge(&mut plain, true).unwrap();
        assert_eq!(plain, [APPLICATION_DATA, 0, 0, 0, 0, 0, 0]);
    }
}
