//! The envelope of tickets and authenticators, "form 1": a signature that says what is inside, a counter, and
//! ChaCha20-Poly1305.
//!
//! The signature is part of the nonce, so that nothing of one kind opens as another.

use super::secret::Secret;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};

/// Bytes that sealing adds.
pub const SEAL_LEN: usize = SIGNATURE_LEN + 4 + TAG_LEN;

const SIGNATURE_LEN: usize = 8;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// What is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ticket for the server.
    ServerTicket,
    /// A ticket for the client.
    ClientTicket,
    /// The server's authenticator.
    ServerAuthenticator,
    /// The client's authenticator.
    ClientAuthenticator,
    /// A ticket for the change of a password.
    PasswordTicket,
    /// A new password.
    PasswordRequest,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::ServerTicket,
        Kind::ClientTicket,
        Kind::ServerAuthenticator,
        Kind::ClientAuthenticator,
        Kind::PasswordTicket,
        Kind::PasswordRequest,
    ];

    /// Its number, which the old form of p9sk1 holds in the place of a signature.
    pub(super) const fn number(self) -> u8 {
        match self {
            Kind::ServerTicket => 64,
            Kind::ClientTicket => 65,
            Kind::ServerAuthenticator => 66,
            Kind::ClientAuthenticator => 67,
            Kind::PasswordTicket => 68,
            Kind::PasswordRequest => 3,
        }
    }

    const fn signature(self) -> &'static [u8; SIGNATURE_LEN] {
        match self {
            Kind::ServerTicket => b"form1 Ts",
            Kind::ClientTicket => b"form1 Tc",
            Kind::ServerAuthenticator => b"form1 As",
            Kind::ClientAuthenticator => b"form1 Ac",
            Kind::PasswordTicket => b"form1 Tp",
            Kind::PasswordRequest => b"form1 PR",
        }
    }
}

/// Why an envelope stays shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// No signature: the DES form of p9sk1, or rubbish.
    #[error("it is not in the form of dp9ik")]
    NotForm1,
    /// Something else than what belongs here.
    #[error("it is a {0:?}, which does not belong here")]
    OtherKind(Kind),
    /// It was sealed with another key, or altered on the way.
    #[error("it does not open: it was sealed with another key, or altered")]
    WrongKey,
}

/// Seals `plain`. No two messages of one kind may have the same key and counter.
pub(super) fn seal<const PLAIN: usize, const WIRE: usize>(
    kind: Kind,
    counter: u32,
    key: &Secret<32>,
    plain: &Secret<PLAIN>,
) -> [u8; WIRE] {
    const { assert!(WIRE == PLAIN + SEAL_LEN) };
    let mut wire = [0; WIRE];
    wire[..SIGNATURE_LEN].copy_from_slice(kind.signature());
    wire[SIGNATURE_LEN..NONCE_LEN].copy_from_slice(&counter.to_le_bytes());
    let nonce: Nonce = nonce_of(&wire);
    let (body, tag_place) = wire[NONCE_LEN..].split_at_mut(PLAIN);
    body.copy_from_slice(plain.expose());
    match cipher(key).encrypt_inout_detached(&nonce, &[], body.into()) {
        Ok(tag) => tag_place.copy_from_slice(&tag),
        Err(_) => unreachable!("only gigabytes are too long to be sealed"),
    }
    wire
}

/// Opens what should be of this kind. Any counter will do.
pub(super) fn open<const PLAIN: usize, const WIRE: usize>(
    kind: Kind,
    key: &Secret<32>,
    wire: &[u8; WIRE],
) -> Result<Secret<PLAIN>, Unopened> {
    const { assert!(WIRE == PLAIN + SEAL_LEN) };
    let signature = &wire[..SIGNATURE_LEN];
    match Kind::ALL.into_iter().find(|found| found.signature() == signature) {
        None => return Err(Unopened::NotForm1),
        Some(found) if found != kind => return Err(Unopened::OtherKind(found)),
        Some(_) => {}
    }
    let (body, tag) = wire[NONCE_LEN..].split_at(PLAIN);
    let tag = Tag::try_from(tag).map_err(|_| Unopened::WrongKey)?;
    let mut opened = Err(Unopened::WrongKey);
    let plain = Secret::filled(|plain: &mut [u8; PLAIN]| {
        plain.copy_from_slice(body);
        opened = cipher(key)
            .decrypt_inout_detached(&nonce_of(wire), &[], plain.as_mut_slice().into(), &tag)
            .map_err(|_| Unopened::WrongKey);
    });
    opened.map(|()| plain)
}

fn nonce_of<const WIRE: usize>(wire: &[u8; WIRE]) -> Nonce {
    let mut nonce = Nonce::default();
    nonce.copy_from_slice(&wire[..NONCE_LEN]);
    nonce
}

fn cipher(key: &Secret<32>) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.expose().into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::fixtures::{array, bytes, fixture, list, text};
    use super::{Kind, Secret, Unopened, open, seal};
    use serde_json::Value;

    pub(in super::super) fn kind(number: &Value) -> Kind {
        match number.as_u64() {
            Some(64) => Kind::ServerTicket,
            Some(65) => Kind::ClientTicket,
            Some(66) => Kind::ServerAuthenticator,
            Some(67) => Kind::ClientAuthenticator,
            Some(68) => Kind::PasswordTicket,
            other => panic!("number {other:?} is not of form 1"),
        }
    }

    #[test]
    fn a_new_password_is_sealed_as_9front_does() {
        for vector in list(&fixture("tickets")["passwordreq"]) {
            let key = Secret::take(&mut array(&vector["ticket_key"]));
            let plain: Secret<89> = Secret::take(&mut array(&vector["plaintext"]));
            let wire: [u8; 117] = seal(Kind::PasswordRequest, 0, &key, &plain);
            assert_eq!(wire, array(&vector["wire"]));
            assert_eq!(open(Kind::PasswordRequest, &key, &wire), Ok(plain));
        }
    }

    #[test]
    fn the_counter_is_little_endian_and_any_is_taken() {
        let sequence = &fixture("tickets")["counter_sequence"];
        let key = Secret::take(&mut array(&sequence["ticket_key"]));
        for (wire, counter) in list(&sequence["wires"]).iter().zip(0..) {
            let wire: [u8; 68] = array(wire);
            let plain: Secret<40> = open(kind(&sequence["num"]), &key, &wire).unwrap();
            assert_eq!(seal::<40, 68>(kind(&sequence["num"]), counter, &key, &plain), wire);
        }
        let plain = Secret::<1>::filled(|_| ());
        let wire: [u8; 29] = seal(Kind::ServerTicket, 0x0102_0304, &key, &plain);
        assert_eq!(wire[..12], *b"form1 Ts\x04\x03\x02\x01");
        assert_eq!(open(Kind::ServerTicket, &key, &wire), Ok(plain));
    }

    #[test]
    fn what_9front_does_not_open_stays_shut() {
        for vector in list(&fixture("tickets")["must_fail"]) {
            let key = Secret::take(&mut array(&vector["encrypt_key"]));
            let mut wire = [0; 124];
            let given = bytes(&vector["wire"]);
            wire[..given.len()].copy_from_slice(&given);
            let wanted = if wire.starts_with(b"form1 Tc") { Unopened::WrongKey } else { Unopened::NotForm1 };
            let opened = open::<96, 124>(Kind::ClientTicket, &key, &wire);
            assert_eq!(opened, Err(wanted), "{}", text(&vector["reason"]));
        }
    }

    #[test]
    fn one_kind_does_not_pass_for_another() {
        let key = Secret::filled(|key| key.fill(9));
        let wire: [u8; 29] = seal(Kind::ClientTicket, 0, &key, &Secret::<1>::filled(|_| ()));
        let opened = open::<1, 29>(Kind::ServerTicket, &key, &wire);
        assert_eq!(opened, Err(Unopened::OtherKind(Kind::ClientTicket)));
    }
}
