//! Metadata blocks: a header, an index sorted by name, and file entries wherever the index says.

use crate::archive::file_entry::{BadFileEntry, FileEntry};

/// Bytes in the header.
pub const HEADER_LEN: usize = 12;
/// Bytes in a place of the index.
pub const PLACE_LEN: usize = 4;
/// What vac writes: in the index, a name stands before its own prefixes.
pub const MAGIC: u32 = 0x5656_fc79;
/// What fossil writes: in the index, names are sorted as bytes.
pub const MAGIC_SORTED_AS_BYTES: u32 = 0x5656_fc7a;

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// One of the two magic numbers.
    pub magic: u32,
    /// Bytes up to the end of the last file entry.
    pub size: u16,
    /// Bytes below that which are in no file entry; not reliable.
    pub free: u16,
    /// Places that the index has room for.
    pub places_max: u16,
    /// Places in use.
    pub places: u16,
}

/// A block that is no metadata block, or a file entry in one that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMetaBlock {
    /// Too short for what its header says.
    #[error("metadata block of {0} bytes is cut off")]
    CutOff(usize),
    /// Does not begin as one.
    #[error("metadata block with bad magic number {0:#010x}")]
    Magic(u32),
    /// Counts that contradict one another.
    #[error("metadata block whose header makes no sense: {0:?}")]
    Header(Header),
    /// The index points outside.
    #[error("metadata block whose index points outside it, at place {0}")]
    Place(u16),
    /// A file entry is broken.
    #[error("metadata block, place {place}: {cause}")]
    FileEntry {
        /// Place in the index.
        place: u16,
        /// What is wrong with it.
        cause: BadFileEntry,
    },
}

impl Header {
    /// Reads the header of a whole block (extended to its full length).
    pub fn parse(block: &[u8]) -> Result<Header, BadMetaBlock> {
        let fields = block.first_chunk::<HEADER_LEN>().ok_or(BadMetaBlock::CutOff(block.len()))?;
        let magic = u32::from_be_bytes([fields[0], fields[1], fields[2], fields[3]]);
        if magic != MAGIC && magic != MAGIC_SORTED_AS_BYTES {
            return Err(BadMetaBlock::Magic(magic));
        }
        let field = |at: usize| u16::from_be_bytes([fields[at], fields[at + 1]]);
        let header =
            Header { magic, size: field(4), free: field(6), places_max: field(8), places: field(10) };
        let index_end = HEADER_LEN + PLACE_LEN * usize::from(header.places_max);
        if usize::from(header.size) > block.len()
            || index_end > block.len()
            || header.places > header.places_max
        {
            return Err(BadMetaBlock::Header(header));
        }
        Ok(header)
    }

    /// The header as it stands in a block.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.magic.to_be_bytes());
        for (at, field) in [(4, self.size), (6, self.free), (8, self.places_max), (10, self.places)] {
            bytes[at..at + 2].copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }
}

/// The file entries of a whole block (extended to its full length; an empty block has none), in the order of
/// the index.
///
/// # Errors
/// At once if the header is broken; in place of a file entry if only that one is. Either way at most 65535
/// items come.
pub fn file_entries(
    block: &[u8],
) -> Result<impl Iterator<Item = Result<FileEntry, BadMetaBlock>> + '_, BadMetaBlock> {
    let header = Header::parse(block)?;
    let entries_from = HEADER_LEN + PLACE_LEN * usize::from(header.places_max);
    Ok((0..header.places).map(move |place| {
        let at = HEADER_LEN + PLACE_LEN * usize::from(place);
        let raw =
            block.get(at..).and_then(|b| b.first_chunk::<PLACE_LEN>()).ok_or(BadMetaBlock::Place(place))?;
        let offset = usize::from(u16::from_be_bytes([raw[0], raw[1]]));
        let len = usize::from(u16::from_be_bytes([raw[2], raw[3]]));
        if offset < entries_from || offset + len > usize::from(header.size) {
            return Err(BadMetaBlock::Place(place));
        }
        let bytes = block.get(offset..offset + len).ok_or(BadMetaBlock::Place(place))?;
        FileEntry::parse(bytes).map_err(|cause| BadMetaBlock::FileEntry { place, cause })
    }))
}
