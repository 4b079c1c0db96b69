//! The bytes of one file on their way into an archive, compared with an older archive where there is one.
//!
//! Where a file became shorter than in the older archive, plan9port's vac leaves remains of the old tree
//! behind the new end; here they are cut off, so that the score of such a file may differ from vac's.

use super::{OldFile, Saver, seconds_now};
use crate::archive::blocks::Blocks;
use crate::archive::host_file::{HostFile, Kind, path_of};
use crate::archive::tree::Fetching;
use std::fs::File;
use std::io::{self, BufReader, Read};
use storage::archive::entry::Entry;
use storage::archive::file_entry::mode;
use storage::archive::stream_reader::StreamReader;
use storage::archive::stream_writer::StreamWriter;
use storage::archive::writer::NewFile;
use storage::archive::zero;
use storage::block_type::BlockType;
use storage::score::Score;

/// Bytes read from a file at once.
const READ_AT_ONCE: usize = 256 << 10;
/// Pointer blocks of the old file fetched ahead.
const POINTERS_AHEAD: usize = 4;
/// Bytes that vac reads from standard input at once.
const INPUT_CHUNK: u64 = 8192;

/// What became of a file's bytes.
struct Streamed {
    entry: Entry,
    /// The file could not be read to its end.
    failure: Option<io::Error>,
}

impl<B: Blocks> Saver<'_, B> {
    /// Saves a file that is no directory.
    pub(super) fn save_content(
        &mut self,
        path: &[u8],
        name: &[u8],
        file: &HostFile,
        old: Option<OldFile>,
    ) -> anyhow::Result<()> {
        let shown = String::from_utf8_lossy(path).into_owned();
        let opened: io::Result<Box<dyn Read>> = match &file.kind {
            Kind::Special(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            _ => File::open(path_of(path))
                .map(|file| Box::new(BufReader::with_capacity(READ_AT_ONCE, file)) as _),
        };
        let mut input = match opened {
            Ok(input) => input,
            Err(error) => {
                self.problem(&format!("{shown}: {error}"));
                return Ok(());
            }
        };
        if let (Kind::Special(kept), true) = (&file.kind, file.mode & mode::LINK != 0) {
            self.report.links_cut += u64::from((kept.len() as u64) < file.size);
        }
        let old = old.filter(|_| file.kind == Kind::Plain);
        let entry = match old {
            Some(old)
                if self.settings.quick && old.file.mtime == file.mtime && old.content.size == file.size =>
            {
                self.report.files_skipped += 1;
                old.content
            }
            old => {
                self.report.files += 1;
                let streamed = self.stream(&mut *input, file, old.as_ref().map(|old| &old.content))?;
                if let Some(error) = streamed.failure {
                    self.problem(&format!("{shown}: {error}; the archive has what could be read"));
                }
                streamed.entry
            }
        };
        let added = self.describing(name, file, |writer, new, out| writer.add_file(new, &entry, out));
        if let Err(error) = added {
            self.problem(&format!("{shown}: {error}"));
        }
        self.send()
    }

    /// Saves what comes from `input` under `name`, with the owner and time that vac gives it.
    pub(super) fn save_input(&mut self, name: &[u8], input: &mut dyn Read) -> anyhow::Result<()> {
        let shape = self.writer.shape(false);
        let mut leaf = vec![0; shape.leaf_size as usize];
        let mut stream = StreamWriter::new(shape);
        let mut size = 0;
        loop {
            let len = fill(input, &mut leaf)?;
            if len == 0 {
                break;
            }
            size += len as u64;
            stream.push_leaf(leaf.get(..len).unwrap_or_default(), &mut self.out);
            self.progress.advance(len as u64);
            self.send()?;
        }
        let in_one_write = size == INPUT_CHUNK && size == u64::from(shape.leaf_size);
        let entry = stream.finish(size, size > 0 && !in_one_write, &mut self.out)?;
        let archived_at = self.settings.now.unwrap_or_else(seconds_now);
        let new = NewFile { name, mode: 0o666, archived_at, attributes: None };
        self.writer.add_file(&new, &entry, &mut self.out)?;
        self.top.insert(name.to_vec());
        self.report.files += 1;
        self.report.bytes += size;
        self.send()
    }

    /// Cuts `input` into leaves and sends those that the old file does not have.
    fn stream(
        &mut self,
        input: &mut dyn Read,
        file: &HostFile,
        old: Option<&Entry>,
    ) -> anyhow::Result<Streamed> {
        let shape = old.map_or_else(|| self.writer.shape(false), |old| old.shape);
        let mut old_leaves = old.map(OldLeaves::new);
        let mut leaf = vec![0; shape.leaf_size as usize];
        let mut stream = StreamWriter::new(shape);
        let (mut size, mut changed, mut failure) = (0_u64, false, None);
        loop {
            let len = match fill(input, &mut leaf) {
                Ok(0) => break,
                Ok(len) => len,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            size += len as u64;
            self.progress.advance(len as u64);
            let data = zero::truncate(BlockType::DATA, leaf.get(..len).unwrap_or_default());
            let known = match &mut old_leaves {
                Some(leaves) => leaves.next(self.blocks)?.filter(|old| *old == Score::of(data)),
                None => None,
            };
            if let Some(score) = known {
                self.report.bytes_skipped += len as u64;
                stream.push_stored_leaf(score, &mut self.out);
            } else {
                changed = true;
                self.report.bytes += len as u64;
                stream.push_leaf(data, &mut self.out);
            }
            self.send()?;
        }
        if let Some(old) = old
            && !changed
            && size == old.size
        {
            return Ok(Streamed { entry: *old, failure });
        }
        let size = if old.is_some() { size } else { size.max(file.size) };
        let in_part = !size.is_multiple_of(u64::from(shape.leaf_size)) && size > 0;
        let rewritten = changed && (shape.depth_for(size) > 0 || in_part);
        let grown = old.is_none() && shape.depth_for(size) > 0;
        let local = rewritten || grown || old.is_some_and(|old| old.local && size > 0);
        Ok(Streamed { entry: stream.finish(size, local, &mut self.out)?, failure })
    }
}

/// Fills `leaf` unless the input ends.
fn fill(input: &mut dyn Read, leaf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = leaf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The scores of the old file's leaves, one after another.
struct OldLeaves {
    scores: Fetching,
    leaf_size: u64,
    /// A score and for how many bytes it still stands.
    current: (Score, u64),
}

impl OldLeaves {
    fn new(old: &Entry) -> OldLeaves {
        let scores = Fetching::new(StreamReader::of_scores(old));
        OldLeaves { scores, leaf_size: u64::from(old.shape.leaf_size), current: (Score::ZERO, 0) }
    }

    fn next(&mut self, blocks: &impl Blocks) -> anyhow::Result<Option<Score>> {
        if self.current.1 == 0 {
            let Some(next) = self.scores.next_score(blocks, POINTERS_AHEAD)? else { return Ok(None) };
            self.current = next;
        }
        self.current.1 = self.current.1.saturating_sub(self.leaf_size);
        Ok(Some(self.current.0))
    }
}
