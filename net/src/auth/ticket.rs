//! Tickets, with which the authentication server vouches for a client, and authenticators, with which both ends
//! prove that they could open theirs.

use super::name::{BadName, USER_FIELD, UserName};
use super::sealed::{Kind, SEAL_LEN, Unopened, open, seal};
use super::secret::Secret;
use subtle::ConstantTimeEq;

/// Bytes of a challenge.
pub const CHALLENGE_LEN: usize = 8;

/// What one end asks the other to repeat, so that old messages are of no use.
pub type Challenge = [u8; CHALLENGE_LEN];

/// Bytes of a sealed ticket.
pub const TICKET_LEN: usize = TICKET_PLAIN + SEAL_LEN;
/// Bytes of a sealed authenticator.
pub const AUTHENTICATOR_LEN: usize = AUTHENTICATOR_PLAIN + SEAL_LEN;

const TICKET_PLAIN: usize = CHALLENGE_LEN + 2 * USER_FIELD + 32;
const AUTHENTICATOR_PLAIN: usize = CHALLENGE_LEN + 32;
const _: () = assert!(TICKET_LEN == 124 && AUTHENTICATOR_LEN == 68);

/// Why a ticket or an authenticator is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Worthless {
    /// It stays shut.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// It was made for another connection: it does not hold this one's challenge.
    #[error("it was made for another connection")]
    OtherChallenge,
    /// The user's name is none.
    #[error("the user's name in it: {0}")]
    Name(#[from] BadName),
}

/// A ticket, opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The server's challenge.
    pub challenge: Challenge,
    /// Who asked.
    pub client_user: UserName,
    /// Who that is at the server. This name counts.
    pub server_user: UserName,
    /// What only the holders of the two copies know.
    pub key: Secret<32>,
}

impl Ticket {
    /// Opens a ticket of this kind that should hold `challenge`.
    pub fn open(
        kind: Kind,
        key: &Secret<32>,
        wire: &[u8; TICKET_LEN],
        challenge: &Challenge,
    ) -> Result<Ticket, Worthless> {
        let plain: Secret<TICKET_PLAIN> = open(kind, key, wire)?;
        let mut rest = plain.expose().as_slice();
        let ticket = Ticket {
            challenge: take(&mut rest),
            client_user: UserName::from_field(&take(&mut rest))?,
            server_user: UserName::from_field(&take(&mut rest))?,
            key: Secret::filled(|target| target.copy_from_slice(rest)),
        };
        if !bool::from(ticket.challenge.ct_eq(challenge)) {
            return Err(Worthless::OtherChallenge);
        }
        Ok(ticket)
    }

    /// Seals the ticket.
    pub fn seal(&self, kind: Kind, counter: u32, key: &Secret<32>) -> [u8; TICKET_LEN] {
        let plain = Secret::filled(|plain: &mut [u8; TICKET_PLAIN]| {
            plain[..8].copy_from_slice(&self.challenge);
            plain[8..36].copy_from_slice(&self.client_user.to_field());
            plain[36..64].copy_from_slice(&self.server_user.to_field());
            plain[64..].copy_from_slice(self.key.expose());
        });
        seal(kind, counter, key, &plain)
    }
}

/// Opens an authenticator that should hold `challenge`, and yields its random string.
pub fn open_authenticator(
    kind: Kind,
    ticket_key: &Secret<32>,
    wire: &[u8; AUTHENTICATOR_LEN],
    challenge: &Challenge,
) -> Result<[u8; 32], Worthless> {
    let plain: Secret<AUTHENTICATOR_PLAIN> = open(kind, ticket_key, wire)?;
    let mut rest = plain.expose().as_slice();
    if !bool::from(take::<CHALLENGE_LEN>(&mut rest).ct_eq(challenge)) {
        return Err(Worthless::OtherChallenge);
    }
    Ok(take(&mut rest))
}

/// Makes the authenticator that answers `challenge`. Each end seals one with a ticket's key, of its own kind, so
/// the counter may always begin at 0.
pub fn seal_authenticator(
    kind: Kind,
    ticket_key: &Secret<32>,
    challenge: &Challenge,
    random: &[u8; 32],
) -> [u8; AUTHENTICATOR_LEN] {
    let plain = Secret::filled(|plain: &mut [u8; AUTHENTICATOR_PLAIN]| {
        plain[..CHALLENGE_LEN].copy_from_slice(challenge);
        plain[CHALLENGE_LEN..].copy_from_slice(random);
    });
    seal(kind, 0, ticket_key, &plain)
}

/// The first `N` bytes. Layouts here are fixed: the caller has them.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let (front, back) = rest.split_at(N);
    taken.copy_from_slice(front);
    *rest = back;
    taken
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{array, fixture, list, text};
    use super::super::sealed::{Kind, Unopened, tests::kind};
    use super::{Secret, Ticket, UserName, Worthless, open_authenticator, seal_authenticator};

    #[test]
    fn tickets_are_9fronts() {
        for vector in list(&fixture("tickets")["tickets"]).iter().filter(|vector| vector["form"] == 1) {
            let key = Secret::take(&mut array(&vector["encrypt_key"]));
            let ticket = Ticket {
                challenge: array(&vector["chal"]),
                client_user: UserName::new(text(&vector["cuid"])).unwrap(),
                server_user: UserName::new(text(&vector["suid"])).unwrap(),
                key: Secret::take(&mut array(&vector["key"])),
            };
            let kind = kind(&vector["num"]);
            let wire = ticket.seal(kind, 0, &key);
            assert_eq!(wire, array(&vector["wire"]));
            assert_eq!(Ticket::open(kind, &key, &wire, &ticket.challenge), Ok(ticket));
        }
    }

    #[test]
    fn authenticators_are_9fronts() {
        for vector in list(&fixture("tickets")["authenticators"]).iter().filter(|vector| vector["form"] == 1)
        {
            let key = Secret::take(&mut array(&vector["ticket_key"]));
            let (challenge, random) = (array(&vector["chal"]), array(&vector["rand"]));
            let kind = kind(&vector["num"]);
            let wire = seal_authenticator(kind, &key, &challenge, &random);
            assert_eq!(wire, array(&vector["wire"]));
            assert_eq!(open_authenticator(kind, &key, &wire, &challenge), Ok(random));
            let other = open_authenticator(kind, &key, &wire, &[0; 8]);
            assert_eq!(other, Err(Worthless::OtherChallenge));
        }
    }

    #[test]
    fn the_des_form_is_refused() {
        for vector in list(&fixture("tickets")["tickets"]).iter().filter(|vector| vector["form"] == 0) {
            let mut wire = [0; 124];
            wire[..72].copy_from_slice(&array::<72>(&vector["wire"]));
            let key = Secret::filled(|_| ());
            let opened = Ticket::open(Kind::ServerTicket, &key, &wire, &array(&vector["chal"]));
            assert_eq!(opened, Err(Unopened::NotForm1.into()));
        }
    }

    #[test]
    fn a_ticket_of_another_connection_is_refused() {
        let key = Secret::filled(|key| key.fill(1));
        let user = UserName::new("ada").unwrap();
        let ticket = Ticket {
            challenge: [1; 8],
            client_user: user.clone(),
            server_user: user,
            key: Secret::filled(|key| key.fill(2)),
        };
        let wire = ticket.seal(Kind::ServerTicket, 7, &key);
        let opened = Ticket::open(Kind::ServerTicket, &key, &wire, &[2; 8]);
        assert_eq!(opened, Err(Worthless::OtherChallenge));
    }
}
