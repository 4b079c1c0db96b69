//! How a SATA disk says that it is: the attributes of SMART READ DATA (ATA8-ACS). The numbers of attributes
//! are no standard, but these mean the same on the disks of all makers.
//!
//! Knows the answer. Must not know how it is asked for.

use net::disks::DiskHealth;

/// Bytes of the answer.
pub(crate) const SMART_LEN: usize = 512;
const ATTRIBUTES_AT: usize = 2;
const ATTRIBUTES: usize = 30;
const ATTRIBUTE_LEN: usize = 12;

const REALLOCATED: u8 = 5;
const HOURS: u8 = 9;
const AIR_TEMPERATURE: u8 = 190;
const TEMPERATURE: u8 = 194;
const PENDING: u8 = 197;
/// Temperatures beyond are no temperatures.
const CELSIUS: core::ops::RangeInclusive<i32> = -40..=120;

/// What an answer says; `None`: it does not add up, or says nothing that we know.
pub(crate) fn parse(answer: &[u8]) -> Option<DiskHealth> {
    let answer = answer.get(..SMART_LEN)?;
    let sum = answer.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let attributes = answer.get(ATTRIBUTES_AT..)?.chunks_exact(ATTRIBUTE_LEN).take(ATTRIBUTES);
    // The attribute's own count, whose upper bytes makers use for other things.
    let raw = |id: u8| {
        let attribute = attributes.clone().find(|attribute| attribute.first() == Some(&id))?;
        attribute.get(5..9)?.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
    };
    let celsius =
        |id| raw(id).map(|raw| i32::from(raw as u8 as i8)).filter(|celsius| CELSIUS.contains(celsius));
    let health = DiskHealth {
        celsius: celsius(TEMPERATURE).or_else(|| celsius(AIR_TEMPERATURE)),
        hours: raw(HOURS),
        reallocated: raw(REALLOCATED),
        pending: raw(PENDING),
        ..DiskHealth::default()
    };
    (sum == 0 && health.is_known()).then_some(health)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn answer(attributes: &[(u8, u64)]) -> [u8; SMART_LEN] {
        let mut bytes = [0; SMART_LEN];
        for (at, (id, raw)) in (ATTRIBUTES_AT..).step_by(ATTRIBUTE_LEN).zip(attributes) {
            bytes[at] = *id;
            bytes[at + 5..at + 11].copy_from_slice(&raw.to_le_bytes()[..6]);
        }
        bytes[SMART_LEN - 1] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        bytes
    }

    #[test]
    fn the_attributes_that_all_have_are_understood() {
        // The upper bytes of a temperature hold the extremes.
        let all = [(1, 99), (5, 8), (9, 0x1_0000_1234), (190, 40), (194, 0x2d_0014_0023), (197, 2), (240, 1)];
        let health = parse(&answer(&all)).unwrap();
        assert_eq!(health.to_string(), "35 °C, 4660 hours on, 8 sectors replaced, 2 sectors unreadable");
        assert!(health.is_bad());
        let health = parse(&answer(&[(194, 200), (190, 31), (5, 0)])).unwrap();
        assert_eq!((health.to_string().as_str(), health.is_bad()), ("31 °C, 0 sectors replaced", false));
    }

    #[test]
    fn nonsense_says_nothing() {
        assert_eq!(parse(&answer(&[])), None);
        assert_eq!(parse(&answer(&[(1, 1), (190, 0x80)])), None);
        let mut wrong = answer(&[(194, 30)]);
        wrong[100] ^= 1;
        assert_eq!(parse(&wrong), None);
        assert_eq!(parse(&[0; SMART_LEN - 1]), None);
    }
}
