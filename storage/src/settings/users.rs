//! Who may do what behind authentication: users, their roles, and from where they have them, as people write them.

use super::Network;
use super::value::Expected;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::FromStr;

/// Users that may be listed; more is a mistake.
const USERS_MAX: usize = 256;
/// Bytes of a user's name, as 9front has them.
const NAME_MAX: usize = 27;
/// Stands for every user that the authentication server vouches for.
const ANYBODY: &str = "*";

const FORM: Expected = Expected(
    "users with their roles, such as `ada write names, ken read, barn replicate@10.0.0.2`; roles: read, write, names, \
     replicate, admin; each may be followed by @ and the network from which it is had",
);

/// What a user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Read blocks and look at the node's tree. Every other role has it.
    pub read: bool,
    /// Write blocks.
    pub write: bool,
    /// Give names.
    pub names: bool,
    /// Everything that a peer does: write blocks, give names.
    pub replicate: bool,
    /// Everything.
    pub admin: bool,
}

impl Roles {
    fn add(&mut self, role: Role) {
        self.read = true;
        match role {
            Role::Read => {}
            Role::Write => self.write = true,
            Role::Names => self.names = true,
            Role::Replicate => self.replicate = true,
            Role::Admin => self.admin = true,
        }
    }

    /// Whether blocks may be written.
    pub fn may_write(self) -> bool {
        self.write || self.replicate || self.admin
    }

    /// Whether names may be given.
    pub fn may_name(self) -> bool {
        self.names || self.replicate || self.admin
    }
}

/// A role, and the network from which a user has it.
type Grant = (Role, Option<Network>);

/// Users and their roles.
///
/// Whoever has the server's key can make a ticket for any user. So a role that nodes have which share a key is one of
/// the peer, not of the user: `replicate` is had from the network that stands behind it, or else by the node's peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(Vec<(String, Vec<Grant>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Read,
    Write,
    Names,
    Replicate,
    Admin,
}

impl Users {
    /// Whether nobody may do anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this user may do from an address: what is said of it, else what is said of everybody. `None`: nothing.
    /// `is_peer`: whether one of the node's peers is at that address.
    pub fn roles_at(&self, user: &str, from: IpAddr, is_peer: impl Fn() -> bool) -> Option<Roles> {
        let of = |name: &str| self.0.iter().find(|(known, _)| known == name).map(|(_, grants)| grants);
        let mut roles = Roles::default();
        for (role, network) in of(user).or_else(|| of(ANYBODY))? {
            let has = match (role, network) {
                (_, Some(network)) => network.contains(from),
                (Role::Replicate, None) => is_peer(),
                (_, None) => true,
            };
            if has {
                roles.add(*role);
            }
        }
        roles.read.then_some(roles)
    }
}

impl FromStr for Users {
    type Err = Expected;

    /// `NAME ROLE…, NAME ROLE…`
    fn from_str(text: &str) -> Result<Users, Expected> {
        let users = text.split(',').map(parse_user).collect::<Result<Vec<_>, _>>()?;
        let known = |at: usize, name: &str| users[..at].iter().any(|(other, _)| other == name);
        let twice = users.iter().enumerate().any(|(at, (name, _))| known(at, name));
        if twice || users.len() > USERS_MAX { Err(FORM) } else { Ok(Users(users)) }
    }
}

fn parse_user(text: &str) -> Result<(String, Vec<Grant>), Expected> {
    let mut words = text.split_whitespace();
    let name = words.next().filter(|name| name.len() <= NAME_MAX).ok_or(FORM)?;
    let grants = words.map(|word| parse_grant(word).ok_or(FORM)).collect::<Result<Vec<_>, _>>()?;
    if grants.is_empty() { Err(FORM) } else { Ok((name.to_string(), grants)) }
}

fn parse_grant(word: &str) -> Option<Grant> {
    let (role, network) = match word.split_once('@') {
        Some((role, network)) => (role, Some(network.parse().ok()?)),
        None => (word, None),
    };
    let role = match role {
        "read" => Role::Read,
        "write" => Role::Write,
        "names" => Role::Names,
        "replicate" => Role::Replicate,
        "admin" => Role::Admin,
        _ => return None,
    };
    Some((role, network))
}

#[cfg(test)]
mod tests {
    use super::{Roles, Users};
    use core::net::IpAddr;

    const FAR: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 9));

    #[test]
    fn a_user_has_the_roles_that_are_listed_and_others_those_of_everybody() {
        let users = "ada write names,ken read , * read".parse::<Users>().unwrap();
        let roles = |user: &str| users.roles_at(user, FAR, || false);
        let ada = roles("ada").unwrap();
        assert_eq!(ada, Roles { read: true, write: true, names: true, ..Roles::default() });
        assert!(ada.may_write() && ada.may_name());
        let ken = roles("ken").unwrap();
        assert!(ken.read && !ken.may_write() && !ken.may_name());
        assert_eq!(roles("eve"), roles("ken"));
        assert_eq!("ada read".parse::<Users>().unwrap().roles_at("eve", FAR, || true), None);
    }

    #[test]
    fn only_peers_replicate_whoever_else_has_their_key() {
        let users = "barn replicate, ada read replicate".parse::<Users>().unwrap();
        let peer = users.roles_at("barn", FAR, || true).unwrap();
        assert!(peer.read && peer.may_write() && peer.may_name() && !peer.admin);
        assert_eq!(users.roles_at("barn", FAR, || false), None);
        let ada = users.roles_at("ada", FAR, || false).unwrap();
        assert!(ada.read && !ada.may_write() && !ada.may_name());
    }

    #[test]
    fn a_role_with_a_network_is_had_from_there_alone() {
        let users =
            "barn replicate@10.0.0.2, ada read admin@10.0.0.0/8 write@fd00::/8".parse::<Users>().unwrap();
        let roles = |user: &str, from: &str| users.roles_at(user, from.parse().unwrap(), || true);
        assert!(roles("barn", "10.0.0.2").unwrap().replicate);
        assert_eq!(roles("barn", "10.0.0.3"), None);
        let of_ada = |from: &str| roles("ada", from).map(|roles| (roles.admin, roles.write)).unwrap();
        assert_eq!(of_ada("10.9.9.9"), (true, false));
        assert_eq!(of_ada("fd00::7"), (false, true));
        assert_eq!(of_ada("192.0.2.1"), (false, false));
    }

    #[test]
    fn what_gives_nobody_a_role_is_refused() {
        for bad in [
            "",
            "ada",
            "ada,",
            "ada root",
            "ada read, ada admin",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa read",
            "ada read@",
            "ada read@10.0.0.0/33",
            "ada @10.0.0.1",
        ] {
            assert!(bad.parse::<Users>().is_err(), "{bad}");
        }
    }
}
