//! What disks tell of their health.
//!
//! Knows the figures, and what is wrong by them. Must not know how a disk is asked, nor what is stored there.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How one disk is, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskHealth {
    /// What the disk is called: its serial number, or where it is plugged in.
    pub name: String,
    /// Its temperature, in degrees Celsius.
    pub celsius: Option<i32>,
    /// How much of the life that its maker expects is over, in percent; it may live longer.
    pub used_percent: Option<u8>,
    /// Spare sectors that are left, in percent.
    pub spare_percent: Option<u8>,
    /// Hours that it has been on.
    pub hours: Option<u64>,
    /// Times that data were lost on the medium.
    pub media_errors: Option<u64>,
    /// Sectors that are replaced by spare ones.
    pub reallocated: Option<u64>,
    /// Sectors that cannot be read now, and will be replaced when they are written.
    pub pending: Option<u64>,
    /// What the disk itself warns of, in words.
    pub warnings: Vec<&'static str>,
}

/// Longer names are cut.
const NAME_MAX: usize = 40;

/// A disk's name as it can stand in a label, a line or a page: letters, digits and a few signs.
pub fn plain_name(name: &str) -> String {
    let plain = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | ':' => letter,
        _ => '_',
    };
    name.chars().take(NAME_MAX).map(plain).collect()
}

impl DiskHealth {
    /// Whether somebody should do something: the disk warns, or has lost data, or cannot read some, or replaces sectors.
    pub fn is_bad(&self) -> bool {
        let counts = [self.media_errors, self.reallocated, self.pending];
        !self.warnings.is_empty() || counts.into_iter().flatten().any(|count| count > 0)
    }

    /// Whether the disk told anything at all.
    pub fn is_known(&self) -> bool {
        *self != DiskHealth { name: self.name.clone(), ..DiskHealth::default() }
    }
}

/// `35 °C, 3 % worn, 100 % spare, 9 hours on`, and what is wrong.
impl fmt::Display for DiskHealth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = [
            (self.celsius.map(i64::from), " °C"),
            (self.used_percent.map(i64::from), " % worn"),
            (self.spare_percent.map(i64::from), " % spare"),
            (count(self.hours), " hours on"),
            (count(self.media_errors), " errors of its medium"),
            (count(self.reallocated), " sectors replaced"),
            (count(self.pending), " sectors unreadable"),
        ];
        let mut comma = "";
        for (figure, unit) in figures.into_iter().filter_map(|(figure, unit)| Some((figure?, unit))) {
            write!(out, "{comma}{figure}{unit}")?;
            comma = ", ";
        }
        self.warnings.iter().try_for_each(|warning| {
            write!(out, "{comma}{warning}")?;
            comma = ", ";
            Ok(())
        })
    }
}

fn count(value: Option<u64>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn health_is_told_in_words() {
        let nothing = DiskHealth { name: "S1".into(), ..DiskHealth::default() };
        assert_eq!((nothing.to_string().as_str(), nothing.is_bad(), nothing.is_known()), ("", false, false));
        let warm = DiskHealth { celsius: Some(-3), reallocated: Some(0), ..nothing.clone() };
        assert_eq!(warm.to_string(), "-3 °C, 0 sectors replaced");
        assert!(!warm.is_bad() && warm.is_known());
        let bad = DiskHealth { warnings: ["read-only", "unreliable"].into(), ..warm };
        assert!(bad.is_bad() && bad.to_string().ends_with("replaced, read-only, unreliable"));
        assert!(DiskHealth { pending: Some(1), ..nothing.clone() }.is_bad());
        assert!(DiskHealth { media_errors: Some(u64::MAX), ..nothing }.is_bad());
    }

    #[test]
    fn names_do_no_harm_in_labels() {
        assert_eq!(plain_name("WD-1 \"x\\\n<é>"), "WD-1__x_____");
        assert_eq!(plain_name(&"a".repeat(100)).len(), NAME_MAX);
    }
}
