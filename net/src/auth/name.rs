//! Names of accounts and domains, as they stand in messages: text in a field of fixed width, padded with zeros.

use core::fmt;

/// Width of the field for an account's name.
pub const USER_FIELD: usize = 28;
/// Width of the field for a domain.
pub const DOMAIN_FIELD: usize = 48;

/// An account's name: at most 27 bytes.
pub type UserName = Name<USER_FIELD>;
/// An authentication domain: at most 47 bytes.
pub type Domain = Name<DOMAIN_FIELD>;

/// UTF-8 without control characters, shorter than its field of `N` bytes. May be empty. Never normalised: other
/// letters are another name.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<const N: usize>(heapless::String<N>);

/// A name that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// No room for it in its field.
    #[error("the name is longer than {max} bytes")]
    TooLong {
        /// The longest that fits.
        max: usize,
    },
    /// Bytes that are no UTF-8, or control characters.
    #[error("the name is no printable text")]
    NotText,
}

impl<const N: usize> Name<N> {
    /// A name that fits its field.
    pub fn new(text: &str) -> Result<Name<N>, BadName> {
        if text.chars().any(char::is_control) {
            return Err(BadName::NotText);
        }
        match heapless::String::try_from(text) {
            Ok(name) if name.len() < N => Ok(Name(name)),
            _ => Err(BadName::TooLong { max: N.saturating_sub(1) }),
        }
    }

    /// What stands in a field. Its last byte counts as zero; what follows the first zero is nothing.
    pub fn from_field(field: &[u8; N]) -> Result<Name<N>, BadName> {
        let text = field.split_last().map_or(&[][..], |(_, front)| front);
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        Name::new(core::str::from_utf8(text).map_err(|_| BadName::NotText)?)
    }

    /// The field that holds the name.
    pub fn to_field(&self) -> [u8; N] {
        let mut field = [0; N];
        field[..self.0.len()].copy_from_slice(self.0.as_bytes());
        field
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> fmt::Display for Name<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl<const N: usize> fmt::Debug for Name<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadName, UserName};
    use alloc::string::ToString;

    #[test]
    fn a_name_is_shorter_than_its_field() {
        let longest = "n".repeat(27);
        let name = UserName::new(&longest).unwrap();
        assert_eq!(name.to_string(), longest);
        assert_eq!(UserName::from_field(&name.to_field()), Ok(name));
        assert_eq!(UserName::new(&"n".repeat(28)), Err(BadName::TooLong { max: 27 }));
        assert_eq!(UserName::new(&"n".repeat(29)), Err(BadName::TooLong { max: 27 }));
    }

    #[test]
    fn the_last_byte_of_a_field_and_what_follows_a_zero_count_for_nothing() {
        assert_eq!(UserName::from_field(&[b'x'; 28]).unwrap().as_str(), "x".repeat(27));
        let mut field = [0; 28];
        field[..7].copy_from_slice(b"ada\0eve");
        assert_eq!(UserName::from_field(&field).unwrap().as_str(), "ada");
        assert!(UserName::from_field(&[0; 28]).unwrap().is_empty());
    }

    #[test]
    fn a_name_is_printable_text() {
        assert_eq!(UserName::new("zoë").unwrap().as_str(), "zoë");
        for bad in ["a\nb", "\u{7f}", "a\0"] {
            assert_eq!(UserName::new(bad), Err(BadName::NotText), "{bad:?}");
        }
        assert_eq!(UserName::from_field(&[0xff; 28]), Err(BadName::NotText));
    }
}
