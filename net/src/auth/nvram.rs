//! The record in the partition `nvram` in which 9front keeps who a machine is: 126 bytes at its beginning, each
//! field with a checksum of one byte behind it.

use super::key::{AES_KEY_LEN, DES_KEY_LEN};
use super::name::{BadName, DOMAIN_FIELD, Domain, USER_FIELD, UserName};
use super::secret::Secret;
use core::fmt;
use core::ops::Range;

/// Bytes of the record. The partition is one sector or more; the rest of it is not ours.
pub const RECORD_LEN: usize = 126;

const CONFIG_LEN: usize = 14;

/// A field of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The key of p9sk1.
    DesKey,
    /// The password of the secret store.
    Config,
    /// The account's name.
    AuthId,
    /// The domain.
    AuthDom,
    /// The key of dp9ik.
    AesKey,
}

impl Field {
    /// Where it is. Its checksum is the next byte. (Between the first two is one that nobody reads or writes.)
    const fn place(self) -> Range<usize> {
        match self {
            Field::DesKey => 0..7,
            Field::Config => 16..30,
            Field::AuthId => 31..59,
            Field::AuthDom => 60..108,
            Field::AesKey => 109..125,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Field::DesKey => "machkey",
            Field::Config => "config",
            Field::AuthId => "authid",
            Field::AuthDom => "authdom",
            Field::AesKey => "aesmachkey",
        }
    }
}

const _: () =
    assert!(Field::DesKey.place().end == DES_KEY_LEN && Field::AesKey.place().end + 1 == RECORD_LEN);

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNvram {
    /// A field that cannot be missed is damaged, or nothing was ever written.
    #[error("nvram: the checksum of {0} is wrong; write the record anew")]
    Checksum(Field),
    /// A name that is none.
    #[error("nvram: {0}: {1}; write the record anew")]
    Name(Field, BadName),
    /// A name without letters.
    #[error("nvram: {0} is empty; write the record anew")]
    Empty(Field),
}

/// Who a machine is.
#[derive(Debug, PartialEq, Eq)]
pub struct Nvram {
    /// Its account.
    pub authid: UserName,
    /// Its domain.
    pub authdom: Domain,
    /// The key of dp9ik. `None`: never set, or damaged.
    pub aes_key: Option<Secret<AES_KEY_LEN>>,
    /// The key of p9sk1, kept for others.
    pub des_key: Option<Secret<DES_KEY_LEN>>,
    /// The password of the secret store, kept for others; zeros if there is none or it is damaged.
    pub config: Secret<CONFIG_LEN>,
}

impl Nvram {
    /// Understands a record as 9front does: damage to the names or the DES key spoils all, damage to the others
    /// only them.
    pub fn parse(record: &[u8; RECORD_LEN]) -> Result<Nvram, BadNvram> {
        let des_key = checked(record, Field::DesKey).ok_or(BadNvram::Checksum(Field::DesKey))?;
        Ok(Nvram {
            authid: name::<USER_FIELD>(record, Field::AuthId)?,
            authdom: name::<DOMAIN_FIELD>(record, Field::AuthDom)?,
            aes_key: checked(record, Field::AesKey).filter(|key| !key.is_zero()),
            des_key: Some(des_key).filter(|key| !key.is_zero()),
            config: checked(record, Field::Config).unwrap_or_else(|| Secret::filled(|_| ())),
        })
    }

    /// Writes the record with its checksums. What nobody knows the meaning of stays.
    pub fn encode(&self, record: &mut [u8; RECORD_LEN]) {
        let none_aes = Secret::filled(|_| ());
        let none_des = Secret::filled(|_| ());
        put(record, Field::DesKey, self.des_key.as_ref().unwrap_or(&none_des).expose());
        put(record, Field::Config, self.config.expose());
        put(record, Field::AuthId, &self.authid.to_field());
        put(record, Field::AuthDom, &self.authdom.to_field());
        put(record, Field::AesKey, self.aes_key.as_ref().unwrap_or(&none_aes).expose());
    }
}

fn name<const N: usize>(record: &[u8; RECORD_LEN], field: Field) -> Result<super::name::Name<N>, BadNvram> {
    let bytes = checked(record, field).ok_or(BadNvram::Checksum(field))?;
    let name = super::name::Name::from_field(bytes.expose()).map_err(|bad| BadNvram::Name(field, bad))?;
    if name.is_empty() { Err(BadNvram::Empty(field)) } else { Ok(name) }
}

/// The field, if its checksum is right.
fn checked<const N: usize>(record: &[u8; RECORD_LEN], field: Field) -> Option<Secret<N>> {
    let bytes: &[u8; N] = record.get(field.place())?.try_into().ok()?;
    let sum = record.get(field.place().end)?;
    (checksum(bytes) == *sum).then(|| Secret::filled(|target| target.copy_from_slice(bytes)))
}

fn put<const N: usize>(record: &mut [u8; RECORD_LEN], field: Field, bytes: &[u8; N]) {
    record[field.place()].copy_from_slice(bytes);
    record[field.place().end] = checksum(bytes);
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(9, |sum: u8, &byte| sum.wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{array, bytes, fixture, list, text};
    use super::{BadNvram, Field, Nvram, RECORD_LEN};
    use serde_json::Value;

    fn image(name: &str) -> [u8; RECORD_LEN] {
        let fixture = fixture("nvram");
        let found = list(&fixture["images"]).iter().find(|image| text(&image["name"]) == name);
        array(&found.unwrap()["image126"])
    }

    #[test]
    fn records_are_good_or_bad_as_9front_finds() {
        for image in list(&fixture("nvram")["images"]) {
            let parsed = Nvram::parse(&array(&image["image126"]));
            assert_eq!(parsed.is_ok(), image["valid"].as_bool().unwrap(), "{}", text(&image["name"]));
        }
    }

    #[test]
    fn good_records_hold_what_9front_put_in() {
        let key = |key: &Value| Some(bytes(key)).filter(|key| key.iter().any(|&byte| byte != 0));
        let mut seen = 0;
        let fixture = fixture("nvram");
        for image in list(&fixture["images"]).iter().filter(|image| image["authid"].is_string()) {
            let record = array(&image["image126"]);
            let nvram = Nvram::parse(&record).unwrap();
            assert_eq!(nvram.authid.as_str(), text(&image["authid"]));
            assert_eq!(nvram.authdom.as_str(), text(&image["authdom"]));
            assert_eq!(nvram.aes_key.as_ref().map(|key| key.expose().to_vec()), key(&image["aesmachkey"]));
            assert_eq!(nvram.des_key.as_ref().map(|key| key.expose().to_vec()), key(&image["machkey"]));
            assert!(nvram.config.expose().starts_with(text(&image["config"]).as_bytes()));
            let mut written = [0; RECORD_LEN];
            nvram.encode(&mut written);
            assert_eq!(written, record);
            seen += 1;
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn damage_is_named() {
        let bad = |name| Nvram::parse(&image(name)).unwrap_err();
        assert_eq!(bad("authid byte damaged"), BadNvram::Checksum(Field::AuthId));
        assert_eq!(bad("authdom checksum damaged"), BadNvram::Checksum(Field::AuthDom));
        assert_eq!(bad("machkey damaged"), BadNvram::Checksum(Field::DesKey));
        assert_eq!(bad("all fields empty, checksums right"), BadNvram::Empty(Field::AuthId));
        assert_eq!(Nvram::parse(&image("aes key damaged")).unwrap().aes_key, None);
        assert!(Nvram::parse(&image("config damaged")).unwrap().config.is_zero());
    }

    #[test]
    fn writing_keeps_what_nobody_knows_the_meaning_of() {
        let nvram = Nvram::parse(&image("full width names")).unwrap();
        let mut record = [0xaa; RECORD_LEN];
        nvram.encode(&mut record);
        assert_eq!(record[8..16], [0xaa; 8]);
        assert_eq!(Nvram::parse(&record), Ok(nvram));
    }
}
