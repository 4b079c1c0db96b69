//! Writes an archive as plan9port's vac does: from files in the order in which they come, in one pass.
//!
//! Memory held: per open directory one block of entries, one of metadata, and a pointer block a level.

use crate::archive::entry::{ENTRY_LEN, Entry, SizeNotExact};
use crate::archive::file_entry::{FileEntry, mode};
use crate::archive::meta_writer::{CannotDescribe, MetaBlock, MetaWriter};
use crate::archive::root::Root;
use crate::archive::shape::Shape;
use crate::archive::stream_writer::{StreamWriter, TooLarge};
use crate::archive::{NewBlock, put_block};
use crate::block_type::BlockType;
use crate::score::Score;
use alloc::vec::Vec;

/// The smallest block size that vac accepts.
pub const BLOCK_SIZE_MIN: u32 = 512;
/// Owner and group of an archive's top directory.
const TOP_OWNER: &[u8] = b"vac";

/// A file on its way into an archive.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Its name in its directory.
    pub name: &'a [u8],
    /// Its kind and permissions (see [`mode`]), without the bit for directories.
    pub mode: u32,
    /// Now, in seconds since 1970; vac keeps it as the time of the entry's change.
    pub archived_at: u32,
    /// What else is known of it; without, it belongs to its directory's owner and is as old as its entry.
    pub attributes: Option<Attributes<'a>>,
}

/// What a host knows of a file.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Owner.
    pub uid: &'a [u8],
    /// Group.
    pub gid: &'a [u8],
    /// Who changed it last; empty where hosts do not know.
    pub mid: &'a [u8],
    /// Seconds since 1970.
    pub mtime: u32,
    /// Seconds since 1970.
    pub atime: u32,
}

/// Why a file cannot be in the archive, or the archive not be at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// A file's name or owner is too long.
    #[error(transparent)]
    CannotDescribe(#[from] CannotDescribe),
    /// A file is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The block size has no exact form.
    #[error(transparent)]
    BlockSize(#[from] SizeNotExact),
    /// The block size is below [`BLOCK_SIZE_MIN`].
    #[error("block size {0} is too small, 512 is the least")]
    BlockTooSmall(u32),
}

/// An archive being written.
#[derive(Debug)]
pub struct ArchiveWriter {
    block_size: u32,
    top: OpenDirectory,
    open: Vec<OpenDirectory>,
    last_qid: u64,
}

/// A directory whose files are still coming.
#[derive(Debug)]
struct OpenDirectory {
    /// Entries of the leaf under way.
    leaf: Vec<u8>,
    slots: u32,
    entries: StreamWriter,
    shape: Shape,
    meta: MetaWriter,
    uid: Vec<u8>,
    gid: Vec<u8>,
}

impl ArchiveWriter {
    /// An archive without files, of `block_size` byte leaves.
    ///
    /// # Errors
    /// If the block size is too small, or above 65535 and not written exactly in 11 bits and a shift.
    pub fn new(block_size: u32) -> Result<ArchiveWriter, ArchiveError> {
        if block_size < BLOCK_SIZE_MIN {
            return Err(ArchiveError::BlockTooSmall(block_size));
        }
        let shape = Shape::for_block_size(block_size, true);
        Entry::empty(shape).to_bytes()?;
        let top = OpenDirectory::new(shape, TOP_OWNER, TOP_OWNER);
        Ok(ArchiveWriter { block_size, top, open: Vec::new(), last_qid: 0 })
    }

    /// How files and directories of this archive are cut into blocks.
    pub fn shape(&self, is_directory: bool) -> Shape {
        Shape::for_block_size(self.block_size, is_directory)
    }

    /// Whether files are added to the top directory at present.
    pub fn is_at_top(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds a file whose content is `content` to the directory that was begun last.
    ///
    /// # Errors
    /// If it cannot be described; the archive goes on without it.
    pub fn add_file(
        &mut self,
        file: &NewFile<'_>,
        content: &Entry,
        out: &mut Vec<NewBlock>,
    ) -> Result<(), ArchiveError> {
        let content = content.to_bytes()?;
        self.describe(file, file.mode & !mode::DIRECTORY, out)?;
        self.current().push(&content, out);
        Ok(())
    }

    /// Begins a directory: what is added from now on is in it.
    ///
    /// # Errors
    /// If it cannot be described; then it was not begun.
    pub fn begin_directory(
        &mut self,
        file: &NewFile<'_>,
        out: &mut Vec<NewBlock>,
    ) -> Result<(), ArchiveError> {
        let described = self.describe(file, file.mode | mode::DIRECTORY, out)?;
        let shape = self.shape(true);
        self.open.push(OpenDirectory::new(shape, &described.uid, &described.gid));
        Ok(())
    }

    /// Ends the directory that was begun last.
    ///
    /// # Errors
    /// If it has too many files.
    pub fn end_directory(&mut self, out: &mut Vec<NewBlock>) -> Result<(), ArchiveError> {
        let Some(directory) = self.open.pop() else { panic!("no directory is open") };
        let [entries, meta] = directory.finish(out)?;
        let (entries, meta) = (entries.to_bytes()?, meta.to_bytes()?);
        self.current().push(&entries, out);
        self.current().push(&meta, out);
        Ok(())
    }

    /// Ends the archive and returns the root block's score; the root is the last block in `out`.
    ///
    /// # Errors
    /// If the top directory has too many files.
    pub fn finish(self, previous: Score, out: &mut Vec<NewBlock>) -> Result<Score, ArchiveError> {
        assert!(self.open.is_empty(), "a directory is still open");
        let draft = FileEntry {
            name: b"/".to_vec(),
            uid: TOP_OWNER.to_vec(),
            gid: TOP_OWNER.to_vec(),
            mode: mode::DIRECTORY | mode::PERMISSIONS,
            ..FileEntry::default()
        };
        let described = FileEntry { qid_space: Some((0, self.last_qid + 1)), ..draft.clone() };
        let block = MetaBlock::of_root(self.block_size as usize, &draft, &described)?;
        let shape = Shape::for_block_size(self.block_size, false);
        let score = put_block(BlockType::DATA, block.bytes(), out);
        let about_top = Entry { size: u64::from(self.block_size), local: true, score, ..Entry::empty(shape) };
        let [entries, meta] = self.top.finish(out)?;
        let mut three = Vec::with_capacity(3 * ENTRY_LEN);
        for entry in [entries, meta, about_top] {
            three.extend_from_slice(&entry.to_bytes()?);
        }
        let directory = put_block(BlockType::DIRECTORY, &three, out);
        let root = Root::vac(directory, self.block_size, previous).to_bytes()?;
        Ok(put_block(BlockType::ROOT, &root, out))
    }

    fn current(&mut self) -> &mut OpenDirectory {
        self.open.last_mut().unwrap_or(&mut self.top)
    }

    /// Puts a file's metadata into the current directory.
    fn describe(
        &mut self,
        file: &NewFile<'_>,
        mode: u32,
        out: &mut Vec<NewBlock>,
    ) -> Result<FileEntry, ArchiveError> {
        let qid = self.last_qid + 1;
        let parent = self.current();
        let draft = FileEntry {
            name: file.name.to_vec(),
            slot: parent.slots,
            meta_slot: parent.slots.wrapping_add(1),
            qid,
            uid: parent.uid.clone(),
            gid: parent.gid.clone(),
            mtime: file.archived_at,
            ctime: file.archived_at,
            atime: file.archived_at,
            mode,
            ..FileEntry::default()
        };
        let described = file.attributes.map(|known| FileEntry {
            uid: known.uid.to_vec(),
            gid: known.gid.to_vec(),
            mid: known.mid.to_vec(),
            mtime: known.mtime,
            atime: known.atime,
            ..draft.clone()
        });
        parent.meta.add(&draft, described.as_ref(), out)?;
        self.last_qid = qid;
        Ok(described.unwrap_or(draft))
    }
}

impl OpenDirectory {
    fn new(shape: Shape, uid: &[u8], gid: &[u8]) -> OpenDirectory {
        OpenDirectory {
            leaf: Vec::new(),
            slots: 0,
            entries: StreamWriter::new(shape),
            shape,
            meta: MetaWriter::new(shape),
            uid: uid.to_vec(),
            gid: gid.to_vec(),
        }
    }

    fn push(&mut self, entry: &[u8; ENTRY_LEN], out: &mut Vec<NewBlock>) {
        self.leaf.extend_from_slice(entry);
        self.slots += 1;
        if self.slots.is_multiple_of(self.shape.entries_per_leaf()) {
            self.entries.push_leaf(&self.leaf, out);
            self.leaf.clear();
        }
    }

    /// The entries of both streams: files' contents and metadata.
    fn finish(mut self, out: &mut Vec<NewBlock>) -> Result<[Entry; 2], TooLarge> {
        if !self.leaf.is_empty() {
            self.entries.push_leaf(&self.leaf, out);
        }
        let size = self.shape.directory_size(u64::from(self.slots));
        Ok([self.entries.finish(size, self.slots > 0, out)?, self.meta.finish(out)?])
    }
}
