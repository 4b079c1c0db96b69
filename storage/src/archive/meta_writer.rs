//! Packs file entries into metadata blocks byte for byte as plan9port's vac does: scores of archives depend
//! on it.
//!
//! vac makes every file twice: first under its directory's owner and with the time of archiving, at the end
//! of the block; then it replaces that entry by the final one in the same place. Where the two differ in
//! length, bytes of the first stay behind, and the count of free bytes is off. Both are kept here.

use crate::archive::NewBlock;
use crate::archive::entry::Entry;
use crate::archive::file_entry::{BadFileEntry, FileEntry};
use crate::archive::meta_block::{BadMetaBlock, HEADER_LEN, Header, MAGIC, PLACE_LEN};
use crate::archive::shape::Shape;
use crate::archive::stream_writer::{StreamWriter, TooLarge};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// vac makes room in the index for one file in so many bytes of the block.
const BYTES_PER_PLACE: usize = 100;
/// vac leaves a block alone once this share of it is used, so that entries can grow.
const FULL_PERCENT: usize = 80;

/// One metadata block being filled.
#[derive(Clone, Debug)]
pub struct MetaBlock {
    bytes: Vec<u8>,
    header: Header,
    /// Names, in the order of the index.
    names: Vec<Vec<u8>>,
}

/// A file that cannot be described in a metadata block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotDescribe {
    /// A text is too long.
    #[error(transparent)]
    FileEntry(#[from] BadFileEntry),
    /// Name and owner together are too long.
    #[error(
        "name and owner of the file need {needed} bytes, more than a block of {block_size} has: use larger blocks"
    )]
    TooLong {
        /// Bytes of the file entry.
        needed: usize,
        /// Bytes in a block.
        block_size: usize,
    },
}

impl MetaBlock {
    /// A block of `block_size` bytes that describes the top directory, and knows which qids lie below.
    ///
    /// # Errors
    /// If the block is too small.
    pub fn of_root(
        block_size: usize,
        draft: &FileEntry,
        described: &FileEntry,
    ) -> Result<MetaBlock, CannotDescribe> {
        let (draft, entry) = (draft.to_bytes()?, described.to_bytes()?);
        let mut block = MetaBlock::new(block_size);
        if !block.add(&draft, &described.name, Some(&entry)) {
            return Err(CannotDescribe::TooLong { needed: entry.len(), block_size });
        }
        Ok(block)
    }

    /// An empty block of `block_size` bytes (at least 256).
    pub fn new(block_size: usize) -> MetaBlock {
        let places_max = u16::try_from(block_size / BYTES_PER_PLACE).unwrap_or(u16::MAX);
        let used = HEADER_LEN + PLACE_LEN * usize::from(places_max);
        let size = u16::try_from(used).unwrap_or(u16::MAX);
        let header = Header { magic: MAGIC, size, free: 0, places_max, places: 0 };
        MetaBlock { bytes: vec![0; block_size], header, names: Vec::new() }
    }

    /// Goes on with a block that was stored, extended to its full length. Only for blocks under vac's magic
    /// number.
    ///
    /// # Errors
    /// If it is broken.
    pub fn reopen(block: Vec<u8>) -> Result<MetaBlock, BadMetaBlock> {
        let header = Header::parse(&block)?;
        if header.magic != MAGIC {
            return Err(BadMetaBlock::Magic(header.magic));
        }
        if usize::from(header.size) < HEADER_LEN + PLACE_LEN * usize::from(header.places_max) {
            return Err(BadMetaBlock::Header(header));
        }
        let names = crate::archive::meta_block::file_entries(&block)?
            .map(|entry| entry.map(|entry| entry.name))
            .collect::<Result<_, _>>()?;
        Ok(MetaBlock { bytes: block, header, names })
    }

    /// Whether vac would put an entry of `len` bytes into this block.
    fn has_room_for(&self, len: usize) -> bool {
        let allowed = (self.bytes.len() * FULL_PERCENT / 100 + usize::from(self.header.free))
            .saturating_sub(usize::from(self.header.size));
        self.header.places < self.header.places_max && len <= allowed && self.has_end_for(len)
    }

    /// Whether `len` bytes fit behind the last entry, so that their place can still be counted in 16 bits.
    fn has_end_for(&self, len: usize) -> bool {
        usize::from(self.header.size) + len <= self.bytes.len().min(usize::from(u16::MAX))
    }

    /// Puts `draft` at the end of the block.
    fn append(&mut self, name: &[u8], draft: &[u8]) {
        let offset = usize::from(self.header.size);
        self.store(offset, draft);
        let place = self.names.partition_point(|other| vac_order(other, name) == Ordering::Less);
        self.names.insert(place, name.to_vec());
        self.insert_place(place, offset, draft.len());
    }

    /// Replaces the entry of `name` by `entry`, if it can grow where it is. Tells whether it could.
    fn replace(&mut self, name: &[u8], entry: &[u8]) -> bool {
        let Some(place) = self.names.iter().position(|other| other == name) else { return false };
        let at = HEADER_LEN + PLACE_LEN * place;
        let Some(raw) = self.bytes.get(at..).and_then(|b| b.first_chunk::<PLACE_LEN>()) else { return false };
        let offset = usize::from(u16::from_be_bytes([raw[0], raw[1]]));
        let old_len = usize::from(u16::from_be_bytes([raw[2], raw[3]]));
        let behind = self.bytes.get(offset + old_len..).unwrap_or_default();
        let zeros = behind.iter().take_while(|byte| **byte == 0).count();
        if entry.len() > old_len + zeros || offset + entry.len() > usize::from(u16::MAX) {
            return false;
        }
        self.remove_place(place, offset, entry.len());
        self.store(offset, entry);
        self.insert_place(place, offset, entry.len());
        true
    }

    fn store(&mut self, offset: usize, entry: &[u8]) {
        let target = self.bytes.get_mut(offset..).unwrap_or_default();
        target.iter_mut().zip(entry).for_each(|(to, from)| *to = *from);
    }

    fn remove_place(&mut self, place: usize, offset: usize, len: usize) {
        let len16 = len as u16;
        if offset + len == usize::from(self.header.size) {
            self.header.size -= len16;
        } else {
            self.header.free = self.header.free.wrapping_add(len16);
        }
        let from = HEADER_LEN + PLACE_LEN * place;
        let end = HEADER_LEN + PLACE_LEN * usize::from(self.header.places);
        self.bytes.copy_within(from + PLACE_LEN..end, from);
        self.store(end - PLACE_LEN, &[0; PLACE_LEN]);
        self.header.places -= 1;
    }

    fn insert_place(&mut self, place: usize, offset: usize, len: usize) {
        let (offset16, len16) = (offset as u16, len as u16);
        if offset + len > usize::from(self.header.size) {
            self.header.free = self.header.free.wrapping_sub(self.header.size.wrapping_sub(offset16));
            self.header.size = offset16 + len16;
        } else {
            self.header.free = self.header.free.wrapping_sub(len16);
        }
        let from = HEADER_LEN + PLACE_LEN * place;
        let end = HEADER_LEN + PLACE_LEN * usize::from(self.header.places);
        self.bytes.copy_within(from..end, from + PLACE_LEN);
        let [o0, o1] = offset16.to_be_bytes();
        let [l0, l1] = len16.to_be_bytes();
        self.store(from, &[o0, o1, l0, l1]);
        self.header.places += 1;
        let header = self.header.to_bytes();
        self.store(0, &header);
    }

    /// Adds a file: its draft, then its final form in the same place. `false`: it belongs into the next
    /// block.
    fn add(&mut self, draft: &[u8], name: &[u8], entry: Option<&[u8]>) -> bool {
        let longest = draft.len().max(entry.map_or(0, <[u8]>::len));
        if !self.has_room_for(draft.len()) || !self.has_end_for(longest) {
            return false;
        }
        self.append(name, draft);
        entry.is_none_or(|entry| self.replace(name, entry))
    }

    /// The block's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The metadata stream of one directory, written from its first file to its last.
#[derive(Debug)]
pub struct MetaWriter {
    block: Option<MetaBlock>,
    stream: StreamWriter,
    block_size: usize,
}

impl MetaWriter {
    /// The stream of a directory without files.
    pub fn new(shape: Shape) -> MetaWriter {
        let stream = StreamWriter::new(Shape { is_directory: false, ..shape });
        MetaWriter { block: None, stream, block_size: shape.leaf_size as usize }
    }

    /// Adds a file: as it was made, and then as it was described (if it was). Full blocks go to `out`.
    ///
    /// # Errors
    /// If no block can hold it.
    pub fn add(
        &mut self,
        draft: &FileEntry,
        described: Option<&FileEntry>,
        out: &mut Vec<NewBlock>,
    ) -> Result<(), CannotDescribe> {
        let name = &draft.name;
        let draft = draft.to_bytes()?;
        let described = described.map(FileEntry::to_bytes).transpose()?;
        if self.block.as_mut().is_some_and(|block| block.add(&draft, name, described.as_deref())) {
            return Ok(());
        }
        let mut next = MetaBlock::new(self.block_size);
        if !next.add(&draft, name, described.as_deref()) {
            let needed = draft.len().max(described.map_or(0, |entry| entry.len()));
            return Err(CannotDescribe::TooLong { needed, block_size: self.block_size });
        }
        if let Some(full) = self.block.replace(next) {
            self.stream.push_leaf(full.bytes(), out);
        }
        Ok(())
    }

    /// Replaces what was said of the file that was added last.
    ///
    /// # Errors
    /// If the block has no room for it.
    pub fn replace_last(&mut self, entry: &FileEntry) -> Result<(), CannotDescribe> {
        let bytes = entry.to_bytes()?;
        if self.block.as_mut().is_some_and(|block| block.replace(&entry.name, &bytes)) {
            return Ok(());
        }
        Err(CannotDescribe::TooLong { needed: bytes.len(), block_size: self.block_size })
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// If it is too large.
    pub fn finish(mut self, out: &mut Vec<NewBlock>) -> Result<Entry, TooLarge> {
        if let Some(last) = self.block.take() {
            self.stream.push_leaf(last.bytes(), out);
        }
        let blocks = self.stream.leaves();
        self.stream.finish(blocks * self.block_size as u64, blocks > 0, out)
    }
}

/// The order of the index under vac's magic number: by bytes, but a name comes before its own prefixes.
fn vac_order(one: &[u8], other: &[u8]) -> Ordering {
    let common = one.len().min(other.len());
    one.iter().take(common).cmp(other.iter().take(common)).then(other.len().cmp(&one.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::meta_block::file_entries;

    fn named(name: &[u8], uid: &[u8]) -> FileEntry {
        FileEntry { name: name.to_vec(), uid: uid.to_vec(), meta_slot: 1, ..FileEntry::default() }
    }

    #[test]
    fn in_the_index_a_name_comes_before_its_own_prefixes() {
        let mut block = MetaBlock::new(8192);
        for name in ["b", "ab", "abc", "a", "B"] {
            assert!(block.add(&named(name.as_bytes(), b"").to_bytes().unwrap(), name.as_bytes(), None));
        }
        let names: Vec<_> = file_entries(block.bytes()).unwrap().map(|entry| entry.unwrap().name).collect();
        assert_eq!(names, [b"B".as_slice(), b"abc", b"ab", b"a", b"b"]);
    }

    #[test]
    fn an_entry_that_grew_leaves_its_old_length_in_the_count_of_free_bytes() {
        let mut block = MetaBlock::new(8192);
        let (draft, grown) = (named(b"x", b"vac"), named(b"x", b"glenda"));
        assert!(block.add(&draft.to_bytes().unwrap(), b"x", Some(&grown.to_bytes().unwrap())));
        let header = Header::parse(block.bytes()).unwrap();
        assert_eq!((header.free, header.places), (3, 1));
        assert_eq!(file_entries(block.bytes()).unwrap().next(), Some(Ok(grown)));
    }

    #[test]
    fn an_entry_that_shrank_leaves_its_old_end_behind() {
        let mut block = MetaBlock::new(8192);
        let (draft, shrunk) = (named(b"x", b"glenda"), named(b"x", b"vac"));
        assert!(block.add(&draft.to_bytes().unwrap(), b"x", Some(&shrunk.to_bytes().unwrap())));
        let header = Header::parse(block.bytes()).unwrap();
        let end = HEADER_LEN + PLACE_LEN * 81 + draft.to_bytes().unwrap().len();
        assert_eq!((header.free, usize::from(header.size)), (0, end));
        assert_eq!(file_entries(block.bytes()).unwrap().next(), Some(Ok(shrunk)));
    }

    #[test]
    fn a_full_block_is_followed_by_another_and_none_holds_what_is_too_long() {
        let shape = Shape::for_block_size(512, true);
        let mut out = Vec::new();
        let mut writer = MetaWriter::new(shape);
        for number in 0..20_u8 {
            writer.add(&named(&[number + 1; 20], b"vac"), None, &mut out).unwrap();
        }
        let too_long = writer.add(&named(&[b'n'; 500], b"vac"), None, &mut out);
        assert!(matches!(too_long, Err(CannotDescribe::TooLong { block_size: 512, .. })));
        let entry = writer.finish(&mut out).unwrap();
        let leaves = out.iter().filter(|block| block.block_type == crate::block_type::BlockType::DATA);
        let names: usize = leaves.map(|block| file_entries(&zero_filled(&block.data)).unwrap().count()).sum();
        assert_eq!((names, entry.size % 512, entry.local), (20, 0, true));
    }

    fn zero_filled(stored: &[u8]) -> Vec<u8> {
        crate::archive::zero::extend(crate::block_type::BlockType::DATA, stored, 512)
    }
}
