//! The ways through a tree: file by file, and block by block.

use crate::support::{Blocks, score, table};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use storage::archive::entry::Entry;
use storage::archive::listing::Directory;
use storage::archive::path::path_of;
use storage::archive::root::Root;
use storage::archive::shape::Shape;
use storage::archive::tree::{self, NoBlock, Source};
use storage::archive::walk::{FaultCause, Finished, Walked, walk};
use storage::block_type::BlockType;
use storage::score::Score;
use storage::simulation::block_on;

type Key = (Score, BlockType);

/// The filled store, perhaps without some of its blocks; notes what it is asked for.
struct Watched<'a> {
    blocks: &'a Blocks,
    without: BTreeSet<Key>,
    asked: RefCell<BTreeSet<Key>>,
}

impl Watched<'_> {
    fn new(blocks: &Blocks) -> Watched<'_> {
        Watched { blocks, without: BTreeSet::new(), asked: RefCell::default() }
    }

    fn walk(&self, root: Score, finished: &mut Finished) -> Walked {
        block_on(walk(self, root, finished, u64::MAX, async |_, _| ())).unwrap()
    }
}

impl Source for Watched<'_> {
    async fn block(&self, score: Score, block_type: BlockType, len_max: u32) -> Result<Bytes, NoBlock> {
        self.asked.borrow_mut().insert((score, block_type));
        let there = self.blocks.has(score, block_type) && !self.without.contains(&(score, block_type));
        let block = there.then(|| self.blocks.get(score, block_type).clone()).ok_or(NoBlock::Missing)?;
        assert!(block.len() <= len_max as usize);
        Ok(block)
    }
}

#[test]
fn a_walk_visits_exactly_the_blocks_below_each_root() {
    let blocks = Blocks::of_main();
    for row in table("main/ROOTS.tsv") {
        let source = Watched::new(&blocks);
        let walked = source.walk(score(&row[1]), &mut Finished::new(10_000));
        assert!(walked.is_complete(), "{}: {:?}", row[0], walked.faults);
        let below: usize = row[9].parse().unwrap();
        assert_eq!(source.asked.borrow().len(), below, "{}", row[0]);
    }
}

#[test]
fn what_was_finished_is_not_walked_again_also_after_it_was_kept() {
    let blocks = Blocks::of_main();
    let roots = table("main/ROOTS.tsv");
    let [first, second] = [score(&roots[0][1]), score(&roots[1][1])];
    let mut finished = Finished::new(10_000);
    let all = Watched::new(&blocks).walk(first, &mut finished).blocks;
    let mut kept = Finished::new(10_000);
    kept.add(&finished.to_bytes());
    assert_eq!(kept.len(), finished.len());
    assert_eq!(Watched::new(&blocks).walk(first, &mut kept).blocks, 0);
    let difference = Watched::new(&blocks).walk(second, &mut kept).blocks;
    assert!(difference * 4 < all, "{difference} of {all} blocks for a tree that hardly differs");
}

#[test]
fn every_missing_block_is_found_and_named_and_the_tree_is_whole_when_it_comes() {
    let blocks = Blocks::of_main();
    for row in table("main/ROOTS.tsv") {
        let root = score(&row[1]);
        let source = Watched::new(&blocks);
        source.walk(root, &mut Finished::new(10_000));
        let below = source.asked.take();
        for missing in below.iter().step_by(37) {
            let source = Watched { without: [*missing].into(), ..Watched::new(&blocks) };
            let mut finished = Finished::new(10_000);
            let walked = source.walk(root, &mut finished);
            assert!(!walked.is_complete(), "{}: {} is not missed", row[0], missing.0);
            let fault = &walked.faults[0];
            assert_eq!((fault.score, fault.block_type), *missing);
            assert_eq!(fault.cause, FaultCause::NoBlock(NoBlock::Missing));
            let path = block_on(path_of(&source, root, &fault.slots)).unwrap();
            assert!(path.starts_with('/') || missing.1 == BlockType::ROOT, "{path}");
            let again = Watched::new(&blocks).walk(root, &mut finished);
            assert!(again.is_complete() && again.blocks < walked.blocks.max(2), "{}", row[0]);
        }
    }
}

#[test]
fn the_path_to_a_missing_block_is_that_of_its_file() {
    let blocks = Blocks::of_main();
    for row in table("main/ROOTS.tsv") {
        let root = score(&row[1]);
        let mut by_score: HashMap<Score, Vec<String>> = HashMap::new();
        let files = table(&format!("main/trees/{}.tsv", row[0]));
        for file in files.iter().filter(|file| file[1] == "file" && file[10] == "0") {
            by_score.entry(score(&file[12])).or_default().push(format!("/{}", file[0]));
        }
        let mut tried = 0;
        for (missing, paths) in by_score.iter().filter(|(score, _)| **score != Score::ZERO).take(30) {
            let source = Watched { without: [(*missing, BlockType::DATA)].into(), ..Watched::new(&blocks) };
            let walked = source.walk(root, &mut Finished::new(10_000));
            for fault in &walked.faults {
                let path = block_on(path_of(&source, root, &fault.slots)).unwrap();
                assert!(paths.contains(&path), "{}: {path} is not one of {paths:?}", row[0]);
                tried += 1;
            }
        }
        assert!(tried > 0, "{}", row[0]);
    }
}

#[test]
fn files_are_listed_and_read_piece_by_piece() {
    let blocks = Blocks::of_main();
    for row in table("main/ROOTS.tsv") {
        let source = Watched::new(&blocks);
        let archive = block_on(tree::open(&source, score(&row[1]))).unwrap();
        assert_eq!(archive.is_two_layers, row[2].contains("fossil"), "{}", row[2]);
        let mut found = BTreeMap::new();
        list(&source, "", &archive.top, &mut found);
        let expected = table(&format!("main/trees/{}.tsv", row[0]));
        let expected: BTreeMap<String, (String, String)> =
            expected.into_iter().map(|row| (row[0].clone(), (row[4].clone(), row[5].clone()))).collect();
        assert_eq!(found, expected, "{}", row[0]);
    }
}

/// Size and hash of everything below a directory.
fn list(
    source: &Watched<'_>,
    path: &str,
    directory: &Directory,
    found: &mut BTreeMap<String, (String, String)>,
) {
    let listing = block_on(tree::list(source, directory)).unwrap();
    assert!(listing.damage.is_empty());
    for file in &listing.files {
        let slash = if file.is_directory() { "/" } else { "" };
        let path = format!("{path}{}{slash}", String::from_utf8_lossy(&file.name));
        if file.is_directory() {
            let below = listing.directory(file).unwrap();
            found.insert(path.clone(), (below.entries.size.to_string(), "-".into()));
            list(source, &path, &below, found);
            continue;
        }
        let entry = listing.content(file).unwrap();
        let (mut content, mut offset) = (Vec::new(), 0);
        loop {
            // Odd pieces, so that they end anywhere in blocks.
            let piece = block_on(tree::read_at(source, &entry, offset, 5003)).unwrap();
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            content.extend_from_slice(&piece);
        }
        found.insert(path, (entry.size.to_string(), Score::of(&content).to_string()));
    }
}

/// Whatever is asked for: blocks made up on the spot.
struct MadeUp<F>(F);

impl<F: Fn(Score, BlockType) -> Option<Vec<u8>>> Source for MadeUp<F> {
    async fn block(&self, score: Score, block_type: BlockType, _: u32) -> Result<Bytes, NoBlock> {
        (self.0)(score, block_type).map(Bytes::from).ok_or(NoBlock::Missing)
    }
}

fn directory_of(count: usize, below: Score) -> Vec<u8> {
    let entry = Entry { size: 40, score: below, ..Entry::empty(Shape::for_block_size(8192, true)) };
    entry.to_bytes().unwrap().repeat(count)
}

/// A root, and directories below it, `levels` deep: each has 200 entries that all lead to the next one.
fn nested(levels: u8) -> impl Fn(Score, BlockType) -> Option<Vec<u8>> {
    let level = |number: u8| Score([number; 20]);
    move |score, block_type| {
        let number = score.0[0];
        match block_type {
            BlockType::ROOT => Some(Root::vac(level(1), 8192, Score::NULL).to_bytes().unwrap().to_vec()),
            _ if number == 255 => None,
            _ if number < levels => Some(directory_of(200, level(number + 1))),
            _ => Some(directory_of(1, level(255))),
        }
    }
}

#[test]
fn a_tree_in_which_everything_is_shared_is_walked_in_no_time_whole_or_not() {
    let source = MadeUp(nested(60));
    let walked =
        block_on(walk(&source, Score([1; 20]), &mut Finished::new(1000), u64::MAX, async |_, _| ())).unwrap();
    assert_eq!((walked.fault_count, walked.blocks), (1, 61));
    let whole = MadeUp(|score: Score, block_type| match nested(60)(score, block_type) {
        None => Some(Vec::new()),
        block => block,
    });
    let walked =
        block_on(walk(&whole, Score([1; 20]), &mut Finished::new(1000), u64::MAX, async |_, _| ())).unwrap();
    assert_eq!((walked.fault_count, walked.blocks), (0, 62));
}

#[test]
fn a_tree_that_memory_cannot_follow_ends_at_the_bound() {
    // Ten directories on each level, each of which leads to all ten below: more than two can be remembered.
    let source = MadeUp(|score: Score, block_type| match block_type {
        BlockType::ROOT => nested(2)(score, block_type),
        _ if score.0[0] >= 100 => Some(Vec::new()),
        _ => {
            let below = |variant: u8| {
                Score([[score.0[0] + 1, variant].as_slice(), &[0; 18]].concat().try_into().unwrap())
            };
            Some((0..10).flat_map(|variant| directory_of(1, below(variant))).collect())
        }
    });
    let walked =
        block_on(walk(&source, Score([1; 20]), &mut Finished::new(2), 50_000, async |_, _| ())).unwrap();
    assert!(walked.blocks <= 50_000 && !walked.is_complete());
    assert!(walked.faults.iter().any(|fault| fault.cause == FaultCause::TooLarge));
}

#[test]
fn directories_without_end_are_given_up() {
    let source = MadeUp(|score, block_type| match block_type {
        BlockType::ROOT => nested(2)(score, block_type),
        _ => Some(directory_of(200, Score([7; 20]))),
    });
    let walked =
        block_on(walk(&source, Score([1; 20]), &mut Finished::new(100), u64::MAX, async |_, _| ())).unwrap();
    assert!(walked.faults.iter().any(|fault| fault.cause == FaultCause::TooDeep));
}

#[test]
fn no_bytes_in_place_of_blocks_stop_a_walk_or_a_list() {
    let blocks = Blocks::of_main();
    let root = score(&table("main/ROOTS.tsv")[0][1]);
    for seed in 0..300 {
        let rng = storage::simulation::SeededRng::new(seed);
        let known = MadeUp(|score, block_type| {
            let mut block = blocks.has(score, block_type).then(|| blocks.get(score, block_type).to_vec())?;
            if rng.chance(1, 4) && !block.is_empty() {
                let at = rng.below(block.len() as u64) as usize;
                block[at] ^= 1 << rng.below(8);
            }
            Some(block)
        });
        let walked =
            block_on(walk(&known, root, &mut Finished::new(1000), 100_000, async |_, _| ())).unwrap();
        for fault in walked.faults.iter().take(3) {
            let _ = block_on(path_of(&known, root, &fault.slots));
        }
        if let Ok(archive) = block_on(tree::open(&known, root)) {
            let _ = block_on(tree::list(&known, &archive.top));
        }
    }
}
