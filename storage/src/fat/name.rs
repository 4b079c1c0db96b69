//! Names of files: the short form of eight and three letters, and the long one.
//!
//! Knows which names are legal and how the two forms relate. Must not know where entries stand.

use alloc::string::String;
use alloc::vec::Vec;

/// Longest name, in units of UTF-16.
const NAME_UNITS_MAX: usize = 255;
/// Flags in a short entry: the base or the extension is shown in small letters.
const SMALL_BASE: u8 = 0x08;
const SMALL_EXTENSION: u8 = 0x10;

/// A name that no FAT file can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of a file here")]
pub struct BadName(pub String);

/// A short name as it stands on the disk: base and extension, in capitals, padded with blanks.
pub type Short = [u8; 11];

/// Checks a name that is to be created.
pub fn check(name: &str) -> Result<(), BadName> {
    let illegal = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c);
    let bad_end = name.ends_with(['.', ' ']) || name.starts_with(' ');
    let length = name.encode_utf16().count();
    if length == 0 || length > NAME_UNITS_MAX || bad_end || name.chars().any(illegal) {
        return Err(BadName(name.into()));
    }
    Ok(())
}

/// The short form and its flags, where that says everything: no blanks, one dot, and each half in one case.
pub fn as_short(name: &str) -> Option<(Short, u8)> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let mut short = [b' '; 11];
    let small_base = fill(short.get_mut(..8)?, base)?;
    let small_extension = fill(short.get_mut(8..)?, extension)?;
    let fits = !base.is_empty() && (extension.is_empty() != name.contains('.'));
    let flags = if small_base { SMALL_BASE } else { 0 } | if small_extension { SMALL_EXTENSION } else { 0 };
    fits.then_some((short, flags))
}

/// Copies one half in capitals; says whether it was in small letters, `None` where it does not fit.
fn fill(place: &mut [u8], half: &str) -> Option<bool> {
    let small = half.bytes().any(|byte| byte.is_ascii_lowercase());
    let capital = half.bytes().any(|byte| byte.is_ascii_uppercase());
    if half.len() > place.len() || (small && capital) || !half.bytes().all(is_short_byte) {
        return None;
    }
    for (to, from) in place.iter_mut().zip(half.bytes()) {
        *to = from.to_ascii_uppercase();
    }
    Some(small)
}

fn is_short_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// A short form for a long name, such as `SCOREN~1`, that `taken` does not know; `None` if a million are taken.
pub fn invent_short(name: &str, taken: impl Fn(&Short) -> bool) -> Option<Short> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let legal = |half: &str| -> Vec<u8> {
        half.bytes().filter(|byte| is_short_byte(*byte)).map(|byte| byte.to_ascii_uppercase()).collect()
    };
    let (base, extension) = (legal(base), legal(extension));
    (1..1_000_000_u32).find_map(|number| {
        let tail = alloc::format!("~{number}");
        let kept = base.len().min(8 - tail.len());
        let mut short = [b' '; 11];
        let bytes = base.iter().take(kept).copied().chain(tail.bytes());
        short.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        short.iter_mut().skip(8).zip(&extension).for_each(|(to, from)| *to = *from);
        (!taken(&short)).then_some(short)
    })
}

/// A short name as people write it.
pub fn show_short(short: &Short, flags: u8) -> String {
    let show = |half: &[u8], small: bool| -> String {
        let text = half.trim_ascii_end().iter().map(|byte| match byte {
            // The one byte that stands for another: 0xe5 would mean "deleted".
            0x05 => char::REPLACEMENT_CHARACTER,
            byte if !byte.is_ascii() => char::REPLACEMENT_CHARACTER,
            byte if small => char::from(byte.to_ascii_lowercase()),
            byte => char::from(*byte),
        });
        text.collect()
    };
    let (base, extension) = short.split_at(8);
    let (mut name, extension) =
        (show(base, flags & SMALL_BASE != 0), show(extension, flags & SMALL_EXTENSION != 0));
    if !extension.is_empty() {
        name.push('.');
        name.push_str(&extension);
    }
    name
}

/// What ties the pieces of a long name to their short entry.
pub fn checksum(short: &Short) -> u8 {
    short.iter().fold(0, |sum: u8, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_fit_need_no_long_form() {
        for (name, short, flags) in [
            ("granary.ini", b"GRANARY INI", 0x18),
            ("PLAN9.INI", b"PLAN9   INI", 0),
            ("granary.a", b"GRANARY A  ", 0x18),
            ("9PCF", b"9PCF       ", 0),
            ("readme.TXT", b"README  TXT", 0x08),
        ] {
            assert_eq!(as_short(name), Some((*short, flags)), "{name}");
            assert_eq!(show_short(short, flags), name);
        }
        for long in ["scorenames", "a.info", "a b", "a.b.c", ".ini", "Mixed", "é", ""] {
            assert_eq!(as_short(long), None, "{long}");
        }
    }

    #[test]
    fn an_invented_short_name_is_not_taken() {
        let first = invent_short("scorenames", |_| false).unwrap();
        assert_eq!(&first, b"SCOREN~1   ");
        assert_eq!(invent_short("scorenames", |short| *short == first).as_ref(), Some(b"SCOREN~2   "));
        assert_eq!(invent_short("spring barn.info", |_| false).as_ref(), Some(b"SPRING~1INF"));
    }

    proptest! {
        #[test]
        fn any_name_is_handled(name in "\\PC{0,300}", short in any::<Short>(), flags in any::<u8>()) {
            let _ = (check(&name), as_short(&name), show_short(&short, flags));
            prop_assert!(invent_short(&name, |_| false).is_some());
        }
    }
}
