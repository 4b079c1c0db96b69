//! Archives, directory by directory. The lists read last are kept, since every walk goes through them again.
//!
//! Knows trees and what they cost in memory. Must not know 9P's messages, nor which names there are.

use crate::p9::{Error, Qid, Stat, mode, qid_kind};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use core::hash::{BuildHasher, Hash};
use hashbrown::{DefaultHashBuilder, HashMap};
use lru::LruCache;
use storage::archive::entry::Entry;
use storage::archive::file_entry::{self, FileEntry};
use storage::archive::listing::{Directory, Listing};
use storage::archive::tree::{self, Source};
use storage::score::Score;

/// A list of a directory, with its files by name.
pub(super) struct Names {
    listing: Listing,
    by_name: HashMap<String, usize>,
}

/// A file or directory of an archive.
pub(super) struct InArchive {
    root: Score,
    /// Where it is below the root: what `..` leads to.
    pub(super) above: Option<Rc<InArchive>>,
    file: FileEntry,
    content: Content,
    qid: Qid,
}

enum Content {
    Directory(Directory),
    File(Entry),
    /// Its blocks cannot be found; the text says why.
    Lost(String),
}

/// The lists read last.
pub(super) struct Lists {
    kept: RefCell<LruCache<(Score, Score), Rc<Names>>>,
    files_max: usize,
    hash: DefaultHashBuilder,
}

impl Lists {
    /// Keeps lists of up to `files_max` files together, some 400 bytes each.
    pub(super) fn new(files_max: usize) -> Lists {
        Lists { kept: RefCell::new(LruCache::unbounded()), files_max, hash: DefaultHashBuilder::default() }
    }

    /// The list of a directory.
    pub(super) async fn of<S: Source>(&self, source: &S, directory: &Directory) -> Result<Rc<Names>, Error> {
        let key = (directory.entries.score, directory.meta.score);
        if let Some(names) = self.kept.borrow_mut().get(&key) {
            return Ok(names.clone());
        }
        let listing = tree::list(source, directory).await.map_err(Error::new)?;
        let shown = listing.files.iter().enumerate().map(|(number, file)| (shown(&file.name), number));
        let names = Rc::new(Names { by_name: shown.collect(), listing });
        let mut kept = self.kept.borrow_mut();
        kept.put(key, names.clone());
        let mut files: usize = kept.iter().map(|(_, names)| names.listing.files.len() + 1).sum();
        while files > self.files_max
            && let Some((_, oldest)) = kept.pop_lru()
        {
            files -= oldest.listing.files.len() + 1;
        }
        Ok(names)
    }

    /// The top of an archive, which is that place in the tree.
    pub(super) async fn open<S: Source>(
        &self,
        source: &S,
        root: Score,
        qid: Qid,
    ) -> Result<Rc<InArchive>, Error> {
        let archive = tree::open(source, root).await.map_err(Error::new)?;
        let content = Content::Directory(archive.top);
        Ok(Rc::new(InArchive { root, above: None, file: archive.about, content, qid }))
    }

    /// No two files of an archive have the same number, except by a chance of one in 2^64.
    fn qid(&self, what: impl Hash, is_directory: bool) -> Qid {
        let kind = if is_directory { qid_kind::DIRECTORY } else { qid_kind::FILE };
        Qid { kind, version: 0, path: self.hash.hash_one(what) }
    }

    /// A file in a directory.
    pub(super) async fn walk<S: Source>(
        &self,
        source: &S,
        from: &Rc<InArchive>,
        name: &str,
    ) -> Result<Rc<InArchive>, Error> {
        let names = self.names(source, from).await?;
        let file = names.by_name.get(name).and_then(|number| names.listing.files.get(*number));
        let file = file.ok_or(Error::NotFound)?;
        Ok(Rc::new(self.below(from, &names, file)))
    }

    fn below(&self, from: &Rc<InArchive>, names: &Names, file: &FileEntry) -> InArchive {
        let content = if file.is_directory() {
            names.listing.directory(file).map(Content::Directory)
        } else {
            names.listing.content(file).map(Content::File)
        };
        let content = content.unwrap_or_else(|error| Content::Lost(alloc::format!("{error}")));
        let qid = self.qid((from.root, from.qid.path, &file.name), file.is_directory());
        InArchive { root: from.root, above: Some(from.clone()), file: file.clone(), content, qid }
    }

    /// The list of a directory of an archive.
    pub(super) async fn names<S: Source>(&self, source: &S, at: &InArchive) -> Result<Rc<Names>, Error> {
        match &at.content {
            Content::Directory(directory) => self.of(source, directory).await,
            Content::File(_) => Err(Error::NotDirectory),
            Content::Lost(reason) => Err(Error::new(reason)),
        }
    }

    /// The stat of file number `position` of a list.
    pub(super) fn entry(&self, from: &Rc<InArchive>, names: &Names, position: u64) -> Option<Stat> {
        let file = names.listing.files.get(usize::try_from(position).ok()?)?;
        Some(self.below(from, names, file).stat(None))
    }
}

/// A name as a client sees it: texts only, and nothing that would be a path.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().map(|c| if c == '/' || c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

impl InArchive {
    pub(super) fn qid(&self) -> Qid {
        self.qid
    }

    /// What is said of it, under its own name or another.
    pub(super) fn stat(&self, name: Option<&str>) -> Stat {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let FileEntry { uid, gid, mid, mtime, atime, .. } = &self.file;
        let kind = if self.qid.is_directory() { mode::DIRECTORY } else { 0 };
        let length = match &self.content {
            Content::File(entry) => entry.size,
            _ => 0,
        };
        Stat {
            qid: self.qid,
            // An archive does not change.
            mode: kind | (self.file.mode & file_entry::mode::PERMISSIONS & 0o555),
            atime: *atime,
            mtime: *mtime,
            length,
            name: name.map_or_else(|| shown(&self.file.name), String::from),
            uid: text(uid),
            gid: text(gid),
            muid: text(mid),
        }
    }

    /// Bytes of a file.
    pub(super) async fn read<S: Source>(
        &self,
        source: &S,
        offset: u64,
        count: usize,
    ) -> Result<Bytes, Error> {
        let entry = match &self.content {
            Content::File(entry) => entry,
            Content::Directory(_) => return Err(Error::IsDirectory),
            Content::Lost(reason) => return Err(Error::new(reason)),
        };
        let mut data = Vec::new();
        let mut at = offset;
        loop {
            let piece = tree::read_at(source, entry, at, count - data.len()).await;
            let piece = match piece {
                Ok(piece) => piece,
                // What was read so far is good.
                Err(_) if !data.is_empty() => break,
                Err(error) => return Err(Error::new(error)),
            };
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            if data.is_empty() && (piece.len() == count || at >= entry.size) {
                return Ok(piece);
            }
            data.extend_from_slice(&piece);
            if data.len() >= count {
                break;
            }
        }
        Ok(data.into())
    }
}
