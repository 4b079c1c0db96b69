//! The root block: 300 bytes that name an archive.

use crate::archive::entry::{FloatingSize, SizeNotExact};
use crate::score::{SCORE_LEN, Score};
use alloc::vec::Vec;

/// Bytes in a root block.
pub const ROOT_LEN: usize = 300;
/// Bytes of the name and of the kind.
const TEXT_LEN: usize = 128;
/// The only version there is.
const VERSION: u16 = 2;
/// Set in the version where the block size is in floating form.
const VERSION_LARGE_BLOCKS: u16 = 0x8000;

/// What a root block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Empty from vac, `fossil` from fossil. At most 127 bytes, no NUL.
    pub name: Vec<u8>,
    /// `vac`, for fossil's archives too. At most 127 bytes, no NUL.
    pub kind: Vec<u8>,
    /// The directory block below.
    pub directory: Score,
    /// Bytes in a leaf block, as the writer was told. At least 256.
    pub block_size: u32,
    /// The archive before this one; [`Score::NULL`] or [`Score::ZERO`] if there is none.
    pub previous: Score,
}

/// Bytes that are no root block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoot {
    /// Not 300 bytes.
    #[error("a root block has 300 bytes, this block has {0}")]
    Length(usize),
    /// Some other version.
    #[error("root block of unknown version {0:#06x}")]
    Version(u16),
    /// Below 256.
    #[error("root block with an impossible block size {0}")]
    BlockSize(u32),
}

impl Root {
    /// The root of an archive as vac writes it.
    pub fn vac(directory: Score, block_size: u32, previous: Score) -> Root {
        Root { name: Vec::new(), kind: b"vac".to_vec(), directory, block_size, previous }
    }

    /// The archive before this one, if there is one.
    pub fn previous(&self) -> Option<Score> {
        Some(self.previous).filter(|score| *score != Score::NULL && *score != Score::ZERO)
    }

    /// Reads a root block.
    pub fn parse(block: &[u8]) -> Result<Root, BadRoot> {
        let fields: &[u8; ROOT_LEN] = block.try_into().map_err(|_| BadRoot::Length(block.len()))?;
        let version = u16::from_be_bytes([fields[0], fields[1]]);
        let raw_size = u16::from_be_bytes([fields[278], fields[279]]);
        let block_size = match version {
            VERSION => u32::from(raw_size),
            large if large == VERSION | VERSION_LARGE_BLOCKS => FloatingSize(raw_size).value(),
            other => return Err(BadRoot::Version(other)),
        };
        if block_size < 256 {
            return Err(BadRoot::BlockSize(block_size));
        }
        Ok(Root {
            name: text(&fields[2..130]),
            kind: text(&fields[130..258]),
            directory: score_at(fields, 258),
            block_size,
            previous: score_at(fields, 280),
        })
    }

    /// The block. Texts are cut to 127 bytes.
    ///
    /// # Errors
    /// If the block size cannot be written exactly.
    pub fn to_bytes(&self) -> Result<[u8; ROOT_LEN], SizeNotExact> {
        let (version, size) = match u16::try_from(self.block_size) {
            Ok(size) => (VERSION, size),
            Err(_) => (VERSION | VERSION_LARGE_BLOCKS, FloatingSize::of(self.block_size)?.0),
        };
        let mut block = [0; ROOT_LEN];
        block[..2].copy_from_slice(&version.to_be_bytes());
        put_text(&mut block[2..130], &self.name);
        put_text(&mut block[130..258], &self.kind);
        block[258..278].copy_from_slice(&self.directory.0);
        block[278..280].copy_from_slice(&size.to_be_bytes());
        block[280..].copy_from_slice(&self.previous.0);
        Ok(block)
    }
}

fn text(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take(TEXT_LEN - 1).take_while(|byte| *byte != 0).collect()
}

fn put_text(field: &mut [u8], text: &[u8]) {
    field.iter_mut().zip(text.iter().take(TEXT_LEN - 1)).for_each(|(to, from)| *to = *from);
}

fn score_at(fields: &[u8; ROOT_LEN], offset: usize) -> Score {
    let mut score = [0; SCORE_LEN];
    score.copy_from_slice(&fields[offset..offset + SCORE_LEN]);
    Score(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn large_block_sizes_are_written_in_floating_form() {
        let root = Root::vac(Score::of(b"d"), 131_072, Score::NULL);
        let block = root.to_bytes().unwrap();
        assert_eq!((&block[..2], &block[278..280]), (&[0x80, 2][..], &[0x80, 0x07][..]));
        assert_eq!(Root::parse(&block), Ok(root.clone()));
        assert!(Root { block_size: 131_073, ..root }.to_bytes().is_err());
    }

    #[test]
    fn refuses_other_lengths_versions_and_block_sizes() {
        let good = Root::vac(Score::ZERO, 8192, Score::ZERO).to_bytes().unwrap();
        assert_eq!(Root::parse(&good[..299]), Err(BadRoot::Length(299)));
        let mut bad = good;
        bad[1] = 3;
        assert_eq!(Root::parse(&bad), Err(BadRoot::Version(3)));
        let mut bad = good;
        bad[278..280].copy_from_slice(&[0, 255]);
        assert_eq!(Root::parse(&bad), Err(BadRoot::BlockSize(255)));
    }

    #[test]
    fn both_kinds_of_nothing_mean_that_there_was_no_archive_before() {
        for none in [Score::NULL, Score::ZERO] {
            assert_eq!(Root::vac(Score::ZERO, 512, none).previous(), None);
        }
        let old = Score::of(b"old");
        assert_eq!(Root::vac(Score::ZERO, 512, old).previous(), Some(old));
    }

    proptest! {
        #[test]
        fn a_root_that_parses_is_written_back_alike(
            bytes in proptest::collection::vec(any::<u8>(), 300), big in any::<bool>(),
        ) {
            let mut bytes = bytes;
            bytes[..2].copy_from_slice(if big { &[0x80, 2] } else { &[0, 2] });
            if let Ok(root) = Root::parse(&bytes) && let Ok(again) = root.to_bytes() {
                prop_assert_eq!(Root::parse(&again), Ok(root));
            }
        }
    }
}
