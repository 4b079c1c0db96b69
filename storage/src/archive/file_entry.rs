//! File entries: what a directory's metadata says of one file. (Plan 9 calls them directory entries, as it
//! does many things.)

use alloc::vec::Vec;

/// Starts every file entry.
const MAGIC: u32 = 0x1c4d_9072;
/// The version that vac and we write; fossil writes 9.
const VERSION_WRITTEN: u16 = 8;
/// Tag and length of the option that says which qids are used below.
const QID_SPACE: (u8, u16) = (3, 16);
/// Tag and length of Plan 9's own qid, before version 9.
const PLAN9_QID: (u8, u16) = (1, 12);

/// Bits of [`FileEntry::mode`] above the permissions.
pub mod mode {
    /// The nine bits of permissions.
    pub const PERMISSIONS: u32 = 0o777;
    /// Writes only append.
    pub const APPEND: u32 = 1 << 12;
    /// One opener at a time.
    pub const EXCLUSIVE: u32 = 1 << 13;
    /// A symbolic link; its content is the target.
    pub const LINK: u32 = 1 << 14;
    /// A directory.
    pub const DIRECTORY: u32 = 1 << 15;
    /// Fossil's temporary files.
    pub const TEMPORARY: u32 = 1 << 19;
    /// The top of one of fossil's snapshots.
    pub const SNAPSHOT: u32 = 1 << 20;
    /// A Unix device; its content is `b` or `c` and two numbers.
    pub const DEVICE: u32 = 1 << 21;
    /// A Unix named pipe.
    pub const NAMED_PIPE: u32 = 1 << 22;
}

/// What is known of one file. Texts are bytes: Plan 9's are UTF-8, others may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEntry {
    /// The name in its directory. What is in it, nobody has checked.
    pub name: Vec<u8>,
    /// Slot of the content's entry.
    pub slot: u32,
    /// Generation of that slot.
    pub generation: u32,
    /// Slot of the metadata's entry, of meaning for directories.
    pub meta_slot: u32,
    /// Generation of that slot.
    pub meta_generation: u32,
    /// Number of the file in its archive.
    pub qid: u64,
    /// Owner.
    pub uid: Vec<u8>,
    /// Group.
    pub gid: Vec<u8>,
    /// Who changed it last.
    pub mid: Vec<u8>,
    /// Seconds since 1970 of the last change.
    pub mtime: u32,
    /// Number of changes.
    pub mcount: u32,
    /// Seconds since 1970; vac puts the time of archiving here.
    pub ctime: u32,
    /// Seconds since 1970 of the last access.
    pub atime: u32,
    /// Permissions and kind: see [`mode`].
    pub mode: u32,
    /// Offset and maximum of the qids below, if they are known.
    pub qid_space: Option<(u64, u64)>,
    /// Plan 9's qid path and version, from old archives.
    pub plan9_qid: Option<(u64, u32)>,
}

/// Bytes that are no file entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFileEntry {
    /// It ends before it is complete.
    #[error("file entry cut off")]
    CutOff,
    /// Does not begin as one.
    #[error("file entry with bad magic number {0:#010x}")]
    Magic(u32),
    /// Another version than 7, 8 or 9.
    #[error("file entry of unknown version {0}")]
    Version(u16),
    /// An option of the wrong length, or twice.
    #[error("file entry with a malformed option {0}")]
    Option(u8),
    /// Too long to be written.
    #[error("a name or owner of {0} bytes is too long for an archive")]
    TooLong(usize),
}

impl FileEntry {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & mode::DIRECTORY != 0
    }

    /// Reads a file entry that takes up all of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<FileEntry, BadFileEntry> {
        let mut rest = Rest(bytes);
        let magic = rest.u32()?;
        if magic != MAGIC {
            return Err(BadFileEntry::Magic(magic));
        }
        let version = rest.u16()?;
        if !(7..=9).contains(&version) {
            return Err(BadFileEntry::Version(version));
        }
        let mut entry = FileEntry { name: rest.text()?, slot: rest.u32()?, ..FileEntry::default() };
        entry.meta_slot = entry.slot.wrapping_add(1);
        if version == 9 {
            [entry.generation, entry.meta_slot, entry.meta_generation] =
                [rest.u32()?, rest.u32()?, rest.u32()?];
        }
        entry.qid = rest.u64()?;
        if version == 7 {
            rest.take(20)?;
        }
        [entry.uid, entry.gid, entry.mid] = [rest.text()?, rest.text()?, rest.text()?];
        [entry.mtime, entry.mcount, entry.ctime] = [rest.u32()?, rest.u32()?, rest.u32()?];
        [entry.atime, entry.mode] = [rest.u32()?, rest.u32()?];
        while !rest.0.is_empty() {
            entry.parse_option(version, &mut rest)?;
        }
        Ok(entry)
    }

    fn parse_option(&mut self, version: u16, rest: &mut Rest<'_>) -> Result<(), BadFileEntry> {
        let (tag, len) = (rest.u8()?, rest.u16()?);
        let mut body = Rest(rest.take(usize::from(len))?);
        match tag {
            tag if tag == QID_SPACE.0 => {
                if self.qid_space.is_some() || len != QID_SPACE.1 {
                    return Err(BadFileEntry::Option(tag));
                }
                self.qid_space = Some((body.u64()?, body.u64()?));
            }
            tag if tag == PLAN9_QID.0 && version < 9 => {
                if self.plan9_qid.is_some() || len != PLAN9_QID.1 {
                    return Err(BadFileEntry::Option(tag));
                }
                self.plan9_qid = Some((body.u64()?, body.u32()?));
            }
            _unknown => {}
        }
        Ok(())
    }

    /// The bytes, in version 8: generations are left out, and the metadata's slot is the one after the
    /// content's.
    ///
    /// # Errors
    /// If a text does not fit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BadFileEntry> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&VERSION_WRITTEN.to_be_bytes());
        put_text(&mut bytes, &self.name)?;
        bytes.extend_from_slice(&self.slot.to_be_bytes());
        bytes.extend_from_slice(&self.qid.to_be_bytes());
        [&self.uid, &self.gid, &self.mid].into_iter().try_for_each(|text| put_text(&mut bytes, text))?;
        for number in [self.mtime, self.mcount, self.ctime, self.atime, self.mode] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        if let Some((path, version)) = self.plan9_qid {
            put_option(&mut bytes, PLAN9_QID);
            bytes.extend_from_slice(&path.to_be_bytes());
            bytes.extend_from_slice(&version.to_be_bytes());
        }
        if let Some((offset, max)) = self.qid_space {
            put_option(&mut bytes, QID_SPACE);
            bytes.extend_from_slice(&offset.to_be_bytes());
            bytes.extend_from_slice(&max.to_be_bytes());
        }
        Ok(bytes)
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &[u8]) -> Result<(), BadFileEntry> {
    let len = u16::try_from(text.len()).map_err(|_| BadFileEntry::TooLong(text.len()))?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(text);
    Ok(())
}

fn put_option(bytes: &mut Vec<u8>, (tag, len): (u8, u16)) {
    bytes.push(tag);
    bytes.extend_from_slice(&len.to_be_bytes());
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadFileEntry> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadFileEntry::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadFileEntry> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(BadFileEntry::CutOff)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, BadFileEntry> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, BadFileEntry> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BadFileEntry> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadFileEntry> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Result<Vec<u8>, BadFileEntry> {
        let len = self.u16()?;
        self.take(usize::from(len)).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn sample() -> FileEntry {
        FileEntry {
            name: b"grain".to_vec(),
            slot: 4,
            meta_slot: 5,
            qid: 9,
            uid: b"glenda".to_vec(),
            mode: 0o644,
            qid_space: Some((1, 2)),
            ..FileEntry::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let entry = sample();
        assert_eq!(FileEntry::parse(&entry.to_bytes().unwrap()), Ok(entry));
    }

    #[test]
    fn version_9_names_its_metadata_slot_and_generations() {
        let mut bytes = sample().to_bytes().unwrap();
        bytes[5] = 9;
        let after_slot = 4 + 2 + 2 + 5 + 4;
        bytes.splice(after_slot..after_slot, [0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9]);
        let entry = FileEntry::parse(&bytes).unwrap();
        assert_eq!((entry.generation, entry.meta_slot, entry.meta_generation, entry.qid), (7, 8, 9, 9));
    }

    #[test]
    fn unknown_options_are_skipped_and_malformed_ones_refused() {
        let plain = sample().to_bytes().unwrap();
        let unknown = [plain.as_slice(), &[77, 0, 2, 1, 2]].concat();
        assert_eq!(FileEntry::parse(&unknown), Ok(sample()));
        let twice = [plain.as_slice(), &plain[plain.len() - 19..]].concat();
        assert_eq!(FileEntry::parse(&twice), Err(BadFileEntry::Option(3)));
        assert_eq!(FileEntry::parse(&plain[..plain.len() - 1]), Err(BadFileEntry::CutOff));
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let entry = FileEntry { name: vec![b'x'; 65536], ..sample() };
        assert_eq!(entry.to_bytes(), Err(BadFileEntry::TooLong(65536)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(at in 0_usize..80, to in any::<u8>(), cut in 0_usize..100) {
            let mut bytes = sample().to_bytes().unwrap();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            bytes.truncate(cut);
            let _ = FileEntry::parse(&bytes);
        }
    }
}
