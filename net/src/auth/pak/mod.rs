//! The exchange by which an account holder and the authentication server agree on a key with nothing but the
//! account's password: Diffie-Hellman with each end's value blinded by a point that the password leads to.
//!
//! Knows the curve's arithmetic; must not know messages. It is 9front's own: no point, sign or byte order is that
//! of RFC 7748, RFC 9496 or X448, so of those libraries only arithmetic modulo p could serve. That comes from
//! `crypto-bigint`. (`ed448-goldilocks` keeps its field to itself; `fiat-crypto` has the field alone, without
//! powers and comparisons.)
//!
//! Nothing confirms the key here: with a wrong password both ends get one, and the ticket then does not open.

mod field;
mod point;

pub use field::FIELD_LEN;

use super::key::{AES_KEY_LEN, derive};
use super::secret::Secret;
use alloc::boxed::Box;
use core::fmt;
use point::Point;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// What an end sends.
pub type PublicValue = [u8; FIELD_LEN];

/// The peer sent bytes that stand for no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer's value for the key agreement is no point of the curve")]
pub struct NoPoint;

/// Which end of the exchange somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who owns the account: the client for its own, and the server for its own.
    Holder,
    /// Who keeps all accounts.
    AuthServer,
}

/// The two points that a name and a key lead to. As good as the key, so wiped like it.
#[derive(Clone)]
pub struct PasswordPoints {
    blinds_holder: Box<Point>,
    blinds_auth_server: Box<Point>,
}

impl PasswordPoints {
    /// Calculates the points of an account; once is enough for as long as its key stays.
    pub fn new(user: &str, key: &Secret<AES_KEY_LEN>) -> PasswordPoints {
        let numbers: Secret<112> =
            derive(&Sha256::digest(user.as_bytes()), key.expose(), b"Plan 9 AuthPAK hash");
        let (mut first, mut second) = (Zeroizing::new([0; FIELD_LEN]), Zeroizing::new([0; FIELD_LEN]));
        first.copy_from_slice(&numbers.expose()[..FIELD_LEN]);
        second.copy_from_slice(&numbers.expose()[FIELD_LEN..]);
        PasswordPoints {
            blinds_holder: Box::new(Point::from_number(&first)),
            blinds_auth_server: Box::new(Point::from_number(&second)),
        }
    }

    fn of(&self, side: Side) -> &Point {
        match side {
            Side::Holder => &self.blinds_holder,
            Side::AuthServer => &self.blinds_auth_server,
        }
    }
}

impl fmt::Debug for PasswordPoints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PasswordPoints")
    }
}

impl Drop for PasswordPoints {
    fn drop(&mut self) {
        self.blinds_holder.zeroize();
        self.blinds_auth_server.zeroize();
    }
}

/// One exchange, of which one end is ours.
pub struct Exchange {
    side: Side,
    scalar: Secret<FIELD_LEN>,
    unblind: Box<Point>,
    ours: PublicValue,
}

impl Exchange {
    /// Begins. `scalar` is 56 random bytes that are used once.
    pub fn new(side: Side, points: &PasswordPoints, scalar: Secret<FIELD_LEN>) -> Exchange {
        let other = match side {
            Side::Holder => Side::AuthServer,
            Side::AuthServer => Side::Holder,
        };
        let ours = Point::base().times(scalar.expose()).plus(points.of(side)).encode();
        Exchange { side, scalar, unblind: Box::new(points.of(other).negative()), ours }
    }

    /// What to send.
    pub fn public_value(&self) -> &PublicValue {
        &self.ours
    }

    /// The key, given what the other end sent.
    pub fn finish(self, theirs: &PublicValue) -> Result<Secret<32>, NoPoint> {
        let shared = self.shared(theirs)?;
        let (holder, auth_server) = match self.side {
            Side::Holder => (&self.ours, theirs),
            Side::AuthServer => (theirs, &self.ours),
        };
        let salt = Sha256::new().chain_update(holder).chain_update(auth_server).finalize();
        Ok(derive(&salt, shared.expose(), b"Plan 9 AuthPAK key"))
    }

    fn shared(&self, theirs: &PublicValue) -> Result<Secret<FIELD_LEN>, NoPoint> {
        let mut point = Point::decode(theirs).ok_or(NoPoint)?.plus(&self.unblind).times(self.scalar.expose());
        let shared = Secret::take(&mut point.encode());
        point.zeroize();
        Ok(shared)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Exchange({:?})", self.side)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.unblind.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{array, fixture, list, text};
    use super::point::tests::assert_is;
    use super::{Exchange, PasswordPoints, Secret, Side};

    #[test]
    fn both_ends_agree_on_the_key_that_9front_finds() {
        for vector in list(&fixture("authpak")["vectors"]) {
            let points =
                PasswordPoints::new(text(&vector["user"]), &Secret::take(&mut array(&vector["aes"])));
            let begin = |side, scalar| Exchange::new(side, &points, Secret::take(&mut array(scalar)));
            let holder = begin(Side::Holder, &vector["x_client"]);
            let auth_server = begin(Side::AuthServer, &vector["x_as"]);
            assert_eq!(*holder.public_value(), array(&vector["y_client"]));
            assert_eq!(*auth_server.public_value(), array(&vector["y_as"]));
            let (y_holder, y_auth_server) = (*holder.public_value(), *auth_server.public_value());
            assert_eq!(holder.shared(&y_auth_server).unwrap().expose(), &array(&vector["z"]));
            assert_eq!(auth_server.shared(&y_holder).unwrap().expose(), &array(&vector["z"]));
            assert_eq!(holder.finish(&y_auth_server).unwrap().expose(), &array(&vector["pakkey"]));
            assert_eq!(auth_server.finish(&y_holder).unwrap().expose(), &array(&vector["pakkey"]));
        }
    }

    #[test]
    fn password_points_are_9fronts() {
        for vector in list(&fixture("passtokey")["vectors"]) {
            let points =
                PasswordPoints::new(text(&vector["user"]), &Secret::take(&mut array(&vector["aes"])));
            assert_is(&points.blinds_holder, &vector["PM"]);
            assert_is(&points.blinds_auth_server, &vector["PN"]);
        }
    }

    #[test]
    fn values_that_9front_refuses_are_refused() {
        let points = PasswordPoints::new("ada", &Secret::filled(|key| key.fill(1)));
        for vector in list(&fixture("authpak")["received_y"]) {
            let exchange = Exchange::new(Side::Holder, &points, Secret::filled(|scalar| scalar.fill(3)));
            let accepted = exchange.finish(&array(&vector["y"])).is_ok();
            assert_eq!(accepted, vector["accepted"].as_bool().unwrap(), "{}", text(&vector["reason"]));
        }
    }

    #[test]
    fn another_password_leads_to_another_key() {
        let begin = |side, password: u8| {
            let points = PasswordPoints::new("ada", &Secret::filled(|key| key.fill(password)));
            Exchange::new(side, &points, Secret::filled(|scalar| scalar.fill(side as u8 + 5)))
        };
        let (holder, auth_server) = (begin(Side::Holder, 1), begin(Side::AuthServer, 2));
        let (y_holder, y_auth_server) = (*holder.public_value(), *auth_server.public_value());
        assert_ne!(holder.finish(&y_auth_server), auth_server.finish(&y_holder));
    }
}
