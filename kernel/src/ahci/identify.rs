//! What a SATA disk says of itself (ACS-3, section 7.12).
//!
//! Knows the answer to IDENTIFY DEVICE. Must not know how it is asked.

use super::command::ANSWER_LEN;
use crate::drive::{Geometry, Problem, REQUEST_MAX};
use alloc::format;
use alloc::string::String;

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) geometry: Geometry,
    pub(crate) serial: String,
    pub(crate) model: String,
    /// Its World Wide Name, empty if it has none.
    pub(crate) guid: String,
    /// Queued commands that it takes; 0 if none.
    pub(super) queue_depth: u16,
    /// Whether it has logs.
    pub(super) has_logs: bool,
    /// Whether it tells of its health.
    pub(super) has_smart: bool,
}

struct Words<'a>(&'a [u8; ANSWER_LEN]);

impl Words<'_> {
    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[2 * at], self.0[2 * at + 1]])
    }

    fn has(&self, at: usize, bit: u32) -> bool {
        self.word(at) >> bit & 1 != 0
    }

    /// A number of `count` words, the lowest first.
    fn number(&self, at: usize, count: usize) -> u64 {
        (at..at + count).rev().fold(0, |all, at| all << 16 | u64::from(self.word(at)))
    }

    /// Text, of whose letters each word has the first in its upper half.
    fn text(&self, at: usize, count: usize) -> String {
        let bytes = (at..at + count).flat_map(|at| self.word(at).to_be_bytes());
        let text: String = bytes.filter(|byte| matches!(byte, b' '..=b'~')).map(char::from).collect();
        String::from(text.trim())
    }
}

impl Identity {
    pub(super) fn parse(answer: &[u8; ANSWER_LEN]) -> Result<Identity, Problem> {
        let words = Words(answer);
        let unusable = |what, at: usize| Err(Problem::Unusable { what, value: words.word(at).into() });
        // Addresses of 48 bits, and a flush for them: every SATA disk of more than 128 GiB.
        if words.word(83) >> 14 != 1 || !words.has(83, 10) || !words.has(83, 13) {
            return unusable("its set of commands", 83);
        }
        let sizes_valid = words.word(106) >> 14 == 1;
        let sector_size =
            if sizes_valid && words.has(106, 12) { words.number(117, 2).saturating_mul(2) } else { 512 };
        let queues = words.word(76) != u16::MAX && words.has(76, 8);
        let geometry = Geometry {
            sector_size: u32::try_from(sector_size).unwrap_or(0),
            sector_count: words.number(100, 4),
            read_only: false,
            flushes: true,
            request_max: REQUEST_MAX,
        };
        if geometry.sector_count > 1 << 48 {
            return unusable("its number of sectors", 103);
        }
        let names = words.word(87) >> 14 == 1 && words.has(87, 8);
        let wide = (108..112).fold(0, |all, at| all << 16 | u64::from(words.word(at)));
        Ok(Identity {
            geometry: geometry.checked()?,
            serial: words.text(10, 10),
            model: words.text(27, 20),
            guid: if names && wide != 0 { format!("{wide:016x}") } else { String::new() },
            queue_depth: if queues { (words.word(75) & 31) + 1 } else { 0 },
            // The feature set is there, and on.
            has_smart: words.word(83) >> 14 == 1 && words.has(82, 0) && words.has(85, 0),
            has_logs: words.word(84) >> 14 == 1 && words.has(84, 5),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ahci) fn answer(sectors: u64, depth: u16) -> [u8; ANSWER_LEN] {
        let mut bytes = [0; ANSWER_LEN];
        let mut put = |at: usize, word: u16| bytes[2 * at..2 * at + 2].copy_from_slice(&word.to_le_bytes());
        put(10, u16::from_be_bytes(*b"SN"));
        put(11, u16::from_be_bytes(*b"1 "));
        put(75, depth.saturating_sub(1));
        put(76, if depth > 0 { 1 << 8 } else { 0 });
        put(82, 1);
        put(85, 1);
        put(83, 1 << 14 | 1 << 13 | 1 << 10);
        put(84, 1 << 14 | 1 << 5);
        (0..4).for_each(|at| put(100 + at, (sectors >> (16 * at)) as u16));
        bytes
    }

    fn with(at: usize, word: u16) -> Result<Identity, Problem> {
        let mut bytes = answer(1000, 32);
        bytes[2 * at..2 * at + 2].copy_from_slice(&word.to_le_bytes());
        Identity::parse(&bytes)
    }

    #[test]
    fn a_disk_says_who_it_is_and_what_it_takes() {
        let disk = Identity::parse(&answer(1 << 33, 31)).unwrap();
        assert_eq!((disk.serial.as_str(), disk.queue_depth, disk.has_logs), ("SN1", 31, true));
        assert_eq!((disk.geometry.sector_size, disk.geometry.sector_count), (512, 1 << 33));
        assert_eq!(Identity::parse(&answer(1000, 0)).unwrap().queue_depth, 0);
        assert_eq!((disk.guid.as_str(), disk.has_smart), ("", true));
        assert!(!with(85, 0).unwrap().has_smart);
    }

    #[test]
    fn sectors_may_be_longer() {
        let mut bytes = answer(1000, 0);
        bytes[212..214].copy_from_slice(&(1u16 << 14 | 1 << 12).to_le_bytes());
        bytes[234..236].copy_from_slice(&2048u16.to_le_bytes());
        assert_eq!(Identity::parse(&bytes).unwrap().geometry.sector_size, 4096);
        bytes[236..238].fill(0xff);
        assert!(Identity::parse(&bytes).is_err());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert!(with(83, 0).is_err());
        assert!(with(83, u16::MAX).is_err());
        assert!(with(103, 1).is_err(), "beyond 48 bits");
        assert!(Identity::parse(&[0; ANSWER_LEN]).is_err());
        assert!(Identity::parse(&[0xff; ANSWER_LEN]).is_err());
        assert!(Identity::parse(&answer(0, 1)).is_err());
    }
}
