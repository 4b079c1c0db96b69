//! Who may do what behind authentication: users and their roles, as people write them.

use super::value::Expected;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

/// Users that may be listed; more is a mistake.
const USERS_MAX: usize = 256;
/// Bytes of a user's name, as 9front has them.
const NAME_MAX: usize = 27;
/// Stands for every user that the authentication server vouches for.
const ANYBODY: &str = "*";

const FORM: Expected = Expected(
    "users with their roles, such as `ada write names, ken read`; roles: read, write, names, replicate, admin",
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
    /// Whether blocks may be written.
    pub fn may_write(self) -> bool {
        self.write || self.replicate || self.admin
    }

    /// Whether names may be given.
    pub fn may_name(self) -> bool {
        self.names || self.replicate || self.admin
    }
}

/// Users and their roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(Vec<(String, Roles)>);

impl Users {
    /// Whether nobody may do anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this user may do: what is said of it, else what is said of everybody. `None`: nothing.
    pub fn roles(&self, user: &str) -> Option<Roles> {
        let of = |name: &str| self.0.iter().find(|(known, _)| known == name).map(|(_, roles)| *roles);
        of(user).or_else(|| of(ANYBODY))
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

fn parse_user(text: &str) -> Result<(String, Roles), Expected> {
    let mut words = text.split_whitespace();
    let name = words.next().filter(|name| name.len() <= NAME_MAX).ok_or(FORM)?;
    let mut roles = Roles::default();
    for word in words {
        roles.read = true;
        match word {
            "read" => {}
            "write" => roles.write = true,
            "names" => roles.names = true,
            "replicate" => roles.replicate = true,
            "admin" => roles.admin = true,
            _ => return Err(FORM),
        }
    }
    if roles.read { Ok((name.to_string(), roles)) } else { Err(FORM) }
}

#[cfg(test)]
mod tests {
    use super::{Roles, Users};

    #[test]
    fn a_user_has_the_roles_that_are_listed_and_others_those_of_everybody() {
        let users = "ada write names,ken read , * read".parse::<Users>().unwrap();
        let ada = users.roles("ada").unwrap();
        assert_eq!(ada, Roles { read: true, write: true, names: true, ..Roles::default() });
        assert!(ada.may_write() && ada.may_name());
        let ken = users.roles("ken").unwrap();
        assert!(ken.read && !ken.may_write() && !ken.may_name());
        assert_eq!(users.roles("eve"), users.roles("ken"));
        assert_eq!("ada read".parse::<Users>().unwrap().roles("eve"), None);
        let peer = "barn replicate".parse::<Users>().unwrap().roles("barn").unwrap();
        assert!(peer.may_write() && peer.may_name() && !peer.admin);
    }

    #[test]
    fn what_gives_nobody_a_role_is_refused() {
        for bad in ["", "ada", "ada,", "ada root", "ada read, ada admin", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa read"]
        {
            assert!(bad.parse::<Users>().is_err(), "{bad}");
        }
    }
}
