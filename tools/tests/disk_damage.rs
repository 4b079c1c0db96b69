//! `granary disk check` and `disk recover` on an image that was filled, damaged as `dd` would, and cut off: each place is
//! named, everything that is still there comes back, and no wrong block is ever read.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use storage::Timestamp;
use storage::block_type::BlockType;
use storage::score::Score;
use storage::simulation::SeededRng;
use storage::store::{Store, StoreSettings};
use tools::host::device::Access;
use tools::host::parts::of_disks;

const BLOCK: u64 = 8192;
const NOW: Timestamp = Timestamp(1_800_000_000);
const LUMPS: u64 = 1500;

/// A kind of damage, and its byte in the partition.
type Named = (&'static str, u64);

/// Runs `granary`; its exit code, and its output as JSON.
fn granary(arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_granary")).args(arguments).arg("--json").output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), json)
}

fn lump(number: u64) -> Vec<u8> {
    let rng = SeededRng::new(number);
    let mut bytes = vec![0; 1 + rng.below(16_000) as usize];
    rng.fill(&mut bytes);
    if number.is_multiple_of(3) {
        bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 5);
    }
    bytes
}

/// A filled image, and where its parts lie in it.
struct Image {
    path: PathBuf,
    scores: Vec<Score>,
    /// Start of the arena partition, and of the index section, in the image.
    arenas: u64,
    isect: u64,
    /// Start in the partition, bytes for log and directory, bytes of log; of the arenas that have clumps.
    logs: Vec<(u64, u64, u64)>,
}

impl Image {
    fn filled(folder: &Path) -> Image {
        let path = support::make_disk(folder, "disk.img", &["--size", "256m", "--arena-size", "4m"]);
        let scores = tools::host::run(async {
            let parts = of_disks(std::slice::from_ref(&path), Access::Write).await?.parts;
            let (store, _) = Store::open(parts, StoreSettings::default(), NOW).await.unwrap();
            let mut scores = Vec::new();
            for number in 0..LUMPS {
                let lump = lump(number).into();
                scores.push(store.write(BlockType::DATA, lump, NOW).await.unwrap());
            }
            store.close().await.unwrap();
            Ok(scores)
        });
        let shown = granary(&["disk", "show", path.to_str().unwrap()]).1;
        let start = |name: &str| {
            let mut parts = shown["disks"][0]["parts"].as_array().unwrap().iter();
            parts.find(|part| part["name"] == name).unwrap()["start"].as_u64().unwrap()
        };
        let number = |value: &Value, key: &str| value[key].as_u64().unwrap();
        let arenas = shown["arenas"][0]["arenas"].as_array().unwrap();
        let used = arenas.iter().filter(|arena| number(arena, "clumps") > 0);
        let logs = used.map(|arena| (number(arena, "start"), number(arena, "size"), number(arena, "used")));
        let logs: Vec<_> = logs.collect();
        assert!(logs.len() > 2 && number(&arenas[0], "clumps") == number(&arenas[0], "indexed"));
        Image { arenas: start("arenas"), isect: start("isect"), path, scores: scores.unwrap(), logs }
    }

    fn check(&self) -> (i32, Value) {
        granary(&["disk", "check", self.path.to_str().unwrap()])
    }

    fn file(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.path).unwrap()
    }

    /// Which lumps do not read back; a wrong one fails the test.
    fn unreadable(&self) -> BTreeSet<usize> {
        unreadable(&self.path, &self.scores)
    }
}

fn unreadable(path: &Path, scores: &[Score]) -> BTreeSet<usize> {
    tools::host::run(async {
        let parts = of_disks(&[path.to_owned()], Access::Read).await?.parts;
        let settings = StoreSettings { read_only: true, ..StoreSettings::default() };
        let (store, _) =
            Store::open(parts, settings, NOW).await.map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut missing = BTreeSet::new();
        for (number, score) in scores.iter().enumerate() {
            match store.read(*score, BlockType::DATA).await {
                Ok(found) => assert!(found == lump(number as u64), "lump {number} is another"),
                Err(_) => drop(missing.insert(number)),
            }
        }
        Ok(missing)
    })
    .unwrap()
}

/// Kind and first byte of what is damaged.
fn damage(report: &Value) -> Vec<(String, u64)> {
    let of =
        |finding: &Value| (finding["kind"].as_str().unwrap().to_owned(), finding["offset"].as_u64().unwrap());
    report["damage"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_dd_destroys_is_named_and_comes_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::filled(folder.path());
    let (code, report) = image.check();
    assert_eq!((code, damage(&report)), (0, Vec::new()), "{report}");
    let (start, size, _) = image.logs[0];
    let second_tail = image.logs[1].0 + BLOCK + image.logs[1].1;
    let tail = start + BLOCK + size;
    let bucket = 794_624 + 50 * BLOCK;
    // Where in the image, how much; which kinds the check must name, and at which byte of the partition.
    let harms: [(u64, u64, &[Named]); 6] = [
        (image.arenas + start, BLOCK, &[("head", start), ("seal", start)]),
        (image.arenas + tail, BLOCK, &[("tail", tail)]),
        (image.arenas + second_tail, BLOCK, &[("tail", second_tail)]),
        (image.arenas + tail - BLOCK, BLOCK, &[("directory", tail - BLOCK), ("seal", start)]),
        (image.isect + bucket, 8 * BLOCK, &[("missing", bucket)]),
        (image.arenas + 262_144, BLOCK, &[("header", 262_144)]),
    ];
    for (offset, len, expected) in harms {
        let mut before = vec![0; len as usize];
        image.file().read_exact_at(&mut before, offset).unwrap();
        image.file().write_all_at(&vec![0; len as usize], offset).unwrap();
        let (code, report) = image.check();
        assert_eq!(code, 20);
        let found = damage(&report);
        for (kind, place) in expected {
            let within = |(found, at): &(String, u64)| found == kind && (*place..place + len).contains(at);
            assert!(found.iter().any(within), "{kind} at {place} is not among {found:?}");
        }
        let kinds: BTreeSet<&str> = expected.iter().map(|(kind, _)| *kind).collect();
        assert!(found.iter().all(|(kind, _)| kinds.contains(kind.as_str())), "{found:?}, not {kinds:?}");
        let path = image.path.to_str().unwrap();
        let (code, planned) = granary(&["disk", "recover", path]);
        assert_eq!((code, &planned["written"]), (20, &Value::Bool(false)));
        let (code, done) = granary(&["disk", "recover", path, "--yes"]);
        assert_eq!((code, damage(&done["after"])), (0, Vec::new()), "{done}");
        assert_eq!(planned["steps"], done["steps"]);
        let mut after = vec![0; len as usize];
        image.file().read_exact_at(&mut after, offset).unwrap();
        assert!(after == before, "{expected:?}: other bytes came back");
    }
    assert!(image.unreadable().is_empty());
}

#[test]
fn a_hundred_flipped_bits_cost_no_more_than_the_blocks_they_hit() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::filled(folder.path());
    let rng = SeededRng::new(7);
    for _ in 0..100 {
        let (start, _, used) = image.logs[rng.below(image.logs.len() as u64) as usize];
        let at = image.arenas + start + BLOCK + rng.below(used);
        let mut byte = [0];
        image.file().read_exact_at(&mut byte, at).unwrap();
        image.file().write_all_at(&[byte[0] ^ 1 << rng.below(8)], at).unwrap();
    }
    let before = image.unreadable();
    assert!(before.len() > 50 && before.len() <= 100, "{} blocks were hit", before.len());
    let (code, report) = image.check();
    let named = damage(&report).iter().filter(|(kind, _)| kind == "clump").count();
    assert!(code == 20 && named >= before.len(), "{} blocks are gone, {named} are named", before.len());
    let (code, done) = granary(&["disk", "recover", image.path.to_str().unwrap(), "--yes"]);
    assert_eq!(code, 20, "data that is lost stays lost, and is said to be");
    let after = image.unreadable();
    assert!(after.is_subset(&before));
    let lost = done["lost"].as_array().unwrap().iter().map(|block| block["score"].as_str().unwrap());
    let lost: BTreeSet<Score> = lost.map(|score| score.parse().unwrap()).collect();
    let missing: BTreeSet<Score> = after.iter().map(|number| image.scores[*number]).collect();
    assert_eq!(lost, missing);
}

#[test]
fn of_a_disk_that_was_cut_off_the_rest_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let image = Image::filled(folder.path());
    let (start, _, used) = image.logs[1];
    let size = image.file().metadata().unwrap().len();
    image.file().set_len(image.arenas + start + BLOCK + used / 2).unwrap();
    let (code, report) = image.check();
    assert_eq!(code, 20);
    assert!(report["disks"][0].as_str().unwrap().contains("cut off"), "{report}");
    let first = &report["arenas"][0];
    assert!(first["seal_good"] == true && first["lost"] == 0, "{first}");
    let second = report["arenas"][1]["whole"].as_u64().unwrap();
    assert!(second > 10, "{second} clumps of the arena that was cut");
    let (spare, path) = (folder.path().join("spare"), image.path.to_str().unwrap());
    let (code, done) = granary(&["disk", "recover", path, "--out", spare.to_str().unwrap(), "--yes"]);
    let copy = spare.join("disk.img");
    assert_eq!(copy.metadata().unwrap().len(), size);
    let whole = first["whole"].as_u64().unwrap() + second;
    let readable = LUMPS - unreadable(&copy, &image.scores).len() as u64;
    assert_eq!(readable, whole, "{done}");
    assert_eq!((code, damage(&done["after"])), (20, Vec::new()), "{done}");
}
