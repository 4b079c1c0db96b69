//! What vac and fossil keep in blocks: entries, roots, metadata, trees.

use crate::Input;
use bytes::Bytes;
use storage::archive::entry::{ENTRY_LEN, Entry, entries_of};
use storage::archive::file_entry::FileEntry;
use storage::archive::meta_block::{self, HEADER_LEN, Header};
use storage::archive::meta_writer::MetaBlock;
use storage::archive::root::Root;
use storage::archive::stream_reader::{Piece, StreamReader};
use storage::archive::{BLOCK_LEN_MAX, zero};
use storage::block_type::BlockType;

/// Blocks that are handed to a reader before it is left alone.
const BLOCKS_MAX: usize = 200;
/// Bytes of a metadata block whose end was cut off.
const META_BLOCK_LEN: usize = 8192;

/// Entries of a directory block.
pub fn archive_entry(data: &[u8]) {
    for (slot, entry) in entries_of(data) {
        assert!(slot * ENTRY_LEN < data.len());
        let Ok(entry) = entry else { continue };
        if let Ok(bytes) = entry.to_bytes() {
            assert_eq!(Entry::parse(&bytes), Ok(Some(entry)));
        }
    }
}

/// A root block.
pub fn archive_root(data: &[u8]) {
    let Ok(root) = Root::parse(data) else { return };
    if let Ok(bytes) = root.to_bytes() {
        assert_eq!(Root::parse(&bytes), Ok(root));
    }
}

/// A metadata block: read, and taken up again as `vac -a` does. The first byte says whether zeros were cut off.
pub fn meta_block(data: &[u8]) {
    let mut input = Input(data);
    let was_cut = input.byte() & 1 != 0;
    let len = if was_cut { input.0.len().max(META_BLOCK_LEN) } else { input.0.len() };
    let block = zero::extend(BlockType::DATA, input.0, len);
    if let Ok(header) = Header::parse(&block) {
        assert_eq!(header.to_bytes()[..], block[..HEADER_LEN]);
    }
    let whole = meta_block::file_entries(&block).map(|entries| entries.filter(Result::is_ok).count());
    if let Ok(again) = MetaBlock::reopen(block.clone()) {
        assert!(again.bytes() == block && whole.is_ok());
    }
}

/// A file entry.
pub fn file_entry(data: &[u8]) {
    let Ok(entry) = FileEntry::parse(data) else { return };
    let bytes = entry.to_bytes().expect("what was read can be written");
    let again = FileEntry::parse(&bytes).expect("what was written can be read");
    assert_eq!((&again.name, again.mode, again.qid), (&entry.name, entry.mode, entry.qid));
    assert_eq!(again.to_bytes().as_ref(), Ok(&bytes));
}

/// A stream whose blocks are anything: it must come to an end or want more, in bounded memory, and never give more
/// bytes than its entry says.
pub fn stream(data: &[u8]) {
    let mut input = Input(data);
    let only_scores = input.byte() & 1 != 0;
    let Ok(Some(entry)) = Entry::parse(input.take(ENTRY_LEN)) else { return };
    let mut reader = if only_scores { StreamReader::of_scores(&entry) } else { StreamReader::new(&entry) };
    let mut given: u64 = 0;
    for _ in 0..BLOCKS_MAX {
        if let Some(want) = reader.want(8) {
            assert!(want.len_max <= BLOCK_LEN_MAX);
            let len = usize::from(input.short()).min(want.len_max as usize);
            let block = Bytes::copy_from_slice(input.take(len));
            let whole = zero::extend(want.block_type, &block, want.len_max.min(4096) as usize);
            zero::truncate(want.block_type, &whole);
            reader.supply(want.id, block);
        }
        while let Some(len) = next(&mut reader, only_scores) {
            given += len;
        }
    }
    assert!(given <= entry.size);
    assert!(!reader.is_finished() || given == entry.size);
}

fn next(reader: &mut StreamReader, only_scores: bool) -> Option<u64> {
    if only_scores {
        return reader.next_score().map(|(_, len)| len);
    }
    reader.next_piece().map(|piece| match piece {
        Piece::Data { bytes, len } => {
            assert!(bytes.len() as u64 <= len);
            len
        }
        Piece::Hole { len } => len,
    })
}

/// Zero truncation, both ways.
pub fn zero_truncation(data: &[u8]) {
    let mut input = Input(data);
    let block_type = BlockType::from_disk(input.byte()).unwrap_or(BlockType::DATA);
    let cut = zero::truncate(block_type, input.0);
    let whole = zero::extend(block_type, cut, input.0.len());
    assert_eq!(zero::truncate(block_type, &whole), cut);
    if matches!(block_type, BlockType::DATA | BlockType::DIRECTORY) {
        assert_eq!(whole, input.0);
    }
}
