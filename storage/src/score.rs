//! A score: the SHA-1 of a lump, which is its name.

use core::fmt;
use core::str::FromStr;
use sha1::{Digest, Sha1};

/// Bytes in a score.
pub const SCORE_LEN: usize = 20;

/// The SHA-1 of a lump of data. Two lumps with one score are one lump (venti(6)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub [u8; SCORE_LEN]);

/// A text that is not 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a score is 40 hexadecimal digits, perhaps after `vac:`")]
pub struct BadScore;

impl Score {
    /// The score of no data at all, `da39a3ee…`; it stands for holes and is never stored.
    pub const ZERO: Score = Score([
        0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf,
        0xd8, 0x07, 0x09,
    ]);

    /// Twenty zero bytes: "nothing here" in roots and on disk.
    pub const NULL: Score = Score([0; SCORE_LEN]);

    /// Hashes `lump`.
    pub fn of(lump: &[u8]) -> Score {
        Score(Sha1::digest(lump).into())
    }

    /// The first four bytes as a number: what chooses an index bucket.
    pub fn prefix(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Score({self})")
    }
}

impl FromStr for Score {
    type Err = BadScore;

    /// Reads 40 hexadecimal digits, after an optional prefix that ends in a colon (`vac:`). Strict, unlike venti's own
    /// parser, which takes letters beyond `f`.
    fn from_str(text: &str) -> Result<Score, BadScore> {
        let digits = text.split_once(':').map_or(text, |(_, digits)| digits).as_bytes();
        if digits.len() != 2 * SCORE_LEN {
            return Err(BadScore);
        }
        let mut score = [0; SCORE_LEN];
        for (byte, pair) in score.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
        }
        Ok(Score(score))
    }
}

fn hex_digit(digit: u8) -> Result<u8, BadScore> {
    let value = char::from(digit).to_digit(16).ok_or(BadScore)?;
    u8::try_from(value).map_err(|_| BadScore)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_zero_score_is_the_hash_of_nothing() {
        assert_eq!(Score::of(b""), Score::ZERO);
    }

    #[test]
    fn reads_what_it_prints_with_and_without_a_prefix() {
        let score = Score::of(b"granary");
        assert_eq!(score.to_string().parse(), Ok(score));
        assert_eq!(std::format!("vac:{score}").parse(), Ok(score));
    }

    #[test]
    fn refuses_letters_beyond_f_and_wrong_lengths() {
        for bad in [
            "",
            "vac:",
            "da39",
            "ga39a3ee5e6b4b0d3255bfef95601890afd80709",
            "+a39a3ee5e6b4b0d3255bfef95601890afd80709",
        ] {
            assert_eq!(bad.parse::<Score>(), Err(BadScore), "{bad}");
        }
    }
}
