//! Small archives, made as vac makes them.
#![allow(dead_code, reason = "each test uses its part of this")]

use storage::archive::NewBlock;
use storage::archive::entry::Entry;
use storage::archive::shape::Shape;
use storage::archive::stream_writer::StreamWriter;
use storage::archive::writer::{ArchiveWriter, NewFile};
use storage::score::Score;

fn file(name: &str) -> NewFile<'_> {
    NewFile { name: name.as_bytes(), mode: 0o644, archived_at: 1_600_000_000, attributes: None }
}

/// An archive of these files: its root, and all of its blocks.
pub fn archive(files: &[(&str, &[u8])]) -> (Score, Vec<NewBlock>) {
    let mut out = Vec::new();
    let mut writer = ArchiveWriter::new(8192).unwrap();
    for (name, content) in files {
        let mut stream = StreamWriter::new(Shape::for_block_size(8192, false));
        content.chunks(8192).for_each(|leaf| stream.push_leaf(leaf, &mut out));
        let entry = stream.finish(content.len() as u64, false, &mut out).unwrap();
        writer.add_file(&file(name), &entry, &mut out).unwrap();
    }
    let root = writer.finish(Score::NULL, &mut out).unwrap();
    let mut seen = std::collections::HashSet::new();
    out.retain(|block| seen.insert((block.score, block.block_type)));
    (root, out)
}

/// An archive of so many empty files in one directory.
pub fn archive_of_many(count: usize) -> (Score, Vec<NewBlock>) {
    let mut out = Vec::new();
    let mut writer = ArchiveWriter::new(8192).unwrap();
    let empty = Entry::empty(Shape::for_block_size(8192, false));
    for number in 0..count {
        writer.add_file(&file(&format!("file {number:06}")), &empty, &mut out).unwrap();
    }
    let root = writer.finish(Score::NULL, &mut out).unwrap();
    (root, out)
}
