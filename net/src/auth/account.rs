//! An account of ours: its name, and the points that its key leads to.

use super::key::AES_KEY_LEN;
use super::name::UserName;
use super::pak::PasswordPoints;
use super::secret::Secret;

/// An account whose key we have. Calculating its points takes a while; keep it.
#[derive(Clone, Debug)]
pub struct Account {
    user: UserName,
    points: PasswordPoints,
}

impl Account {
    /// The account `user` with the key of its password.
    pub fn new(user: UserName, key: &Secret<AES_KEY_LEN>) -> Account {
        let points = PasswordPoints::new(user.as_str(), key);
        Account { user, points }
    }

    /// Its name.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// Its points.
    pub fn points(&self) -> &PasswordPoints {
        &self.points
    }
}
