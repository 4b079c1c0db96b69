//! A tree of host files → an archive, with the same score that plan9port's vac gives it.
//!
//! Files come in the order in which the host lists them, as with vac: the order is part of the score. So is
//! the time of archiving, which vac keeps in every file entry.

mod content;

use super::blocks::Blocks;
use super::host_file::{HostFile, Kind, Names, clean_name, path_of};
use super::pattern::Patterns;
use super::tree;
use crate::progress::Progress;
use anyhow::Context;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};
use storage::archive::NewBlock;
use storage::archive::entry::Entry;
use storage::archive::file_entry::FileEntry;
use storage::archive::listing::{Directory, Listing};
use storage::archive::writer::{ArchiveWriter, Attributes, NewFile};
use storage::score::Score;

/// Bytes in the largest leaf that is dealt with.
pub const LEAF_SIZE_MAX: u32 = 1 << 20;

/// How to save.
#[derive(Debug)]
pub struct Settings {
    /// Bytes in a leaf.
    pub block_size: u32,
    /// An archive of an earlier state of the same tree: what did not change is not sent again.
    pub old: Option<Score>,
    /// Take files for unchanged that have the time and size of the old ones.
    pub quick: bool,
    /// Print names.
    pub verbose: bool,
    /// Keep targets of links whole.
    pub whole_links: bool,
    /// What to leave out.
    pub patterns: Patterns,
    /// The time of archiving, in seconds since 1970; the clock's if not given.
    pub now: Option<u32>,
}

/// What was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// `vac:` and the root's score.
    pub score: String,
    /// Files that are no directories.
    pub files: u64,
    /// Files taken over from the old archive unread.
    pub files_skipped: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of files that were sent.
    pub bytes: u64,
    /// Bytes of files that were found in the old archive.
    pub bytes_skipped: u64,
    /// Files that could not be saved, or not whole.
    pub problems: u64,
    /// Links of whose targets only the first eight bytes were kept.
    pub links_cut: u64,
}

/// Saves `paths`, and what comes from standard input under the name `input`.
///
/// # Errors
/// If the archive could not be written. Files that could not be read are counted, and told through
/// `progress`.
pub fn save(
    blocks: &impl Blocks,
    settings: &Settings,
    paths: &[Vec<u8>],
    input: Option<(&[u8], &mut dyn io::Read)>,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let writer = ArchiveWriter::new(settings.block_size)?;
    let mut saver = Saver {
        blocks,
        settings,
        progress,
        writer,
        out: Vec::new(),
        names: Names::default(),
        report: Report::default(),
        top: HashSet::new(),
    };
    let old = match settings.old {
        Some(score) => {
            Some(OldDirectory::read(blocks, &tree::open(blocks, score).context("the old archive")?.top)?)
        }
        None => None,
    };
    if let Some((name, input)) = input {
        saver.save_input(name, input)?;
    }
    for path in paths {
        saver.save_argument(path, old.as_ref())?;
    }
    saver.finish()
}

struct Saver<'a, B> {
    blocks: &'a B,
    settings: &'a Settings,
    progress: &'a Progress,
    writer: ArchiveWriter,
    out: Vec<NewBlock>,
    names: Names,
    report: Report,
    /// Names in the top directory: only there can one come twice.
    top: HashSet<Vec<u8>>,
}

/// A directory of the old archive.
struct OldDirectory {
    listing: Listing,
    by_name: HashMap<Vec<u8>, usize>,
}

/// A file of the old archive.
struct OldFile {
    file: FileEntry,
    content: Entry,
}

impl OldDirectory {
    fn read(blocks: &impl Blocks, directory: &Directory) -> anyhow::Result<OldDirectory> {
        let listing = tree::list(directory, blocks).context("the old archive")?;
        let by_name = listing.files.iter().enumerate().map(|(at, file)| (file.name.clone(), at)).collect();
        Ok(OldDirectory { listing, by_name })
    }

    fn file(&self, name: &[u8]) -> Option<&FileEntry> {
        self.by_name.get(name).and_then(|at| self.listing.files.get(*at))
    }

    /// The file of this name, if it has content that can be compared.
    fn content(&self, name: &[u8]) -> Option<OldFile> {
        let file = self.file(name).filter(|file| !file.is_directory())?;
        let content =
            self.listing.content(file).ok().filter(|entry| entry.shape.leaf_size <= LEAF_SIZE_MAX)?;
        Some(OldFile { file: file.clone(), content: Entry { generation: 0, ..content } })
    }

    fn directory(&self, blocks: &impl Blocks, name: &[u8]) -> anyhow::Result<Option<OldDirectory>> {
        let Some(file) = self.file(name).filter(|file| file.is_directory()) else { return Ok(None) };
        match self.listing.directory(file) {
            Ok(directory) => OldDirectory::read(blocks, &directory).map(Some),
            Err(_) => Ok(None),
        }
    }
}

impl<B: Blocks> Saver<'_, B> {
    /// Saves one argument: a file, or all files of a directory whose name cannot stand in an archive.
    fn save_argument(&mut self, path: &[u8], old: Option<&OldDirectory>) -> anyhow::Result<()> {
        if path.is_empty() {
            self.problem("an empty path was given");
            return Ok(());
        }
        let path = clean_name(path);
        let nameless = path == b"/" || path == b"." || path == b".." || path.ends_with(b"/..");
        if !nameless {
            return self.save_file(&path, old);
        }
        self.save_files_in(&path, old)
    }

    fn save_files_in(&mut self, path: &[u8], old: Option<&OldDirectory>) -> anyhow::Result<()> {
        let entries = match fs::read_dir(path_of(path)) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(&format!("{}: {error}", String::from_utf8_lossy(path)));
                return Ok(());
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name();
                    self.save_file(&clean_name(&[path, b"/", name.as_bytes()].concat()), old)?;
                }
                Err(error) => {
                    self.problem(&format!("{}: {error}", String::from_utf8_lossy(path)));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Saves a file or directory into the directory that is open.
    fn save_file(&mut self, path: &[u8], old: Option<&OldDirectory>) -> anyhow::Result<()> {
        let shown = String::from_utf8_lossy(path);
        if !self.settings.patterns.includes(path) {
            if self.settings.verbose {
                self.progress.note(format!("excluding {shown}"));
            }
            return Ok(());
        }
        let file = match HostFile::look_at(path_of(path), self.settings.whole_links) {
            Ok(file) => file,
            Err(error) => {
                self.problem(&format!("{shown}: {error}"));
                return Ok(());
            }
        };
        if self.settings.verbose {
            self.progress.note(format!("{shown}{}", if file.kind == Kind::Directory { "/" } else { "" }));
        }
        self.progress.show(&*shown);
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if self.writer.is_at_top() && !self.top.insert(name.to_vec()) {
            self.problem(&format!("{shown}: the archive has a file of this name already"));
            return Ok(());
        }
        match file.kind {
            Kind::Directory => self.save_directory(path, name, &file, old),
            _ => self.save_content(path, name, &file, old.and_then(|old| old.content(name))),
        }
    }

    fn save_directory(
        &mut self,
        path: &[u8],
        name: &[u8],
        file: &HostFile,
        old: Option<&OldDirectory>,
    ) -> anyhow::Result<()> {
        let shown = String::from_utf8_lossy(path);
        if let Err(error) = fs::read_dir(path_of(path)) {
            self.problem(&format!("{shown}: {error}"));
            return Ok(());
        }
        let begun = self.describing(name, file, |writer, new, out| writer.begin_directory(new, out));
        if let Err(error) = begun {
            self.problem(&format!("{shown}: {error}"));
            return Ok(());
        }
        self.report.directories += 1;
        let old = match old {
            Some(old) => old.directory(self.blocks, name)?,
            None => None,
        };
        self.save_files_in(path, old.as_ref())?;
        self.writer.end_directory(&mut self.out).with_context(|| shown.into_owned())?;
        self.send()
    }

    /// Calls the archive's writer with what is known of a file.
    fn describing<T>(
        &mut self,
        name: &[u8],
        file: &HostFile,
        write: impl FnOnce(&mut ArchiveWriter, &NewFile<'_>, &mut Vec<NewBlock>) -> T,
    ) -> T {
        let (uid, gid) = (self.names.user(file.owner.0).to_vec(), self.names.group(file.owner.1).to_vec());
        let attributes = Attributes { uid: &uid, gid: &gid, mid: b"", mtime: file.mtime, atime: file.atime };
        let archived_at = self.settings.now.unwrap_or_else(seconds_now);
        let new = NewFile { name, mode: file.mode, archived_at, attributes: Some(attributes) };
        write(&mut self.writer, &new, &mut self.out)
    }

    fn problem(&mut self, text: &str) {
        self.report.problems += 1;
        self.progress.note(format!("granary vac: {text}"));
    }

    fn send(&mut self) -> anyhow::Result<()> {
        self.out.drain(..).try_for_each(|block| self.blocks.put(block))
    }

    /// Writes the root once everything below it is durable, and makes it durable, too.
    fn finish(mut self) -> anyhow::Result<Report> {
        let previous = self.settings.old.unwrap_or(Score::NULL);
        let score = self.writer.finish(previous, &mut self.out)?;
        let root = self.out.pop().context("the archive has no root")?;
        self.out.drain(..).try_for_each(|block| self.blocks.put(block))?;
        self.blocks.sync()?;
        self.blocks.put(root)?;
        self.blocks.sync()?;
        self.report.score = format!("vac:{score}");
        Ok(self.report)
    }
}

fn seconds_now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() as u32
}

#[cfg(test)]
mod tests;
