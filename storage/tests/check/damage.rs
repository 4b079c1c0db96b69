//! The filled store, damaged by seed in one way after the other: the check names each place, a recovery brings back
//! everything that is still there, and a store on the result never serves a wrong block.

use crate::fixtures::{kinds, run};
use crate::recovered::recover;
use crate::support::{NOW, block_type, disk, parts, score, table};
use std::collections::BTreeSet;
use std::rc::Rc;
use storage::check::Grade;
use storage::device::ram::RamDisk;
use storage::salvage::{LeftReason, Settings, plan};
use storage::score::Score;
use storage::simulation::{SeededRng, block_on};
use storage::store::{Store, StoreParts, StoreSettings};

/// The first three arenas: offset of the log, bytes that it has. The first two are sealed.
const LOGS: [(u64, u64); 3] = [(802_816, 0xf5bf4), (1_851_392, 0xf5fce), (2_899_968, 0x2a3db)];
const BLOCK: u64 = 8192;
const ARENA: u64 = 1_048_576;
/// Bytes of a clump's header that nothing verifies: its creator, and its time.
const FREE: std::ops::Range<u64> = 30..38;

/// The disks of the filled store: arenas, two sections, filter.
fn filled() -> StoreParts<Rc<RamDisk>> {
    parts(
        vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")],
        vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")],
        Some(disk("main/bloom.img.gz")),
    )
}

fn zero(disk: &RamDisk, offset: u64, len: u64) {
    disk.put(offset, &vec![0; len as usize]);
}

/// Where each clump stands: offset in the partition, and length.
fn clumps() -> Vec<(u64, u64)> {
    let rows = table("main/MANIFEST.tsv");
    let place = |row: &Vec<String>| {
        let arena: usize = row[1].trim_start_matches("arenas").parse().unwrap();
        let (offset, len): (u64, u64) = (row[3].parse().unwrap(), row[9].parse().unwrap());
        (LOGS[arena].0 + offset, len + 38)
    };
    rows.iter().map(place).collect()
}

/// Rows of the manifest whose block does not read back. What reads back has the right score: the store verifies it, and
/// here it is verified again.
fn unreadable(parts: &StoreParts<Rc<RamDisk>>) -> BTreeSet<usize> {
    block_on(async {
        let settings = StoreSettings { read_only: true, ..StoreSettings::default() };
        let (store, _) = Store::open(parts.clone(), settings, NOW).await.unwrap();
        let mut missing = BTreeSet::new();
        for (number, row) in table("main/MANIFEST.tsv").iter().enumerate() {
            match store.read(score(&row[5]), block_type(&row[6])).await {
                Ok(lump) => assert_eq!(Score::of(&lump), score(&row[5])),
                Err(_) => {
                    missing.insert(number);
                }
            }
        }
        missing
    })
}

#[test]
fn a_hundred_flipped_bits_are_named_and_cost_only_their_blocks() {
    let clumps = clumps();
    for seed in 0..3 {
        let parts = filled();
        let rng = SeededRng::new(seed);
        let (mut data_hit, mut header_hit) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..100 {
            let (base, used) = LOGS[rng.below(3) as usize];
            let at = base + rng.below(used);
            let image = parts.arenas[0].device.image();
            let byte = image.get(at, 1)[0] ^ 1 << rng.below(8);
            parts.arenas[0].device.put(at, &[byte]);
            let number = clumps.iter().position(|(start, len)| (*start..start + len).contains(&at)).unwrap();
            match at - clumps[number].0 {
                inside if FREE.contains(&inside) => {}
                0..38 => drop(header_hit.insert(number)),
                _ => drop(data_hit.insert(number)),
            }
        }
        let report = run(&parts);
        let named: BTreeSet<u64> = report
            .of(Grade::Damage)
            .filter(|finding| finding.fault.kind() == "clump")
            .map(|finding| finding.offset)
            .collect();
        let hit: BTreeSet<u64> = data_hit.union(&header_hit).map(|number| clumps[*number].0).collect();
        assert!(named.is_subset(&hit), "seed {seed}: {:?}", named.difference(&hit));
        // A flipped bit behind the end of a compressed lump changes nothing that anyone reads.
        let unnamed: Vec<_> = hit.difference(&named).collect();
        assert!(unnamed.len() <= 2, "seed {seed}: {unnamed:?} were hit and not named");
        let before = unreadable(&parts);
        let others: Vec<_> =
            kinds(&report, Grade::Damage).into_iter().filter(|kind| *kind != "clump").collect();
        assert_eq!(others, ["seal", "seal"], "seed {seed}");
        recover(&parts, false);
        let after = unreadable(&parts);
        assert!(after.is_subset(&before), "seed {seed}: worse than before");
        assert!(
            after.is_subset(&data_hit),
            "seed {seed}: {after:?} are lost, and only {data_hit:?} were hit"
        );
        let left = run(&parts);
        let left = left.of(Grade::Damage).filter(|finding| finding.fault.kind() == "clump");
        assert!(left.count() <= data_hit.len());
    }
}

/// One way of damaging the store.
struct Harm {
    name: &'static str,
    harm: fn(&StoreParts<Rc<RamDisk>>),
    /// What the check must name: kind, and the first byte that is concerned.
    named: &'static [(&'static str, u64)],
    /// The disks are byte for byte as before once recovered.
    exact: bool,
}

const HARMS: [Harm; 9] = [
    Harm {
        name: "a zeroed head",
        harm: |parts| zero(&parts.arenas[0].device, LOGS[1].0 - BLOCK, BLOCK),
        named: &[("head", LOGS[1].0 - BLOCK), ("seal", LOGS[1].0 - BLOCK)],
        exact: true,
    },
    Harm {
        name: "a zeroed tail of a sealed arena",
        harm: |parts| zero(&parts.arenas[0].device, LOGS[0].0 - 2 * BLOCK + ARENA, BLOCK),
        named: &[("tail", LOGS[0].0 - 2 * BLOCK + ARENA)],
        exact: true,
    },
    Harm {
        name: "a zeroed tail of an open arena",
        harm: |parts| zero(&parts.arenas[0].device, LOGS[2].0 - 2 * BLOCK + ARENA, BLOCK),
        named: &[("tail", LOGS[2].0 - 2 * BLOCK + ARENA)],
        exact: true,
    },
    Harm {
        name: "head and tail zeroed",
        harm: |parts| {
            zero(&parts.arenas[0].device, LOGS[0].0 - BLOCK, BLOCK);
            zero(&parts.arenas[0].device, LOGS[0].0 - 2 * BLOCK + ARENA, BLOCK);
        },
        named: &[("head", LOGS[0].0 - BLOCK), ("tail", LOGS[0].0 - 2 * BLOCK + ARENA)],
        exact: true,
    },
    Harm {
        name: "a zeroed directory block",
        harm: |parts| zero(&parts.arenas[0].device, LOGS[0].0 - 3 * BLOCK + ARENA, BLOCK),
        named: &[("directory", LOGS[0].0 - 3 * BLOCK + ARENA), ("seal", LOGS[0].0 - BLOCK)],
        exact: true,
    },
    Harm {
        name: "a zeroed bucket",
        harm: |parts| zero(&parts.index_sections[0].device, 794_624 + 100 * BLOCK, BLOCK),
        named: &[("missing", 794_624 + 100 * BLOCK)],
        exact: true,
    },
    Harm {
        name: "a section's header and text zeroed",
        harm: |parts| zero(&parts.index_sections[1].device, 262_144, 60_000),
        named: &[("header", 262_144), ("map", 270_336)],
        exact: true,
    },
    Harm {
        name: "an arena partition's header and map zeroed",
        harm: |parts| zero(&parts.arenas[0].device, 262_144, 60_000),
        named: &[("header", 262_144), ("map", 270_336)],
        exact: true,
    },
    Harm {
        name: "a piece of the filter zeroed, with its header",
        harm: |parts| zero(&parts.bloom.as_ref().unwrap().device, 0, 100_000),
        named: &[("header", 0)],
        // Bits that point to blocks of nobody's are not set again.
        exact: false,
    },
];

fn images(parts: &StoreParts<Rc<RamDisk>>) -> Vec<Vec<u8>> {
    let all = parts.arenas.iter().chain(&parts.index_sections).chain(&parts.bloom);
    all.map(|part| part.device.image().to_vec()).collect()
}

#[test]
fn every_structure_that_is_lost_is_named_and_comes_back() {
    for Harm { name, harm, named, exact } in HARMS {
        let parts = filled();
        let before = images(&parts);
        harm(&parts);
        let report = run(&parts);
        let found: Vec<(&str, u64)> =
            report.of(Grade::Damage).map(|finding| (finding.fault.kind(), finding.offset)).collect();
        assert_eq!(found, named, "{name}: {:?}", report.findings);
        recover(&parts, false);
        let after = run(&parts);
        assert!(!after.is_damaged(), "{name}: {:?}", after.findings);
        if exact {
            for (number, (after, before)) in images(&parts).iter().zip(&before).enumerate() {
                let first = after.iter().zip(before).position(|(after, before)| after != before);
                assert_eq!(first, None, "{name}: disk {number} is another");
            }
        }
        assert!(unreadable(&parts).is_empty(), "{name}");
    }
}

#[test]
fn an_index_and_a_filter_that_were_never_filled_are_filled_as_the_real_server_does() {
    let all = |kind: &str| {
        let sections =
            vec![disk(&format!("main/{kind}isect0.img.gz")), disk(&format!("main/{kind}isect1.img.gz"))];
        let filter = disk(&format!("main/{kind}bloom.img.gz"));
        parts(vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")], sections, Some(filter))
    };
    let (fresh, real) = (all("fresh/"), all(""));
    recover(&fresh, false);
    for (number, (ours, real)) in images(&fresh).iter().zip(&images(&real)).enumerate() {
        let first = ours.iter().zip(real).position(|(ours, real)| ours != real);
        assert_eq!(first, None, "disk {number}");
    }
}

#[test]
fn what_is_not_understood_is_left_as_it_is() {
    let parts = filled();
    // The map is gone, and the second arena has neither head nor tail: nobody knows where it is, nor its name.
    zero(&parts.arenas[0].device, 270_336, BLOCK);
    zero(&parts.arenas[0].device, LOGS[1].0 - BLOCK, BLOCK);
    zero(&parts.arenas[0].device, LOGS[1].0 - 2 * BLOCK + ARENA, BLOCK);
    let before = parts.arenas[0].device.image().to_vec();
    block_on(async {
        let plan = plan(&parts, Settings { fill: false, now: NOW }, || 1, &mut ()).await.unwrap();
        assert!(plan.left.iter().any(|left| left.reason == LeftReason::NoMap), "{:?}", plan.left);
        plan.apply(&mut ()).await.unwrap();
    });
    assert!(parts.arenas[0].device.image().to_vec() == before);
}

#[test]
fn a_seal_over_nothing_and_rubbish_in_the_tail_is_set_right_at_once() {
    let parts = filled();
    let tail = LOGS[2].0 - 2 * BLOCK + 2 * ARENA;
    const SEALED: u64 = 108;
    parts.arenas[0].device.put(tail + SEALED, &[1]);
    parts.arenas[0].device.put(tail + 300, b"means nothing, and counts in the sum");
    let steps = recover(&parts, false);
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(run(&parts).of(Grade::Damage).count(), 0);
}

#[test]
fn a_header_that_puts_its_arenas_behind_the_end_is_written_again() {
    let parts = filled();
    // The base of the arenas, behind magic number, version and block size.
    parts.arenas[0].device.put(256 * 1024 + 12, &[0x03]);
    assert!(kinds(&run(&parts), Grade::Damage).contains(&"header"));
    let steps = recover(&parts, false);
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(run(&parts).of(Grade::Damage).count(), 0);
}
