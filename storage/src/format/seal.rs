//! The seal of an arena: SHA-1 from head to tail, the tail's last 20 bytes (where the result goes) taken as zero.
//!
//! Knows only how many bytes there are; who feeds them reads them in order, in pieces of any size.

use super::geometry::ArenaGeometry;
use crate::score::{SCORE_LEN, Score};
use sha1::{Digest, Sha1};

/// Sums up one arena.
#[derive(Clone)]
pub struct Sealer {
    hash: Sha1,
    /// Bytes still to come before the seal's own.
    covered_left: u64,
    /// Bytes of the seal's own still to come.
    seal_left: u64,
}

/// The pieces fed to a [`Sealer`] were not the arena: that many bytes too few, or more than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The arena goes on.
    #[error("the arena has {0} more bytes to be summed")]
    Missing(u64),
    /// The arena ended before that.
    #[error("{0} bytes were given from behind the arena's end")]
    TooMany(u64),
}

impl Sealer {
    /// Starts at the arena's head block.
    pub fn new(arena: &ArenaGeometry) -> Sealer {
        let seal_left = SCORE_LEN as u64;
        Sealer { hash: Sha1::new(), covered_left: arena.len() - seal_left, seal_left }
    }

    /// Takes the bytes that follow those given before.
    pub fn update(&mut self, chunk: &[u8]) -> Result<(), SealError> {
        let covered = usize::try_from(self.covered_left).unwrap_or(usize::MAX).min(chunk.len());
        let (covered, rest) = chunk.split_at(covered);
        let rest_len = rest.len() as u64;
        if rest_len > self.seal_left {
            return Err(SealError::TooMany(rest_len - self.seal_left));
        }
        self.hash.update(covered);
        self.hash.update(&[0; SCORE_LEN][..rest.len()]);
        self.covered_left -= covered.len() as u64;
        self.seal_left -= rest_len;
        Ok(())
    }

    /// The score, once every byte up to the arena's end was given.
    pub fn finish(self) -> Result<Score, SealError> {
        match self.covered_left + self.seal_left {
            0 => Ok(Score(self.hash.finalize().into())),
            missing => Err(SealError::Missing(missing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn arena() -> (ArenaGeometry, Vec<u8>) {
        (ArenaGeometry::new(512, 512 * 6, 512).unwrap(), (0..512 * 5).map(|i| (i % 251) as u8).collect())
    }

    #[test]
    fn the_score_is_of_the_arena_with_its_last_20_bytes_zero() {
        let (geometry, mut bytes) = arena();
        let mut sealers: Vec<Sealer> = (0..4).map(|_| Sealer::new(&geometry)).collect();
        for (sealer, size) in sealers.iter_mut().zip([1, 512, 555, 512 * 5]) {
            bytes.chunks(size).for_each(|chunk| sealer.update(chunk).unwrap());
        }
        bytes[512 * 5 - SCORE_LEN..].fill(0);
        for sealer in sealers {
            assert_eq!(sealer.finish(), Ok(Score::of(&bytes)));
        }
    }

    #[test]
    fn refuses_to_seal_less_or_more_than_the_arena() {
        let (geometry, bytes) = arena();
        let mut sealer = Sealer::new(&geometry);
        sealer.update(&bytes[..2559]).unwrap();
        assert_eq!(sealer.clone().finish(), Err(SealError::Missing(1)));
        assert_eq!(sealer.update(&[0, 0, 0]), Err(SealError::TooMany(2)));
        sealer.update(&[0]).unwrap();
        assert!(sealer.finish().is_ok());
    }
}
