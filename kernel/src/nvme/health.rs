//! How a controller says that it is (NVM Express Base 1.4, section 5.14.1.2: SMART / Health Information).
//!
//! Knows the log page. Must not know how it is asked for.

use net::disks::DiskHealth;

const KELVIN: i32 = 273;
/// What the bits of its warnings mean, from the lowest on.
const WARNINGS: [&str; 5] =
    ["little spare is left", "too hot or too cold", "unreliable", "read-only", "its backup has failed"];

/// What a page says; `None`: nothing.
pub(crate) fn parse(page: &[u8]) -> Option<DiskHealth> {
    let number =
        |at: usize| page.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_le_bytes(*bytes));
    let byte = |at: usize| page.get(at).copied();
    let kelvin = i32::from(u16::from_le_bytes([byte(1)?, byte(2)?]));
    let warnings = byte(0)?;
    let said = WARNINGS.into_iter().enumerate().filter(|(bit, _)| warnings >> bit & 1 != 0);
    let health = DiskHealth {
        celsius: Some(kelvin - KELVIN),
        spare_percent: Some(byte(3)?),
        used_percent: Some(byte(5)?),
        hours: Some(number(128)?),
        media_errors: Some(number(160)?),
        warnings: said.map(|(_, word)| word).collect(),
        ..DiskHealth::default()
    };
    (kelvin > 0).then_some(health)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_page_is_understood() {
        let mut page = [0; 512];
        assert_eq!(parse(&page), None);
        (page[1], page[2], page[3], page[5], page[128]) = (0x34, 0x01, 100, 3, 9);
        let health = parse(&page).unwrap();
        assert!(!health.is_bad());
        assert_eq!(health.to_string(), "35 °C, 3 % worn, 100 % spare, 9 hours on, 0 errors of its medium");
        (page[0], page[160]) = (0x06, 2);
        let health = parse(&page).unwrap();
        assert!(
            health.is_bad()
                && health.to_string().ends_with("2 errors of its medium, too hot or too cold, unreliable")
        );
        assert_eq!(parse(&page[..160]), None);
    }
}
