//! Tickets and authenticators in their old form: a number that says what is inside, the content, and DES over all.
//!
//! Nothing but the number and the challenge shows whether one was altered.

use super::des;
use crate::auth::key::DES_KEY_LEN;
use crate::auth::name::{USER_FIELD, UserName};
use crate::auth::sealed::{Kind, Unopened};
use crate::auth::secret::Secret;
use crate::auth::ticket::{CHALLENGE_LEN, Challenge, Worthless};
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a ticket.
pub const TICKET_LEN: usize = 1 + CHALLENGE_LEN + 2 * USER_FIELD + DES_KEY_LEN;
/// Bytes of an authenticator; the last four are zero.
pub const AUTHENTICATOR_LEN: usize = 1 + CHALLENGE_LEN + 4;
const _: () = assert!(TICKET_LEN == 72 && AUTHENTICATOR_LEN == 13);

const USERS: usize = 1 + CHALLENGE_LEN;
const KEY: usize = TICKET_LEN - DES_KEY_LEN;

/// A ticket, opened.
#[derive(Debug, PartialEq, Eq)]
pub struct DesTicket {
    /// The server's challenge.
    pub challenge: Challenge,
    /// Who asked.
    pub client_user: UserName,
    /// Who that is at the server. This name counts.
    pub server_user: UserName,
    /// What only the holders of the two copies know.
    pub key: Secret<DES_KEY_LEN>,
}

impl DesTicket {
    /// Opens a ticket of this kind that should hold `challenge`.
    pub fn open(
        kind: Kind,
        key: &Secret<DES_KEY_LEN>,
        wire: &[u8; TICKET_LEN],
        challenge: &Challenge,
    ) -> Result<DesTicket, Worthless> {
        let plain = Secret::filled(|plain: &mut [u8; TICKET_LEN]| {
            *plain = *wire;
            des::decrypt(key, plain);
        });
        let plain = plain.expose();
        check(kind, plain, challenge)?;
        let user = |at: usize| {
            let mut field = [0; USER_FIELD];
            field.copy_from_slice(&plain[at..at + USER_FIELD]);
            UserName::from_field(&field)
        };
        Ok(DesTicket {
            challenge: *challenge,
            client_user: user(USERS)?,
            server_user: user(USERS + USER_FIELD)?,
            key: Secret::filled(|target| target.copy_from_slice(&plain[KEY..])),
        })
    }

    /// Seals the ticket.
    pub fn seal(&self, kind: Kind, key: &Secret<DES_KEY_LEN>) -> [u8; TICKET_LEN] {
        let mut wire = [0; TICKET_LEN];
        wire[0] = kind.number();
        wire[1..USERS].copy_from_slice(&self.challenge);
        wire[USERS..USERS + USER_FIELD].copy_from_slice(&self.client_user.to_field());
        wire[USERS + USER_FIELD..KEY].copy_from_slice(&self.server_user.to_field());
        wire[KEY..].copy_from_slice(self.key.expose());
        des::encrypt(key, &mut wire);
        wire
    }
}

/// Opens an authenticator that should hold `challenge`.
pub fn open_authenticator(
    kind: Kind,
    ticket_key: &Secret<DES_KEY_LEN>,
    wire: &[u8; AUTHENTICATOR_LEN],
    challenge: &Challenge,
) -> Result<(), Worthless> {
    let mut plain = *wire;
    des::decrypt(ticket_key, &mut plain);
    check(kind, &plain, challenge)
}

/// Makes the authenticator that answers `challenge`.
pub fn seal_authenticator(
    kind: Kind,
    ticket_key: &Secret<DES_KEY_LEN>,
    challenge: &Challenge,
) -> [u8; AUTHENTICATOR_LEN] {
    let mut wire = [0; AUTHENTICATOR_LEN];
    wire[0] = kind.number();
    wire[1..USERS].copy_from_slice(challenge);
    des::encrypt(ticket_key, &mut wire);
    wire
}

/// Number and challenge. Which of the two is wrong tells nothing: with another key both are rubbish.
fn check(kind: Kind, plain: &[u8], challenge: &Challenge) -> Result<(), Worthless> {
    let number = plain[0].ct_eq(&kind.number());
    let same: Choice = plain[1..USERS].ct_eq(challenge);
    if bool::from(number & same) { Ok(()) } else { Err(Unopened::WrongKey.into()) }
}

#[cfg(test)]
mod tests {
    use super::{DesTicket, open_authenticator, seal_authenticator};
    use crate::auth::fixtures::{array, fixture, list, text};
    use crate::auth::name::UserName;
    use crate::auth::sealed::tests::kind;
    use crate::auth::sealed::{Kind, Unopened};
    use crate::auth::secret::Secret;
    use serde_json::Value;

    fn old_form(vectors: &Value) -> impl Iterator<Item = &Value> {
        list(vectors).iter().filter(|vector| vector["form"] == 0)
    }

    #[test]
    fn tickets_are_9fronts() {
        for vector in old_form(&fixture("tickets")["tickets"]) {
            let key = Secret::take(&mut array(&vector["encrypt_key"]));
            let ticket = DesTicket {
                challenge: array(&vector["chal"]),
                client_user: UserName::new(text(&vector["cuid"])).unwrap(),
                server_user: UserName::new(text(&vector["suid"])).unwrap(),
                key: Secret::take(&mut array(&vector["key"])),
            };
            let kind = kind(&vector["num"]);
            let wire = ticket.seal(kind, &key);
            assert_eq!(wire, array(&vector["wire"]));
            let other = DesTicket::open(Kind::PasswordTicket, &key, &wire, &ticket.challenge);
            assert_eq!(other, Err(Unopened::WrongKey.into()));
            let other = DesTicket::open(kind, &key, &wire, &[0; 8]);
            assert_eq!(other, Err(Unopened::WrongKey.into()));
            assert_eq!(DesTicket::open(kind, &key, &wire, &ticket.challenge.clone()), Ok(ticket));
        }
    }

    #[test]
    fn authenticators_are_9fronts() {
        for vector in old_form(&fixture("tickets")["authenticators"]) {
            let key = Secret::take(&mut array(&vector["ticket_key"]));
            let (kind, challenge) = (kind(&vector["num"]), array(&vector["chal"]));
            let wire = seal_authenticator(kind, &key, &challenge);
            assert_eq!(wire, array(&vector["wire"]));
            assert_eq!(open_authenticator(kind, &key, &wire, &challenge), Ok(()));
            assert_eq!(open_authenticator(kind, &key, &wire, &[0; 8]), Err(Unopened::WrongKey.into()));
            let other = Secret::filled(|key| key.fill(1));
            assert_eq!(open_authenticator(kind, &other, &wire, &challenge), Err(Unopened::WrongKey.into()));
        }
    }
}
