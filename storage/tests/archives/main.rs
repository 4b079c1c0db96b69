//! Archives that the real vac and fossil made: every byte of them is understood, and vac's are made again with the same
//! score.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as loudly as the test")]

mod support;
mod trees;

use std::collections::BTreeMap;
use storage::archive::entry::{Entry, entries_of};
use storage::archive::file_entry::FileEntry;
use storage::archive::root::Root;
use storage::archive::stream_writer::StreamWriter;
use storage::archive::writer::{ArchiveWriter, Attributes, NewFile};
use storage::archive::{NewBlock, zero};
use storage::block_type::BlockType;
use storage::score::Score;
use support::{Blocks, Node, fixture, hex, score, table};

#[test]
fn roots_are_read_and_written_as_the_golden_table_says() {
    for row in table("entries/ROOTS.tsv") {
        let block = fixture(&format!("entries/{}", row[0]));
        assert_eq!(Score::of(&block), score(&row[1]));
        let root = Root::parse(&block).unwrap();
        let name = if row[4] == "-" { "" } else { &row[4] };
        assert_eq!((root.name.as_slice(), root.kind.as_slice()), (name.as_bytes(), row[5].as_bytes()));
        assert_eq!((root.directory, root.previous), (score(&row[6]), score(&row[9])));
        assert_eq!(root.block_size, row[8].parse::<u32>().unwrap());
        assert_eq!(root.to_bytes().unwrap().as_slice(), block);
    }
}

#[test]
fn entries_are_read_and_written_as_the_golden_table_says() {
    let number = |text: &str| text.parse::<u64>().unwrap();
    for row in table("entries/ENTRIES.tsv") {
        // One of them was cut by zero truncation.
        let raw = zero::extend(BlockType::DIRECTORY, &hex(&row[4]), 40);
        let Some(entry) = Entry::parse(&raw).unwrap() else {
            assert_eq!(row[9], "0");
            continue;
        };
        assert_eq!(
            (u64::from(entry.generation), entry.size, entry.score),
            (number(&row[5]), number(&row[16]), score(&row[17]))
        );
        let shape = entry.shape;
        let flags = [shape.is_directory, entry.local, entry.no_archive].map(u64::from);
        assert_eq!(flags, [number(&row[10]), number(&row[12]), number(&row[14])]);
        assert_eq!(u64::from(shape.depth), number(&row[11]));
        assert_eq!(
            u64::from(entry.block_type().to_disk()),
            u64::from(BlockType::from_decoded(number(&row[15]) as u8).unwrap().to_disk())
        );
        if number(&row[6]) != 0 {
            let sizes = [shape.pointer_size, shape.leaf_size].map(u64::from);
            assert_eq!(sizes, [number(&row[6]), number(&row[7])]);
            assert_eq!(entry.to_bytes().unwrap().as_slice(), raw);
        }
    }
}

#[test]
fn a_directory_block_that_was_cut_inside_an_entry_has_all_its_entries() {
    let block = fixture("entries/dir-of-tree3-b57344.bin");
    assert_eq!(block.len(), 119);
    assert_eq!(entries_of(&block).filter(|(_, entry)| entry.is_ok()).count(), 3);
}

#[test]
fn every_archive_is_read_to_its_last_file() {
    let blocks = Blocks::of_main();
    for row in table("main/ROOTS.tsv") {
        let (_, top) = blocks.archive(score(&row[1]));
        let mut found = BTreeMap::new();
        list(&blocks, "", &top, &mut found);
        let expected = table(&format!("main/trees/{}.tsv", row[0]));
        let expected: BTreeMap<String, Vec<String>> =
            expected.into_iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{}", row[0]);
        for (path, columns) in found {
            assert_eq!(Some(&columns), expected.get(&path), "{} {path}", row[0]);
        }
    }
}

/// The columns of `trees/NAME.tsv` for everything below a directory.
fn list(blocks: &Blocks, path: &str, directory: &[Node], found: &mut BTreeMap<String, Vec<String>>) {
    for node in directory {
        let (file, entry) = (&node.file, &node.entry);
        let slash = if file.is_directory() { "/" } else { "" };
        let path = format!("{path}{}{slash}", String::from_utf8_lossy(&file.name));
        let hash =
            if file.is_directory() { "-".to_owned() } else { Score::of(&blocks.stream(entry)).to_string() };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let raw = if entry.shape.leaf_size == 4096 { [0; 40] } else { entry.to_bytes().unwrap() };
        let depth = entry.shape.depth;
        let kind = if file.is_directory() { 8 } else { 0 };
        let columns = vec![
            if file.is_directory() { "dir" } else { "file" }.to_owned(),
            format!("{:o}", file.mode & 0o777),
            format!("{:x}", file.mode),
            entry.size.to_string(),
            hash,
            file.mtime.to_string(),
            text(&file.uid),
            text(&file.gid),
            file.slot.to_string(),
            (kind + depth).to_string(),
            format!("{:02x}", raw[8]),
            entry.score.to_string(),
        ];
        assert!(found.insert(path.clone(), columns).is_none());
        list(blocks, &path, &node.below, found);
    }
}

#[test]
fn what_vac_saved_is_saved_again_with_the_same_score_and_no_block_that_vac_did_not_write() {
    let blocks = Blocks::of_main();
    for row in table("main/ROOTS.tsv").iter().filter(|row| row[2].contains("vac")) {
        let (root, top) = blocks.archive(score(&row[1]));
        let mut writer = ArchiveWriter::new(root.block_size).unwrap();
        let mut out = Vec::new();
        save(&blocks, &mut writer, &top, &mut out);
        let again = writer.finish(root.previous, &mut out).unwrap();
        assert!(out.iter().all(|block| blocks.has(block.score, block.block_type)), "{}", row[0]);
        assert_eq!(again, score(&row[1]), "{}", row[0]);
    }
}

fn save(blocks: &Blocks, writer: &mut ArchiveWriter, directory: &[Node], out: &mut Vec<NewBlock>) {
    for Node { file, entry, below } in directory {
        let attributes = Attributes {
            uid: &file.uid,
            gid: &file.gid,
            mid: &file.mid,
            mtime: file.mtime,
            atime: file.atime,
        };
        let new = NewFile {
            name: &file.name,
            mode: file.mode,
            archived_at: file.ctime,
            attributes: Some(attributes),
        };
        if file.is_directory() {
            writer.begin_directory(&new, out).unwrap();
            save(blocks, writer, below, out);
            writer.end_directory(out).unwrap();
        } else {
            let content = blocks.stream(entry);
            let mut stream = StreamWriter::new(entry.shape);
            content.chunks(entry.shape.leaf_size as usize).for_each(|leaf| stream.push_leaf(leaf, out));
            let again = stream.finish(entry.size, entry.local, out).unwrap();
            assert_eq!(again, *entry);
            writer.add_file(&new, &again, out).unwrap();
        }
    }
}

#[test]
fn metadata_blocks_of_vac_and_fossil_are_read() {
    for name in ["fossil-2", "tree3-b57344", "tree5-b128k"] {
        let stored = fixture(&format!("entries/meta-root-of-{name}.bin"));
        let block = zero::extend(BlockType::DATA, &stored, 1 << 16);
        let files: Vec<FileEntry> =
            storage::archive::meta_block::file_entries(&block).unwrap().map(Result::unwrap).collect();
        assert!(!files.is_empty() && files.iter().all(|file| !file.name.is_empty()), "{name}");
    }
}
