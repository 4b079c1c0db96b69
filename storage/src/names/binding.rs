//! A name and what it is bound to: one record of `scorenames`.

use super::ndb::{self, Item};
use crate::score::{BadScore, Score};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The attributes of a record, as ANTS' savesnap writes them.
pub const NAME: &str = "scorename";
/// The root score, with `vac:` in front.
pub const ROOT: &str = "rootscore";
/// Who made the snapshot.
pub const USER: &str = "user";

/// Most bytes in a name or user.
pub const TEXT_LEN_MAX: usize = 200;

/// A name, the archive it stands for, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The name, such as `orchard.1209`.
    pub name: String,
    /// The root of a vac or fossil archive.
    pub root: Score,
    /// Who made it; may be empty.
    pub user: String,
}

/// Why something is no binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBinding {
    /// A name that cannot be one, in a file or in a path.
    #[error(
        "{0:?} cannot be a name: 1 to 200 bytes, without blanks, quotes, `/`, `#` or `⊞`, not `.` or `..`"
    )]
    Name(String),
    /// A user that cannot be written.
    #[error("{0:?} cannot be a user: up to 200 bytes, without quotes, tabs, newlines or `⊞`")]
    User(String),
    /// A name without a root.
    #[error("{0} has no rootscore")]
    NoRoot(String),
    /// A root that is no score.
    #[error("{0}: {1}")]
    Root(String, BadScore),
    /// A score that names no block.
    #[error("{0}: the root is the score of nothing")]
    Nothing(String),
}

impl Binding {
    /// Checks what is to be bound.
    pub fn new(name: &str, root: Score, user: &str) -> Result<Binding, BadBinding> {
        if !is_word(name) || name.is_empty() || name == "." || name == ".." {
            return Err(BadBinding::Name(name.to_owned()));
        }
        if root == Score::ZERO || root == Score::NULL {
            return Err(BadBinding::Nothing(name.to_owned()));
        }
        // A user may be anything that a foreign record can say; only what we write ourselves is held to more.
        if user.len() > TEXT_LEN_MAX || user.contains(['"', '\n', '\r', '\t', '⊞']) {
            return Err(BadBinding::User(user.to_owned()));
        }
        Ok(Binding { name: name.to_owned(), root, user: user.to_owned() })
    }

    /// What a record binds; `None` if it does not speak of a name at all.
    pub fn of(item: &Item) -> Option<Result<Binding, BadBinding>> {
        let name = item.value(NAME)?;
        let root = item.value(ROOT).ok_or_else(|| BadBinding::NoRoot(name.to_owned()));
        let root = root
            .and_then(|root| root.parse::<Score>().map_err(|error| BadBinding::Root(name.to_owned(), error)));
        Some(root.and_then(|root| Binding::new(name, root, item.value(USER).unwrap_or(""))))
    }

    /// The record as savesnap writes it: one line.
    pub fn record(&self) -> Vec<u8> {
        let root = format!("vac:{}", self.root);
        let tuples = [(NAME, self.name.as_str()), (ROOT, &root), (USER, &self.user)];
        // `new` lets nothing pass that has no place in a line.
        ndb::line(tuples).unwrap_or_default()
    }
}

/// Whether a text can stand in a record, in a path and in a command without quotes.
fn is_word(text: &str) -> bool {
    let illegal = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '/' | '#' | '⊞');
    text.len() <= TEXT_LEN_MAX && !text.contains(illegal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Result<Binding, BadBinding>> {
        Binding::of(&ndb::parse(line.as_bytes())[0])
    }

    #[test]
    fn a_record_of_savesnap_is_read_and_written_alike() {
        let line = "scorename=meadow.1009 rootscore=vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc user=iris\n";
        let binding = of(line).unwrap().unwrap();
        assert_eq!((binding.name.as_str(), binding.user.as_str()), ("meadow.1009", "iris"));
        assert_eq!(binding.record(), line.as_bytes());
        let line = "scorename=a rootscore=vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc user=\"iris blue\"\n";
        assert_eq!(of(line).unwrap().unwrap().record(), line.as_bytes());
    }

    #[test]
    fn what_is_no_binding_says_why() {
        assert_eq!(of("user=iris\n"), None);
        assert_eq!(of("scorename=a\n"), Some(Err(BadBinding::NoRoot("a".to_owned()))));
        assert!(matches!(of("scorename=a rootscore=vac:12\n"), Some(Err(BadBinding::Root(..)))));
        let nothing = format!("scorename=a rootscore=vac:{}\n", Score::ZERO);
        assert_eq!(of(&nothing), Some(Err(BadBinding::Nothing("a".to_owned()))));
        for name in ["", ".", "..", "a/b", "a b", "a#", "a\"", "a⊞b", &"x".repeat(201)] {
            assert!(matches!(Binding::new(name, Score::of(b"x"), ""), Err(BadBinding::Name(_))), "{name:?}");
        }
    }
}
