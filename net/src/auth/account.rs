//! An account of ours: its name, and the points that its key leads to.

use super::key::{AES_KEY_LEN, DES_KEY_LEN};
use super::name::UserName;
use super::pak::PasswordPoints;
use super::secret::Secret;

/// An account whose key we have. Calculating its points takes a while; keep it.
#[derive(Clone, Debug)]
pub struct Account {
    user: UserName,
    points: PasswordPoints,
    des_key: Option<Secret<DES_KEY_LEN>>,
}

impl Account {
    /// The account `user` with the key of its password.
    pub fn new(user: UserName, key: &Secret<AES_KEY_LEN>) -> Account {
        let points = PasswordPoints::new(user.as_str(), key);
        Account { user, points, des_key: None }
    }

    /// The same, which speaks `p9sk1`, too: DES, for peers that have nothing better.
    #[must_use]
    pub fn with_p9sk1(self, key: Secret<DES_KEY_LEN>) -> Account {
        Account { des_key: Some(key), ..self }
    }

    /// Its key for `p9sk1`, if it is to speak that.
    pub fn des_key(&self) -> Option<&Secret<DES_KEY_LEN>> {
        self.des_key.as_ref()
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
