//! The 64-byte name field of arenas, index sections and indexes. Knows nothing of what a name stands for.

use core::fmt;
use core::str::FromStr;

/// Bytes of a name field.
pub const NAME_FIELD_LEN: usize = 64;

/// Longest name: the field ends in at least one NUL.
pub const NAME_LEN_MAX: usize = NAME_FIELD_LEN - 1;

/// A name: 1 to 63 bytes from 0x20 to 0x7e, NUL padded on disk (`nameok` in venti's `utils.c`, which also lets empty
/// names pass). Compares and sorts bytewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// NUL padded, so equal names are equal fields.
    field: [u8; NAME_FIELD_LEN],
}

/// A text that cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character.
    #[error("a name has at least one character")]
    Empty,
    /// More than 63 bytes, or a field without NUL at its end.
    #[error("a name has at most {NAME_LEN_MAX} bytes")]
    TooLong,
    /// A byte outside 0x20..=0x7e.
    #[error("a name has printable ASCII only, not the byte {0:#04x}")]
    Unprintable(u8),
}

impl Name {
    /// Checks `text` and takes it as a name.
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(&byte) = text.as_bytes().iter().find(|byte| !(0x20..=0x7e).contains(*byte)) {
            return Err(NameError::Unprintable(byte));
        }
        let mut field = [0; NAME_FIELD_LEN];
        let target = field.get_mut(..text.len()).ok_or(NameError::TooLong)?;
        target.copy_from_slice(text.as_bytes());
        if field[NAME_LEN_MAX] != 0 { Err(NameError::TooLong) } else { Ok(Name { field }) }
    }

    /// Reads a field from a disk: everything up to the first NUL. What follows the NUL is ignored, as venti does.
    pub fn from_field(field: [u8; NAME_FIELD_LEN]) -> Result<Name, NameError> {
        let len = field.iter().position(|&byte| byte == 0).ok_or(NameError::TooLong)?;
        let text = core::str::from_utf8(&field[..len]).map_err(|error| {
            NameError::Unprintable(field.get(error.valid_up_to()).copied().unwrap_or_default())
        })?;
        Name::new(text)
    }

    /// The field as it stands on disk.
    pub fn to_field(self) -> [u8; NAME_FIELD_LEN] {
        self.field
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let len = self.field.iter().position(|&byte| byte == 0).unwrap_or(NAME_FIELD_LEN);
        core::str::from_utf8(&self.field[..len]).unwrap_or_default()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_1_to_63_printable_bytes() {
        assert_eq!(Name::new(&"x".repeat(63)).map(|name| name.as_str().len()), Ok(63));
        assert_eq!(Name::new(&"x".repeat(64)), Err(NameError::TooLong));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong));
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new("a\tb"), Err(NameError::Unprintable(b'\t')));
        assert_eq!(Name::new("\u{e9}"), Err(NameError::Unprintable(0xc3)));
        assert!(Name::new("with blank ~").is_ok());
    }

    #[test]
    fn ignores_what_follows_the_first_nul() {
        let mut field = Name::new("arenas0").unwrap().to_field();
        field[20] = b'x';
        assert_eq!(Name::from_field(field), Name::new("arenas0"));
        assert_eq!(Name::from_field([b'x'; 64]), Err(NameError::TooLong));
        assert_eq!(Name::from_field([0; 64]), Err(NameError::Empty));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_field_is_a_name_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 64)) {
            let field: [u8; 64] = bytes.try_into().unwrap();
            if let Ok(name) = Name::from_field(field) {
                prop_assert_eq!(Name::from_field(name.to_field()), Ok(name));
                prop_assert_eq!(Name::new(name.as_str()), Ok(name));
            }
        }
    }
}
