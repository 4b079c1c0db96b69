//! The bytes of one file on their way out of an archive.

use super::{Action, Restorer};
use crate::archive::blocks::Blocks;
use crate::archive::tree::{AHEAD, Fetching};
use anyhow::{Context, bail, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use storage::archive::BLOCK_LEN_MAX;
use storage::archive::entry::Entry;
use storage::archive::file_entry::FileEntry;
use storage::archive::stream_reader::{Piece, StreamReader};
use storage::archive::zero;
use storage::block_type::BlockType;
use storage::score::Score;

/// Zeros, for outputs that cannot have holes.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// Pointer blocks fetched ahead while a file is compared.
const POINTERS_AHEAD: usize = 4;

impl<B: Blocks> Restorer<'_, B> {
    /// Restores a file of plain bytes.
    pub(super) fn restore_plain(
        &mut self,
        file: &FileEntry,
        entry: &Entry,
        content: Fetching,
        target: &Path,
    ) -> anyhow::Result<()> {
        if self.settings.action == Action::Print {
            return self.print(content);
        }
        let updates = self.settings.action == Action::Update && fs::symlink_metadata(target).is_ok();
        let made = open_for_writing(target, !updates)?;
        let written = if updates { self.update(&made, entry) } else { self.write(&made, content) };
        let written = written.and_then(|()| Ok(made.set_len(entry.size)?));
        if let Err(error) = written {
            drop(fs::remove_file(target));
            return Err(error);
        }
        self.set_attributes(&made, file)
    }

    /// Writes the content from the beginning; what is zero to a hole's extent stays a hole.
    fn write(&mut self, made: &File, mut content: Fetching) -> anyhow::Result<()> {
        let mut at = 0;
        while let Some(piece) = content.next(self.blocks, AHEAD)? {
            let (bytes, len) = parts(&piece);
            self.count_bytes(bytes.len() as u64)?;
            made.write_all_at(bytes, at)?;
            at += len;
        }
        Ok(())
    }

    fn print(&mut self, mut content: Fetching) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        while let Some(piece) = content.next(self.blocks, AHEAD)? {
            let (bytes, len) = parts(&piece);
            self.count_bytes(len)?;
            out.write_all(bytes)?;
            let mut zeros = len - bytes.len() as u64;
            while zeros > 0 {
                let some = ZEROS.get(..usize::try_from(zeros).unwrap_or(ZEROS.len())).unwrap_or(&ZEROS);
                out.write_all(some)?;
                zeros -= some.len() as u64;
            }
        }
        Ok(out.flush()?)
    }

    /// Writes those leaves whose scores differ from what the file has.
    fn update(&mut self, made: &File, entry: &Entry) -> anyhow::Result<()> {
        let leaf_size = u64::from(entry.shape.leaf_size);
        ensure!(leaf_size <= 1 << 20, "the file's blocks of {leaf_size} bytes are too large to be compared");
        let mut scores = Fetching::new(StreamReader::of_scores(entry));
        let mut leaf = vec![0; leaf_size as usize];
        let (mut at, there) = (0, made.metadata()?.len());
        while let Some((score, len)) = scores.next_score(self.blocks, POINTERS_AHEAD)? {
            let end = at + len;
            while at < end {
                // What lies behind the file's end is zero, and no less right than a hole.
                if score == Score::ZERO && at >= there {
                    at = end;
                    break;
                }
                let wanted = leaf_size.min(end - at);
                let old = leaf.get_mut(..wanted as usize).context("a leaf longer than a leaf")?;
                read_at(made, old, at)?;
                if Score::of(zero::truncate(BlockType::DATA, old)) == score {
                    self.report.bytes_skipped += wanted;
                } else {
                    let block = self.leaf(score)?;
                    let new = zero::extend(BlockType::DATA, &block, wanted as usize);
                    self.count_bytes(wanted)?;
                    made.write_all_at(&new, at)?;
                }
                at += wanted;
            }
        }
        Ok(())
    }

    fn leaf(&self, score: Score) -> anyhow::Result<bytes::Bytes> {
        if score == Score::ZERO {
            return Ok(bytes::Bytes::new());
        }
        self.blocks.ask(score, BlockType::DATA, BLOCK_LEN_MAX).wait()
    }
}

/// The content of a file that has to be short.
pub(super) fn read_small(
    blocks: &impl Blocks,
    mut content: Fetching,
    size: u64,
    size_max: u64,
) -> anyhow::Result<Vec<u8>> {
    if size > size_max {
        bail!("it has {size} bytes, more than the {size_max} that make sense");
    }
    let mut whole = Vec::new();
    while let Some(piece) = content.next(blocks, 1)? {
        let (bytes, len) = parts(&piece);
        let end = whole.len() + usize::try_from(len)?;
        whole.extend_from_slice(bytes);
        whole.resize(end, 0);
    }
    Ok(whole)
}

fn parts(piece: &Piece) -> (&[u8], u64) {
    match piece {
        Piece::Data { bytes, len } => (bytes, *len),
        Piece::Hole { len } => (&[], *len),
    }
}

/// Opens a plain file, new or old, through no link.
fn open_for_writing(target: &Path, truncate: bool) -> anyhow::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(truncate).mode(0o600).custom_flags(flags);
    let made = options.open(target)?;
    ensure!(made.metadata()?.is_file(), "it is there already, and is no plain file");
    Ok(made)
}

/// Fills `leaf` with what the file has at `at`, and with zeros behind its end.
fn read_at(file: &File, leaf: &mut [u8], at: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < leaf.len() {
        let rest = leaf.get_mut(filled..).unwrap_or_default();
        match file.read_at(rest, at + filled as u64) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
