//! How a controller says that it is (NVM Express Base 1.4, section 5.14.1.2: SMART / Health Information).
//!
//! Knows the log page. Must not know how it is asked for.

use core::fmt;

/// Bytes of the page.
pub(super) const HEALTH_LEN: usize = 512;
/// Its number, and a whole page in command dword 10.
pub(super) const HEALTH_PAGE: u32 = 0x02 | (HEALTH_LEN as u32 / 4 - 1) << 16;
/// All namespaces together.
pub(super) const ALL: u32 = u32::MAX;
const KELVIN: i32 = 273;

/// What matters of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// Bits: little spare, too hot, unreliable, read-only, no backup.
    warnings: u8,
    celsius: i32,
    /// In percent.
    spare: u8,
    used: u8,
    hours: u64,
    media_errors: u64,
}

impl Health {
    /// `None`: it says nothing.
    pub(super) fn parse(page: &[u8]) -> Option<Health> {
        let number =
            |at: usize| page.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_le_bytes(*bytes));
        let byte = |at: usize| page.get(at).copied();
        let kelvin = i32::from(u16::from_le_bytes([byte(1)?, byte(2)?]));
        let health = Health {
            warnings: byte(0)?,
            celsius: kelvin - KELVIN,
            spare: byte(3)?,
            used: byte(5)?,
            hours: number(128)?,
            media_errors: number(160)?,
        };
        (kelvin > 0).then_some(health)
    }

    /// Whether somebody should do something.
    pub(super) fn is_bad(&self) -> bool {
        self.warnings != 0 || self.media_errors > 0
    }
}

impl fmt::Display for Health {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Health { celsius, spare, used, hours, media_errors, .. } = self;
        write!(
            out,
            "{celsius} °C, {used} % worn, {spare} % spare, {hours} hours on, {media_errors} errors of its medium"
        )?;
        let words = [
            "little spare is left",
            "too hot or too cold",
            "unreliable",
            "read-only",
            "its backup has failed",
        ];
        let said = words.iter().enumerate().filter(|(bit, _)| self.warnings >> bit & 1 != 0);
        said.map(|(_, word)| word).try_for_each(|word| write!(out, ", {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_page_is_told_in_words() {
        let mut page = [0; HEALTH_LEN];
        assert_eq!(Health::parse(&page), None);
        (page[1], page[2], page[3], page[5], page[128]) = (0x34, 0x01, 100, 3, 9);
        let health = Health::parse(&page).unwrap();
        assert!(!health.is_bad());
        assert_eq!(health.to_string(), "35 °C, 3 % worn, 100 % spare, 9 hours on, 0 errors of its medium");
        (page[0], page[160]) = (0x06, 2);
        let health = Health::parse(&page).unwrap();
        assert!(
            health.is_bad()
                && health.to_string().ends_with("2 errors of its medium, too hot or too cold, unreliable")
        );
        assert_eq!(Health::parse(&page[..160]), None);
    }
}
