//! An archive → a tree of host files. Whoever made the archive may have meant harm: what it claims is checked
//! before the host sees it.
//!
//! Names that lead elsewhere are refused, links are made last and never followed, sizes cost disk space only
//! where blocks are, depth, files and bytes are bounded. Memory does not grow with sizes that an archive
//! claims.

mod content;
mod listing;

use super::blocks::{Blocks, ServerGone};
use super::tree::{self, Fetching, Starting};
use crate::progress::Progress;
use anyhow::{bail, ensure};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use storage::archive::file_entry::{FileEntry, mode};
use storage::archive::listing::Listing;
use storage::archive::stream_reader::StreamReader;
use storage::score::Score;

/// Directories within one another, at most.
const DEPTH_MAX: usize = 2048;
/// Files whose first blocks are fetched before their turn.
const FILES_AHEAD: usize = 32;
/// Below so many directories, files wait for their turn: each level holds blocks.
const DEPTH_AHEAD_MAX: usize = 16;
/// Blocks of a file fetched before its turn.
const BLOCKS_AHEAD: usize = 2;
/// Longest link target that hosts accept.
const LINK_LEN_MAX: u64 = 4096;

/// What to do with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Print what is there.
    List,
    /// Print the contents.
    Print,
    /// Make files.
    Write,
    /// Make files, and of those that exist, write only what differs.
    Update,
}

/// How to restore.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to do.
    pub action: Action,
    /// Where files go.
    pub target: PathBuf,
    /// Set times as the archive has them.
    pub set_times: bool,
    /// Print names, or in lists, everything.
    pub verbose: bool,
    /// Only these paths and what is below them; all if empty.
    pub paths: Vec<Vec<u8>>,
    /// Files at most.
    pub files_max: u64,
    /// Bytes at most, not counting holes.
    pub bytes_max: u64,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Files that are no directories.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Bytes that were right already.
    pub bytes_skipped: u64,
    /// Devices, pipes and the like, which are not restored.
    pub ignored: u64,
    /// Files that could not be restored, or not whole.
    pub problems: u64,
}

/// Restores (or lists) the archive with this root score.
///
/// # Errors
/// If the archive cannot be opened, the connection ends, or a bound is reached. Single files that fail are
/// counted, and told through `progress`.
pub fn restore(
    blocks: &impl Blocks,
    settings: &Settings,
    score: Score,
    progress: &Progress,
) -> anyhow::Result<Report> {
    let archive = tree::open(blocks, score)?;
    let found = vec![false; settings.paths.len()];
    let mut restorer =
        Restorer { blocks, settings, progress, report: Report::default(), found, links: Vec::new() };
    let start = tree::start(&archive.top, blocks, tree::AHEAD);
    restorer.restore_files(start, &mut Vec::new(), &settings.target, 0)?;
    restorer.make_links();
    for (path, _) in settings.paths.iter().zip(restorer.found.clone()).filter(|(_, found)| !found) {
        restorer.problem(&format!("{}: not in the archive", shown(path)));
    }
    Ok(restorer.report)
}

struct Restorer<'a, B> {
    blocks: &'a B,
    settings: &'a Settings,
    progress: &'a Progress,
    report: Report,
    /// Which of the paths that were asked for have come.
    found: Vec<bool>,
    /// Links and their targets, made when no more files are written through them.
    links: Vec<(PathBuf, Vec<u8>)>,
}

/// A file whose turn comes soon.
enum Upcoming {
    Content(Fetching),
    Directory(Starting),
    /// It cannot be read, for this reason.
    Broken(anyhow::Error),
}

impl<B: Blocks> Restorer<'_, B> {
    /// Restores the files of a directory into the directory `target`. `path`: where it is in the archive.
    fn restore_files(
        &mut self,
        directory: Starting,
        path: &mut Vec<u8>,
        target: &Path,
        depth: usize,
    ) -> anyhow::Result<()> {
        let listing = directory.list(self.blocks)?;
        for damage in &listing.damage {
            self.problem(&format!("{}/: {damage}", shown(path)));
        }
        let len = path.len();
        let mut chosen = Vec::new();
        for file in &listing.files {
            path.truncate(len);
            if let Err(reason) = check_name(&file.name) {
                self.problem(&format!(
                    "{}/: a file named `{}` is left out: {reason}",
                    shown(path),
                    shown(&file.name)
                ));
                continue;
            }
            extend(path, &file.name);
            if self.wants(path) {
                chosen.push(file);
            }
        }
        let files_ahead = if depth < DEPTH_AHEAD_MAX { FILES_AHEAD } else { 1 };
        let mut coming = std::collections::VecDeque::new();
        let mut next = chosen.iter();
        loop {
            while coming.len() < files_ahead
                && let Some(file) = next.next()
            {
                coming.push_back((*file, self.prepare(&listing, file)));
            }
            let Some((file, upcoming)) = coming.pop_front() else { break };
            path.truncate(len);
            extend(path, &file.name);
            self.restore_file(&listing, file, upcoming, path, target, depth)?;
        }
        path.truncate(len);
        Ok(())
    }

    fn prepare(&self, listing: &Listing, file: &FileEntry) -> Upcoming {
        if file.is_directory() {
            return match listing.directory(file) {
                Ok(directory) => Upcoming::Directory(tree::start(&directory, self.blocks, 1)),
                Err(error) => Upcoming::Broken(error.into()),
            };
        }
        match listing.content(file) {
            Ok(entry) => {
                let mut content = Fetching::new(StreamReader::new(&entry));
                if matches!(self.settings.action, Action::Print | Action::Write) {
                    content.ask_ahead(self.blocks, BLOCKS_AHEAD);
                }
                Upcoming::Content(content)
            }
            Err(error) => Upcoming::Broken(error.into()),
        }
    }

    fn restore_file(
        &mut self,
        listing: &Listing,
        file: &FileEntry,
        upcoming: Upcoming,
        path: &mut Vec<u8>,
        target: &Path,
        depth: usize,
    ) -> anyhow::Result<()> {
        let target = target.join(OsStr::from_bytes(&file.name));
        let (files, limit) = (self.report.files + self.report.directories, self.settings.files_max);
        ensure!(files < limit, "the archive has more than {limit} files: see --max-files");
        self.announce(listing, file, path)?;
        let done = match upcoming {
            Upcoming::Broken(error) => Err(error),
            Upcoming::Directory(start) => {
                self.report.directories += 1;
                ensure!(depth < DEPTH_MAX, "{}: directories are nested too deeply", shown(path));
                self.restore_directory(start, file, path, &target, depth)
            }
            Upcoming::Content(content) => {
                self.report.files += 1;
                self.restore_content(listing, file, content, &target)
            }
        };
        match done {
            Err(error) if error.is::<ServerGone>() || error.is::<LimitReached>() => Err(error),
            Err(error) => {
                self.problem(&format!("{}: {error:#}", shown(path)));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn restore_directory(
        &mut self,
        start: Starting,
        file: &FileEntry,
        path: &mut Vec<u8>,
        target: &Path,
        depth: usize,
    ) -> anyhow::Result<()> {
        let writes = matches!(self.settings.action, Action::Write | Action::Update);
        if writes {
            match fs::symlink_metadata(target) {
                Ok(there) => ensure!(there.is_dir(), "it is there already, and is no directory"),
                Err(_) => DirBuilder::new().mode(0o700).create(target)?,
            }
        }
        self.restore_files(start, path, target, depth + 1)?;
        if writes {
            self.set_attributes(&File::open(target)?, file)?;
        }
        Ok(())
    }

    fn restore_content(
        &mut self,
        listing: &Listing,
        file: &FileEntry,
        content: Fetching,
        target: &Path,
    ) -> anyhow::Result<()> {
        if self.settings.action == Action::List {
            return Ok(());
        }
        let kinds = [
            (mode::DEVICE, "device"),
            (mode::LINK, "link"),
            (mode::NAMED_PIPE, "named pipe"),
            (mode::EXCLUSIVE, "lock"),
        ];
        let entry = listing.content(file)?;
        match kinds.iter().find(|(bit, _)| file.mode & bit != 0) {
            Some((mode::LINK, _)) if self.settings.action != Action::Print => {
                let bytes = content::read_small(self.blocks, content, entry.size, LINK_LEN_MAX)?;
                // vac keeps eight bytes of a longer target; zeros fill what is missing.
                if bytes.is_empty() || bytes.contains(&0) {
                    self.ignore(target, "link whose target the archive has only in part");
                } else {
                    self.links.push((target.to_path_buf(), bytes));
                }
                Ok(())
            }
            Some((_, what)) => {
                self.ignore(target, what);
                Ok(())
            }
            None => self.restore_plain(file, &entry, content, target),
        }
    }

    fn ignore(&mut self, target: &Path, what: &str) {
        self.report.ignored += 1;
        self.progress.note(format!("granary unvac: ignoring {what} {}", target.display()));
    }

    fn set_attributes(&self, made: &File, file: &FileEntry) -> anyhow::Result<()> {
        made.set_permissions(Permissions::from_mode(file.mode & mode::PERMISSIONS))?;
        if self.settings.set_times {
            made.set_modified(UNIX_EPOCH + Duration::from_secs(u64::from(file.mtime)))?;
        }
        Ok(())
    }

    fn make_links(&mut self) {
        for (path, target) in std::mem::take(&mut self.links) {
            let old_link = fs::symlink_metadata(&path).is_ok_and(|there| there.is_symlink());
            let made = if old_link { fs::remove_file(&path) } else { Ok(()) };
            if let Err(error) = made.and_then(|()| symlink(OsStr::from_bytes(&target), &path)) {
                self.problem(&format!("{}: {error}", path.display()));
            }
        }
    }

    /// Whether a path was asked for, or leads to one that was.
    fn wants(&mut self, path: &[u8]) -> bool {
        if self.settings.paths.is_empty() {
            return true;
        }
        let mut wanted = false;
        for (asked, found) in self.settings.paths.iter().zip(&mut self.found) {
            let is_below = |path: &[u8], top: &[u8]| {
                path.strip_prefix(top).is_some_and(|rest| rest.first() == Some(&b'/'))
            };
            *found |= asked == path;
            wanted |= asked == path || is_below(path, asked) || is_below(asked, path);
        }
        wanted
    }

    fn problem(&mut self, text: &str) {
        self.report.problems += 1;
        self.progress.note(format!("granary unvac: {text}"));
    }

    /// Counts bytes before they are written.
    fn count_bytes(&mut self, len: u64) -> Result<(), LimitReached> {
        self.report.bytes = self.report.bytes.saturating_add(len);
        self.progress.advance(len);
        if self.report.bytes > self.settings.bytes_max {
            Err(LimitReached(self.settings.bytes_max))
        } else {
            Ok(())
        }
    }
}

/// The archive holds more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archive has more than {0} bytes: see --max-bytes")]
struct LimitReached(u64);

fn extend(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Refuses names that do not stay in their directory.
fn check_name(name: &[u8]) -> anyhow::Result<()> {
    match name {
        b"" => bail!("the name is empty"),
        b"." | b".." => bail!("the name leads elsewhere"),
        name if name.contains(&b'/') => bail!("the name has a slash"),
        name if name.contains(&0) => bail!("the name has a zero byte"),
        _ => Ok(()),
    }
}

/// A path for people: control characters cannot play with their terminal.
fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests;
