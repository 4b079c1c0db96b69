//! What is in a directory, gathered from the blocks of its two streams.
//!
//! Knows how slots, generations and file entries belong together, and where an archive's top is. Must not know how
//! blocks are fetched.

use crate::archive::entry::{Entry, entries_of};
use crate::archive::file_entry::FileEntry;
use crate::archive::meta_block;
use crate::archive::root::BadRoot;
use crate::archive::shape::Shape;
use crate::archive::zero;
use crate::block_type::BlockType;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hashbrown::HashMap;

/// Files in one directory, at most: what an archive claims has to end somewhere.
pub const FILES_MAX: usize = 1 << 24;
/// Bytes of a metadata block that its own counts can reach.
const META_LEN_MAX: usize = 1 << 16;

/// A tree that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTree {
    /// The root block.
    #[error("reading the archive's root: {0}")]
    Root(#[from] BadRoot),
    /// A root of something else.
    #[error("the root is not of a vac archive")]
    Kind,
    /// No directory below the root.
    #[error("the archive has no top directory")]
    NoTop,
    /// Nobody says what the top directory is.
    #[error("the archive does not describe its top")]
    NotDescribed,
    /// Entries that are no directory's.
    #[error("a directory's streams are of the wrong kinds")]
    Kinds,
    /// A file without content.
    #[error("its content was removed, or its entry is damaged")]
    NoContent,
    /// Content that is none.
    #[error("its content is a directory")]
    IsDirectory,
    /// More than anyone has.
    #[error("the directory has more than {0} files")]
    TooManyFiles(usize),
}

/// A directory's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Entries of the files' contents.
    pub entries: Entry,
    /// What the files are.
    pub meta: Entry,
}

impl Directory {
    /// Takes two entries for a directory.
    pub fn new(entries: Entry, meta: Entry) -> Result<Directory, BadTree> {
        if entries.shape.is_directory && !meta.shape.is_directory {
            Ok(Directory { entries, meta })
        } else {
            Err(BadTree::Kinds)
        }
    }
}

/// What the block below a root says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// The top directory, and the stream that describes it.
    Here(Directory, Entry),
    /// fossil puts the same three entries into a stream of their own.
    Within(Entry),
}

impl Top {
    /// Reads the directory block below a root, or the first block of the stream within.
    pub fn parse(block: &[u8]) -> Result<Top, BadTree> {
        let mut three = [None; 3];
        for (slot, entry) in entries_of(block).take(3) {
            if let (Some(place), Ok(entry)) = (three.get_mut(slot), entry) {
                *place = Some(entry);
            }
        }
        match three {
            [Some(entries), Some(meta), Some(about)] => Ok(Top::Here(Directory::new(entries, meta)?, about)),
            [Some(within), _, None] if within.shape.is_directory => Ok(Top::Within(within)),
            _ => Err(BadTree::NoTop),
        }
    }
}

/// A directory's files, and where their contents are.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of the metadata.
    pub files: Vec<FileEntry>,
    /// What could not be read of it: the rest is good.
    pub damage: Vec<String>,
    slots: HashMap<u32, Entry>,
}

impl Listing {
    /// Adds a leaf of the metadata stream, which has leaves of this shape.
    pub fn add_meta_block(&mut self, shape: &Shape, stored: &[u8]) -> Result<(), BadTree> {
        let whole = usize::try_from(shape.leaf_size).unwrap_or(META_LEN_MAX).min(META_LEN_MAX);
        let block = zero::extend(BlockType::DATA, stored, whole);
        match meta_block::file_entries(&block) {
            Err(error) => self.damage.push(error.to_string()),
            Ok(files) => files.for_each(|file| match file {
                Ok(file) => self.files.push(file),
                Err(error) => self.damage.push(error.to_string()),
            }),
        }
        self.check_size()
    }

    /// Adds leaf number `leaf` of the stream of entries.
    pub fn add_entry_block(&mut self, shape: &Shape, leaf: u64, stored: &[u8]) -> Result<(), BadTree> {
        let first = leaf.saturating_mul(u64::from(shape.entries_per_leaf()));
        for (slot, entry) in entries_of(stored) {
            let Ok(slot) = u32::try_from(first.saturating_add(slot as u64)) else { break };
            match entry {
                Ok(entry) => drop(self.slots.insert(slot, entry)),
                Err(error) => self.damage.push(alloc::format!("slot {slot}: {error}")),
            }
        }
        self.check_size()
    }

    fn check_size(&self) -> Result<(), BadTree> {
        let most = self.files.len().max(self.damage.len()).max(self.slots.len() / 2);
        if most > FILES_MAX { Err(BadTree::TooManyFiles(FILES_MAX)) } else { Ok(()) }
    }

    fn slot(&self, slot: u32, generation: u32) -> Result<Entry, BadTree> {
        let entry = self.slots.get(&slot).filter(|entry| entry.generation == generation);
        entry.copied().ok_or(BadTree::NoContent)
    }

    /// The content of a file of this directory.
    pub fn content(&self, file: &FileEntry) -> Result<Entry, BadTree> {
        let entry = self.slot(file.slot, file.generation)?;
        if entry.shape.is_directory { Err(BadTree::IsDirectory) } else { Ok(entry) }
    }

    /// The streams of a directory in this directory.
    pub fn directory(&self, file: &FileEntry) -> Result<Directory, BadTree> {
        let entries = self.slot(file.slot, file.generation)?;
        Directory::new(entries, self.slot(file.meta_slot, file.meta_generation)?)
    }
}
