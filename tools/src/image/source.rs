//! The image that is copied: its bytes, without reading holes, and as if it ended on a round size.
//!
//! Where an image gets longer, the second copy of its GPT moves to the new end. The file itself never changes.

use anyhow::{Context, bail};
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use storage::disk::{gpt, mbr};

/// Bytes of a sector, as tables on images count.
pub(super) const SECTOR: u64 = 512;
/// Sectors of a GPT's entries that are looked at: enough for every table that is accepted with 128 entries.
const ENTRIES_LEN: u64 = 32 * SECTOR;

/// Bytes that stand in place of the file's.
struct Patch {
    offset: u64,
    bytes: Vec<u8>,
}

/// An open image.
pub struct Source {
    file: File,
    file_len: u64,
    len: u64,
    patches: Vec<Patch>,
}

impl Source {
    /// Opens a raw image; nobody may be writing to it.
    ///
    /// # Errors
    /// If it cannot be read, is in use, is empty, or is no raw image.
    pub fn open(path: &Path) -> anyhow::Result<Source> {
        let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        file.try_lock_shared().with_context(|| {
            format!("{} is in use: stop what has it open for writing first", path.display())
        })?;
        let file_len = file.seek(SeekFrom::End(0))?;
        if file_len == 0 || !file_len.is_multiple_of(SECTOR) {
            bail!("{} is no raw image: its {file_len} bytes are not whole sectors", path.display());
        }
        let mut magic = [0; 8];
        file.read_exact_at(&mut magic, 0)?;
        let known =
            [(&b"QFI\xfb"[..], "qcow2"), (b"KDMV", "VMDK"), (b"conectix", "VHD"), (b"vhdxfile", "VHDX")];
        if let Some((_, format)) = known.iter().find(|(start, _)| magic.starts_with(start)) {
            bail!("{} is {format}; only raw images are read here", path.display());
        }
        Ok(Source { file, file_len, len: file_len, patches: Vec::new() })
    }

    /// Lengthens what is read to `len` bytes.
    ///
    /// # Errors
    /// If the file cannot be read, or has a GPT that is damaged.
    pub fn lengthen(&mut self, len: u64) -> anyhow::Result<()> {
        if len <= self.file_len {
            return Ok(());
        }
        self.len = len;
        if self.file_len < (2 * SECTOR) + ENTRIES_LEN {
            return Ok(());
        }
        let (mut first, mut header) = ([0; 512], [0; 512]);
        let mut entries = vec![0; ENTRIES_LEN as usize];
        self.file.read_exact_at(&mut first, 0)?;
        self.file.read_exact_at(&mut header, SECTOR)?;
        self.file.read_exact_at(&mut entries, 2 * SECTOR)?;
        let sectors = len / SECTOR;
        let Some(first) = mbr::covering(&first, sectors) else { return Ok(()) };
        let table = gpt::moved(&header, &entries, sectors)
            .context("the image's partition table cannot move to the new end of its disk")?;
        let backup_at = sectors * SECTOR - table.backup.len() as u64;
        self.patches = vec![
            Patch { offset: 0, bytes: first.to_vec() },
            Patch { offset: SECTOR, bytes: table.primary },
            Patch { offset: backup_at, bytes: table.backup },
        ];
        Ok(())
    }

    /// What there is to write to a disk: all of the file, and what stands behind its end.
    pub fn written(&self) -> Vec<Range<u64>> {
        let patched = self.patches.iter().map(|patch| patch.offset..patch.offset + patch.bytes.len() as u64);
        let behind = patched.filter(|range| range.start >= self.file_len);
        core::iter::once(0..self.file_len).chain(behind).collect()
    }

    /// Bytes of the image.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it; [`Source::open`] lets no such image pass.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads at `offset`; behind the file's end there are zeros.
    ///
    /// # Errors
    /// If the host does.
    pub fn read(&self, offset: u64, target: &mut [u8]) -> std::io::Result<()> {
        target.fill(0);
        let in_file = self.file_len.saturating_sub(offset).min(target.len() as u64) as usize;
        self.file.read_exact_at(&mut target[..in_file], offset)?;
        for patch in &self.patches {
            let start = patch.offset.max(offset);
            let end = (patch.offset + patch.bytes.len() as u64).min(offset + target.len() as u64);
            if start < end {
                let from = &patch.bytes[(start - patch.offset) as usize..(end - patch.offset) as usize];
                target[(start - offset) as usize..(end - offset) as usize].copy_from_slice(from);
            }
        }
        Ok(())
    }

    /// Calls `each` with place and bytes of every block of `grain` bytes that is not all zeros, in order. The last block
    /// may be shorter. `passed` is told of the bytes behind which the work is, holes included.
    ///
    /// # Errors
    /// Of the host, and those of `each`.
    pub fn blocks(
        &self,
        grain: u32,
        passed: impl Fn(u64),
        mut each: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let grain = u64::from(grain);
        let mut buffer = vec![0; grain as usize];
        let mut offset = 0;
        while offset < self.len {
            let next = self.next_data(offset);
            let block = next - next % grain;
            passed(block.saturating_sub(offset));
            if block >= self.len {
                break;
            }
            let bytes = &mut buffer[..grain.min(self.len - block) as usize];
            self.read(block, bytes).with_context(|| format!("reading at byte {block}"))?;
            if bytes.iter().any(|byte| *byte != 0) {
                each(block, bytes)?;
            }
            passed(bytes.len() as u64);
            offset = block + bytes.len() as u64;
        }
        Ok(())
    }

    /// Where data may begin, at `offset` or behind it; the end if there is nothing more.
    fn next_data(&self, offset: u64) -> u64 {
        let patched = self.patches.iter().filter_map(|patch| {
            (patch.offset + patch.bytes.len() as u64 > offset).then_some(patch.offset.max(offset))
        });
        let in_file = if offset >= self.file_len {
            self.len
        } else {
            match lseek(&self.file, i64::try_from(offset).unwrap_or(i64::MAX), Whence::SeekData) {
                Ok(found) => u64::try_from(found).unwrap_or(offset).max(offset),
                Err(nix::errno::Errno::ENXIO) => self.len,
                // A file system that knows no holes.
                Err(_) => offset,
            }
        };
        patched.min().unwrap_or(self.len).min(in_file)
    }
}
