//! Blocks made from a seed.

use bytes::Bytes;
use std::time::SystemTime;
use storage::score::Score;

/// What blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Content {
    /// Nothing that can be compressed.
    Random,
    /// Words, which compress to about half.
    Text,
}

/// The blocks of one measurement, with their scores: the client's own arithmetic is done before the clock
/// starts.
pub(super) struct Lumps {
    pub(super) lumps: Vec<(Score, Bytes)>,
}

impl Lumps {
    /// `count` blocks of `size` bytes (at least 16), no two of them alike; other cases have other blocks.
    pub(super) fn make(content: Content, seed: u64, case: u64, count: usize, size: usize) -> Lumps {
        let mut numbers = Numbers(seed ^ case.rotate_left(32));
        let lumps = (0..count as u64).map(|number| {
            let mut bytes = Vec::with_capacity(size + 16);
            bytes.extend_from_slice(&(seed ^ number).to_le_bytes());
            bytes.extend_from_slice(&(case << 32 | number).to_le_bytes());
            while bytes.len() < size {
                let random = numbers.next();
                match content {
                    Content::Random => bytes.extend_from_slice(&random.to_le_bytes()),
                    Content::Text => bytes.extend_from_slice(WORDS[random as usize % WORDS.len()].as_bytes()),
                }
            }
            bytes.truncate(size);
            (Score::of(&bytes), Bytes::from(bytes))
        });
        Lumps { lumps: lumps.collect() }
    }
}

const WORDS: [&str; 32] = [
    "the ",
    "granary ",
    "keeps ",
    "what ",
    "was ",
    "sown ",
    "and ",
    "reaped ",
    "for ",
    "winters ",
    "to ",
    "come ",
    "in ",
    "rows ",
    "of ",
    "clay ",
    "jars ",
    "each ",
    "with ",
    "its ",
    "own ",
    "seal ",
    "so ",
    "that ",
    "nobody ",
    "mistakes ",
    "barley ",
    "wheat\n",
    "or ",
    "rye ",
    "another ",
    "year\n",
];

/// A seed that no earlier run has used.
pub(super) fn seed_of_now() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_micros() as u64
}

/// SplitMix64: fast, and the same everywhere. Nothing secret depends on it.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The numbers below `count`, in an order of its own.
    pub(super) fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_makes_the_same_blocks_and_no_two_are_alike() {
        for content in [Content::Random, Content::Text] {
            for size in [16, 1000] {
                let make = |seed, case| Lumps::make(content, seed, case, 50, size).lumps;
                assert_eq!(make(7, 1), make(7, 1));
                let all = [make(7, 1), make(7, 2), make(8, 1)].concat();
                assert!(all.iter().all(|(score, lump)| lump.len() == size && *score == Score::of(lump)));
                let different: BTreeSet<Score> = all.iter().map(|(score, _)| *score).collect();
                assert_eq!(different.len(), all.len());
            }
        }
    }

    #[test]
    fn a_permutation_has_every_number_once() {
        let mut order = Numbers(3).permutation(100);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..100));
    }
}
