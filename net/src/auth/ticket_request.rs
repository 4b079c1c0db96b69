//! What a server asks a client to have vouched for, and what the client then asks the authentication server.

use super::name::{BadName, DOMAIN_FIELD, Domain, USER_FIELD, UserName};
use super::ticket::{CHALLENGE_LEN, Challenge};

/// Bytes of a request.
pub const REQUEST_LEN: usize = 1 + USER_FIELD + DOMAIN_FIELD + CHALLENGE_LEN + 2 * USER_FIELD;
const _: () = assert!(REQUEST_LEN == 141);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// 1: two tickets.
    Tickets,
    /// 3: another password.
    PasswordChange,
    /// 19: to agree on keys first.
    KeyAgreement,
}

impl Wanted {
    const fn code(self) -> u8 {
        match self {
            Wanted::Tickets => 1,
            Wanted::PasswordChange => 3,
            Wanted::KeyAgreement => 19,
        }
    }
}

/// A ticket request. Nothing in it is secret, and nothing proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRequest {
    /// What is asked for.
    pub wanted: Wanted,
    /// The server's account.
    pub server: UserName,
    /// The domain of both.
    pub domain: Domain,
    /// The server's challenge.
    pub challenge: Challenge,
    /// The client's account; the server leaves it empty.
    pub client: UserName,
    /// Who the client wants to be at the server; the server leaves it empty.
    pub user: UserName,
}

/// Bytes that are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A type that has no place here.
    #[error("the ticket request is of the unknown type {0}")]
    Type(u8),
    /// A name that is none.
    #[error("a name in the ticket request: {0}")]
    Name(#[from] BadName),
}

impl TicketRequest {
    /// The bytes of the request.
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut wire = [0; REQUEST_LEN];
        wire[0] = self.wanted.code();
        wire[1..29].copy_from_slice(&self.server.to_field());
        wire[29..77].copy_from_slice(&self.domain.to_field());
        wire[77..85].copy_from_slice(&self.challenge);
        wire[85..113].copy_from_slice(&self.client.to_field());
        wire[113..].copy_from_slice(&self.user.to_field());
        wire
    }

    /// The request that the bytes are.
    pub fn parse(wire: &[u8; REQUEST_LEN]) -> Result<TicketRequest, BadRequest> {
        let wanted = match wire[0] {
            1 => Wanted::Tickets,
            3 => Wanted::PasswordChange,
            19 => Wanted::KeyAgreement,
            other => return Err(BadRequest::Type(other)),
        };
        let mut challenge = [0; CHALLENGE_LEN];
        challenge.copy_from_slice(&wire[77..85]);
        Ok(TicketRequest {
            wanted,
            server: UserName::from_field(&field(&wire[1..29]))?,
            domain: Domain::from_field(&field(&wire[29..77]))?,
            challenge,
            client: UserName::from_field(&field(&wire[85..113]))?,
            user: UserName::from_field(&field(&wire[113..]))?,
        })
    }
}

fn field<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(bytes);
    field
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{array, fixture, list, text};
    use super::{BadRequest, Domain, TicketRequest, UserName, Wanted};

    #[test]
    fn requests_are_9fronts() {
        for vector in list(&fixture("tickets")["ticketreq"]) {
            let request = TicketRequest {
                wanted: match vector["type"].as_u64() {
                    Some(1) => Wanted::Tickets,
                    Some(3) => Wanted::PasswordChange,
                    other => (other == Some(19)).then_some(Wanted::KeyAgreement).unwrap(),
                },
                server: UserName::new(text(&vector["authid"])).unwrap(),
                domain: Domain::new(text(&vector["authdom"])).unwrap(),
                challenge: array(&vector["chal"]),
                client: UserName::new(text(&vector["hostid"])).unwrap(),
                user: UserName::new(text(&vector["uid"])).unwrap(),
            };
            assert_eq!(request.encode(), array(&vector["wire"]));
            assert_eq!(TicketRequest::parse(&array(&vector["wire"])), Ok(request));
        }
    }

    #[test]
    fn refuses_unknown_types() {
        assert_eq!(TicketRequest::parse(&[0; 141]), Err(BadRequest::Type(0)));
    }
}
