//! Names as the real tools wrote, merged and found them: files of ANTS' savesnap, the results of its scorecopy, and the
//! answers of plan9port's `ndb/query`. See `fixtures/names/README.md`.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as loudly as the test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use storage::Timestamp;
use storage::archive::NewBlock;
use storage::archive::entry::Entry;
use storage::archive::shape::Shape;
use storage::archive::stream_writer::StreamWriter;
use storage::archive::writer::{ArchiveWriter, NewFile};
use storage::block_type::BlockType;
use storage::device::ram::RamDisk;
use storage::device::sim::SimDisk;
use storage::fat::{NineFat, Volume};
use storage::make;
use storage::names::proof::Proof;
use storage::names::registry::Stage;
use storage::names::{Binding, NameKeeper, Names, ndb};
use storage::score::Score;
use storage::simulation::{block_on, yield_now};
use storage::store::{Store, StorePart, StoreParts, StoreSettings};

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/names").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `ndb/query FILE ATTRIBUTE VALUE WANTED` answers: the first hit's first tuple, of its own line if there.
fn query(text: &[u8], attribute: &str, value: &str, wanted: &str) -> Option<String> {
    let items = ndb::parse(text);
    let hit = |item: &&ndb::Item| {
        item.tuples.iter().any(|tuple| tuple.attribute == attribute && tuple.value == value)
    };
    items.iter().filter(hit).find_map(|item| item.value(wanted)).map(str::to_owned)
}

#[test]
fn every_question_has_the_answer_of_the_real_query() {
    let table = String::from_utf8(fixture("NDBQUERY.tsv")).unwrap();
    let mut asked = 0;
    for row in table.lines().filter(|line| !line.starts_with('#')) {
        let [file, attribute, value, wanted, answer] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let answer = Some(answer.to_owned()).filter(|answer| answer != "(nothing)");
        assert_eq!(query(&fixture(file), attribute, value, wanted), answer, "{row}");
        asked += 1;
    }
    assert!(asked >= 9, "only {asked} questions");
}

#[test]
fn the_names_of_savesnap_are_found() {
    let names = Names::parse(&fixture("scorenames"));
    assert!(names.bad().is_empty());
    let first = names.get("meadow.1009").next().unwrap();
    assert_eq!(first.user, "iris");
    assert_eq!(first.root, "vac:bd99126ad6d3f1be5754bde2b2932d4d819183cc".parse().unwrap());
    assert_eq!(names.of_user("tansy").count(), 2);
    let root = names.get("orchard.1309").next().unwrap().root;
    assert_eq!(names.of_root(root).count(), 2, "two names of one root");
    assert_eq!(names.conflicts().count(), 0);
}

#[test]
fn merging_binds_what_scorecopy_left_on_both_sides() {
    for case in ["normal", "identical", "empty-local", "multiline"] {
        let file = |name: &str| Names::parse(&fixture(&format!("scorecopy-{case}/{name}")));
        let content = |names: &Names| names.iter().cloned().collect::<BTreeSet<Binding>>();
        let keys = |names: &Names| {
            let pairs = names.iter().map(|binding| (binding.name.clone(), binding.root));
            pairs.collect::<BTreeSet<_>>()
        };
        let (local, remote, after) = (file("local-before"), file("remote-before"), file("both-after"));
        let mut merged = local.clone();
        merged.merge(&remote);
        assert_eq!(keys(&merged), keys(&after), "{case}");
        if case != "multiline" {
            assert_eq!(content(&merged), content(&after), "{case}");
        }
        // And a node that gets scorecopy's result has nothing to learn from it but the order.
        let mut again = merged.clone();
        again.merge(&after);
        assert_eq!(keys(&again), keys(&merged), "{case}");
    }
}

#[test]
fn a_record_over_two_lines_keeps_its_user_where_scorecopy_tears_it() {
    let remote = Names::parse(&fixture("scorecopy-multiline/remote-before"));
    let torn = Names::parse(&fixture("scorecopy-multiline/both-after"));
    let user = |names: &Names| names.get("two-line.1211").next().unwrap().user.clone();
    assert_eq!((user(&remote).as_str(), user(&torn).as_str()), ("sorrel", ""));
    let mut merged = remote;
    merged.merge(&torn);
    assert_eq!(user(&merged), "sorrel", "the whole record stays the first");
}

#[test]
fn what_scorecopy_prints_while_it_works_is_read_as_what_it_means() {
    let printed = Names::parse(&fixture("scorecopy-normal/printed"));
    let after = Names::parse(&fixture("scorecopy-normal/both-after"));
    assert!(printed.len() >= 5);
    for binding in printed.iter() {
        assert!(after.has(&binding.name, binding.root), "{}", binding.name);
    }
}

const NOW: Timestamp = Timestamp(1_700_000_000);

/// A store with nothing in it.
async fn empty_store() -> Rc<Store<Rc<RamDisk>>> {
    let disk = Rc::new(RamDisk::new(512, 8192));
    let options = make::ArenaOptions { arena_len: 1 << 20, ..make::ArenaOptions::default() };
    make::arenas(&disk, options, || 0x5eed_5eed, |_, _| ()).await.unwrap();
    let arenas = vec![StorePart { name: "arenas".into(), device: disk }];
    let parts = StoreParts { arenas, index_sections: Vec::new(), bloom: None };
    Rc::new(Store::open(parts, StoreSettings::default(), NOW).await.unwrap().0)
}

fn binding(number: u32) -> Binding {
    Binding::new(&format!("n.{number}"), Score::of(&number.to_le_bytes()), "iris").unwrap()
}

#[test]
fn a_name_that_was_taken_survives_a_power_cut_at_any_write_and_none_is_half_there() {
    block_on(async {
        let fresh = RamDisk::new(512, 9000);
        Volume::format(&fresh, b"9FAT       ", 2048, 7, NOW).await.unwrap();
        let store = empty_store().await;
        let (mut cuts, mut whole) = (0, false);
        for operations in 0.. {
            for seed in 0..4 {
                let disk = Rc::new(SimDisk::new(fresh.image(), seed).prompt());
                let fat = Rc::new(NineFat::open(disk.clone(), true).await.unwrap());
                let keeper = NameKeeper::open(store.clone(), Some(fat)).await;
                disk.cut_power_after(operations);
                let mut taken = Vec::new();
                for number in 0..3 {
                    let merged = Binding::record(&binding(100 + number));
                    if keeper.add(&binding(number), NOW).await.is_ok() {
                        taken.push(binding(number));
                    }
                    if keeper.merge(&merged, NOW).await.is_ok() {
                        taken.push(binding(100 + number));
                    }
                }
                whole = taken.len() == 6;
                let after = Rc::new(RamDisk::from(disk.power_cut(seed)));
                let fat = NineFat::open(after.clone(), true).await.unwrap();
                assert_eq!(fat.read_only(), None, "cut after {operations}, seed {seed}");
                assert_eq!(Volume::open(after.clone()).await.unwrap().mirror().await, Ok(0));
                let keeper = NameKeeper::open(store.clone(), Some(Rc::new(fat))).await;
                let registry = keeper.registry();
                assert!(registry.waiting().bad().is_empty());
                for binding in &taken {
                    let stage = registry.stage(&binding.name, binding.root);
                    assert_eq!(
                        stage,
                        Some(Stage::Waiting),
                        "{} after {operations}, seed {seed}",
                        binding.name
                    );
                }
                assert!(registry.waiting().len() <= taken.len() + 1);
                cuts += 1;
            }
            if whole {
                break;
            }
        }
        assert!(cuts > 100, "{cuts}");
    });
}

/// An archive of one file with so many blocks of 512 bytes that all differ.
fn archive_of_blocks(count: u32) -> (Score, Vec<NewBlock>) {
    let mut out = Vec::new();
    let mut writer = ArchiveWriter::new(512).unwrap();
    let mut stream = StreamWriter::new(Shape::for_block_size(512, false));
    for number in 0..count {
        let leaf = [number.to_le_bytes(), [7; 4]].concat().repeat(64);
        stream.push_leaf(&leaf, &mut out);
    }
    let entry: Entry = stream.finish(u64::from(count) * 512, false, &mut out).unwrap();
    let file = NewFile { name: b"grain", mode: 0o644, archived_at: 1_600_000_000, attributes: None };
    writer.add_file(&file, &entry, &mut out).unwrap();
    (writer.finish(Score::NULL, &mut out).unwrap(), out)
}

/// Starts a node's names, lets it walk beneath `root` once, and ends it there. What the walk found.
async fn walk_once(
    store: &Rc<Store<Rc<RamDisk>>>,
    fat: &Rc<RamDisk>,
    name: &Binding,
    now: Timestamp,
) -> Proof {
    let fat = Rc::new(NineFat::open(fat.clone(), true).await.unwrap());
    let keeper = NameKeeper::open(store.clone(), Some(fat)).await;
    keeper.add(name, now).await.unwrap();
    let found = async {
        loop {
            let proof = keeper.registry().proof(&name.name, name.root).cloned();
            match proof {
                Some(proof) if proof.at == now => break proof,
                _ => yield_now().await,
            }
        }
    };
    let running = keeper.run(|| now, async |_| yield_now().await);
    match futures_util::future::select(std::pin::pin!(found), std::pin::pin!(running)).await {
        futures_util::future::Either::Left((proof, _)) => proof,
        futures_util::future::Either::Right(_) => panic!("the walks ended"),
    }
}

#[test]
fn a_node_that_starts_again_does_not_walk_again_what_was_finished() {
    block_on(async {
        let store = empty_store().await;
        let fat = Rc::new(RamDisk::new(512, 9000));
        Volume::format(&fat, b"9FAT       ", 2048, 7, NOW).await.unwrap();
        let (root, blocks) = archive_of_blocks(1000);
        // The last block of the file does not come.
        let lost =
            blocks.iter().rposition(|block| block.block_type == BlockType::DATA && block.data.len() == 512);
        let lost = lost.unwrap();
        for (_, block) in blocks.iter().enumerate().filter(|(number, _)| *number != lost) {
            store.write(block.block_type, block.data.clone(), NOW).await.unwrap();
        }
        let name = Binding::new("barn.1009", root, "iris").unwrap();
        let first = walk_once(&store, &fat, &name, NOW).await;
        assert!(first.blocks > 1000 && first.faults == 1, "{first:?}");
        let again = walk_once(&store, &fat, &name, Timestamp(NOW.0 + 1)).await;
        assert!(again.blocks < 60 && again.faults == 1, "{again:?}");
        let block = &blocks[lost];
        store.write(block.block_type, block.data.clone(), NOW).await.unwrap();
        let whole = walk_once(&store, &fat, &name, Timestamp(NOW.0 + 2)).await;
        assert!(whole.blocks < 60 && whole.faults == 0, "{whole:?}");
    });
}
