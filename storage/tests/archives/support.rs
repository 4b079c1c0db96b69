//! The blocks of the filled store, straight from its log.

use bytes::Bytes;
use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::io::Read;
use storage::archive::entry::{Entry, entries_of};
use storage::archive::file_entry::FileEntry;
use storage::archive::meta_block;
use storage::archive::root::Root;
use storage::archive::stream_reader::{Piece, StreamReader};
use storage::archive::zero;
use storage::block_type::BlockType;
use storage::format::clump::CLUMP_HEADER_LEN;
use storage::score::Score;
use storage::whack;

/// A file of an archive with its content's entry, and the files in it, in the order of their slots.
pub struct Node {
    /// What its directory says of it.
    pub file: FileEntry,
    /// Where its content is.
    pub entry: Entry,
    /// The files of a directory.
    pub below: Vec<Node>,
}

/// Blocks by score and type.
pub struct Blocks {
    kept: HashMap<(Score, BlockType), Bytes>,
}

/// A fixture's bytes, unpacked.
pub fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/venti/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    if !name.ends_with(".gz") {
        return bytes;
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).unwrap();
    unpacked
}

/// The rows of a table without its headings.
pub fn table(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(fixture(name)).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// A score from a table.
pub fn score(text: &str) -> Score {
    text.parse().unwrap()
}

/// Bytes from a table.
pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

impl Blocks {
    /// All that is in `main`.
    pub fn of_main() -> Blocks {
        let image = fixture("main/arenas.img.gz");
        let base: HashMap<String, usize> = table("main/ARENAS.tsv")
            .into_iter()
            .map(|row| (row[1].clone(), row[4].parse().unwrap()))
            .collect();
        let mut kept = HashMap::new();
        for row in table("main/MANIFEST.tsv") {
            let number = |column: usize| row[column].parse::<usize>().unwrap();
            let from = base[&row[1]] + number(3) + CLUMP_HEADER_LEN;
            let stored = &image[from..from + number(9)];
            let lump = if number(8) == number(9) {
                stored.to_vec()
            } else {
                whack::decode(stored, number(8)).unwrap()
            };
            assert_eq!(Score::of(&lump), score(&row[5]));
            if let Some(block_type) = BlockType::from_disk(number(7) as u8) {
                kept.insert((score(&row[5]), block_type), Bytes::from(lump));
            }
        }
        Blocks { kept }
    }

    /// Whether there is such a block.
    pub fn has(&self, score: Score, block_type: BlockType) -> bool {
        self.kept.contains_key(&(score, block_type))
    }

    /// A block that is there.
    pub fn get(&self, score: Score, block_type: BlockType) -> &Bytes {
        self.kept
            .get(&(score, block_type))
            .unwrap_or_else(|| panic!("no block {score} of type {block_type:?}"))
    }

    /// All bytes of a stream.
    pub fn stream(&self, entry: &Entry) -> Vec<u8> {
        let (mut reader, mut content) = (StreamReader::new(entry), Vec::new());
        while !reader.is_finished() {
            while let Some(want) = reader.want(10) {
                reader.supply(want.id, self.get(want.score, want.block_type).clone());
            }
            while let Some(piece) = reader.next_piece() {
                let from = content.len();
                let len = match piece {
                    Piece::Data { bytes, len } => {
                        content.extend_from_slice(&bytes);
                        len
                    }
                    Piece::Hole { len } => len,
                };
                content.resize(from + len as usize, 0);
            }
        }
        content
    }

    /// An archive's root and the files in its top directory.
    pub fn archive(&self, score: Score) -> (Root, Vec<Node>) {
        let root = Root::parse(self.get(score, BlockType::ROOT)).unwrap();
        let block = self.get(root.directory, BlockType::DIRECTORY);
        let mut entries: Vec<Entry> = entries_of(block).map(|(_, entry)| entry.unwrap()).collect();
        if entries.len() < 3 {
            // fossil's three entries have a stream of their own.
            let inner = self.stream(&entries[0]);
            entries = entries_of(&inner).map(|(_, entry)| entry.unwrap()).collect();
        }
        let top = self.directory(&entries[0], &entries[1]);
        (root, top)
    }

    fn directory(&self, entries: &Entry, meta: &Entry) -> Vec<Node> {
        assert!(entries.shape.is_directory && !meta.shape.is_directory);
        let leaves = self.stream(entries);
        let per_leaf = entries.shape.entries_per_leaf() as usize;
        let mut slots = HashMap::new();
        for (leaf, bytes) in leaves.chunks(entries.shape.leaf_size as usize).enumerate() {
            let used =
                entries_of(bytes).map(|(slot, entry)| ((leaf * per_leaf + slot) as u32, entry.unwrap()));
            slots.extend(used);
        }
        let mut files = Vec::new();
        for leaf in self.stream(meta).chunks(meta.shape.leaf_size as usize) {
            let block = zero::extend(BlockType::DATA, leaf, meta.shape.leaf_size as usize);
            files.extend(meta_block::file_entries(&block).unwrap().map(Result::unwrap));
        }
        files.sort_by_key(|file| file.slot);
        let node = |file: FileEntry| {
            let entry = slots[&file.slot];
            let below = if file.is_directory() {
                self.directory(&entry, &slots[&file.meta_slot])
            } else {
                Vec::new()
            };
            Node { file, entry, below }
        };
        files.into_iter().map(node).collect()
    }
}
